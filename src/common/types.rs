//! Postgres types and the Arrow types that carry them.
//!
//! Where an Arrow type serves several Postgres types (text, varchar, json ...), the field's metadata under
//! [`PG_TYPE_KEY`] says which one is meant; without it, the Arrow type's own counterpart is.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

/// The metadata key of a field's Postgres type, as [`PgType::spelling`] writes it.
pub const PG_TYPE_KEY: &str = "weir.type";

/// Precision and scale of a NUMERIC that was declared without any: wide enough for money and averages.
pub const NUMERIC_DEFAULT: (u8, i8) = (38, 16);

/// A Postgres type, with its modifier where it has one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PgType {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric`, with precision and scale where declared
    Numeric(Option<(u8, i8)>),
    /// `text`
    Text,
    /// `character varying(n)`
    Varchar(Option<u32>),
    /// `character(n)`
    Bpchar(Option<u32>),
    /// `bytea`
    Bytea,
    /// `date`
    Date,
    /// `time without time zone`
    Time,
    /// `timestamp without time zone`, microseconds
    Timestamp,
    /// `timestamp with time zone`, microseconds UTC
    Timestamptz,
    /// `interval`
    Interval,
    /// `uuid`
    Uuid,
    /// `json`, kept as text
    Json,
    /// `jsonb`, kept as text in the one form that each value has
    Jsonb,
    /// `oid`
    Oid,
    /// `name`
    Name,
    /// `"char"`, one byte
    Char,
    /// `regclass`, shown as a name
    Regclass,
    /// `regtype`, shown as a name
    Regtype,
    /// `regproc`, shown as a name
    Regproc,
    /// `int2vector`
    Int2Vector,
    /// `oidvector`
    OidVector,
    /// an array of another type
    Array(Box<PgType>),
    /// `record`
    Record,
    /// `void`
    Void,
}

/// name as in `format_type`, short name as in pg_type.typname, oid, array oid, typlen
struct Row(&'static str, &'static str, u32, u32, i16);

impl PgType {
    fn row(&self) -> Row {
        match self {
            PgType::Bool => Row("boolean", "bool", 16, 1000, 1),
            PgType::Bytea => Row("bytea", "bytea", 17, 1001, -1),
            PgType::Char => Row("\"char\"", "char", 18, 1002, 1),
            PgType::Name => Row("name", "name", 19, 1003, 64),
            PgType::Int8 => Row("bigint", "int8", 20, 1016, 8),
            PgType::Int2 => Row("smallint", "int2", 21, 1005, 2),
            PgType::Int2Vector => Row("int2vector", "int2vector", 22, 1006, -1),
            PgType::Int4 => Row("integer", "int4", 23, 1007, 4),
            PgType::Regproc => Row("regproc", "regproc", 24, 1008, 4),
            PgType::Text => Row("text", "text", 25, 1009, -1),
            PgType::Oid => Row("oid", "oid", 26, 1028, 4),
            PgType::OidVector => Row("oidvector", "oidvector", 30, 1013, -1),
            PgType::Json => Row("json", "json", 114, 199, -1),
            PgType::Float4 => Row("real", "float4", 700, 1021, 4),
            PgType::Float8 => Row("double precision", "float8", 701, 1022, 8),
            PgType::Bpchar(_) => Row("character", "bpchar", 1042, 1014, -1),
            PgType::Varchar(_) => Row("character varying", "varchar", 1043, 1015, -1),
            PgType::Date => Row("date", "date", 1082, 1182, 4),
            PgType::Time => Row("time without time zone", "time", 1083, 1183, 8),
            PgType::Timestamp => Row("timestamp without time zone", "timestamp", 1114, 1115, 8),
            PgType::Timestamptz => Row("timestamp with time zone", "timestamptz", 1184, 1185, 8),
            PgType::Interval => Row("interval", "interval", 1186, 1187, 16),
            PgType::Numeric(_) => Row("numeric", "numeric", 1700, 1231, -1),
            PgType::Regclass => Row("regclass", "regclass", 2205, 2210, 4),
            PgType::Regtype => Row("regtype", "regtype", 2206, 2211, 4),
            PgType::Record => Row("record", "record", 2249, 2287, -1),
            PgType::Void => Row("void", "void", 2278, 0, 4),
            PgType::Uuid => Row("uuid", "uuid", 2950, 2951, 16),
            PgType::Jsonb => Row("jsonb", "jsonb", 3802, 3807, -1),
            PgType::Array(_) => Row("array", "array", 0, 0, -1),
        }
    }

