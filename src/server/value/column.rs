//! Many values of one type into an Arrow array, from text or bytes.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, FixedSizeBinaryBuilder, Float32Builder, Float64Builder,
    Int16Builder, Int32Builder, Int64Builder, IntervalMonthDayNanoBuilder, ListArray, NullArray, NullBufferBuilder, StringBuilder,
    Time64MicrosecondBuilder, TimestampMicrosecondBuilder,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use weir_common::error::{Error, Result, SqlState};
use weir_common::interval::{self, Interval};
use weir_common::types::PgType;
use weir_common::{bytea, datetime, json, list};

use crate::value::parse::{fit, invalid_binary, invalid_datetime, invalid_syntax, parse_bool, text_of};
use crate::value::settings::TextSettings;
use crate::value::{number, numeric};
use weir_common::calendar::{
    DATE_INFINITY, DATE_MINUS_INFINITY, DAY, INFINITY, MINUS_INFINITY, POSTGRES_EPOCH_DAYS, POSTGRES_EPOCH_MICROS,
};

/// Builds an array of one type from the text or bytes of its values. After an error nothing was appended.
pub struct ColumnParser {
    ty: PgType,
    settings: TextSettings,
    builder: Builder,
    rows: usize,
}

enum Builder {
    Bool(BooleanBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder),
    Utf8(StringBuilder),
    Binary(BinaryBuilder),
    Uuid(FixedSizeBinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Interval(IntervalMonthDayNanoBuilder),
    List { elements: Box<ColumnParser>, offsets: Vec<i32>, nulls: NullBufferBuilder },
    Null,
}

impl ColumnParser {
    /// For values of a type; `settings` say how dates and times are read.
    pub fn new(ty: &PgType, settings: &TextSettings) -> ColumnParser {
        let list = |element: &PgType| Builder::List {
            elements: Box::new(ColumnParser::new(element, settings)),
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
        };
        let builder = match ty {
            PgType::Bool => Builder::Bool(BooleanBuilder::new()),
            PgType::Int2 => Builder::Int16(Int16Builder::new()),
            PgType::Int4 => Builder::Int32(Int32Builder::new()),
            PgType::Int8 | PgType::Oid => Builder::Int64(Int64Builder::new()),
            PgType::Float4 => Builder::Float32(Float32Builder::new()),
            PgType::Float8 => Builder::Float64(Float64Builder::new()),
            PgType::Numeric(_) => Builder::Decimal(Decimal128Builder::new().with_data_type(ty.arrow())),
            PgType::Text | PgType::Varchar(_) | PgType::Bpchar(_) | PgType::Json | PgType::Jsonb | PgType::Name | PgType::Char => {
                Builder::Utf8(StringBuilder::new())
            }
            PgType::Regclass | PgType::Regtype | PgType::Regproc | PgType::Record => Builder::Utf8(StringBuilder::new()),
            PgType::Bytea => Builder::Binary(BinaryBuilder::new()),
            PgType::Uuid => Builder::Uuid(FixedSizeBinaryBuilder::new(16)),
            PgType::Date => Builder::Date(Date32Builder::new()),
            PgType::Time => Builder::Time(Time64MicrosecondBuilder::new()),
            PgType::Timestamp | PgType::Timestamptz => Builder::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(ty.arrow())),
            PgType::Interval => Builder::Interval(IntervalMonthDayNanoBuilder::new()),
            PgType::Int2Vector => list(&PgType::Int2),
            PgType::OidVector => list(&PgType::Oid),
            PgType::Array(element) => list(element),
            PgType::Void => Builder::Null,
        };
        ColumnParser { ty: ty.clone(), settings: settings.clone(), builder, rows: 0 }
    }

    /// The type of the values.
    pub fn ty(&self) -> &PgType {
        &self.ty
    }

    /// How many values were appended.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Appends a value from its text; `None` is NULL.
    pub fn append(&mut self, text: Option<&[u8]>) -> Result<()> {
        match text {
            Some(text) => self.append_text(text)?,
            None => self.append_null(),
        }
        self.rows += 1;
        Ok(())
    }

    /// Appends a value from its bytes; `None` is NULL.
    pub fn append_binary(&mut self, bytes: Option<&[u8]>) -> Result<()> {
        match bytes {
            Some(bytes) => self.append_bytes(bytes)?,
            None => self.append_null(),
        }
        self.rows += 1;
        Ok(())
    }

