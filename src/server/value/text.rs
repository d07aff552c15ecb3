//! A column as text: what psql shows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Field, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::{BufMut, BytesMut};
use weir_common::error::Result;
use weir_common::types::{PG_TYPE_KEY, PgType};

use crate::value::interval::put as put_interval;
use crate::value::numeric::Digits;
use crate::value::rows::{Column, Put};
use crate::value::settings::TextSettings;
use crate::value::times::{self, Times};
use crate::value::{bytea, datetime, list, number};

/// The encoder of a column.
pub fn column(field: &Field, array: &ArrayRef, settings: &TextSettings) -> Result<Column> {
    Ok(Column::new(array, put(field, array, settings)?))
}

/// `$array` downcast to `$type`, kept by an encoder of its values.
macro_rules! primitive {
    ($array:expr, $type:ty, |$value:ident, $out:ident| $put:expr) => {{
        let array = $array.as_primitive::<$type>().clone();
        Box::new(move |row, $out: &mut BytesMut| {
            let $value = array.value(row);
            $put;
            Ok(())
        })
    }};
}

fn put(field: &Field, array: &ArrayRef, settings: &TextSettings) -> Result<Put> {
    let digits = settings.extra_float_digits;
    let trim = field.metadata().get(PG_TYPE_KEY).is_some_and(|ty| ty == "numeric");
    Ok(match array.data_type() {
        DataType::Boolean => {
            let array = array.as_boolean().clone();
            Box::new(move |row, out| {
                out.put_u8(if array.value(row) { b't' } else { b'f' });
                Ok(())
            })
        }
        DataType::Int8 => primitive!(array, Int8Type, |value, out| number::put_int(value as i64, out)),
        DataType::Int16 => primitive!(array, Int16Type, |value, out| number::put_int(value as i64, out)),
        DataType::Int32 => primitive!(array, Int32Type, |value, out| number::put_int(value as i64, out)),
        DataType::Int64 => primitive!(array, Int64Type, |value, out| number::put_int(value, out)),
        DataType::UInt8 => primitive!(array, UInt8Type, |value, out| number::put_uint(value as u64, out)),
        DataType::UInt16 => primitive!(array, UInt16Type, |value, out| number::put_uint(value as u64, out)),
        DataType::UInt32 => primitive!(array, UInt32Type, |value, out| number::put_uint(value as u64, out)),
        DataType::UInt64 => primitive!(array, UInt64Type, |value, out| number::put_uint(value, out)),
        DataType::Float16 => primitive!(array, Float16Type, |value, out| number::put_float4(value.to_f32(), digits, out)),
        DataType::Float32 => primitive!(array, Float32Type, |value, out| number::put_float4(value, digits, out)),
        DataType::Float64 => primitive!(array, Float64Type, |value, out| number::put_float8(value, digits, out)),
        DataType::Decimal32(_, scale) => {
            let scale = *scale;
            primitive!(array, Decimal32Type, |value, out| Digits::of_i128(value as i128, scale, trim).put_text(out))
        }
        DataType::Decimal64(_, scale) => {
            let scale = *scale;
            primitive!(array, Decimal64Type, |value, out| Digits::of_i128(value as i128, scale, trim).put_text(out))
        }
        DataType::Decimal128(_, scale) => {
            let scale = *scale;
            primitive!(array, Decimal128Type, |value, out| Digits::of_i128(value, scale, trim).put_text(out))
        }
        DataType::Decimal256(_, scale) => {
            let scale = *scale;
            primitive!(array, Decimal256Type, |value, out| Digits::of_i256(value, scale, trim).put_text(out))
        }
        DataType::Utf8 => strings(array.as_string::<i32>().clone()),
        DataType::LargeUtf8 => strings(array.as_string::<i64>().clone()),
        DataType::Utf8View => strings(array.as_string_view().clone()),
        DataType::FixedSizeBinary(16) if PgType::of_field(field) == PgType::Uuid => {
            let array = array.as_fixed_size_binary().clone();
            Box::new(move |row, out| {
                bytea::put_uuid(array.value(row).try_into().expect("sixteen bytes wide"), out);
                Ok(())
            })
        }
        DataType::Binary => bytes(array.as_binary::<i32>().clone(), settings),
        DataType::LargeBinary => bytes(array.as_binary::<i64>().clone(), settings),
        DataType::BinaryView => bytes(array.as_binary_view().clone(), settings),
        DataType::FixedSizeBinary(_) => bytes(array.as_fixed_size_binary().clone(), settings),
        DataType::Date32 => primitive!(array, Date32Type, |value, out| datetime::put_date(value, out)),
        DataType::Date64 => primitive!(array, Date64Type, |value, out| datetime::put_date(times::days_of_millis(value), out)),
        DataType::Time32(_) | DataType::Time64(_) => {
            let times = Times::of(array)?;
            Box::new(move |row, out| {
                datetime::put_time(times.micros(row)?, out);
                Ok(())
            })
        }
        DataType::Timestamp(_, None) => {
            let times = Times::of(array)?;
            Box::new(move |row, out| {
                datetime::put_timestamp(times.micros(row)?, out);
                Ok(())
            })
        }
        DataType::Timestamp(_, Some(_)) => {
            let (times, zone) = (Times::of(array)?, settings.customs.zone.clone());
            Box::new(move |row, out| {
                datetime::put_timestamptz(times.micros(row)?, &zone, out);
                Ok(())
            })
        }
        DataType::Interval(_) | DataType::Duration(_) => {
            let (interval, style) = (times::intervals(array)?, settings.interval_style);
            Box::new(move |row, out| {
                put_interval(interval(row)?, style, out);
                Ok(())
            })
        }
        DataType::List(element) => {
            lists(field, element, array.as_list::<i32>().values(), offsets(array.as_list::<i32>().offsets().to_vec()), settings)?
        }
        DataType::LargeList(element) => {
            lists(field, element, array.as_list::<i64>().values(), offsets(array.as_list::<i64>().offsets().to_vec()), settings)?
        }
        DataType::FixedSizeList(element, width) => {
            let width = *width as usize;
            lists(field, element, array.as_fixed_size_list().values(), Box::new(move |row| row * width..(row + 1) * width), settings)?
        }
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns().iter().zip(fields).map(|(array, field)| column(field, array, settings));
            record(columns.collect::<Result<_>>()?)
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let value_field =
                Field::new(field.name(), dictionary.values().data_type().clone(), true).with_metadata(field.metadata().clone());
            let (keys, values) = (dictionary.normalized_keys(), put(&value_field, dictionary.values(), settings)?);
            Box::new(move |row, out| values(keys[row], out))
        }
        DataType::Null => Box::new(|_, _| Ok(())),
        // Maps and unions, for which Postgres has no type: as Arrow shows them.
        _ => {
            let formatter_options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(array.as_ref(), &formatter_options)?;
            let shown: Vec<String> = (0..array.len()).map(|row| formatter.value(row).to_string()).collect();
            Box::new(move |row, out| {
                out.put_slice(shown[row].as_bytes());
                Ok(())
            })
        }
    })
}

