//! The formats of COPY: their options, and what reads and writes them.

use weir_common::error::{Error, Result, SqlState};

pub mod fields; // one record into fields
pub mod parser; // bytes cut anywhere into records of fields
pub mod reader; // records into columns
pub mod records; // where a record ends
pub mod writer; // batches into records

/// The options of a COPY.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyFormat {
    /// `FORMAT`
    pub kind: CopyKind,
    /// `DELIMITER`: between fields.
    pub delimiter: u8,
    /// `NULL`: what stands for NULL.
    pub null: String,
    /// `HEADER`
    pub header: CopyHeader,
    /// `QUOTE`, of csv.
    pub quote: u8,
    /// `ESCAPE`, of csv: before a quote inside quotes.
    pub escape: u8,
    /// `FORCE_QUOTE`, of csv: columns that are quoted whenever they are not NULL.
    pub force_quote: Columns,
    /// `FORCE_NOT_NULL`, of csv: columns in which the text of NULL is itself.
    pub force_not_null: Columns,
    /// `FORCE_NULL`, of csv: columns in which the text of NULL is NULL even when it is quoted.
    pub force_null: Columns,
}

/// `FORMAT`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyKind {
    /// Tabs and backslashes.
    Text,
    /// Commas and quotes.
    Csv,
    /// Postgres' own.
    Binary,
}

/// `HEADER`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyHeader {
    /// There is none.
    Off,
    /// The first line has names; they are skipped, or written.
    On,
    /// The first line must have the names of the columns.
    Match,
}

/// Some columns, or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Columns {
    /// `*`
    All,
    /// These; none of them where the option was not given.
    Only(Vec<String>),
}

impl Columns {
    /// Whether a column is meant.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Columns::All => true,
            Columns::Only(names) => names.iter().any(|other| other == name),
        }
    }

    fn is_none(&self) -> bool {
        matches!(self, Columns::Only(names) if names.is_empty())
    }
}

impl CopyFormat {
    /// The format with the defaults of its options.
    pub fn new(kind: CopyKind) -> CopyFormat {
        let (delimiter, null) = match kind {
            CopyKind::Csv => (b',', ""),
            _ => (b'\t', "\\N"),
        };
        CopyFormat {
            kind,
            delimiter,
            null: null.to_string(),
            header: CopyHeader::Off,
            quote: b'"',
            escape: b'"',
            force_quote: Columns::Only(Vec::new()),
            force_not_null: Columns::Only(Vec::new()),
            force_null: Columns::Only(Vec::new()),
        }
    }

    /// Refuses options that contradict each other, or that the format or direction does not have.
    pub fn check(&self, from: bool) -> Result<()> {
        let defaults = CopyFormat::new(self.kind);
        let unsupported = |message: &str| Err(Error::unsupported(message));
        let invalid = |message: &str| Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        if self.kind == CopyKind::Binary {
            // Postgres has these under syntax errors.
            let syntax = |option: &str| Err(Error::new(SqlState::SYNTAX_ERROR, format!("cannot specify {option} in BINARY mode")));
            if self.delimiter != defaults.delimiter {
                return syntax("DELIMITER");
            }
            if self.null != defaults.null {
                return syntax("NULL");
            }
            if self.header != CopyHeader::Off {
                return syntax("HEADER");
            }
        }
        if self.kind != CopyKind::Csv {
            if self.quote != defaults.quote {
                return unsupported("COPY quote available only in CSV mode");
            }
            if self.escape != defaults.escape {
                return unsupported("COPY escape available only in CSV mode");
            }
            if !self.force_quote.is_none() {
                return unsupported("COPY force quote available only in CSV mode");
            }
            if !self.force_not_null.is_none() {
                return unsupported("COPY force not null available only in CSV mode");
            }
            if !self.force_null.is_none() {
                return unsupported("COPY force null available only in CSV mode");
            }
        }
        if from && !self.force_quote.is_none() {
            return unsupported("COPY force quote only available using COPY TO");
        }
        if !from && !self.force_not_null.is_none() {
            return unsupported("COPY force not null only available using COPY FROM");
        }
        if !from && !self.force_null.is_none() {
            return unsupported("COPY force null only available using COPY FROM");
        }
        if !from && self.header == CopyHeader::Match {
            return unsupported("cannot use \"match\" with HEADER in COPY TO");
        }
        if matches!(self.delimiter, b'\n' | b'\r') {
            return invalid("COPY delimiter cannot be newline or carriage return");
        }
        if self.null.contains(['\n', '\r']) {
            return invalid("COPY null representation cannot use newline or carriage return");
        }
        if self.kind == CopyKind::Text && b"\\.abcdefghijklmnopqrstuvwxyz0123456789".contains(&self.delimiter) {
            return invalid(&format!("COPY delimiter cannot be \"{}\"", self.delimiter as char));
        }
        if self.kind == CopyKind::Csv && self.delimiter == self.quote {
            return invalid("COPY delimiter and quote must be different");
        }
        if self.kind != CopyKind::Binary && self.null.as_bytes().contains(&self.delimiter) {
            return invalid("COPY delimiter must not appear in the NULL specification");
        }
        if self.kind == CopyKind::Csv && self.null.as_bytes().contains(&self.quote) {
            return invalid("CSV quote character must not appear in the NULL specification");
        }
        Ok(())
    }

    /// The byte of an option that is one: `DELIMITER`, `QUOTE`, `ESCAPE`; `option` is its name in errors.
    pub fn single_byte(option: &str, value: &str) -> Result<u8> {
        match value.as_bytes() {
            [byte] if byte.is_ascii() => Ok(*byte),
            _ => {
                let message = format!("COPY {option} must be a single one-byte character");
                Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message))
            }
        }
    }
}
