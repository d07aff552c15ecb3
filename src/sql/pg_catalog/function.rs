//! A row-wise scalar function as a UDF: arguments of any type come in as values, the result has one type.

use std::hash::{Hash, Hasher};
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility};
use weir_common::error::{Error, Result, SqlState};
use weir_common::types::PgType;

use super::facts::SessionFacts;
use super::rows::{Value, array, values};

/// How a function computes one row.
pub(super) type Eval = fn(&SessionFacts, &[Value]) -> Result<Value>;

/// A function that clients call.
#[derive(Debug)]
pub(super) struct Function {
    pub name: &'static str,
    pub arguments: RangeInclusive<usize>,
    pub returns: PgType,
    /// Whether it sees NULL arguments; otherwise one makes the result NULL.
    pub sees_null: bool,
    /// Whether it changes something, so that it must run once for each row.
    pub volatile: bool,
    pub eval: Eval,
}

/// A function with the facts of one statement.
#[derive(Debug)]
pub(super) struct Bound {
    function: &'static Function,
    facts: Arc<SessionFacts>,
    signature: Signature,
}

impl Bound {
    pub fn new(function: &'static Function, facts: Arc<SessionFacts>) -> Self {
        let arities = function.arguments.clone().map(|n| if n == 0 { TypeSignature::Nullary } else { TypeSignature::Any(n) }).collect();
        let volatility = if function.volatile { Volatility::Volatile } else { Volatility::Stable };
        Bound { function, facts, signature: Signature::one_of(arities, volatility) }
    }

    fn row(&self, arguments: &[Value]) -> Result<Value> {
        if !self.function.sees_null && arguments.contains(&Value::Null) {
            return Ok(Value::Null);
        }
        (self.function.eval)(&self.facts, arguments)
    }
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name && Arc::ptr_eq(&self.facts, &other.facts)
    }
}

impl Eq for Bound {}

impl Hash for Bound {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

/// An error of Weir on its way through DataFusion.
pub(super) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl ScalarUDFImpl for Bound {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.function.returns.arrow())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> DataFusionResult<FieldRef> {
        Ok(Arc::new(self.function.returns.field(self.function.name)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let returns = self.function.returns.arrow();
        let constant = !self.function.volatile && args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let columns = columns.iter().map(values).collect::<Result<Vec<_>, _>>()?;
        let mut arguments = vec![Value::Null; columns.len()];
        let mut results = Vec::with_capacity(rows);
        for row in 0..rows {
            for (argument, column) in arguments.iter_mut().zip(&columns) {
                *argument = column[if column.len() == 1 { 0 } else { row }].clone();
            }
            results.push(self.row(&arguments).map_err(external)?);
        }
        let result = array(&returns, results.iter());
        if constant { Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)) } else { Ok(ColumnarValue::Array(result)) }
    }
}

/// An argument as a number: an OID may come as text.
pub(super) fn int(argument: &Value) -> Result<i64> {
    match argument {
        Value::Int(value) => Ok(*value),
        Value::Bool(value) => Ok(*value as i64),
        Value::Float(value) => Ok(*value as i64),
        Value::Text(text) => text
            .trim()
            .parse()
            .map_err(|_| Error::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type oid: \"{text}\""))),
        _ => Err(Error::new(SqlState::DATATYPE_MISMATCH, "a number was expected")),
    }
}

/// An argument as text.
pub(super) fn text(argument: &Value) -> String {
    match argument {
        Value::Null => String::new(),
        Value::Bool(value) => if *value { "t" } else { "f" }.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(text) => text.clone(),
        Value::Ints(items) => format!("{{{}}}", items.iter().map(i64::to_string).collect::<Vec<_>>().join(",")),
        Value::Texts(items) => format!("{{{}}}", items.join(",")),
    }
}

/// An argument as yes or no.
pub(super) fn flag(argument: Option<&Value>) -> bool {
    match argument {
        Some(Value::Bool(value)) => *value,
        Some(Value::Int(value)) => *value != 0,
        Some(Value::Text(text)) => matches!(text.as_str(), "t" | "true" | "on" | "yes" | "1"),
        _ => false,
    }
}

/// An argument that names a relation, by OID or by text, as an OID.
pub(super) fn relation(facts: &SessionFacts, argument: &Value) -> Result<i64> {
    match argument {
        Value::Text(name) => facts.require_regclass(name),
        other => int(other),
    }
}
