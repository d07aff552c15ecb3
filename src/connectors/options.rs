//! The options of a WITH clause: each is known and has a value that makes sense, or the statement fails.

use std::collections::BTreeMap;
use std::str::FromStr;

use weir_common::error::{Error, Result, SqlState, nearest};

/// The option that names the connector.
const CONNECTOR: &str = "connector";

/// The options that a statement gives to one connector.
///
/// # Invariants
/// - every option is one the connector knows.
pub struct Options<'a> {
    connector: &'static str,
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
        for name in given.keys().filter(|name| *name != CONNECTOR) {
            if !known.contains(&name.as_str()) {
                let hint = match nearest(name, known.iter().copied()) {
                    Some(near) => format!("Perhaps you meant the option \"{near}\"."),
                    None => format!("Options of connector \"{connector}\": {}.", known.join(", ")),
                };
                let message = format!("unknown option \"{name}\" for connector \"{connector}\"");
                return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint(hint));
            }
        }
        Ok(Options { connector, given })
    }

    /// The value of an option that must be there and must not be empty.
    pub fn required(&self, name: &str) -> Result<&'a str> {
        match self.given.get(name).map(String::as_str) {
            Some("") => Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("option \"{name}\" must not be empty"))),
            Some(value) => Ok(value),
            None => {
                let message = format!("option \"{name}\" is required for connector \"{}\"", self.connector);
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