    /// The values so far, of the Arrow type that carries the type; the parser is then empty.
    pub fn finish(&mut self) -> ArrayRef {
        let rows = std::mem::take(&mut self.rows);
        match &mut self.builder {
            Builder::Bool(builder) => Arc::new(builder.finish()),
            Builder::Int16(builder) => Arc::new(builder.finish()),
            Builder::Int32(builder) => Arc::new(builder.finish()),
            Builder::Int64(builder) => Arc::new(builder.finish()),
            Builder::Float32(builder) => Arc::new(builder.finish()),
            Builder::Float64(builder) => Arc::new(builder.finish()),
            Builder::Decimal(builder) => Arc::new(builder.finish()),
            Builder::Utf8(builder) => Arc::new(builder.finish()),
            Builder::Binary(builder) => Arc::new(builder.finish()),
            Builder::Uuid(builder) => Arc::new(builder.finish()),
            Builder::Date(builder) => Arc::new(builder.finish()),
            Builder::Time(builder) => Arc::new(builder.finish()),
            Builder::Timestamp(builder) => Arc::new(builder.finish()),
            Builder::Interval(builder) => Arc::new(builder.finish()),
            Builder::Null => Arc::new(NullArray::new(rows)),
            Builder::List { elements, offsets, nulls } => {
                let DataType::List(field) = self.ty.arrow() else { unreachable!("only lists have a list's builder") };
                let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(offsets, vec![0])));
                Arc::new(ListArray::new(field, offsets, elements.finish(), nulls.finish()))
            }
        }
    }

    fn append_null(&mut self) {
        match &mut self.builder {
            Builder::Bool(builder) => builder.append_null(),
            Builder::Int16(builder) => builder.append_null(),
            Builder::Int32(builder) => builder.append_null(),
            Builder::Int64(builder) => builder.append_null(),
            Builder::Float32(builder) => builder.append_null(),
            Builder::Float64(builder) => builder.append_null(),
            Builder::Decimal(builder) => builder.append_null(),
            Builder::Utf8(builder) => builder.append_null(),
            Builder::Binary(builder) => builder.append_null(),
            Builder::Uuid(builder) => builder.append_null(),
            Builder::Date(builder) => builder.append_null(),
            Builder::Time(builder) => builder.append_null(),
            Builder::Timestamp(builder) => builder.append_null(),
            Builder::Interval(builder) => builder.append_null(),
            Builder::Null => {}
            Builder::List { elements, offsets, nulls } => {
                offsets.push(elements.len() as i32);
                nulls.append_null();
            }
        }
    }

    fn append_text(&mut self, bytes: &[u8]) -> Result<()> {
        match (&mut self.builder, &self.ty) {
            (Builder::Bool(builder), _) => builder.append_value(parse_bool(bytes)?),
            (Builder::Int16(builder), _) => {
                builder.append_value(number::parse_int(bytes, "smallint", i16::MIN as i64, i16::MAX as i64)? as i16)
            }
            (Builder::Int32(builder), _) => {
                builder.append_value(number::parse_int(bytes, "integer", i32::MIN as i64, i32::MAX as i64)? as i32)
            }
            (Builder::Int64(builder), PgType::Oid) => builder.append_value(parse_oid(bytes)?),
            (Builder::Int64(builder), _) => builder.append_value(number::parse_int(bytes, "bigint", i64::MIN, i64::MAX)?),
            (Builder::Float32(builder), _) => builder.append_value(number::parse_float4(bytes)?),
            (Builder::Float64(builder), _) => builder.append_value(number::parse_float8(bytes)?),
            (Builder::Decimal(builder), PgType::Numeric(modifier)) => builder.append_value(numeric::parse(bytes, *modifier)?),
            (Builder::Utf8(builder), ty) => append_string(builder, ty, text_of(bytes)?)?,
            (Builder::Binary(builder), _) => builder.append_value(bytea::parse(text_of(bytes)?.as_bytes())?),
            (Builder::Uuid(builder), _) => {
                let text = text_of(bytes)?;
                let value = bytea::parse_uuid(text).ok_or_else(|| invalid_syntax("uuid", text))?;
                builder.append_value(value)?;
            }
            (Builder::Date(builder), _) => builder.append_value(datetime::date(text_of(bytes)?, &self.settings.customs)?),
            (Builder::Time(builder), _) => builder.append_value(datetime::time(text_of(bytes)?, &self.settings.customs)?),
            (Builder::Timestamp(builder), PgType::Timestamptz) => {
                builder.append_value(datetime::timestamptz(text_of(bytes)?, &self.settings.customs)?)
            }
            (Builder::Timestamp(builder), _) => builder.append_value(datetime::timestamp(text_of(bytes)?, &self.settings.customs)?),
            (Builder::Interval(builder), _) => {
                let text = text_of(bytes)?;
                builder.append_value(interval::parse(text)?.to_arrow().ok_or_else(|| invalid_datetime("interval", text))?);
            }
            (Builder::List { elements, offsets, nulls }, ty) => {
                let text = text_of(bytes)?;
                let parsed = match ty {
                    PgType::Array(_) => list::parse_array(text)?,
                    _ => text.split_ascii_whitespace().map(|element| Some(element.to_string())).collect(),
                };
                elements
                    .append_all(parsed.iter().map(|element| element.as_ref().map(|element| element.as_bytes())), ColumnParser::append)?;
                offsets.push(elements.len() as i32);
                nulls.append_non_null();
            }
            (Builder::Null, _) => {}
            (Builder::Decimal(_), ty) => return Err(Error::internal(format!("{} is not carried by a decimal", ty.spelling()))),
        }
        Ok(())
    }

    fn append_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let name = || self.ty.spelling();
        match (&mut self.builder, &self.ty) {
            (Builder::Bool(builder), _) => builder.append_value(fixed::<1>(bytes, name)?[0] != 0),
            (Builder::Int16(builder), _) => builder.append_value(i16::from_be_bytes(fixed(bytes, name)?)),
            (Builder::Int32(builder), _) => builder.append_value(i32::from_be_bytes(fixed(bytes, name)?)),
            (Builder::Int64(builder), PgType::Oid) => builder.append_value(u32::from_be_bytes(fixed(bytes, name)?) as i64),
            (Builder::Int64(builder), _) => builder.append_value(i64::from_be_bytes(fixed(bytes, name)?)),
            (Builder::Float32(builder), _) => builder.append_value(f32::from_be_bytes(fixed(bytes, name)?)),
            (Builder::Float64(builder), _) => builder.append_value(f64::from_be_bytes(fixed(bytes, name)?)),
            (Builder::Decimal(builder), PgType::Numeric(modifier)) => builder.append_value(numeric::parse_binary(bytes, *modifier)?),
            (Builder::Utf8(builder), PgType::Regclass | PgType::Regtype | PgType::Regproc) => {
                builder.append_value(u32::from_be_bytes(fixed(bytes, name)?).to_string())
            }
            (Builder::Utf8(builder), PgType::Jsonb) => match bytes.split_first() {
                Some((1, text)) => append_string(builder, &PgType::Jsonb, text_of(text)?)?,
                Some((version, _)) => {
                    return Err(Error::new(SqlState::PROTOCOL_VIOLATION, format!("unsupported jsonb version number {version}")));
                }
                None => return Err(invalid_binary("jsonb")),
            },
            (Builder::Utf8(builder), ty) => append_string(builder, ty, text_of(bytes)?)?,
            (Builder::Binary(builder), _) => builder.append_value(bytes),
            (Builder::Uuid(builder), _) => builder.append_value(fixed::<16>(bytes, name)?)?,
            (Builder::Date(builder), _) => builder.append_value(match i32::from_be_bytes(fixed(bytes, name)?) {
                infinite @ (DATE_INFINITY | DATE_MINUS_INFINITY) => infinite,
                days => days
                    .checked_add(POSTGRES_EPOCH_DAYS)
                    .ok_or_else(|| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "date out of range"))?,
            }),
            (Builder::Time(builder), _) => {
                let micros = i64::from_be_bytes(fixed(bytes, name)?);
                if !(0..=DAY).contains(&micros) {
                    return Err(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "time out of range"));
                }
                builder.append_value(micros);
            }
            (Builder::Timestamp(builder), _) => builder.append_value(match i64::from_be_bytes(fixed(bytes, name)?) {
                infinite @ (INFINITY | MINUS_INFINITY) => infinite,
                micros => micros
                    .checked_add(POSTGRES_EPOCH_MICROS)
                    .ok_or_else(|| Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range"))?,
            }),
            (Builder::Interval(builder), _) => {
                let value: [u8; 16] = fixed(bytes, name)?;
                let (micros, days, months) = (value[..8].try_into(), value[8..12].try_into(), value[12..].try_into());
                let interval = Interval {
                    micros: i64::from_be_bytes(micros.expect("eight bytes")),
                    days: i32::from_be_bytes(days.expect("four bytes")),
                    months: i32::from_be_bytes(months.expect("four bytes")),
                };
                let out_of_range = || Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "interval out of range");
                builder.append_value(interval.to_arrow().ok_or_else(out_of_range)?);
            }
            (Builder::List { elements, offsets, nulls }, _) => {
                let parsed = array_elements(bytes, &elements.ty)?;
                elements.append_all(parsed.into_iter(), ColumnParser::append_binary)?;
                offsets.push(elements.len() as i32);
                nulls.append_non_null();
            }
            (Builder::Null, _) => {}
            (Builder::Decimal(_), ty) => return Err(Error::internal(format!("{} is not carried by a decimal", ty.spelling()))),
        }
        Ok(())
    }

    /// Appends all values, or none.
    fn append_all<'a>(
        &mut self,
        values: impl Iterator<Item = Option<&'a [u8]>>,
        append: impl Fn(&mut ColumnParser, Option<&'a [u8]>) -> Result<()>,
    ) -> Result<()> {
        // Into a parser of their own first: an element that fails must not leave those before it behind.
        let mut checked = Vec::new();
        let mut trial = ColumnParser::new(&self.ty, &self.settings);
        for value in values {
            append(&mut trial, value)?;
            checked.push(value);
        }
        checked.into_iter().try_for_each(|value| append(self, value))
    }
}

