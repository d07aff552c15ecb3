//! Correlated subqueries, evaluated for the rows that ask.
//!
//! DataFusion plans a correlated subquery only where it can turn it into a join. Catalog queries have them everywhere:
//! `ARRAY(SELECT ..)`, scalar ones without an aggregate, `EXISTS` inside a CASE. The rewriter turns such a subquery into
//! `weir_subquery(kind, 'SELECT .. $1 ..', outer1, ..)`, a function of what it takes from outside. This function collects the
//! distinct values from outside, joins the subquery with them as a table and runs that once; when a clause does not commute
//! with the join (LIMIT, an aggregate), it runs the subquery for each.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{cast, concat, concat_batches, take};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema};
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::{self, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use weir_common::error::{Error, SqlState};
use weir_common::types::PgType;

use super::facts::SessionFacts;
use super::function::external;
use super::functions::functions;
use super::provider;
use super::rewrite::{aggregates, placeholders};

/// The function's name.
pub(super) const NAME: &str = "weir_subquery";
/// The table of values from outside, and its column of row numbers.
const OUTER: &str = "weir_outer_rows";
const ROW: &str = "weir_row";

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
    context: OnceLock<SessionContextBox>,
    fields: Mutex<HashMap<(String, Vec<DataType>), FieldRef>>,
}

/// A context without its long debug output.
struct SessionContextBox(SessionContext);

impl std::fmt::Debug for SessionContextBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionContext")
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

/// A session over the system relations alone.
pub(super) fn context(facts: &Arc<SessionFacts>) -> SessionContext {
    static RUNTIME: LazyLock<Arc<RuntimeEnv>> = LazyLock::new(Arc::default);
    let mut config = SessionConfig::new().with_target_partitions(1).with_default_catalog_and_schema("weir", "public");
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    let state = SessionStateBuilder::new_with_default_features().with_config(config).with_runtime_env(RUNTIME.clone()).build();
    let context = SessionContext::new_with_state(state);
    let catalog = context.catalog("weir").expect("the default catalog exists");
    for name in ["pg_catalog", "information_schema"] {
        let schema = provider::schema(facts, name).expect("the system's schemas exist");
        catalog.register_schema(name, schema).expect("a schema in memory can be registered");
    }
    for function in functions(facts) {
        context.register_udf(function.as_ref().clone());
    }
    context
}

impl Subquery {
    pub fn new(facts: Arc<SessionFacts>) -> Self {
        Subquery { facts, signature: Signature::variadic_any(Volatility::Stable), context: OnceLock::new(), fields: Mutex::default() }
    }

    fn context(&self) -> &SessionContext {
        &self.context.get_or_init(|| SessionContextBox(context(&self.facts))).0
    }

    /// Runs a query that reads memory alone, on a thread of its own: the caller may be inside an executor already.
    fn run(&self, query: ast::Query, outer: Option<RecordBatch>) -> Result<RecordBatch> {
        let context = self.context();
        if let Some(outer) = outer {
            context.deregister_table(OUTER)?;
            context.register_table(OUTER, Arc::new(MemTable::try_new(outer.schema(), vec![vec![outer]])?))?;
        }
        let work = async {
            let statement = DfStatement::Statement(Box::new(ast::Statement::Query(Box::new(query))));
            let plan = context.state().statement_to_plan(statement).await?;
            let frame = context.execute_logical_plan(plan).await?;
            let schema = frame.schema().inner().clone();
            let batches = frame.collect().await?;
            let found = batches.first().map_or(schema, RecordBatch::schema);
            Ok(concat_batches(&found, &batches)?)
        };
        let on_thread = || tokio::runtime::Builder::new_current_thread().build().map_err(DataFusionError::IoError)?.block_on(work);
        std::thread::scope(|scope| scope.spawn(on_thread).join())
            .map_err(|_| external(Error::internal("a subquery of a catalog query panicked")))?
    }

    /// The field of the subquery's first column, planned with NULLs for what comes from outside.
    fn field(&self, shape: Shape, sql: &str, types: &[DataType]) -> Result<FieldRef> {
        if shape == Shape::Exists {
            return Ok(Arc::new(Field::new(NAME, DataType::Boolean, true)));
        }
        let key = (sql.to_string(), types.to_vec());
        if let Some(field) = self.fields.lock().expect("no thread panics with the lock").get(&key) {
            return Ok(wrap(shape, field));
        }
        let nulls = types.iter().map(ScalarValue::try_from).collect::<Result<Vec<_>>>()?;
        let batch = self.run(substitute(parse(sql)?, &nulls), None)?;
        let field = batch.schema().fields().first().cloned().unwrap_or_else(|| Arc::new(Field::new(NAME, DataType::Null, true)));
        self.fields.lock().expect("no thread panics with the lock").insert(key, field.clone());
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

fn parse(sql: &str) -> Result<ast::Query> {
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql)?;
    match statements.pop() {
        Some(ast::Statement::Query(query)) => Ok(*query),
        _ => Err(external(Error::internal("a subquery is no query"))),
    }
}

/// The distinct values from outside as a table: their numbers, then a column for each `$n`.
fn outer_rows(tuples: &[Vec<ScalarValue>]) -> Result<RecordBatch> {
    let mut columns: Vec<(String, ArrayRef)> = vec![(ROW.to_string(), Arc::new(Int64Array::from_iter_values(0..tuples.len() as i64)))];
    for at in 0..tuples.first().map_or(0, Vec::len) {
        let values = ScalarValue::iter_to_array(tuples.iter().map(|tuple| tuple[at].clone()))?;
        columns.push((parameter(at), values));
    }
    let fields: Vec<Field> = columns.iter().map(|(name, values)| Field::new(name, values.data_type().clone(), true)).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, values)| values).collect())?)
}

