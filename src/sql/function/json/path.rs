//! From a document to a value inside of it: by name, by place, or by a path of both. What is not there is NULL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Int64Type};
use weir_common::error::Result;
use weir_common::json::{Kind, Raw};

use super::{at, cast, texts};

/// `->`, and `->>` as text: keys are names, or places from 0, or from the end where they are negative.
pub(super) fn get(documents: &StringArray, keys: &ArrayRef, as_text: bool, is_jsonb: bool) -> Result<ArrayRef> {
    if !keys.data_type().is_integer() {
        let names = texts(keys)?;
        return collect(documents, as_text, |row, document| match names.is_valid(row) {
            true => member(document, names.value(row)),
            false => Ok(None),
        });
    }
    let places = cast(keys, &DataType::Int64)?;
    let places = places.as_primitive::<Int64Type>();
    collect(documents, as_text, |row, document| {
        Ok(match places.is_valid(row) {
            // In jsonb a scalar is kept as an array of one.
            true if is_jsonb && document.kind().is_scalar() => matches!(places.value(row), 0 | -1).then_some(document),
            true => element(document, places.value(row)),
            false => None,
        })
    })
}

/// `#>` and the like; `steps` gives the path of a row, of names and places as text.
pub(super) fn walk(documents: &StringArray, as_text: bool, steps: impl Fn(usize) -> Option<ArrayRef>) -> Result<ArrayRef> {
    collect(documents, as_text, |row, document| {
        let Some(steps) = steps(row) else { return Ok(None) };
        let mut found = document;
        for step in steps.as_string::<i32>().iter() {
            let inner = match (step, found.kind()) {
                (Some(name), Kind::Object) => member(found, name)?,
                (Some(place), Kind::Array) => place_of(place).and_then(|place| element(found, place)),
                _ => None,
            };
            match inner {
                Some(inner) => found = inner,
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    })
}

fn collect<'a>(documents: &'a StringArray, as_text: bool, find: impl Fn(usize, Raw<'a>) -> Result<Option<Raw<'a>>>) -> Result<ArrayRef> {
    let mut found = StringBuilder::new();
    for row in 0..documents.len() {
        let value = match at(documents, row) {
            Some(document) => find(row, document)?,
            None => None,
        };
        match value {
            Some(value) if as_text => found.append_option(value.text()?),
            value => found.append_option(value.map(Raw::source)),
        }
    }
    Ok(Arc::new(found.finish()))
}

/// Of equal names, which json may have, the last counts.
fn member<'a>(document: Raw<'a>, wanted: &str) -> Result<Option<Raw<'a>>> {
    let mut found = None;
    for (name, value) in document.members() {
        if Raw::of(name).text()?.as_deref() == Some(wanted) {
            found = Some(value);
        }
    }
    Ok(found)
}

fn element(document: Raw<'_>, place: i64) -> Option<Raw<'_>> {
    let place = if place < 0 { place + document.elements().count() as i64 } else { place };
    document.elements().nth(usize::try_from(place).ok()?)
}

/// A place in a path, as C reads a number: blanks before it, and perhaps a sign.
fn place_of(text: &str) -> Option<i64> {
    text.trim_ascii_start().parse::<i32>().ok().map(i64::from)
}
