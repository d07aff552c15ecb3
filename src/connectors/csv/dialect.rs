//! The options of ENCODE CSV: how fields are kept apart, in the words of Postgres' COPY.

use weir_common::error::{Error, Result, SqlState};

use crate::options::Options;

/// How a CSV is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// Between two fields.
    pub(crate) delimiter: u8,
    /// Around a field, unless fields are never quoted.
    pub(crate) quotes: Option<Quotes>,
    /// What a field without quotes reads that is NULL.
    pub(crate) null: Vec<u8>,
    /// Whether the first record of each file names the columns.
    pub(crate) header: bool,
}

/// The characters that quoted fields are written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quotes {
    /// Opens and closes a field.
    pub(crate) quote: u8,
    /// Comes before a quote, or before itself, that belongs to the field.
    pub(crate) escape: u8,
}

impl Default for Dialect {
    fn default() -> Self {
        Dialect { delimiter: b',', quotes: Some(Quotes { quote: b'"', escape: b'"' }), null: Vec::new(), header: false }
    }
}

impl Dialect {
    /// Every option, in the parentheses behind ENCODE CSV.
    pub(crate) const OPTIONS: &[&str] = &["header", "delimiter", "quote", "escape", "null"];

    /// What the options say, checked for sense.
    pub(crate) fn new(options: &Options<'_>) -> Result<Dialect> {
        let usual = Dialect::default();
        let delimiter = byte(options, "delimiter")?.unwrap_or(usual.delimiter);
        let quote = match options.value("quote") {
            Some("") => None,
            _ => Some(byte(options, "quote")?.unwrap_or(b'"')),
        };
        let escape = byte(options, "escape")?;
        let null = options.value("null").unwrap_or_default();
        let wrong = |message: &str| Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
        if quote == Some(delimiter) {
            return wrong("CSV delimiter and quote must be different");
        }
        if escape == Some(delimiter) {
            return wrong("CSV delimiter and escape must be different");
        }
        if quote.is_none() && escape.is_some() {
            return wrong("CSV escape needs a quote");
        }
        if null.contains(['\r', '\n']) {
            return wrong("CSV null representation cannot use newline or carriage return");
        }
        if null.as_bytes().contains(&delimiter) {
            return wrong("CSV delimiter character must not appear in the null specification");
        }
        if quote.is_some_and(|quote| null.as_bytes().contains(&quote)) {
            return wrong("CSV quote character must not appear in the null specification");
        }
        let quotes = quote.map(|quote| Quotes { quote, escape: escape.unwrap_or(quote) });
        Ok(Dialect { delimiter, quotes, null: null.as_bytes().to_vec(), header: options.boolean("header", usual.header)? })
    }
}

/// The one byte that an option says; `\t` is a tab.
fn byte(options: &Options<'_>, name: &str) -> Result<Option<u8>> {
    let Some(value) = options.value(name) else { return Ok(None) };
    match value.as_bytes() {
        b"\\t" => Ok(Some(b'\t')),
        [b'\r' | b'\n' | 0] => {
            let message = format!("CSV {name} cannot be newline or carriage return");
            Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message))
        }
        [byte] if byte.is_ascii() => Ok(Some(*byte)),
        _ => {
            let message = format!("CSV {name} must be a single one-byte character");
            Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
                .with_hint(format!("\"{value}\" is not one; a tab is written '\\t'.")))
        }
    }
}