    /// Every type without modifiers, arrays left out: the rows of pg_type that Weir has values for.
    pub fn all() -> Vec<PgType> {
        use PgType::*;
        vec![
            Bool,
            Bytea,
            Char,
            Name,
            Int8,
            Int2,
            Int2Vector,
            Int4,
            Regproc,
            Text,
            Oid,
            OidVector,
            Json,
            Float4,
            Float8,
            Bpchar(None),
            Varchar(None),
            Date,
            Time,
            Timestamp,
            Timestamptz,
            Interval,
            Numeric(None),
            Regclass,
            Regtype,
            Record,
            Void,
            Uuid,
            Jsonb,
        ]
    }

    /// The OID that Postgres gives the type.
    pub fn oid(&self) -> u32 {
        match self {
            PgType::Array(element) => element.row().3,
            other => other.row().2,
        }
    }

    /// The type with this OID, without a modifier.
    pub fn from_oid(oid: u32) -> Option<PgType> {
        Self::all().into_iter().find_map(|ty| {
            let row = ty.row();
            if row.2 == oid {
                Some(ty)
            } else if row.3 == oid && oid != 0 {
                Some(PgType::Array(Box::new(ty)))
            } else {
                None
            }
        })
    }

    /// Bytes of a value, -1 where it varies: `pg_type.typlen`.
    pub fn typlen(&self) -> i16 {
        self.row().4
    }

    /// The type modifier as Postgres packs it, -1 for none.
    pub fn modifier(&self) -> i32 {
        match self {
            PgType::Varchar(Some(n)) | PgType::Bpchar(Some(n)) => *n as i32 + 4,
            PgType::Numeric(Some((precision, scale))) => (((*precision as i32) << 16) | (*scale as i32 & 0xFFFF)) + 4,
            PgType::Array(element) => element.modifier(),
            _ => -1,
        }
    }

    /// The name as psql shows it, with the modifier: `character varying(10)`.
    pub fn spelling(&self) -> String {
        match self {
            PgType::Varchar(Some(n)) => format!("character varying({n})"),
            PgType::Bpchar(Some(n)) => format!("character({n})"),
            PgType::Numeric(Some((precision, scale))) => format!("numeric({precision},{scale})"),
            PgType::Array(element) => format!("{}[]", element.spelling()),
            other => other.row().0.to_string(),
        }
    }

    /// `pg_type.typname`: `int4`, `_int4`.
    pub fn typname(&self) -> String {
        match self {
            PgType::Array(element) => format!("_{}", element.row().1),
            other => other.row().1.to_string(),
        }
    }

    /// The type that [`PgType::spelling`] or [`PgType::typname`] wrote.
    pub fn parse(spelling: &str) -> Option<PgType> {
        if let Some(element) = spelling.strip_suffix("[]") {
            return Some(PgType::Array(Box::new(Self::parse(element)?)));
        }
        if let Some((name, modifier)) = spelling.strip_suffix(')').and_then(|head| head.split_once('(')) {
            return match name {
                "character varying" | "varchar" => Some(PgType::Varchar(Some(modifier.parse().ok()?))),
                "character" | "bpchar" => Some(PgType::Bpchar(Some(modifier.parse().ok()?))),
                "numeric" => {
                    let (precision, scale) = modifier.split_once(',').unwrap_or((modifier, "0"));
                    Some(PgType::Numeric(Some((precision.trim().parse().ok()?, scale.trim().parse().ok()?))))
                }
                _ => None,
            };
        }
        Self::all().into_iter().find(|ty| ty.row().0 == spelling || ty.row().1 == spelling)
    }

