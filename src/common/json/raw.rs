//! JSON values as the pieces of text that they are: nothing is copied, and numbers keep all of their digits.

use std::borrow::Cow;

use crate::error::Result;
use crate::json::string;

/// One value in a text that [`check`](super::check) has let through.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a>(&'a str);

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{..}`
    Object,
    /// `[..]`
    Array,
    /// `".."`
    String,
    /// digits, as they were written
    Number,
    /// `true` or `false`
    Boolean,
    /// `null`
    Null,
}

impl Kind {
    /// As `json_typeof` says it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Object => "object",
            Kind::Array => "array",
            Kind::String => "string",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::Null => "null",
        }
    }

    /// Whether it has no values inside.
    pub fn is_scalar(self) -> bool {
        !matches!(self, Kind::Object | Kind::Array)
    }
}

impl<'a> Raw<'a> {
    /// The value that a checked text is.
    pub fn of(checked: &'a str) -> Raw<'a> {
        Raw(checked.trim_matches(is_blank))
    }

    /// The value that a text begins with, and the rest of the text.
    pub(super) fn first(text: &'a str) -> (Raw<'a>, &'a str) {
        let (value, rest) = text.split_at(length(text.as_bytes()));
        (Raw(value), rest)
    }

    /// The text, without blanks around it.
    pub fn source(self) -> &'a str {
        self.0
    }

    /// What it is.
    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// As `->>` shows it: a string without quotes and escapes, `None` for `null`, anything else as it is written.
    pub fn text(self) -> Result<Option<Cow<'a, str>>> {
        match self.kind() {
            Kind::Null => Ok(None),
            Kind::String => string::unescape(self.0).map(Some),
            _ => Ok(Some(Cow::Borrowed(self.0))),
        }
    }

    /// The values of an array; none for anything else.
    pub fn elements(self) -> impl Iterator<Item = Raw<'a>> {
        Pieces::inside(self, Kind::Array)
    }

    /// Names, in quotes and with their escapes, and values of an object; none for anything else.
    pub fn members(self) -> impl Iterator<Item = (&'a str, Raw<'a>)> {
        let mut pieces = Pieces::inside(self, Kind::Object);
        std::iter::from_fn(move || Some((pieces.next()?.0, pieces.next()?)))
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// The values between the brackets; names of members count as values. A checked text needs no second check.
struct Pieces<'a>(&'a str);

impl<'a> Pieces<'a> {
    fn inside(value: Raw<'a>, kind: Kind) -> Self {
        Pieces(if value.kind() == kind { &value.0[1..value.0.len() - 1] } else { "" })
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Raw<'a>> {
        let rest = self.0.trim_start_matches(|c| is_blank(c) || matches!(c, ',' | ':'));
        let end = length(rest.as_bytes());
        let (piece, rest) = rest.split_at(end);
        self.0 = rest;
        (end > 0).then_some(Raw(piece))
    }
}

/// The bytes of the first value.
fn length(text: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at += string_length(&text[at..]),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
                continue;
            }
            // Of what the value is in.
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            _ if depth > 0 => {
                at += 1;
                continue;
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => return at,
            _ => {
                at += 1;
                continue;
            }
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn string_length(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::{Kind, Raw};

    #[test]
    fn pieces_are_as_they_were_written() {
        let value = Raw::of(" [1.50 ,\"a\\\"]\",{ \"b\" : [ ] } , [[2], 3],true,null ] ");
        let elements: Vec<&str> = value.elements().map(Raw::source).collect();
        assert_eq!(elements, ["1.50", "\"a\\\"]\"", "{ \"b\" : [ ] }", "[[2], 3]", "true", "null"]);
        let members: Vec<(&str, &str)> =
            Raw::of("{\"a\":1 , \"b\\\\\" :{\"c\":\"}\"}}").members().map(|(name, value)| (name, value.source())).collect();
        assert_eq!(members, [("\"a\"", "1"), ("\"b\\\\\"", "{\"c\":\"}\"}")]);
        assert_eq!((Raw::of("{ }").members().count(), Raw::of("[\n]").elements().count()), (0, 0));
        assert_eq!((Raw::of("[1]").members().count(), Raw::of("1").elements().count()), (0, 0));
        assert_eq!(Raw::of("-1e5").kind(), Kind::Number);
    }

    #[test]
    fn text_is_without_quotes() {
        let text = |json| Raw::of(json).text().unwrap().map(|text| text.into_owned());
        assert_eq!(text(r#""a\n\u00e4\ud83d\ude00\/""#).as_deref(), Some("a\nä😀/"));
        assert_eq!(text(" [1,  2]").as_deref(), Some("[1,  2]"));
        assert_eq!(text("null"), None);
    }
}
