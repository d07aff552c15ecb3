//! Correlated subqueries, evaluated for the rows that ask.
//!
//! DataFusion plans a correlated subquery only where it can turn it into a join. Catalog queries have them everywhere:
//! `ARRAY(SELECT ..)`, scalar ones without an aggregate, `EXISTS` inside a CASE. The rewriter turns such a subquery into
//! `weir_subquery(kind, 'SELECT .. $1 ..', outer1, ..)`, a function of what it takes from outside. This function collects the
//! distinct values from outside, joins the subquery with them as a table and runs that once; when a clause does not commute
//! with the join (LIMIT, an aggregate), it runs the subquery for each.

mod outer; // the values from outside

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, RecordBatch, UInt32Array, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, concat, concat_batches, take};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::sql::sqlparser::ast;
use weir_common::error::{Error, SqlState};
use weir_common::types::PgType;

use self::outer::{OUTER, join_with_outer, outer_rows, parse, substitute};
use super::facts::SessionFacts;
use super::function::external;
use super::functions::functions;
use super::provider;
use crate::catalog::Catalog;
use crate::context::{Context, Settings, System};

/// The function's name.
pub(super) const NAME: &str = "weir_subquery";

/// What a subquery's rows become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Scalar,
    Array,
    Exists,
}

/// `weir_subquery`.
#[derive(Debug)]
pub(super) struct Subquery {
    facts: Arc<SessionFacts>,
    signature: Signature,
    fields: Mutex<HashMap<(String, Vec<DataType>), FieldRef>>,
}

/// The system relations and functions alone, and the values from outside.
#[derive(Debug)]
pub(super) struct Inside {
    facts: Arc<SessionFacts>,
    functions: OnceLock<Vec<Arc<ScalarUDF>>>,
    outer: Option<RecordBatch>,
}

impl Inside {
    pub fn new(facts: Arc<SessionFacts>, outer: Option<RecordBatch>) -> Self {
        Inside { facts, functions: OnceLock::new(), outer }
    }
}

impl System for Inside {
    fn table(&self, schema: &str, name: &str) -> Option<Arc<dyn TableProvider>> {
        if let Some(outer) = self.outer.as_ref().filter(|_| name == OUTER) {
            let table = MemTable::try_new(outer.schema(), vec![vec![outer.clone()]]).ok()?;
            return Some(Arc::new(table));
        }
        provider::table(&self.facts, schema, name)
    }

    fn function(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.get_or_init(|| functions(&self.facts)).iter().find(|function| function.name() == name).cloned()
    }

    fn rewrite(&self, query: &mut ast::Query) -> weir_common::error::Result<()> {
        super::rewrite(query, &self.facts)
    }
}

impl PartialEq for Subquery {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.facts, &other.facts)
    }
}

impl Eq for Subquery {}

impl Hash for Subquery {
    fn hash<H: Hasher>(&self, state: &mut H) {
        NAME.hash(state);
    }
}

impl Subquery {
    pub fn new(facts: Arc<SessionFacts>) -> Self {
        Subquery { facts, signature: Signature::variadic_any(Volatility::Stable), fields: Mutex::default() }
    }

    fn context(&self, outer: Option<RecordBatch>) -> Context {
        let settings = Settings { now_micros: self.facts.now, ..Settings::default() };
        Context::new(Catalog::default(), Arc::new(Inside::new(self.facts.clone(), outer)), &settings)
    }

    /// Runs a query that reads memory alone, on a thread of its own: the caller may be inside an executor already.
    fn run(&self, query: ast::Query, outer: Option<RecordBatch>) -> Result<RecordBatch> {
        let context = self.context(outer);
        let work = async {
            let plan = context.plan_query(&query, "", &[]).map_err(external)?;
            let rows = context.execute(&plan, &[], Arc::new(HashMap::new())).await.map_err(external)?;
            let schema = rows.schema.clone();
            let batches = rows.collect().await.map_err(external)?;
            let found = batches.first().map_or(schema, RecordBatch::schema);
            Ok(concat_batches(&found, &batches)?)
        };
        let on_thread =
            || tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(DataFusionError::IoError)?.block_on(work);
        std::thread::scope(|scope| scope.spawn(on_thread).join())
            .map_err(|_| external(Error::internal("a subquery of a catalog query panicked")))?
    }

    /// The field of the subquery's first column, planned with NULLs for what comes from outside.
    fn field(&self, shape: Shape, sql: &str, types: &[DataType]) -> Result<FieldRef> {
        if shape == Shape::Exists {
            return Ok(Arc::new(Field::new(NAME, DataType::Boolean, true)));
        }
        let key = (sql.to_string(), types.to_vec());
        let mut fields = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(field) = fields.get(&key) {
            return Ok(wrap(shape, field));
        }
        let nulls = types.iter().map(ScalarValue::try_from).collect::<Result<Vec<_>>>()?;
        let plan = self.context(None).plan_query(&substitute(parse(sql)?, &nulls), "", &[]).map_err(external)?;
        let field = plan.schema.fields().first().cloned().unwrap_or_else(|| Arc::new(Field::new(NAME, DataType::Utf8, true)));
        fields.insert(key, field.clone());
        Ok(wrap(shape, &field))
    }

