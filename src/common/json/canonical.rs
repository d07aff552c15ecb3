//! The one form that each jsonb value has: names sorted and only once, one blank behind `,` and `:`, plain numbers.

use crate::error::Result;
use crate::json::{Kind, Raw, check, number, string};

/// A text as Postgres shows it when it is jsonb; refuses what is not JSON.
pub fn canonical(text: &str) -> Result<String> {
    check(text)?;
    let tree = Tree::read(text)?;
    let mut out = String::with_capacity(text.len());
    tree.write(&mut out);
    Ok(out)
}

/// Values by their places in a list: depth costs no stack.
struct Tree {
    values: Vec<Value>,
    root: usize,
}

enum Value {
    /// In its final form.
    Scalar(String),
    Array(Vec<usize>),
    Object(Vec<(String, usize)>),
}

/// An object or array whose end has not come yet.
enum Open {
    Array(Vec<usize>),
    Object { members: Vec<(String, usize)>, name: Option<String> },
}

impl Tree {
    /// Reads a checked text, which needs no second look at its commas.
    fn read(text: &str) -> Result<Tree> {
        let mut values = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        let mut rest = text;
        loop {
            rest = rest.trim_start_matches([' ', '\t', '\n', '\r', ',', ':']);
            let Some(first) = rest.as_bytes().first() else { break };
            let value = match first {
                b'{' | b'[' => {
                    rest = &rest[1..];
                    open.push(if *first == b'[' { Open::Array(Vec::new()) } else { Open::Object { members: Vec::new(), name: None } });
                    continue;
                }
                b'}' | b']' => {
                    rest = &rest[1..];
                    match open.pop() {
                        Some(Open::Array(elements)) => Value::Array(elements),
                        Some(Open::Object { members, .. }) => Value::Object(sorted(members)),
                        None => break,
                    }
                }
                _ => {
                    let scalar;
                    (scalar, rest) = Raw::first(rest);
                    if let (Some(Open::Object { name: name @ None, .. }), Kind::String) = (open.last_mut(), scalar.kind()) {
                        *name = Some(string::unescape(scalar.source())?.into_owned());
                        continue;
                    }
                    Value::Scalar(written(scalar)?)
                }
            };
            values.push(value);
            let place = values.len() - 1;
            match open.last_mut() {
                Some(Open::Array(elements)) => elements.push(place),
                Some(Open::Object { members, name }) => members.push((name.take().unwrap_or_default(), place)),
                None => {}
            }
        }
        // What ends last is what everything else is in.
        let root = values.len().saturating_sub(1);
        Ok(Tree { values, root })
    }

    fn write(&self, out: &mut String) {
        // The containers that are being written, with how many of their values have been.
        let mut inside: Vec<(usize, usize)> = Vec::new();
        let mut next = Some(self.root);
        loop {
            if let Some(place) = next.take() {
                match &self.values[place] {
                    Value::Scalar(text) => out.push_str(text),
                    Value::Array(_) => {
                        out.push('[');
                        inside.push((place, 0));
                    }
                    Value::Object(_) => {
                        out.push('{');
                        inside.push((place, 0));
                    }
                }
            }
            let Some((place, written)) = inside.last_mut() else { return };
            let comma = if *written > 0 { ", " } else { "" };
            next = match &self.values[*place] {
                Value::Array(elements) => elements.get(*written).map(|element| {
                    out.push_str(comma);
                    *element
                }),
                Value::Object(members) => members.get(*written).map(|(name, value)| {
                    out.push_str(comma);
                    string::quote(name, out);
                    out.push_str(": ");
                    *value
                }),
                Value::Scalar(_) => None,
            };
            *written += 1;
            if next.is_none() {
                out.push(if matches!(self.values[*place], Value::Array(_)) { ']' } else { '}' });
                inside.pop();
            }
        }
    }
}

/// Short names first, then by their bytes; of equal names the last value counts.
fn sorted(mut members: Vec<(String, usize)>) -> Vec<(String, usize)> {
    members.sort_by(|(a, a_place), (b, b_place)| (a.len(), a, b_place).cmp(&(b.len(), b, a_place)));
    members.dedup_by(|(later, _), (kept, _)| later == kept);
    members
}

fn written(scalar: Raw<'_>) -> Result<String> {
    match scalar.kind() {
        Kind::String => {
            let mut text = String::new();
            string::quote(&string::unescape(scalar.source())?, &mut text);
            Ok(text)
        }
        Kind::Number => number::canonical(scalar.source()),
        _ => Ok(scalar.source().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn one_form_for_each_value() {
        for (text, expected) in [
            (r#" {"bb":1, "a" : 2,"c":[ 1e1,{ } ,[ ]],"a":4}"#, r#"{"a": 4, "c": [10, {}, []], "bb": 1}"#),
            (r#""\u00e4\ud83d\ude00\u0001\/""#, "\"ä😀\\u0001/\""),
            (r#"{"a\u0062":"x:,y"}"#, r#"{"ab": "x:,y"}"#),
            (r#"[["a", "b"], {"x": {"y": "z"}}]"#, r#"[["a", "b"], {"x": {"y": "z"}}]"#),
            (" null ", "null"),
            ("-0", "0"),
        ] {
            assert_eq!(canonical(text).unwrap(), expected, "{text}");
            assert_eq!(canonical(expected).unwrap(), expected);
        }
        for text in [r#""\u0000""#, r#""\ud83d""#, r#""\ude00""#, r#""\ud83d\ud83d""#, "[1", "1e140000", r#"{"\u0000":1}"#] {
            assert!(canonical(text).is_err(), "{text}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        let result = std::thread::Builder::new().stack_size(128 * 1024).spawn(move || canonical(&deep).map(|text| text.len()));
        assert_eq!(result.unwrap().join().unwrap().unwrap(), 10_001);
    }
}