/// Arrays of strings, whatever their layout.
pub(crate) trait Strings: Send + Sync + 'static {
    /// One of them.
    fn get(&self, row: usize) -> &str;
}

impl<O: OffsetSizeTrait> Strings for arrow::array::GenericStringArray<O> {
    fn get(&self, row: usize) -> &str {
        self.value(row)
    }
}

impl Strings for arrow::array::StringViewArray {
    fn get(&self, row: usize) -> &str {
        self.value(row)
    }
}

fn strings(array: impl Strings) -> Put {
    Box::new(move |row, out| {
        out.put_slice(array.get(row).as_bytes());
        Ok(())
    })
}

/// Arrays of bytes, whatever their layout.
pub(crate) trait Bytes: Send + Sync + 'static {
    /// One of them.
    fn get(&self, row: usize) -> &[u8];
}

impl<O: OffsetSizeTrait> Bytes for arrow::array::GenericBinaryArray<O> {
    fn get(&self, row: usize) -> &[u8] {
        self.value(row)
    }
}

impl Bytes for arrow::array::BinaryViewArray {
    fn get(&self, row: usize) -> &[u8] {
        self.value(row)
    }
}

impl Bytes for arrow::array::FixedSizeBinaryArray {
    fn get(&self, row: usize) -> &[u8] {
        self.value(row)
    }
}

fn bytes(array: impl Bytes, settings: &TextSettings) -> Put {
    let style = settings.bytea_output;
    Box::new(move |row, out| {
        bytea::put(array.get(row), style, out);
        Ok(())
    })
}

/// The elements of a row's list, within all elements.
pub(crate) type Ranges = Box<dyn Fn(usize) -> std::ops::Range<usize> + Send + Sync>;

/// From the offsets of a list array.
pub(crate) fn offsets<O: OffsetSizeTrait>(offsets: Vec<O>) -> Ranges {
    Box::new(move |row| offsets[row].as_usize()..offsets[row + 1].as_usize())
}

fn lists(field: &Field, element: &Arc<Field>, values: &ArrayRef, ranges: Ranges, settings: &TextSettings) -> Result<Put> {
    let values = column(element, values, settings)?;
    if matches!(PgType::of_field(field), PgType::Int2Vector | PgType::OidVector) {
        return Ok(Box::new(move |row, out| {
            for (at, value) in ranges(row).enumerate() {
                if at > 0 {
                    out.put_u8(b' ');
                }
                values.put(value, out)?;
            }
            Ok(())
        }));
    }
    let nested = matches!(element.data_type(), DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..));
    Ok(Box::new(move |row, out| {
        out.put_u8(b'{');
        for (at, value) in ranges(row).enumerate() {
            if at > 0 {
                out.put_u8(b',');
            }
            if values.is_null(value) {
                out.put_slice(b"NULL");
                continue;
            }
            let start = out.len();
            values.put(value, out)?;
            if !nested {
                list::quote_element(start, out);
            }
        }
        out.put_u8(b'}');
        Ok(())
    }))
}

fn record(columns: Vec<Column>) -> Put {
    Box::new(move |row, out| {
        out.put_u8(b'(');
        for (at, column) in columns.iter().enumerate() {
            if at > 0 {
                out.put_u8(b',');
            }
            if !column.is_null(row) {
                let start = out.len();
                column.put(row, out)?;
                list::quote_field(start, out);
            }
        }
        out.put_u8(b')');
        Ok(())
    })
}
