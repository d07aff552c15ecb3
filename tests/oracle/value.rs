//! Types of columns and random values of them: few different ones, so that groups and keys collide.

use fastrand::Rng;
use weir_common::types::PgType;
use weir_sql::ScalarValue;

/// 2024-01-01 00:00:00 in microseconds since 1970.
const NEW_YEAR: i64 = 1_704_067_200_000_000;
const MINUTE: i64 = 60_000_000;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Small,
    Int,
    Big,
    Numeric,
    Real,
    Double,
    Text,
    Bool,
    Time,
    Date,
}

impl Kind {
    pub const ALL: [Kind; 10] =
        [Kind::Small, Kind::Int, Kind::Big, Kind::Numeric, Kind::Real, Kind::Double, Kind::Text, Kind::Bool, Kind::Time, Kind::Date];

    /// The type of a table's column.
    pub fn column_type(self) -> PgType {
        match self {
            Kind::Small => PgType::Int2,
            Kind::Int => PgType::Int4,
            Kind::Big => PgType::Int8,
            Kind::Numeric => PgType::Numeric(Some((10, 2))),
            Kind::Real => PgType::Float4,
            Kind::Double => PgType::Float8,
            Kind::Text => PgType::Text,
            Kind::Bool => PgType::Bool,
            Kind::Time => PgType::Timestamp,
            Kind::Date => PgType::Date,
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, Kind::Real | Kind::Double)
    }

    pub fn is_number(self) -> bool {
        matches!(self, Kind::Small | Kind::Int | Kind::Big | Kind::Numeric) || self.is_float()
    }

    /// A value of a column of this kind, sometimes NULL. Floats are multiples of 1/8, so that their sums are exact in
    /// any order, and a comparison with one has one answer. There is no negative zero: views group it with zero, as Postgres
    /// does, and DataFusion's operators tell the two apart.
    pub fn value(self, rng: &mut Rng) -> ScalarValue {
        let null = rng.u8(..) < 30;
        macro_rules! pick {
            ($variant:ident, $values:expr) => {
                ScalarValue::$variant((!null).then(|| pick(rng, $values)))
            };
        }
        match self {
            Kind::Small => pick!(Int16, &[-2, 0, 1, 7]),
            Kind::Int => pick!(Int32, &[-3, 0, 1, 2, 3, 1000]),
            Kind::Big => pick!(Int64, &[-1, 0, 2, 3, 10_000_000_000]),
            Kind::Numeric => ScalarValue::Decimal128((!null).then(|| pick(rng, &[-150, 0, 25, 100, 9999])), 10, 2),
            Kind::Real => match rng.u8(..) < 8 {
                true => pick!(Float32, &[f32::NAN, f32::INFINITY]),
                false => pick!(Float32, &[-2.5, 0.0, 0.125, 3.0, 1024.5]),
            },
            Kind::Double => match rng.u8(..) < 8 {
                true => pick!(Float64, &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
                false => pick!(Float64, &[-2.5, 0.0, 0.125, 3.0, 1e6]),
            },
            Kind::Text => {
                ScalarValue::Utf8((!null).then(|| pick(rng, &["", "a", "b", "ab", "B", "ü", "no word of a key this long"]).into()))
            }
            Kind::Bool => pick!(Boolean, &[false, true]),
            Kind::Time => {
                let time =
                    NEW_YEAR + pick(rng, &[-1, 0, 1, 29, 30, 31, 59, 60, 61, 120, 44_640]) * MINUTE + pick(rng, &[0, 0, 1, 30_000_000]);
                ScalarValue::TimestampMicrosecond((!null).then_some(time), None)
            }
            Kind::Date => pick!(Date32, &[19_722, 19_723, 19_724, 19_754]),
        }
    }

    /// A constant that has this type wherever it stands.
    pub fn literal(self, rng: &mut Rng) -> String {
        let texts: &[&str] = match self {
            Kind::Small => &["1::smallint", "7::smallint"],
            Kind::Int => &["0", "1", "2", "5"],
            Kind::Big => &["2::bigint", "3::bigint", "10000000000"],
            Kind::Numeric => &["0.25", "1.5::numeric(10,2)", "100::numeric(10,2)"],
            Kind::Real => &["0.5::real", "3::real"],
            Kind::Double => &["0.125::float8", "3::float8", "'-2.5'::float8"],
            Kind::Text => &["'a'", "'b'", "''", "'it''s'"],
            Kind::Bool => &["true", "false", "NULL::boolean"],
            Kind::Time => &["TIMESTAMP '2024-01-01 00:30:00'", "TIMESTAMP '2024-01-01 01:00:00'"],
            Kind::Date => &["DATE '2024-01-01'", "DATE '2024-02-01'"],
        };
        pick(rng, texts).to_string()
    }
}

/// One of some values.
pub fn pick<T: Clone>(rng: &mut Rng, values: &[T]) -> T {
    values[rng.usize(..values.len())].clone()
}

/// True so many times in a hundred.
pub fn percent(rng: &mut Rng, percent: u8) -> bool {
    rng.u8(0..100) < percent
}
