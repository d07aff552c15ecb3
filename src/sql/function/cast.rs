//! Casts as Postgres does them, where Arrow's differ: text in and out, rounding to integers, lengths.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Float64Type};
use arrow::error::ArrowError;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use weir_common::datetime::Customs;
use weir_common::error::{Error, SqlState};
use weir_common::json;
use weir_common::numeric::too_many_decimals;
use weir_common::types::PgType;

use crate::context::external;
use crate::function::arithmetic::out_of_range;
use crate::function::{parse, text, zone};

/// A cast to one type.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct PgCast {
    to: Field,
    ty: PgType,
    assignment: bool,
    signature: Signature,
}

impl PgCast {
    /// `x::type`: text is cut to the type's length.
    pub(crate) fn explicit(to: &Field) -> Self {
        PgCast { to: to.clone(), ty: PgType::of_field(to), assignment: false, signature: Signature::any(1, Volatility::Immutable) }
    }

    /// The type, as a user writes it.
    pub(crate) fn spelling(&self) -> String {
        self.ty.spelling()
    }

    /// What INSERT and UPDATE do to a value: text that is too long is an error, unless only spaces are.
    pub(crate) fn assignment(to: &Field) -> Self {
        PgCast { assignment: true, ..PgCast::explicit(to) }
    }

    /// The type that it casts to.
    pub(crate) fn to(&self) -> &DataType {
        self.to.data_type()
    }

    /// Whether a cast needs this function; Arrow's does for the others.
    pub(crate) fn is_needed(from: &DataType, to: &Field) -> bool {
        let is_text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        match (from, to.data_type()) {
            (DataType::Null, _) => false,
            (from, DataType::Utf8) if is_text(from) => {
                matches!(PgType::of_field(to), PgType::Varchar(Some(_)) | PgType::Bpchar(Some(_)) | PgType::Json | PgType::Jsonb)
            }
            (from, _) if is_text(from) => true,
            (_, DataType::Utf8) => true,
            (from, to) if from.is_numeric() && to.is_numeric() => from != to,
            _ => false,
        }
    }

    /// Whether the cast makes text of JSON, or the other way round: Arrow sees no difference.
    pub(crate) fn changes_text(from: &Field, to: &Field) -> bool {
        let is_json = |field: &Field| matches!(PgType::of_field(field), PgType::Json | PgType::Jsonb);
        let both_text = *from.data_type() == DataType::Utf8 && *to.data_type() == DataType::Utf8;
        both_text && PgType::of_field(from) != PgType::of_field(to) && (is_json(from) || is_json(to))
    }