fn parameter(at: usize) -> String {
    format!("weir_p{}", at + 1)
}

/// The query with `weir_outer_rows` joined in and its row number as the first column; `None` where that would change it.
fn join_with_outer(query: &ast::Query, shape: Shape) -> Option<ast::Query> {
    let ast::SetExpr::Select(select) = query.body.as_ref() else { return None };
    let plain_group = matches!(&select.group_by, ast::GroupByExpr::Expressions(by, modifiers) if by.is_empty() && modifiers.is_empty());
    let commutes = plain_group && select.having.is_none() && select.distinct.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    if !commutes || select.from.is_empty() || aggregates(select) || !placeholders(&select.from).is_empty() {
        return None;
    }
    let mut query = query.clone();
    // What is left in a subquery further in cannot see the joined table.
    let mut inner = Inner { depth: 0, found: false };
    let _ = query.visit(&mut inner);
    if inner.found || (query.order_by.is_some() && shape == Shape::Scalar) {
        return None;
    }
    let _ = query.visit(&mut Replace(|number: usize| identifier(&[OUTER, &parameter(number - 1)])));
    let ast::SetExpr::Select(select) = query.body.as_mut() else { return None };
    select.projection.insert(0, ast::SelectItem::UnnamedExpr(identifier(&[OUTER, ROW])));
    if shape == Shape::Exists {
        select.projection.truncate(1);
        query.order_by = None;
    }
    let factor = parse(&format!("SELECT 1 FROM {OUTER}")).ok()?;
    let ast::SetExpr::Select(mut with_outer) = *factor.body else { return None };
    select.from.append(&mut with_outer.from);
    if let Some(order_by) = &mut query.order_by {
        let ast::OrderByKind::Expressions(keys) = &mut order_by.kind else { return None };
        for key in keys.iter_mut() {
            // ORDER BY 1 means the column that is the second now.
            if let ast::Expr::Value(value) = &mut key.expr {
                let ast::Value::Number(number, _) = &mut value.value else { return None };
                *number = (number.parse::<usize>().ok()? + 1).to_string();
            }
        }
        let first = ast::OrderByExpr { expr: identifier(&[OUTER, ROW]), options: ast::OrderByOptions { asc: None, nulls_first: None }, with_fill: None };
        keys.insert(0, first);
    }
    Some(query)
}

/// Finds placeholders in queries inside the query.
struct Inner {
    depth: usize,
    found: bool,
}

impl VisitorMut for Inner {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        self.depth += 1;
        if self.depth > 1 && !placeholders(query).is_empty() {
            self.found = true;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut ast::Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

/// Puts expressions in the place of placeholders.
struct Replace<F>(F);

impl<F: FnMut(usize) -> ast::Expr> VisitorMut for Replace<F> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        if let ast::Expr::Value(value) = expr
            && let ast::Value::Placeholder(name) = &value.value
            && let Some(number) = name.strip_prefix('$').and_then(|number| number.parse().ok())
        {
            *expr = (self.0)(number);
        }
        ControlFlow::Continue(())
    }
}

fn identifier(parts: &[&str]) -> ast::Expr {
    ast::Expr::CompoundIdentifier(parts.iter().map(|part| ast::Ident::new(*part)).collect())
}

/// The query with values in the place of its placeholders.
fn substitute(mut query: ast::Query, values: &[ScalarValue]) -> ast::Query {
    let _ = query.visit(&mut Replace(|number: usize| values.get(number - 1).map_or(null(), literal)));
    query
}

fn null() -> ast::Expr {
    ast::Expr::Value(ast::Value::Null.into())
}

/// A value as an expression of exactly its type.
fn literal(value: &ScalarValue) -> ast::Expr {
    let plain = match value {
        value if value.is_null() => "NULL".to_string(),
        ScalarValue::Boolean(Some(value)) => return ast::Expr::Value(ast::Value::Boolean(*value).into()),
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => quoted(text),
        ScalarValue::List(list) => {
            let items = list.value(0);
            let items: Vec<String> = (0..items.len())
                .filter_map(|row| ScalarValue::try_from_array(&items, row).ok())
                .map(|item| literal(&item).to_string())
                .collect();
            format!("make_array({})", items.join(", "))
        }
        other if other.data_type().is_numeric() => other.to_string(),
        other => quoted(&other.to_string()),
    };
    let typed = format!("SELECT arrow_cast({plain}, {})", quoted(&value.data_type().to_string()));
    match parse(&typed).map(|query| *query.body) {
        Ok(ast::SetExpr::Select(mut select)) => match select.projection.pop() {
            Some(ast::SelectItem::UnnamedExpr(expr)) => expr,
            _ => null(),
        },
        _ => null(),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn constant<'a>(argument: Option<&'a ScalarValue>) -> Result<&'a str> {
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
                Arc::new(arrow::array::BooleanArray::from_iter(of_row.iter().map(|number| Some(!found[*number].is_empty())))) as ArrayRef
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
                Arc::new(arrow::array::ListArray::new(item.clone(), lengths, items, None::<NullBuffer>))
            }
            (_, None) => new_null_array(returns, count),
        };
        if alone { Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)) } else { Ok(ColumnarValue::Array(result)) }
    }
}
