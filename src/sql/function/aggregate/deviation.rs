//! `variance`, `stddev` and the like, exact and with Postgres' result types: those of an average.

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, ReversedUDAF, Signature, Volatility};
use weir_common::moments::{FloatMoments, IntegerMoments, Measure};

use crate::context::external;
use crate::function::aggregate::exact::{each, input_scale};
use crate::function::aggregate::{Distinct, Kind, distinct_state, no_such, number};

/// One of the four measures.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Deviation {
    pub measure: Measure,
    aliases: Vec<String>,
    signature: Signature,
}

impl Deviation {
    /// All of them, under Postgres' names and DataFusion's.
    pub(crate) fn all() -> [Deviation; 4] {
        let of = |sample: bool, root: bool, aliases: &[&str]| Deviation {
            measure: Measure { sample, root },
            aliases: aliases.iter().map(|alias| alias.to_string()).collect(),
            signature: Signature::user_defined(Volatility::Immutable),
        };
        [
            of(true, true, &["stddev_samp"]),
            of(false, true, &[]),
            of(true, false, &["var_samp", "var", "var_sample"]),
            of(false, false, &["var_population"]),
        ]
    }
}

impl AggregateUDFImpl for Deviation {
    fn name(&self) -> &str {
        self.measure.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.iter().map(number).collect())
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Float32 | DataType::Float64 | DataType::Decimal128(..)] => {
                Ok(Kind::Avg.output(&arg_types[0]))
            }
            _ => Err(external(no_such(self.name(), arg_types))),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (input, output) = (args.expr_fields[0].data_type().clone(), args.return_field.data_type().clone());
        let moments = match input {
            DataType::Float32 | DataType::Float64 => Moments::Float(FloatMoments::default()),
            _ => Moments::Integer(IntegerMoments::default()),
        };
        let inner = Box::new(DeviationAccumulator { measure: self.measure, input: input.clone(), output, moments });
        Ok(if args.is_distinct { Box::new(Distinct::new(input, inner)) } else { inner })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(match args.is_distinct {
            true => vec![distinct_state(&args)],
            false => vec![Arc::new(Field::new(format_state_name(args.name, "moments"), DataType::Binary, true))],
        })
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

#[derive(Debug)]
enum Moments {
    Integer(IntegerMoments),
    Float(FloatMoments),
}

/// One group.
#[derive(Debug)]
struct DeviationAccumulator {
    measure: Measure,
    input: DataType,
    output: DataType,
    moments: Moments,
}

impl DeviationAccumulator {
    fn add(&mut self, values: &ArrayRef, weight: i64) -> Result<()> {
        match &mut self.moments {
            Moments::Integer(moments) => each(values, |_, value| {
                moments.add(value, weight);
                Ok(())
            }),
            Moments::Float(moments) => {
                let present = |row: &usize| values.is_valid(*row);
                match values.data_type() {
                    DataType::Float32 => {
                        let values = values.as_primitive::<Float32Type>();
                        (0..values.len()).filter(present).for_each(|row| moments.add(values.value(row) as f64, weight));
                    }
                    DataType::Float64 => {
                        let values = values.as_primitive::<Float64Type>();
                        (0..values.len()).filter(present).for_each(|row| moments.add(values.value(row), weight));
                    }
                    other => return internal_err!("a variance of floats got {other}"),
                }
                Ok(())
            }
        }
    }
}

impl Accumulator for DeviationAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match (&self.moments, &self.output) {
            (Moments::Float(moments), DataType::Float64) => Ok(ScalarValue::Float64(moments.measure(self.measure))),
            (Moments::Integer(moments), DataType::Decimal128(precision, scale)) => {
                let result = moments.measure(self.measure, input_scale(&self.input), *scale).map_err(external)?;
                Ok(ScalarValue::Decimal128(result, *precision, *scale))
            }
            (_, other) => internal_err!("a variance cannot be {other}"),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + match &self.moments {
                Moments::Integer(moments) => moments.outside_bytes(),
                Moments::Float(moments) => moments.outside_bytes(),
            }
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let bytes = match &self.moments {
            Moments::Integer(moments) => moments.encode(),
            Moments::Float(moments) => moments.encode(),
        };
        Ok(vec![ScalarValue::Binary(Some(bytes))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for state in states[0].as_binary::<i32>().iter().flatten() {
            match &mut self.moments {
                Moments::Integer(moments) => moments.merge(&IntegerMoments::decode(state).map_err(external)?),
                Moments::Float(moments) => moments.merge(&FloatMoments::decode(state).map_err(external)?),
            }
        }
        Ok(())
    }
}
