//! COPY: target, direction, and the options in both of Postgres' spellings.

use datafusion::sql::sqlparser::tokenizer::Token;
use weir_common::error::{Error, Result, SqlState, nearest};

use crate::parser::cursor::{self, Cursor};
use crate::parser::{explain, subscribe};
use crate::statement::{Copy, CopyDirection, CopyFormat, CopyHeader, CopyOptions, CopyTarget, ForceColumns, Statement};

/// `COPY target FROM STDIN | TO STDOUT options`
pub(super) fn copy(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("COPY")?;
    let mut given = Given::default();
    let position = cursor.position();
    if cursor.eat("BINARY") {
        given.format = Some((CopyFormat::Binary, position));
    }
    let target = if cursor.peek().token == Token::LParen {
        if ["INSERT", "UPDATE", "DELETE"].iter().any(|word| cursor::is_word(cursor.peek_nth(1), word)) {
            return Err(cursor.unsupported(position, "COPY of INSERT, UPDATE or DELETE is not supported yet").with_hint("COPY a SELECT."));
        }
        cursor.expect_token(&Token::LParen)?;
        let target = if cursor.at("SUBSCRIBE") {
            CopyTarget::Subscribe(Box::new(subscribe::subscribe(cursor)?))
        } else {
            CopyTarget::Query(cursor.query()?)
        };
        cursor.expect_token(&Token::RParen)?;
        target
    } else {
        CopyTarget::Table { name: cursor.name()?, columns: cursor.optional_idents()? }
    };
    let direction = direction(cursor, &target)?;
    if cursor.eat("USING") || cursor.at("DELIMITERS") {
        cursor.expect("DELIMITERS")?;
        let position = cursor.position();
        given.set_delimiter(cursor.string()?, position)?;
    }
    cursor.eat("WITH");
    if cursor.eat_token(&Token::LParen) {
        cursor.list(|cursor| given.option(cursor))?;
        cursor.expect_token(&Token::RParen)?;
    } else {
        while !cursor.done() && !cursor.at("WHERE") {
            given.old_option(cursor)?;
        }
    }
    if cursor.at("WHERE") {
        return Err(cursor
            .unsupported(cursor.position(), "COPY ... WHERE is not supported yet")
            .with_hint("Copy into a table of its own, then INSERT ... SELECT ... WHERE."));
    }
    let options = given.options(direction)?;
    Ok(Statement::Copy(Copy { target, direction, options }))
}

fn direction(cursor: &mut Cursor<'_>, target: &CopyTarget) -> Result<CopyDirection> {
    let from = match cursor.at_one_of(&["FROM", "TO"]) {
        Some("FROM") if matches!(target, CopyTarget::Table { .. }) => true,
        Some("TO") => false,
        _ => return Err(cursor.unexpected_for(&["FROM", "TO"])),
    };
    cursor.next();
    let position = cursor.position();
    // Postgres takes either word for the client.
    if cursor.eat_one_of(&["STDIN", "STDOUT"]).is_some() {
        return Ok(if from { CopyDirection::FromStdin } else { CopyDirection::ToStdout });
    }
    match cursor.peek().token {
        Token::SingleQuotedString(_) => Err(cursor
            .unsupported(position, "COPY with a file of the server is not supported yet")
            .with_hint("Use \\copy in psql, or COPY ... FROM STDIN and TO STDOUT; to follow a file use CREATE SOURCE.")),
        _ if cursor.at("PROGRAM") => Err(cursor
            .unsupported(position, "COPY with a program is not supported yet")
            .with_hint("Use \\copy in psql, which can read from a program.")),
        _ => Err(cursor.unexpected_for(&[if from { "STDIN" } else { "STDOUT" }])),
    }
}