    /// The Arrow type of its values.
    pub fn arrow(&self) -> DataType {
        match self {
            PgType::Bool => DataType::Boolean,
            PgType::Int2 => DataType::Int16,
            PgType::Int4 => DataType::Int32,
            PgType::Int8 => DataType::Int64,
            PgType::Float4 => DataType::Float32,
            PgType::Float8 => DataType::Float64,
            PgType::Numeric(modifier) => {
                let (precision, scale) = modifier.unwrap_or(NUMERIC_DEFAULT);
                DataType::Decimal128(precision, scale)
            }
            PgType::Text | PgType::Varchar(_) | PgType::Bpchar(_) | PgType::Json | PgType::Jsonb | PgType::Name | PgType::Char => {
                DataType::Utf8
            }
            PgType::Regclass | PgType::Regtype | PgType::Regproc | PgType::Record => DataType::Utf8,
            PgType::Bytea => DataType::Binary,
            PgType::Date => DataType::Date32,
            PgType::Time => DataType::Time64(TimeUnit::Microsecond),
            PgType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            PgType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            PgType::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            PgType::Uuid => DataType::FixedSizeBinary(16),
            PgType::Oid => DataType::Int64,
            PgType::Int2Vector => list(DataType::Int16),
            PgType::OidVector => list(DataType::Int64),
            PgType::Array(element) => list(element.arrow()),
            PgType::Void => DataType::Null,
        }
    }

    /// The type that an Arrow type has when its field says nothing else.
    pub fn of_arrow(data_type: &DataType) -> PgType {
        match data_type {
            DataType::Boolean => PgType::Bool,
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => PgType::Int2,
            DataType::Int32 | DataType::UInt16 => PgType::Int4,
            DataType::Int64 | DataType::UInt32 => PgType::Int8,
            DataType::UInt64 => PgType::Numeric(Some((20, 0))),
            DataType::Float16 | DataType::Float32 => PgType::Float4,
            DataType::Float64 => PgType::Float8,
            // A decimal says its precision for arithmetic; a user asked for plain numeric unless the field says otherwise.
            DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
                PgType::Numeric(None)
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => PgType::Bytea,
            DataType::Date32 | DataType::Date64 => PgType::Date,
            DataType::Time32(_) | DataType::Time64(_) => PgType::Time,
            DataType::Timestamp(_, None) => PgType::Timestamp,
            DataType::Timestamp(_, Some(_)) => PgType::Timestamptz,
            DataType::Interval(_) | DataType::Duration(_) => PgType::Interval,
            DataType::List(element) | DataType::LargeList(element) | DataType::FixedSizeList(element, _) => {
                PgType::Array(Box::new(Self::of_field(element)))
            }
            DataType::Dictionary(_, value) => Self::of_arrow(value),
            DataType::Struct(_) => PgType::Record,
            _ => PgType::Text,
        }
    }

    /// The type of a field: what its metadata says, or what its Arrow type implies.
    pub fn of_field(field: &Field) -> PgType {
        field.metadata().get(PG_TYPE_KEY).and_then(|spelling| Self::parse(spelling)).unwrap_or_else(|| Self::of_arrow(field.data_type()))
    }

    /// A nullable field of this type.
    pub fn field(&self, name: impl Into<String>) -> Field {
        let field = Field::new(name, self.arrow(), true);
        if Self::of_arrow(field.data_type()) == *self {
            return field;
        }
        field.with_metadata(HashMap::from([(PG_TYPE_KEY.to_string(), self.spelling())]))
    }
}

fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", element, true)))
}
