//! A column as bytes: what drivers ask for that know the types.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Decimal256Type, Field, Float32Type, Float64Type, Int64Type};
use bytes::{BufMut, BytesMut};
use weir_common::bytea;
use weir_common::error::{Error, Result, SqlState};
use weir_common::types::{PG_TYPE_KEY, PgType};

use crate::value::numeric::Digits;
use crate::value::rows::{Column, Put};
use crate::value::text::{Ranges, offsets};
use crate::value::times::{Times, intervals};
use weir_common::calendar::{DATE_INFINITY, DATE_MINUS_INFINITY, INFINITY, MINUS_INFINITY, POSTGRES_EPOCH_DAYS, POSTGRES_EPOCH_MICROS};

/// The encoder of a column; `ty` is its type, which `field` says too unless it is an element of a vector.
pub fn column(field: &Field, ty: &PgType, array: &ArrayRef) -> Result<Column> {
    Ok(Column::new(array, put(field, ty, array)?))
}

fn put(field: &Field, ty: &PgType, array: &ArrayRef) -> Result<Put> {
    Ok(match ty {
        PgType::Bool => {
            let array = carried(ty, array, &DataType::Boolean)?.as_boolean().clone();
            Box::new(move |row, out| {
                out.put_u8(array.value(row).into());
                Ok(())
            })
        }
        PgType::Int2 => ints(ty, array, |value, out| i16::try_from(value).map(|value| out.put_i16(value)).is_ok())?,
        PgType::Int4 => ints(ty, array, |value, out| i32::try_from(value).map(|value| out.put_i32(value)).is_ok())?,
        PgType::Oid => ints(ty, array, |value, out| u32::try_from(value).map(|value| out.put_u32(value)).is_ok())?,
        PgType::Int8 => ints(ty, array, |value, out| {
            out.put_i64(value);
            true
        })?,
        PgType::Float4 => {
            let array = carried(ty, array, &DataType::Float32)?.as_primitive::<Float32Type>().clone();
            Box::new(move |row, out| {
                out.put_f32(array.value(row));
                Ok(())
            })
        }
        PgType::Float8 => {
            let array = carried(ty, array, &DataType::Float64)?.as_primitive::<Float64Type>().clone();
            Box::new(move |row, out| {
                out.put_f64(array.value(row));
                Ok(())
            })
        }
        PgType::Numeric(_) => numerics(field, ty, array)?,
        PgType::Text | PgType::Varchar(_) | PgType::Bpchar(_) | PgType::Name | PgType::Json | PgType::Char => bytes(array, b"")?,
        PgType::Jsonb => bytes(array, &[1])?,
        PgType::Bytea => bytes(array, b"")?,
        PgType::Uuid => uuids(ty, array)?,
        PgType::Date => {
            let array = carried(ty, array, &DataType::Date32)?.as_primitive::<Date32Type>().clone();
            Box::new(move |row, out| {
                let days = array.value(row);
                let infinite = matches!(days, DATE_INFINITY | DATE_MINUS_INFINITY);
                let shifted = if infinite { Some(days) } else { days.checked_sub(POSTGRES_EPOCH_DAYS) };
                out.put_i32(shifted.ok_or_else(|| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range"))?);
                Ok(())
            })
        }
        PgType::Time => {
            let times = Times::of(array)?;
            Box::new(move |row, out| {
                out.put_i64(times.micros(row)?);
                Ok(())
            })
        }
        PgType::Timestamp | PgType::Timestamptz => {
            let times = Times::of(array)?;
            Box::new(move |row, out| {
                let micros = times.micros(row)?;
                let infinite = matches!(micros, INFINITY | MINUS_INFINITY);
                let shifted = if infinite { Some(micros) } else { micros.checked_sub(POSTGRES_EPOCH_MICROS) };
                out.put_i64(shifted.ok_or_else(|| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range"))?);
                Ok(())
            })
        }
        PgType::Interval => {
            let interval = intervals(array)?;
            Box::new(move |row, out| {
                let value = interval(row)?;
                out.put_i64(value.micros);
                out.put_i32(value.days);
                out.put_i32(value.months);
                Ok(())
            })
        }
        PgType::Int2Vector => lists(&PgType::Int2, array, 0)?,
        PgType::OidVector => lists(&PgType::Oid, array, 0)?,
        PgType::Array(element) => lists(element, array, 1)?,
        PgType::Record => records(ty, array)?,
        PgType::Void => Box::new(|_, _| Ok(())),
        PgType::Regclass | PgType::Regtype | PgType::Regproc => return Err(no_binary_output(ty)),
    })
}

/// The array as the Arrow type that the encoder reads: as it is, or cast.
fn carried(ty: &PgType, array: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if array.data_type() == data_type {
        return Ok(array.clone());
    }
    cast(array, data_type).map_err(|_| no_binary_output(ty))
}

fn no_binary_output(ty: &PgType) -> Error {
    Error::new(SqlState::UNDEFINED_FUNCTION, format!("no binary output function available for type {}", ty.spelling()))
        .with_hint("Ask for the column in text format, or cast it to text.")
}

fn ints(ty: &PgType, array: &ArrayRef, put: impl Fn(i64, &mut BytesMut) -> bool + Send + Sync + 'static) -> Result<Put> {
    let array = carried(ty, array, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
    let name = ty.spelling();
    Ok(Box::new(move |row, out| {
        if put(array.value(row), out) {
            return Ok(());
        }
        Err(Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range")))
    }))
}

fn numerics(field: &Field, ty: &PgType, array: &ArrayRef) -> Result<Put> {
    let trim = field.metadata().get(PG_TYPE_KEY).is_some_and(|ty| ty == "numeric");
    Ok(match array.data_type() {
        DataType::Decimal256(_, scale) => {
            let (array, scale) = (array.as_primitive::<Decimal256Type>().clone(), *scale);
            Box::new(move |row, out| {
                Digits::of_i256(array.value(row), scale, trim).put_binary(out);
                Ok(())
            })
        }
        other => {
            let scale = match other {
                DataType::Decimal128(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal32(_, scale) => *scale,
                DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => 0,
                DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => 0,
                _ => return Err(no_binary_output(ty)),
            };
            let array = if matches!(other, DataType::Decimal128(..)) {
                array.clone()
            } else {
                carried(ty, array, &DataType::Decimal128(38, scale))?
            };
            let array = array.as_primitive::<Decimal128Type>().clone();
            Box::new(move |row, out| {
                Digits::of_i128(array.value(row), scale, trim).put_binary(out);
                Ok(())
            })
        }
    })
}

/// Strings and bytes go as they are, behind `prefix`.
fn bytes(array: &ArrayRef, prefix: &'static [u8]) -> Result<Put> {
    fn put(get: impl Fn(usize, &mut BytesMut) + Send + Sync + 'static, prefix: &'static [u8]) -> Put {
        Box::new(move |row, out| {
            out.put_slice(prefix);
            get(row, out);
            Ok(())
        })
    }
    Ok(match array.data_type() {
        DataType::Utf8 => {
            let array = array.as_string::<i32>().clone();
            put(move |row, out| out.put_slice(array.value(row).as_bytes()), prefix)
        }
        DataType::LargeUtf8 => {
            let array = array.as_string::<i64>().clone();
            put(move |row, out| out.put_slice(array.value(row).as_bytes()), prefix)
        }
        DataType::Utf8View => {
            let array = array.as_string_view().clone();
            put(move |row, out| out.put_slice(array.value(row).as_bytes()), prefix)
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>().clone();
            put(move |row, out| out.put_slice(array.value(row)), prefix)
        }
        DataType::LargeBinary => {
            let array = array.as_binary::<i64>().clone();
            put(move |row, out| out.put_slice(array.value(row)), prefix)
        }
        DataType::BinaryView => {
            let array = array.as_binary_view().clone();
            put(move |row, out| out.put_slice(array.value(row)), prefix)
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary().clone();
            put(move |row, out| out.put_slice(array.value(row)), prefix)
        }
        _ => {
            // A number or a map under a field that says text: as it is shown.
            let field = Field::new("", array.data_type().clone(), true);
            let shown = crate::value::text::column(&field, array, &Default::default())?;
            Box::new(move |row, out| {
                out.put_slice(prefix);
                shown.put(row, out)
            })
        }
    })
}

fn uuids(ty: &PgType, array: &ArrayRef) -> Result<Put> {
    if let DataType::FixedSizeBinary(16) = array.data_type() {
        return bytes(array, b"");
    }
    let array = carried(ty, array, &DataType::Utf8)?.as_string::<i32>().clone();
    Ok(Box::new(move |row, out| {
        let text = array.value(row);
        let value = bytea::parse_uuid(text).ok_or_else(|| crate::value::parse::invalid_syntax("uuid", text))?;
        out.put_slice(&value);
        Ok(())
    }))
}

/// Arrays of any depth: Arrow nests lists, Postgres has dimensions.
fn lists(element: &PgType, array: &ArrayRef, lower_bound: i32) -> Result<Put> {
    let mut levels: Vec<Level> = Vec::new();
    let (mut element, mut values) = (element.clone(), array.clone());
    let field = loop {
        let (field, inner, ranges): (_, ArrayRef, Ranges) = match values.data_type() {
            DataType::List(field) => {
                let list = values.as_list::<i32>();
                (field.clone(), list.values().clone(), offsets(list.offsets().to_vec()))
            }
            DataType::LargeList(field) => {
                let list = values.as_list::<i64>();
                (field.clone(), list.values().clone(), offsets(list.offsets().to_vec()))
            }
            DataType::FixedSizeList(field, width) => {
                let (list, width) = (values.as_fixed_size_list(), *width as usize);
                (field.clone(), list.values().clone(), Box::new(move |row| row * width..(row + 1) * width))
            }
            _ => return Err(no_binary_output(&PgType::Array(Box::new(element)))),
        };
        levels.push(Level { nulls: values.logical_nulls(), ranges });
        values = inner;
        match element {
            PgType::Array(inner) => element = *inner,
            _ => break field,
        }
    };
    let (oid, column) = (element.oid(), column(&field, &element, &values)?);
    Ok(Box::new(move |row, out| {
        let (dimensions, elements) = shape(&levels, row)?;
        let has_null = elements.clone().any(|at| column.is_null(at));
        let empty = elements.is_empty();
        // A vector has its one dimension even when it is empty.
        let dimensions = if empty && lower_bound == 1 { &[][..] } else { &dimensions[..] };
        out.put_i32(dimensions.len() as i32);
        out.put_i32(has_null.into());
        out.put_u32(oid);
        for size in dimensions {
            out.put_i32(*size as i32);
            out.put_i32(lower_bound);
        }
        elements.into_iter().try_for_each(|at| column.put_sized(at, out))
    }))
}

struct Level {
    nulls: Option<arrow::buffer::NullBuffer>,
    ranges: Ranges,
}

/// The sizes of a row's dimensions, and its elements within all of the innermost values.
fn shape(levels: &[Level], row: usize) -> Result<(Vec<usize>, std::ops::Range<usize>)> {
    let mut dimensions = Vec::with_capacity(levels.len());
    let mut rows = row..row + 1;
    for (depth, level) in levels.iter().enumerate() {
        let mut size = None;
        let mut inner: Option<std::ops::Range<usize>> = None;
        for row in rows.clone() {
            let range = (level.ranges)(row);
            let null = depth > 0 && level.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            let contiguous = inner.as_ref().is_none_or(|inner| inner.end == range.start);
            if null || !contiguous || *size.get_or_insert(range.len()) != range.len() {
                return Err(Error::new(SqlState("2202E"), "multidimensional arrays must have sub-arrays with matching dimensions"));
            }
            inner = Some(inner.map_or(range.start, |inner| inner.start)..range.end);
        }
        dimensions.push(size.unwrap_or(0));
        rows = inner.unwrap_or(0..0);
    }
    Ok((dimensions, rows))
}

fn records(ty: &PgType, array: &ArrayRef) -> Result<Put> {
    let DataType::Struct(fields) = array.data_type() else { return Err(no_binary_output(ty)) };
    let columns = array.as_struct().columns().iter().zip(fields).map(|(array, field)| {
        let ty = PgType::of_field(field);
        Ok((ty.oid(), column(field, &ty, array)?))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Box::new(move |row, out| {
        out.put_i32(columns.len() as i32);
        for (oid, column) in &columns {
            out.put_u32(*oid);
            column.put_sized(row, out)?;
        }
        Ok(())
    }))
}