/// Options as they were said, each with its position.
#[derive(Default)]
struct Given {
    format: Option<(CopyFormat, usize)>,
    delimiter: Option<(String, usize)>,
    null: Option<(String, usize)>,
    header: Option<(CopyHeader, usize)>,
    quote: Option<(String, usize)>,
    escape: Option<(String, usize)>,
    force_quote: Option<(ForceColumns, usize)>,
    force_not_null: Option<(ForceColumns, usize)>,
    force_null: Option<(ForceColumns, usize)>,
    encoding: Option<(String, usize)>,
}

const OPTIONS: &[&str] =
    &["format", "delimiter", "null", "header", "quote", "escape", "force_quote", "force_not_null", "force_null", "encoding", "freeze"];

impl Given {
    /// One option in parentheses.
    fn option(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        let position = cursor.position();
        let Token::Word(word) = cursor.peek().token.clone() else { return Err(cursor.unexpected()) };
        cursor.next();
        let name = word.value.to_lowercase();
        match name.as_str() {
            "format" => {
                let format = text(cursor)?;
                let known = match format.to_lowercase().as_str() {
                    "text" => CopyFormat::Text,
                    "csv" => CopyFormat::Csv,
                    "binary" => CopyFormat::Binary,
                    _ => {
                        return Err(invalid(format!("COPY format \"{format}\" not recognized"), position)
                            .with_hint("The formats are text, csv and binary."));
                    }
                };
                set(&mut self.format, known, position)
            }
            "delimiter" => self.set_delimiter(text(cursor)?, position),
            "null" => set(&mut self.null, text(cursor)?, position),
            "header" => {
                let value = if value_follows(cursor) { Some(text(cursor)?) } else { None };
                let header = match value.as_deref() {
                    Some(word) if word.eq_ignore_ascii_case("match") => CopyHeader::Match,
                    value => match explain::boolean(value) {
                        Some(true) => CopyHeader::Present,
                        Some(false) => CopyHeader::Absent,
                        None => return Err(syntax("header requires a Boolean value or \"match\"", position)),
                    },
                };
                set(&mut self.header, header, position)
            }
            "quote" => set(&mut self.quote, text(cursor)?, position),
            "escape" => set(&mut self.escape, text(cursor)?, position),
            "force_quote" => set(&mut self.force_quote, columns_in_parentheses(cursor, &name)?, position),
            "force_not_null" => set(&mut self.force_not_null, columns_in_parentheses(cursor, &name)?, position),
            "force_null" => set(&mut self.force_null, columns_in_parentheses(cursor, &name)?, position),
            "encoding" => set(&mut self.encoding, text(cursor)?, position),
            "freeze" => {
                let value = if value_follows(cursor) { Some(text(cursor)?) } else { None };
                match explain::boolean(value.as_deref()) {
                    Some(false) => Ok(()),
                    _ => Err(no_freeze(cursor, position)),
                }
            }
            "default" | "on_error" | "log_verbosity" | "reject_limit" => Err(cursor
                .unsupported(position, format!("COPY option {} is not supported yet", name.to_uppercase()))
                .with_hint("Leave it out.")),
            _ => {
                let error = syntax(format!("option \"{name}\" not recognized"), position);
                Err(match nearest(&name, OPTIONS.iter().copied()) {
                    Some(option) => error.with_hint(format!("Perhaps you meant \"{option}\".")),
                    None => error,
                })
            }
        }
    }