    /// Rows of the subquery and, for each, which of the tuples it belongs to.
    fn evaluate(&self, shape: Shape, sql: &str, tuples: &[Vec<ScalarValue>]) -> Result<(Vec<i64>, Option<ArrayRef>)> {
        let query = parse(sql)?;
        if let Some(joined) = join_with_outer(&query, shape) {
            let batch = self.run(joined, Some(outer_rows(tuples)?))?;
            let rows = cast(batch.column(0), &DataType::Int64)?;
            return Ok((rows.as_primitive::<Int64Type>().values().to_vec(), batch.columns().get(1).cloned()));
        }
        let mut rows = Vec::new();
        let mut parts = Vec::new();
        for (number, tuple) in tuples.iter().enumerate() {
            let batch = self.run(substitute(query.clone(), tuple), None)?;
            rows.extend(std::iter::repeat_n(number as i64, batch.num_rows()));
            parts.extend(batch.columns().first().cloned());
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        Ok((rows, if parts.is_empty() { None } else { Some(concat(&parts)?) }))
    }
}

fn wrap(shape: Shape, field: &FieldRef) -> FieldRef {
    match shape {
        Shape::Scalar => Arc::new(field.as_ref().clone().with_name(NAME).with_nullable(true)),
        Shape::Array => {
            let item = Field::new("item", field.data_type().clone(), true);
            let element = PgType::of_field(field);
            let list = Field::new(NAME, DataType::List(Arc::new(item)), true);
            let plain = PgType::of_arrow(list.data_type());
            let array = PgType::Array(Box::new(element));
            if plain == array { Arc::new(list) } else { Arc::new(list.with_metadata(array.field("").metadata().clone())) }
        }
        Shape::Exists => Arc::new(Field::new(NAME, DataType::Boolean, true)),
    }
}

fn constant(argument: Option<&ScalarValue>) -> Result<&str> {
    match argument {
        Some(ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text))) => Ok(text),
        _ => Err(external(Error::internal("weir_subquery() was not called by the rewriter"))),
    }
}

fn shape(name: &str) -> Result<Shape> {
    match name {
        "scalar" => Ok(Shape::Scalar),
        "array" => Ok(Shape::Array),
        "exists" => Ok(Shape::Exists),
        _ => Err(external(Error::internal("weir_subquery() knows no such shape"))),
    }
}

impl ScalarUDFImpl for Subquery {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Err(external(Error::internal("the type of weir_subquery() depends on its arguments")))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let shape = shape(constant(args.scalar_arguments.first().copied().flatten())?)?;
        let sql = constant(args.scalar_arguments.get(1).copied().flatten())?;
        let types: Vec<DataType> = args.arg_fields.iter().skip(2).map(|field| field.data_type().clone()).collect();
        self.field(shape, sql, &types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [kind, sql, outer @ ..] = args.args.as_slice() else {
            return Err(external(Error::internal("weir_subquery() was not called by the rewriter")));
        };
        let text = |argument: &ColumnarValue| match argument {
            ColumnarValue::Scalar(value) => constant(Some(value)).map(str::to_string),
            ColumnarValue::Array(_) => constant(None).map(str::to_string),
        };
        let (shape, sql) = (shape(&text(kind)?)?, text(sql)?);
        let alone = outer.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let count = if alone { 1 } else { args.number_rows };
        let outer = outer.iter().map(|argument| argument.to_array(count)).collect::<Result<Vec<_>>>()?;

        // One number for each distinct tuple, and each row's number.
        let mut numbers: HashMap<Vec<ScalarValue>, usize> = HashMap::new();
        let mut tuples = Vec::new();
        let mut of_row = Vec::with_capacity(count);
        for row in 0..count {
            let tuple = outer.iter().map(|column| ScalarValue::try_from_array(column, row)).collect::<Result<Vec<_>>>()?;
            let next = numbers.len();
            of_row.push(*numbers.entry(tuple.clone()).or_insert_with(|| {
                tuples.push(tuple);
                next
            }));
        }
        if count == 0 {
            return Ok(ColumnarValue::Array(new_null_array(args.return_field.data_type(), 0)));
        }
        let (rows, values) = self.evaluate(shape, &sql, &tuples)?;
        let mut found: Vec<Vec<u32>> = vec![Vec::new(); tuples.len()];
        for (at, row) in rows.iter().enumerate() {
            found[*row as usize].push(at as u32);
        }
        let returns = args.return_field.data_type();
        let result = match (shape, values) {
            (Shape::Exists, _) => {
                Arc::new(BooleanArray::from_iter(of_row.iter().map(|number| Some(!found[*number].is_empty())))) as ArrayRef
            }
            (Shape::Scalar, Some(values)) => {
                if found.iter().any(|rows| rows.len() > 1) {
                    let message = "more than one row returned by a subquery used as an expression";
                    return Err(external(Error::new(SqlState::CARDINALITY_VIOLATION, message)));
                }
                let picks: UInt32Array = of_row.iter().map(|number| found[*number].first().copied()).collect();
                cast(&take(&values, &picks, None)?, returns)?
            }
            (Shape::Array, Some(values)) => {
                let picks: UInt32Array = of_row.iter().flat_map(|number| found[*number].iter().copied().map(Some)).collect();
                let DataType::List(item) = returns else { return Err(external(Error::internal("an array has no list type"))) };
                let items = cast(&take(&values, &picks, None)?, item.data_type())?;
                let lengths = OffsetBuffer::from_lengths(of_row.iter().map(|number| found[*number].len()));
                Arc::new(ListArray::new(item.clone(), lengths, items, None))
            }
            (_, None) => new_null_array(returns, count),
        };
        if alone { Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)) } else { Ok(ColumnarValue::Array(result)) }
    }
}
