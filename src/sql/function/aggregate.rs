//! Aggregates with Postgres' results and result types (listed at `weir_common::plan::AggregateCall`); here `sum` and `avg`, exact.

mod deviation; // variance and stddev
mod exact; // integers and decimals
mod extreme; // min and max
mod float; // floats, compensated

use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{HashSet, Result, ScalarValue};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, Volatility};
use weir_common::error::{Error, SqlState};
use weir_common::numeric::{AVG_SCALE, PRECISION};
use weir_common::types::PgType;

use crate::context::external;
pub(crate) use crate::function::aggregate::deviation::Deviation;
use crate::function::aggregate::exact::{ExactAccumulator, ExactGroups};
pub(crate) use crate::function::aggregate::extreme::Extreme;
use crate::function::aggregate::float::{FloatAccumulator, FloatGroups};

/// Which aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Sum,
    Avg,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Sum => "sum",
            Kind::Avg => "avg",
        }
    }

    /// The result's type, after the argument was coerced.
    pub(crate) fn output(self, input: &DataType) -> DataType {
        match (self, input) {
            (Kind::Sum, DataType::Int16 | DataType::Int32) => DataType::Int64,
            (Kind::Sum, DataType::Int64) => DataType::Decimal128(PRECISION, 0),
            (Kind::Sum, DataType::Decimal128(_, scale)) => DataType::Decimal128(PRECISION, *scale),
            (Kind::Avg, DataType::Int16 | DataType::Int32 | DataType::Int64) => DataType::Decimal128(PRECISION, AVG_SCALE),
            (Kind::Avg, DataType::Decimal128(_, scale)) => DataType::Decimal128(PRECISION, AVG_SCALE.max(*scale)),
            (Kind::Avg, DataType::Float32) => DataType::Float64,
            (_, other) => other.clone(),
        }
    }
}

/// `sum` or `avg`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct ExactAggregate {
    pub kind: Kind,
    signature: Signature,
}

impl ExactAggregate {
    pub(crate) fn new(kind: Kind) -> Self {
        ExactAggregate { kind, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn shape(&self, args: &AccumulatorArgs) -> Shape {
        Shape { kind: self.kind, input: args.expr_fields[0].data_type().clone(), output: args.return_field.data_type().clone() }
    }
}

/// What an accumulator computes.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    kind: Kind,
    input: DataType,
    output: DataType,
}

impl Shape {
    fn is_float(&self) -> bool {
        matches!(self.input, DataType::Float32 | DataType::Float64)
    }
}

impl AggregateUDFImpl for ExactAggregate {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn aliases(&self) -> &[String] {
        &[]
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        // What has no sum is refused by `return_type`: DataFusion would bury an error from here in its own.
        let [argument] = arg_types else {
            return Ok(arg_types.to_vec());
        };
        Ok(vec![match number(argument) {
            DataType::Interval(_) if self.kind == Kind::Sum => PgType::Interval.arrow(),
            other => other,
        }])
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Float32 | DataType::Float64 | DataType::Decimal128(..)] => {}
            [DataType::Interval(_)] if self.kind == Kind::Sum => {}
            _ => return Err(external(no_such(self.name(), arg_types))),
        }
        Ok(self.kind.output(&arg_types[0]))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let shape = self.shape(&args);
        if matches!(shape.input, DataType::Interval(_)) {
            return sum_udaf().accumulator(args);
        }
        let inner: Box<dyn Accumulator> = match shape.is_float() {
            true => Box::new(FloatAccumulator::new(shape.clone())),
            false => Box::new(ExactAccumulator::new(shape.clone())),
        };
        match args.is_distinct {
            true => Ok(Box::new(Distinct::new(shape.input, inner))),
            false => Ok(inner),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |name: &str, data_type: DataType| Arc::new(Field::new(format_state_name(args.name, name), data_type, true));
        let input = args.input_fields[0].data_type();
        Ok(match input {
            DataType::Interval(_) => return sum_udaf().state_fields(args),
            _ if args.is_distinct => vec![distinct_state(&args)],
            DataType::Float32 | DataType::Float64 => {
                vec![field("sum", DataType::Float64), field("rest", DataType::Float64), field("count", DataType::Int64)]
            }
            _ => vec![field("sum", DataType::Decimal128(PRECISION, 0)), field("count", DataType::Int64)],
        })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct && !matches!(args.expr_fields[0].data_type(), DataType::Interval(_))
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let shape = self.shape(&args);
        match shape.is_float() {
            true => Ok(Box::new(FloatGroups::new(shape))),
            false => Ok(Box::new(ExactGroups::new(shape))),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The type in which numbers are added up; what is none stays what it is.
fn number(argument: &DataType) -> DataType {
    match argument {
        DataType::Dictionary(_, value) => number(value),
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Decimal256(_, s) => DataType::Decimal128(PRECISION, *s),
        DataType::Null => DataType::Float64,
        other => other.clone(),
    }
}

/// The state of an aggregate over different values: a list of them.
fn distinct_state(args: &StateFieldsArgs) -> FieldRef {
    let list = DataType::List(Arc::new(Field::new_list_field(args.input_fields[0].data_type().clone(), true)));
    Arc::new(Field::new(format_state_name(args.name, "distinct"), list, true))
}

/// The error for a function and argument types that do not go together.
pub(crate) fn no_such(name: &str, arguments: &[DataType]) -> Error {
    let types: Vec<String> = arguments.iter().map(|argument| PgType::of_arrow(argument).spelling()).collect();
    Error::new(SqlState::UNDEFINED_FUNCTION, format!("function {name}({}) does not exist", types.join(", ")))
        .with_hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

/// Every value once, then the aggregate over them.
#[derive(Debug)]
struct Distinct {
    values: HashSet<ScalarValue>,
    input: DataType,
    inner: Box<dyn Accumulator>,
}

impl Distinct {
    fn new(input: DataType, inner: Box<dyn Accumulator>) -> Self {
        Distinct { values: HashSet::new(), input, inner }
    }
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for row in 0..values[0].len() {
            if values[0].is_valid(row) {
                // One zero.
                self.values.insert(match ScalarValue::try_from_array(&values[0], row)? {
                    ScalarValue::Float32(Some(value)) => ScalarValue::Float32(Some(value + 0.0)),
                    ScalarValue::Float64(Some(value)) => ScalarValue::Float64(Some(value + 0.0)),
                    other => other,
                });
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if !self.values.is_empty() {
            let values = ScalarValue::iter_to_array(self.values.drain())?;
            self.inner.update_batch(&[values])?;
        }
        self.inner.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<ScalarValue>() + self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: Vec<ScalarValue> = self.values.iter().cloned().collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&values, &self.input))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = datafusion::common::cast::as_list_array(&states[0])?;
        for values in lists.iter().flatten() {
            self.update_batch(&[values])?;
        }
        Ok(())
    }
}
