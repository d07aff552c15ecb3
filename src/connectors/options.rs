//! The options of a WITH clause, or of an ENCODE: each is known and has a value that makes sense, or the statement fails.

use std::collections::BTreeMap;
use std::str::FromStr;

use weir_common::error::{Error, Result, SqlState, nearest};

use crate::csv::dialect::Dialect;

/// The option that names the connector.
const CONNECTOR: &str = "connector";

/// The options that a statement gives to one connector, or to one encoding.
///
/// # Invariants
/// - every option is one that it knows.
pub struct Options<'a> {
    whose: String,
    given: &'a BTreeMap<String, String>,
}

impl<'a> Options<'a> {
    /// The connector that is asked for.
    pub fn connector(given: &'a BTreeMap<String, String>) -> Result<&'a str> {
        given.get(CONNECTOR).map(String::as_str).ok_or_else(|| {
            Error::new(SqlState::INVALID_PARAMETER_VALUE, "option \"connector\" is required")
                .with_hint("Write for example WITH (connector = 'file', path = 'rows.jsonl').")
        })
    }

    /// The options given to `connector`, which knows those of `known`.
    pub fn new(connector: &'static str, known: &[&'static str], given: &'a BTreeMap<String, String>) -> Result<Self> {
        let options = Options { whose: format!("connector \"{connector}\""), given };
        options.check(known, "WITH")?;
        Ok(options)
    }

    /// The options given to an encoding, which knows those of `known`.
    pub fn of_encoding(encode: &str, known: &[&'static str], given: &'a BTreeMap<String, String>) -> Result<Self> {
        let options = Options { whose: format!("ENCODE {}", encode.to_uppercase()), given };
        options.check(known, "ENCODE")?;
        Ok(options)
    }

    fn check(&self, known: &[&'static str], clause: &str) -> Result<()> {
        for name in self.given.keys().filter(|name| clause != "WITH" || *name != CONNECTOR) {
            if !known.contains(&name.as_str()) {
                let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("unknown option \"{name}\" for {}", self.whose));
                if clause == "WITH" && Dialect::OPTIONS.contains(&name.as_str()) {
                    return Err(error.with_hint(format!("An option of the encoding stands behind it: ENCODE CSV ({name} = '..').")));
                }
                return Err(match nearest(name, known.iter().copied()) {
                    Some(near) => error.with_hint(format!("Perhaps you meant the option \"{near}\".")),
                    None if known.is_empty() => error.with_hint(format!("{} has no options.", self.whose)),
                    None => error.with_hint(format!("Options of {}: {}.", self.whose, known.join(", "))),
                });
            }
        }
        Ok(())
    }

    /// The value of an option, if it is given.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.given.get(name).map(String::as_str)
    }

    /// The value of an option that must be there and must not be empty.
    pub fn required(&self, name: &str) -> Result<&'a str> {
        match self.value(name) {
            Some("") => Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("option \"{name}\" must not be empty"))),
            Some(value) => Ok(value),
            None => {
                let message = format!("option \"{name}\" is required for {}", self.whose);
                Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint(format!("Add {name} = '..' to the WITH clause.")))
            }
        }
    }

    /// The value of an option that is `what`, such as "a whole number", where it is given.
    pub fn parsed<T: FromStr>(&self, name: &str, what: &str) -> Result<Option<T>> {
        let Some(value) = self.given.get(name) else { return Ok(None) };
        value.trim().parse().map(Some).map_err(|_| {
            let message = format!("invalid value for option \"{name}\": \"{value}\" is not {what}");
            Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
        })
    }

    /// The value of a boolean option, or `default` where it is not given.
    pub fn boolean(&self, name: &str, default: bool) -> Result<bool> {
        let Some(value) = self.given.get(name) else { return Ok(default) };
        match value.to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Ok(true),
            "false" | "off" | "no" | "0" => Ok(false),
            _ => {
                let message = format!("invalid value for boolean option \"{name}\": \"{value}\"");
                Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint("Use 'true' or 'false'."))
            }
        }
    }
}