    /// One option without parentheses, as before Postgres 9: `CSV HEADER DELIMITER AS ','`.
    fn old_option(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        let position = cursor.position();
        if cursor.eat("BINARY") {
            return set(&mut self.format, CopyFormat::Binary, position);
        }
        if cursor.eat("CSV") {
            return set(&mut self.format, CopyFormat::Csv, position);
        }
        if cursor.eat("HEADER") {
            return set(&mut self.header, if cursor.eat("MATCH") { CopyHeader::Match } else { CopyHeader::Present }, position);
        }
        if cursor.eat("FREEZE") {
            return Err(no_freeze(cursor, position));
        }
        if let Some(word) = cursor.eat_one_of(&["DELIMITER", "NULL", "QUOTE", "ESCAPE", "ENCODING"]) {
            if word != "ENCODING" {
                cursor.eat("AS");
            }
            let value = cursor.string()?;
            return match word {
                "DELIMITER" => self.set_delimiter(value, position),
                "NULL" => set(&mut self.null, value, position),
                "QUOTE" => set(&mut self.quote, value, position),
                "ESCAPE" => set(&mut self.escape, value, position),
                _ => set(&mut self.encoding, value, position),
            };
        }
        if cursor.eat("FORCE QUOTE") {
            return set(&mut self.force_quote, columns(cursor)?, position);
        }
        if cursor.eat("FORCE NOT NULL") {
            return set(&mut self.force_not_null, columns(cursor)?, position);
        }
        if cursor.eat("FORCE NULL") {
            return set(&mut self.force_null, columns(cursor)?, position);
        }
        Err(cursor.unexpected_for(&["BINARY", "CSV", "HEADER", "DELIMITER", "NULL", "QUOTE", "ESCAPE", "ENCODING", "FORCE"]))
    }

    fn set_delimiter(&mut self, value: String, position: usize) -> Result<()> {
        set(&mut self.delimiter, value, position)
    }

    /// Fills in the defaults and refuses contradictions, in Postgres' words.
    fn options(self, direction: CopyDirection) -> Result<CopyOptions> {
        let format = self.format.map_or(CopyFormat::Text, |(format, _)| format);
        let csv = format == CopyFormat::Csv;
        let from = direction == CopyDirection::FromStdin;
        if format == CopyFormat::Binary {
            for (name, position) in [("DELIMITER", at(&self.delimiter)), ("NULL", at(&self.null)), ("HEADER", at(&self.header))] {
                if let Some(position) = position {
                    return Err(syntax(format!("cannot specify {name} in BINARY mode"), position));
                }
            }
        }
        if !csv {
            let csv_only = [
                ("quote", at(&self.quote)),
                ("escape", at(&self.escape)),
                ("force quote", at(&self.force_quote)),
                ("force not null", at(&self.force_not_null)),
                ("force null", at(&self.force_null)),
            ];
            for (name, position) in csv_only {
                if let Some(position) = position {
                    return Err(unsupported(format!("COPY {name} available only in CSV mode"), position));
                }
            }
        }
        if from && let Some(position) = at(&self.force_quote) {
            return Err(unsupported("COPY force quote only available using COPY TO", position));
        }
        for (name, position) in [("force not null", at(&self.force_not_null)), ("force null", at(&self.force_null))] {
            if !from && let Some(position) = position {
                return Err(unsupported(format!("COPY {name} only available using COPY FROM"), position));
            }
        }
        if let Some((CopyHeader::Match, position)) = self.header
            && !from
        {
            return Err(unsupported("cannot use \"match\" with HEADER in COPY TO", position));
        }
        if let Some((encoding, position)) = &self.encoding
            && !["utf8", "utf-8", "unicode"].contains(&encoding.to_lowercase().as_str())
        {
            return Err(unsupported(format!("COPY encoding \"{encoding}\" is not supported yet"), *position)
                .with_hint("Convert the data to UTF8 first, for example with iconv."));
        }

        let null_at = at(&self.null);
        let null = self.null.map_or_else(|| if csv { String::new() } else { "\\N".to_string() }, |(null, _)| null);
        if null.contains(['\r', '\n']) {
            return Err(invalid("COPY null representation cannot use newline or carriage return", null_at.unwrap_or(1)));
        }
        let delimiter_at = at(&self.delimiter).or(null_at).unwrap_or(1);
        let delimiter = one_byte(self.delimiter, "delimiter", if csv { b',' } else { b'\t' })?;
        if matches!(delimiter, b'\r' | b'\n') {
            return Err(invalid("COPY delimiter cannot be newline or carriage return", delimiter_at));
        }
        if format == CopyFormat::Text && b"\\.abcdefghijklmnopqrstuvwxyz0123456789".contains(&delimiter) {
            return Err(invalid(format!("COPY delimiter cannot be \"{}\"", char::from(delimiter)), delimiter_at));
        }
        if format != CopyFormat::Binary && null.bytes().any(|byte| byte == delimiter) {
            return Err(unsupported("COPY delimiter character must not appear in the NULL specification", delimiter_at));
        }
        let quote_at = at(&self.quote).unwrap_or(delimiter_at);
        let quote = one_byte(self.quote, "quote", b'"')?;
        if csv && delimiter == quote {
            return Err(invalid("COPY delimiter and quote must be different", quote_at));
        }
        if csv && null.bytes().any(|byte| byte == quote) {
            return Err(unsupported("CSV quote character must not appear in the NULL specification", quote_at));
        }
        let escape = one_byte(self.escape, "escape", quote)?;
        let none = || ForceColumns::Columns(Vec::new());
        Ok(CopyOptions {
            format,
            delimiter,
            null,
            header: self.header.map_or(CopyHeader::Absent, |(header, _)| header),
            quote,
            escape,
            force_quote: self.force_quote.map_or_else(none, |(columns, _)| columns),
            force_not_null: self.force_not_null.map_or_else(none, |(columns, _)| columns),
            force_null: self.force_null.map_or_else(none, |(columns, _)| columns),
        })
    }
}