fn append_string(builder: &mut StringBuilder, ty: &PgType, text: &str) -> Result<()> {
    match ty {
        PgType::Varchar(Some(limit)) => builder.append_value(fit(text, Some(*limit), false, "character varying")?),
        PgType::Bpchar(limit) => builder.append_value(fit(text, *limit, true, "character")?),
        PgType::Name => builder.append_value(&text[..text.floor_char_boundary(63)]),
        PgType::Char => builder.append_value(&text[..text.chars().next().map_or(0, char::len_utf8)]),
        PgType::Json => {
            json::check(text)?;
            builder.append_value(text);
        }
        PgType::Jsonb => builder.append_value(json::canonical(text)?),
        PgType::Record => return Err(Error::unsupported("input of anonymous composite types is not implemented")),
        _ => builder.append_value(text),
    }
    Ok(())
}

/// `oid`: Postgres takes negative ones too, as `strtoul` does.
fn parse_oid(bytes: &[u8]) -> Result<i64> {
    let value = number::parse_int(bytes, "oid", i32::MIN as i64, u32::MAX as i64)?;
    Ok(value as u32 as i64)
}

fn fixed<const N: usize>(bytes: &[u8], name: impl Fn() -> String) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| invalid_binary(&name()))
}

/// Takes a one-dimensional binary array apart.
fn array_elements<'a>(bytes: &'a [u8], element: &PgType) -> Result<Vec<Option<&'a [u8]>>> {
    fn int(bytes: &mut &[u8]) -> Result<i32> {
        let (head, tail) = bytes.split_first_chunk::<4>().ok_or_else(|| invalid_binary("array"))?;
        *bytes = tail;
        Ok(i32::from_be_bytes(*head))
    }
    let mut rest = bytes;
    let (dimensions, _has_null, oid) = (int(&mut rest)?, int(&mut rest)?, int(&mut rest)? as u32);
    if oid != element.oid() {
        return Err(Error::new(
            SqlState::DATATYPE_MISMATCH,
            format!(
                "binary data has array element type {oid} ({}) instead of expected {} ({})",
                PgType::from_oid(oid).map_or("???".to_string(), |ty| ty.spelling()),
                element.oid(),
                element.spelling()
            ),
        ));
    }
    let size = match dimensions {
        0 => 0,
        1 => {
            let size = int(&mut rest)?;
            let _lower_bound = int(&mut rest)?;
            size
        }
        2..=6 => return Err(Error::unsupported("arrays of more than one dimension are not supported as input")),
        _ => return Err(invalid_binary("array")),
    };
    let mut elements = Vec::new();
    for _ in 0..size {
        elements.push(match int(&mut rest)? {
            -1 => None,
            length => {
                let length = usize::try_from(length).ok().filter(|length| *length <= rest.len()).ok_or_else(|| invalid_binary("array"))?;
                let (value, tail) = rest.split_at(length);
                rest = tail;
                Some(value)
            }
        });
    }
    if !rest.is_empty() {
        return Err(invalid_binary("array"));
    }
    Ok(elements)
}
