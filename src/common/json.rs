//! Whether a text is JSON, by RFC 8259: a `json` or `jsonb` that is not is refused where it comes in.

mod canonical; // the form of jsonb
mod concat; // ||
mod contain; // @> and ?
mod number; // numbers of jsonb
mod raw; // values inside of a text
mod string; // strings and their escapes

pub use canonical::canonical;
pub use concat::concat;
pub use contain::{contains, has};
pub use raw::{Kind, Raw};

use crate::error::{Error, Result, SqlState};
use crate::limits::JSON_DEPTH_MAX;

/// Refuses what is not one JSON value.
pub fn check(text: &str) -> Result<()> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.value().map_err(|flaw| {
        let error = Error::new(SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type json");
        match flaw {
            Flaw::End => error.with_detail("The input string ended unexpectedly."),
            Flaw::Token(start) => error.with_detail(format!("Token \"{}\" is invalid.", token(text, start))),
            Flaw::Expected(what, start) => match token(text, start) {
                "" => error.with_detail("The input string ended unexpectedly."),
                token => error.with_detail(format!("Expected {what}, but found \"{token}\".")),
            },
            Flaw::Depth => Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, format!("JSON is nested more than {JSON_DEPTH_MAX} levels deep")),
        }
    })
}

/// The word or sign at a place, to show it.
fn token(text: &str, start: usize) -> &str {
    let rest = &text[start..];
    let word = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+'))).unwrap_or(rest.len());
    let first = rest.chars().next().map_or(0, char::len_utf8);
    &rest[..word.max(first)]
}

enum Flaw {
    End,
    Token(usize),
    Expected(&'static str, usize),
    Depth,
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl Scanner<'_> {
    /// One value and nothing after it. The open brackets are kept in a list, not on the stack: depth costs a byte.
    fn value(&mut self) -> Result<(), Flaw> {
        let mut open: Vec<u8> = Vec::new();
        'value: loop {
            self.blanks();
            match self.peek()? {
                bracket @ (b'{' | b'[') => {
                    if open.len() == JSON_DEPTH_MAX {
                        return Err(Flaw::Depth);
                    }
                    self.at += 1;
                    self.blanks();
                    if self.peek()? != bracket + 2 {
                        open.push(bracket);
                        if bracket == b'{' {
                            self.key()?;
                        }
                        continue 'value;
                    }
                    self.at += 1;
                }
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' => self.number()?,
                _ => self.word()?,
            }
            // A value ended: so may what it is in.
            loop {
                self.blanks();
                let Some(bracket) = open.last().copied() else {
                    return if self.at == self.text.len() { Ok(()) } else { Err(Flaw::Expected("end of input", self.at)) };
                };
                match self.peek()? {
                    b',' => {
                        self.at += 1;
                        if bracket == b'{' {
                            self.key()?;
                        }
                        continue 'value;
                    }
                    // In ASCII a closing bracket comes two after its opening one.
                    close if close == bracket + 2 => {
                        self.at += 1;
                        open.pop();
                    }
                    _ => return Err(Flaw::Expected(if bracket == b'{' { "\",\" or \"}\"" } else { "\",\" or \"]\"" }, self.at)),
                }
            }
        }
    }

    fn peek(&self) -> Result<u8, Flaw> {
        self.text.as_bytes().get(self.at).copied().ok_or(Flaw::End)
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Ok(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn key(&mut self) -> Result<(), Flaw> {
        self.blanks();
        if self.peek()? != b'"' {
            return Err(Flaw::Token(self.at));
        }
        self.string()?;
        self.blanks();
        if self.peek()? != b':' {
            return Err(Flaw::Expected("\":\"", self.at));
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<(), Flaw> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => {
                    self.at += 1;
                    match self.peek()? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                        b'u' => {
                            let digits = self.text.as_bytes().get(self.at + 1..self.at + 5).ok_or(Flaw::End)?;
                            if !digits.iter().all(u8::is_ascii_hexdigit) {
                                return Err(Flaw::Token(start));
                            }
                            self.at += 5;
                        }
                        _ => return Err(Flaw::Token(start)),
                    }
                }
                0..0x20 => return Err(Flaw::Token(start)),
                _ => self.at += 1,
            }
        }
    }

    fn number(&mut self) -> Result<(), Flaw> {
        let start = self.at;
        if self.peek()? == b'-' {
            self.at += 1;
        }
        let whole = self.digits();
        let leading_zero = whole > 1 && self.text.as_bytes()[self.at - whole] == b'0';
        if whole == 0 || leading_zero {
            return Err(Flaw::Token(start));
        }
        if matches!(self.peek(), Ok(b'.')) {
            self.at += 1;
            if self.digits() == 0 {
                return Err(Flaw::Token(start));
            }
        }
        if matches!(self.peek(), Ok(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Ok(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(Flaw::Token(start));
            }
        }
        match self.peek() {
            Ok(b) if b.is_ascii_alphanumeric() || b == b'_' => Err(Flaw::Token(start)),
            _ => Ok(()),
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while matches!(self.peek(), Ok(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at - start
    }

    fn word(&mut self) -> Result<(), Flaw> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        match &rest[..end] {
            "true" | "false" | "null" => {}
            "" if rest.starts_with([']', '}', ',', ':']) => return Err(Flaw::Expected("JSON value", self.at)),
            _ => return Err(Flaw::Token(self.at)),
        }
        self.at += end;
        Ok(())
    }
}
