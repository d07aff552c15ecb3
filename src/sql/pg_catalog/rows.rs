//! Values to record batches: the rows of a system relation, written by column name.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array, Int64Builder, ListArray,
    ListBuilder, StringArray, StringBuilder, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type};
use arrow::error::ArrowError;
use weir_common::types::PgType;

use super::relations::SystemRelation;

/// One value of a system relation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Ints(Vec<i64>),
    Texts(Vec<String>),
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Value::Int(value as i64)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Value::Int(value as i64)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Text(value.to_string())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::Text(value)
    }
}

impl From<Vec<i64>> for Value {
    fn from(value: Vec<i64>) -> Self {
        Value::Ints(value)
    }
}

impl From<Vec<String>> for Value {
    fn from(value: Vec<String>) -> Self {
        Value::Texts(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// The rows of a system relation: a header of column names, and for each row the values under it.
///
/// A column that the header leaves out is NULL, or zero of its type where Postgres never has NULL.
pub(super) struct Rows {
    header: &'static [&'static str],
    values: Vec<Vec<Value>>,
}

impl Rows {
    /// No rows yet.
    pub fn new(header: &'static [&'static str]) -> Self {
        Rows { header, values: Vec::new() }
    }

    /// One row more.
    pub fn push<const N: usize>(&mut self, row: [Value; N]) {
        debug_assert_eq!(N, self.header.len(), "a row has a value for each name of {:?}", self.header);
        self.values.push(row.into());
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Drops the rows whose number under this name is another; without that name in the header all stay.
    pub fn keep(&mut self, name: &str, value: i64) {
        if let Some(at) = self.header.iter().position(|column| *column == name) {
            self.values.retain(|row| row[at] == Value::Int(value));
        }
    }

    /// The array of one field of the relation.
    pub fn column(&self, relation: &SystemRelation, field: &Field) -> ArrayRef {
        debug_assert!(
            self.header.iter().all(|name| field.name() != name || relation.fields.field_with_name(name).is_ok()),
            "the header names columns of {}",
            relation.name
        );
        let default = match field.name().as_str() {
            "tableoid" => Value::Int(relation.oid),
            "xmin" => Value::Int(1),
            name => match relation.columns.iter().find(|column| column.name == name) {
                Some(column) if column.not_null => zero(&column.ty),
                _ => Value::Null,
            },
        };
        match self.header.iter().position(|name| name == field.name()) {
            Some(at) => array(field.data_type(), self.values.iter().map(|row| &row[at])),
            None => array(field.data_type(), std::iter::repeat_n(&default, self.len())),
        }
    }

    /// Names in the header that the relation has no column for: a mistake in this crate, found by a test.
    #[cfg(test)]
    pub fn strangers(&self, relation: &SystemRelation) -> Vec<&'static str> {
        self.header
            .iter()
            .filter(|name| !super::relations::HIDDEN.contains(name) && !relation.columns.iter().any(|column| column.name == **name))
            .copied()
            .collect()
    }
}

/// The values of an array, by row.
pub(super) fn values(array: &ArrayRef) -> Result<Vec<Value>, ArrowError> {
    fn each<A: Array>(array: &A, get: impl Fn(usize) -> Value) -> Vec<Value> {
        (0..array.len()).map(|row| if array.is_null(row) { Value::Null } else { get(row) }).collect()
    }
    Ok(match array.data_type() {
        DataType::Null => vec![Value::Null; array.len()],
        DataType::Boolean => {
            let array = array.as_boolean();
            each(array, |row| Value::Bool(array.value(row)))
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            let array = cast(array, &DataType::Float64)?;
            let array = array.as_primitive::<Float64Type>();
            each(array, |row| Value::Float(array.value(row)))
        }
        data_type if data_type.is_integer() || matches!(data_type, DataType::Timestamp(..)) => {
            let array = cast(array, &DataType::Int64)?;
            let array = array.as_primitive::<Int64Type>();
            each(array, |row| Value::Int(array.value(row)))
        }
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => {
            let element = Arc::new(Field::new("item", DataType::Utf8, true));
            let of_ints = matches!(array.data_type(), DataType::List(item) | DataType::LargeList(item) if item.data_type().is_integer());
            let array = cast(array, &DataType::List(element))?;
            let array = array.as_list::<i32>();
            each(array, |row| {
                let items = array.value(row);
                let items = items.as_string::<i32>().iter().flatten();
                if of_ints {
                    Value::Ints(items.filter_map(|item| item.parse().ok()).collect())
                } else {
                    Value::Texts(items.map(str::to_string).collect())
                }
            })
        }
        _ => {
            let array = cast(array, &DataType::Utf8)?;
            let array = array.as_string::<i32>();
            each(array, |row| Value::Text(array.value(row).to_string()))
        }
    })
}

fn zero(ty: &PgType) -> Value {
    match ty {
        PgType::Bool => Value::Bool(false),
        PgType::Float4 | PgType::Float8 => Value::Float(0.0),
        PgType::Text | PgType::Name | PgType::Char | PgType::Varchar(_) => Value::Text(String::new()),
        PgType::Int2Vector | PgType::OidVector => Value::Ints(Vec::new()),
        PgType::Array(_) => Value::Texts(Vec::new()),
        _ => Value::Int(0),
    }
}

/// The array of this type that holds the values.
pub(super) fn array<'a>(data_type: &DataType, values: impl ExactSizeIterator<Item = &'a Value>) -> ArrayRef {
    let int = |value: &Value| match value {
        Value::Int(value) => Some(*value),
        Value::Bool(value) => Some(*value as i64),
        _ => None,
    };
    let float = |value: &Value| match value {
        Value::Float(value) => Some(*value),
        Value::Int(value) => Some(*value as f64),
        _ => None,
    };
    match data_type {
        DataType::Boolean => Arc::new(
            values
                .map(|value| match value {
                    Value::Bool(value) => Some(*value),
                    _ => None,
                })
                .collect::<BooleanArray>(),
        ),
        DataType::Int16 => Arc::new(values.map(|value| int(value).map(|value| value as i16)).collect::<Int16Array>()),
        DataType::Int32 => Arc::new(values.map(|value| int(value).map(|value| value as i32)).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(values.map(int).collect::<Int64Array>()),
        DataType::Float32 => Arc::new(values.map(|value| float(value).map(|value| value as f32)).collect::<Float32Array>()),
        DataType::Float64 => Arc::new(values.map(float).collect::<Float64Array>()),
        DataType::Utf8 => Arc::new(
            values
                .map(|value| match value {
                    Value::Text(text) => Some(text.as_str()),
                    _ => None,
                })
                .collect::<StringArray>(),
        ),
        DataType::Timestamp(_, zone) => Arc::new(values.map(int).collect::<TimestampMicrosecondArray>().with_timezone_opt(zone.clone())),
        DataType::List(element) => list(element.data_type(), values),
        other => {
            debug_assert!(values.len() == 0 || matches!(other, DataType::Null) || is_always_null(other), "no values of type {other}");
            new_null_array(other, values.len())
        }
    }
}

/// Types that system relations have columns of but never values.
fn is_always_null(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(..) | DataType::Binary | DataType::Interval(_))
}

fn list<'a>(element: &DataType, values: impl Iterator<Item = &'a Value>) -> ArrayRef {
    let mut ints = ListBuilder::new(Int64Builder::new());
    let mut texts = ListBuilder::new(StringBuilder::new());
    let is_text = matches!(element, DataType::Utf8);
    for value in values {
        match value {
            Value::Texts(items) if is_text => texts.append_value(items.iter().map(Some)),
            Value::Ints(items) if !is_text => ints.append_value(items.iter().copied().map(Some)),
            Value::Texts(items) if items.is_empty() => ints.append(true),
            _ if is_text => texts.append(false),
            _ => ints.append(false),
        }
    }
    let built: ListArray = if is_text { texts.finish() } else { ints.finish() };
    let wanted = DataType::List(Arc::new(Field::new("item", element.clone(), true)));
    cast(&built, &wanted).unwrap_or_else(|_| new_null_array(&wanted, built.len()))
}
