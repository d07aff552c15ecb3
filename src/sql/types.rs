//! SQL type names as the parser has them, to Postgres types.

use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, ObjectName, TimezoneInfo};
use weir_common::error::{Error, Result, SqlState, nearest};
use weir_common::types::PgType;

use crate::context::external;

/// The digits that a NUMERIC can have at most.
const NUMERIC_PRECISION_MAX: u64 = 38;
/// The length that a VARCHAR can have at most, as in Postgres.
const VARCHAR_MAX: u64 = 10_485_760;

/// The type that `sql` names.
pub fn pg_type(sql: &DataType) -> Result<PgType> {
    Ok(match sql {
        DataType::Boolean | DataType::Bool => PgType::Bool,
        DataType::SmallInt(_) | DataType::Int2(_) => PgType::Int2,
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => PgType::Int4,
        DataType::BigInt(_) | DataType::Int8(_) => PgType::Int8,
        DataType::Real | DataType::Float4 => PgType::Float4,
        DataType::DoublePrecision | DataType::Float8 | DataType::Double(ExactNumberInfo::None) => PgType::Float8,
        DataType::Float(ExactNumberInfo::Precision(bits)) if *bits <= 24 => PgType::Float4,
        DataType::Float(_) => PgType::Float8,
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => PgType::Numeric(numeric(info)?),
        DataType::Text => PgType::Text,
        DataType::Varchar(length) | DataType::CharacterVarying(length) | DataType::CharVarying(length) => {
            PgType::Varchar(character_length("varchar", length)?)
        }
        // In Postgres `char` without a length is `char(1)`.
        DataType::Char(length) | DataType::Character(length) => PgType::Bpchar(Some(character_length("char", length)?.unwrap_or(1))),
        DataType::Bytea => PgType::Bytea,
        DataType::Date => PgType::Date,
        DataType::Time(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            micros("time", *precision)?;
            PgType::Time
        }
        DataType::Time(..) => {
            return Err(Error::unsupported("type \"time with time zone\" is not supported").with_hint("Use TIME, or TIMESTAMPTZ."));
        }
        DataType::Timestamp(precision, zone) => {
            micros("timestamp", *precision)?;
            match zone {
                TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => PgType::Timestamp,
                TimezoneInfo::WithTimeZone | TimezoneInfo::Tz => PgType::Timestamptz,
            }
        }
        DataType::Interval { fields: None, precision: None } => PgType::Interval,
        DataType::Interval { .. } => {
            return Err(Error::unsupported("intervals with fields or a precision are not supported").with_hint("Use INTERVAL alone."));
        }
        DataType::Uuid => PgType::Uuid,
        DataType::JSON => PgType::Json,
        DataType::JSONB => PgType::Jsonb,
        DataType::Regclass => PgType::Regclass,
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _) | ArrayElemTypeDef::AngleBracket(element)) => {
            PgType::Array(Box::new(pg_type(element)?))
        }
        DataType::Custom(name, modifiers) => custom(name, modifiers)?,
        other => return Err(unknown(&other.to_string().to_lowercase())),
    })
}

fn custom(name: &ObjectName, modifiers: &[String]) -> Result<PgType> {
    let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.to_lowercase()).collect();
    let name = match parts.as_slice() {
        [name] => name.as_str(),
        [schema, name] if schema == "pg_catalog" => name.as_str(),
        _ => return Err(unknown(&parts.join("."))),
    };
    let ty = match name {
        "serial" | "bigserial" | "smallserial" | "serial2" | "serial4" | "serial8" => {
            return Err(Error::unsupported(format!("type \"{name}\" is not supported"))
                .with_hint("Weir has no sequences; use BIGINT and give the values yourself."));
        }
        "bool" => PgType::Bool,
        "int" => PgType::Int4,
        "float" => PgType::Float8,
        "string" => PgType::Text,
        "decimal" => PgType::Numeric(None),
        "char" => PgType::Char,
        other => match PgType::parse(other) {
            Some(PgType::Record | PgType::Void) | None => return Err(unknown(name)),
            Some(ty) => ty,
        },
    };
    if !modifiers.is_empty() {
        return Err(Error::new(SqlState::SYNTAX_ERROR, format!("type modifier is not allowed for type \"{name}\"")));
    }
    Ok(ty)
}

fn unknown(name: &str) -> Error {
    let error = Error::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"));
    let names: Vec<String> = PgType::all().iter().flat_map(|ty| [ty.typname(), ty.spelling()]).collect();
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
        None => error,
    }
}

fn numeric(info: &ExactNumberInfo) -> Result<Option<(u8, i8)>> {
    let (precision, scale) = match *info {
        ExactNumberInfo::None => return Ok(None),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    if precision == 0 || precision > NUMERIC_PRECISION_MAX {
        let message = format!("NUMERIC precision {precision} must be between 1 and {NUMERIC_PRECISION_MAX}");
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
    }
    if scale < 0 || scale as u64 > precision {
        let message = format!("NUMERIC scale {scale} must be between 0 and precision {precision}");
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message));
    }
    Ok(Some((precision as u8, scale as i8)))
}

fn character_length(name: &str, length: &Option<CharacterLength>) -> Result<Option<u32>> {
    match length {
        None => Ok(None),
        Some(CharacterLength::Max) => Err(Error::new(SqlState::SYNTAX_ERROR, format!("length of type {name} must be a number"))),
        Some(CharacterLength::IntegerLength { length: 0, .. }) => {
            Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("length for type {name} must be at least 1")))
        }
        Some(CharacterLength::IntegerLength { length, .. }) if *length > VARCHAR_MAX => {
            Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("length for type {name} cannot exceed {VARCHAR_MAX}")))
        }
        Some(CharacterLength::IntegerLength { length, .. }) => Ok(Some(*length as u32)),
    }
}

/// Values are kept in microseconds; a coarser declaration would have to round, so it is refused rather than ignored.
fn micros(name: &str, precision: Option<u64>) -> Result<()> {
    match precision {
        None | Some(6) => Ok(()),
        Some(precision) => Err(Error::unsupported(format!("{name}({precision}) is not supported"))
            .with_hint(format!("Use {} alone: values have microseconds.", name.to_uppercase()))),
    }
}

/// Tells DataFusion's planner which Arrow type a SQL type is, with the Postgres type in the field's metadata.
#[derive(Debug)]
pub(crate) struct SqlTypes;

impl TypePlanner for SqlTypes {
    fn plan_type_field(&self, sql_type: &DataType) -> datafusion::common::Result<Option<FieldRef>> {
        let ty = pg_type(sql_type).map_err(external)?;
        Ok(Some(Arc::new(ty.field(""))))
    }
}