fn at<T>(option: &Option<(T, usize)>) -> Option<usize> {
    option.as_ref().map(|(_, position)| *position)
}

fn set<T>(option: &mut Option<(T, usize)>, value: T, position: usize) -> Result<()> {
    if option.is_some() {
        return Err(syntax("conflicting or redundant options", position));
    }
    *option = Some((value, position));
    Ok(())
}

fn one_byte(option: Option<(String, usize)>, name: &str, default: u8) -> Result<u8> {
    match option {
        None => Ok(default),
        Some((value, position)) => match value.as_bytes() {
            [byte] => Ok(*byte),
            _ => Err(unsupported(format!("COPY {name} must be a single one-byte character"), position)),
        },
    }
}

fn value_follows(cursor: &Cursor<'_>) -> bool {
    !matches!(cursor.peek().token, Token::Comma | Token::RParen | Token::EOF)
}

/// A string, or a word or number that stands for one.
fn text(cursor: &mut Cursor<'_>) -> Result<String> {
    match cursor.peek().token.clone() {
        Token::Word(word) => {
            cursor.next();
            Ok(word.value)
        }
        Token::Number(number, _) => {
            cursor.next();
            Ok(number)
        }
        _ => cursor.string(),
    }
}

/// `*` or `a, b`
fn columns(cursor: &mut Cursor<'_>) -> Result<ForceColumns> {
    if cursor.eat_token(&Token::Mul) { Ok(ForceColumns::All) } else { Ok(ForceColumns::Columns(cursor.list(Cursor::ident)?)) }
}

/// `*` or `(a, b)`
fn columns_in_parentheses(cursor: &mut Cursor<'_>, name: &str) -> Result<ForceColumns> {
    if cursor.eat_token(&Token::Mul) {
        return Ok(ForceColumns::All);
    }
    if cursor.peek().token != Token::LParen {
        return Err(invalid(format!("argument to option \"{name}\" must be a list of column names"), cursor.position()));
    }
    Ok(ForceColumns::Columns(cursor.optional_idents()?))
}

fn no_freeze(cursor: &Cursor<'_>, position: usize) -> Error {
    cursor.unsupported(position, "COPY FREEZE is not supported yet").with_hint("Leave it out: it would not be faster here.")
}

fn syntax(message: impl Into<String>, position: usize) -> Error {
    Error::new(SqlState::SYNTAX_ERROR, message).with_position(position)
}

fn invalid(message: impl Into<String>, position: usize) -> Error {
    Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_position(position)
}

fn unsupported(message: impl Into<String>, position: usize) -> Error {
    Error::unsupported(message).with_position(position)
}