    /// The values, cast; `from` says what they are, `customs` how times are read and shown.
    pub(crate) fn apply(&self, values: &ArrayRef, from: &Field, customs: &Customs) -> weir_common::error::Result<ArrayRef> {
        let to = self.to.data_type();
        let arrow = |values: &ArrayRef, to: &DataType| cast_with_options(values, to, &CastOptions { safe: false, ..Default::default() });
        match (values.data_type(), to) {
            (from_type, DataType::Utf8) => {
                let texts = match from_type {
                    DataType::LargeUtf8 | DataType::Utf8View => arrow(values, &DataType::Utf8)?,
                    _ => text::to_text(values, from, &customs.zone)?,
                };
                self.fit(texts)
            }
            (DataType::Utf8, _) => self.read(values.as_string::<i32>(), customs),
            (DataType::LargeUtf8 | DataType::Utf8View, _) => self.read(arrow(values, &DataType::Utf8)?.as_string::<i32>(), customs),
            (DataType::Timestamp(_, Some(_)), to) if zone::crosses(values.data_type(), to) => {
                let local = zone::to_local(values, &customs.zone)?;
                if local.data_type() == to { Ok(local) } else { Ok(arrow(&local, to)?) }
            }
            (from_type, DataType::Timestamp(_, Some(_))) if zone::crosses(from_type, to) => zone::to_instants(values, &customs.zone),
            (from_type, to) if from_type.is_numeric() && to.is_integer() => {
                let whole: ArrayRef = match from_type {
                    // Half to even, as the processor rounds.
                    DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                        let floats = arrow(values, &DataType::Float64)?;
                        let rounded: Float64Array = floats.as_primitive::<Float64Type>().unary(f64::round_ties_even);
                        Arc::new(rounded)
                    }
                    // Half away from zero.
                    DataType::Decimal128(_, scale) if *scale > 0 => {
                        let unit = 10i128.pow(*scale as u32);
                        let rounded = values.as_primitive::<Decimal128Type>().unary::<_, Decimal128Type>(|value| {
                            let up = if (value % unit).abs() * 2 >= unit { value.signum() } else { 0 };
                            value / unit + up
                        });
                        Arc::new(rounded.with_precision_and_scale(38, 0)?)
                    }
                    _ => values.clone(),
                };
                arrow(&whole, to).map_err(|_| out_of_range(to))
            }
            (from_type, DataType::Decimal128(precision, scale)) if from_type.is_numeric() => {
                if let DataType::Decimal128(_, finer) = from_type
                    && finer > scale
                    && self.assignment
                    && self.ty == PgType::Numeric(None)
                {
                    let unit = 10i128.pow((finer - scale) as u32);
                    if values.as_primitive::<Decimal128Type>().iter().flatten().any(|value| value % unit != 0) {
                        return Err(too_many_decimals());
                    }
                }
                arrow(values, to).map_err(|error| match error {
                    ArrowError::InvalidArgumentError(_) | ArrowError::CastError(_) | ArrowError::ArithmeticOverflow(_) => {
                        let whole = *precision as i8 - *scale;
                        let detail = format!(
                            "A field with precision {precision}, scale {scale} must round to an absolute value less than 10^{whole}."
                        );
                        Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "numeric field overflow").with_detail(detail)
                    }
                    other => Error::from(other),
                })
            }
            (_, to) => Ok(arrow(values, to)?),
        }
    }

    fn read(&self, texts: &StringArray, customs: &Customs) -> weir_common::error::Result<ArrayRef> {
        let to = self.to.data_type();
        let null = ScalarValue::try_from(to).map_err(|error| Error::internal(error.to_string()))?;
        if texts.is_empty() {
            return Ok(arrow::array::new_empty_array(to));
        }
        let values = texts.iter().map(|text| text.map_or_else(|| Ok(null.clone()), |text| parse::value(text, &self.ty, to, customs)));
        let values = values.collect::<weir_common::error::Result<Vec<_>>>()?;
        ScalarValue::iter_to_array(values).map_err(|error| Error::internal(error.to_string()))
    }

    /// Cuts text to the type's length, or refuses it; refuses what is not JSON, and brings jsonb into its form.
    fn fit(&self, texts: ArrayRef) -> weir_common::error::Result<ArrayRef> {
        let length = match &self.ty {
            PgType::Varchar(Some(length)) | PgType::Bpchar(Some(length)) => *length,
            PgType::Json => {
                texts.as_string::<i32>().iter().flatten().try_for_each(json::check)?;
                return Ok(texts);
            }
            PgType::Jsonb => {
                let texts = texts.as_string::<i32>().iter().map(|text| text.map(json::canonical).transpose());
                return Ok(Arc::new(texts.collect::<weir_common::error::Result<StringArray>>()?));
            }
            _ => return Ok(texts),
        };
        let length = length as usize;
        let pad = matches!(self.ty, PgType::Bpchar(_));
        let fit = |text: &str| {
            let end = text.char_indices().nth(length).map(|(at, _)| at);
            match end {
                Some(at) if self.assignment && text[at..].chars().any(|c| c != ' ') => {
                    let message = format!("value too long for type {}", self.ty.spelling());
                    Err(Error::new(SqlState::STRING_DATA_RIGHT_TRUNCATION, message))
                }
                Some(at) => Ok(text[..at].to_string()),
                None if pad => Ok(format!("{text:length$}")),
                None => Ok(text.to_string()),
            }
        };
        let fitted =
            texts.as_string::<i32>().iter().map(|text| text.map(fit).transpose()).collect::<weir_common::error::Result<StringArray>>()?;
        Ok(Arc::new(fitted))
    }
}

impl ScalarUDFImpl for PgCast {
    fn name(&self) -> &str {
        "weir_cast"
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(format!("CAST({} AS {})", args[0], self.ty.spelling()))
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(format!("CAST({} AS {})", args[0].schema_name(), self.ty.spelling()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(self.to.data_type().clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(self.to.clone().with_name(self.name()).with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let from = &args.arg_fields[0];
        let customs = zone::customs(&args.config_options);
        match &args.args[0] {
            ColumnarValue::Array(values) => Ok(ColumnarValue::Array(self.apply(values, from, customs).map_err(external)?)),
            ColumnarValue::Scalar(value) => {
                let value = self.apply(&value.to_array()?, from, customs).map_err(external)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&value, 0)?))
            }
        }
    }
}
