//! A view's query to the plan that maintains it, or a refusal with its reason and a hint.

mod aggregate; // GROUP BY
mod facts; // what is known about each step
mod lateness; // when windows are shown and closed
mod keys; // grouping keys that follow from others
mod refuse; // what cannot be maintained, and what to write instead
mod rules; // the optimizer's rules that are right for a plan that never ends
mod session; // SESSION
mod temporal; // comparisons with now()
mod windows; // HOP and CUMULATE

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Distinct, Expr, Filter, LogicalPlan, Projection, TableScan, Union, utils::conjunction};
use datafusion::sql::planner::PlannerContext;
use datafusion::sql::sqlparser::ast;
use weir_common::error::{Error, Result, SqlState};
use weir_common::expr::{Column, ExprRef};
use weir_common::ids::RelationId;
use weir_common::lateness::{Final, WindowLife};
use weir_common::limits::LATE_ENTRIES_MAX;
use weir_common::plan::{Facts, Node, Op};

use crate::catalog::{Catalog, ColumnDef, Relation};
use crate::context::table::RelationTable;
use crate::context::{Context, external};
use crate::expr::{compile, compile_as};
use crate::function::window::HasEventTime;
use crate::lower::lateness::Policy;
use crate::micros;
use crate::names::display_name;
use crate::parameter;
use crate::parser;
use crate::read::{output_schema, relations};
use crate::statement::Statement;
use crate::window::closed;

pub use crate::lower::lateness::WindowClauses;

/// A materialized view that can be built.
#[derive(Clone, Debug)]
pub struct ViewPlan {
    /// What computes it; `root.facts` is what is known about its rows.
    pub root: Node,
    /// Its columns.
    pub columns: Vec<ColumnDef>,
    /// Their Arrow form: the schema of `root`.
    pub schema: SchemaRef,
    /// The relations that its query names, plain views included.
    pub depends_on: Vec<RelationId>,
    /// The relations whose rows it reads, plain views seen through.
    pub reads: Vec<RelationId>,
    /// What the user should know (SQLSTATE 00000).
    pub notices: Vec<Error>,
    /// What is promised to views that read it: as `root.facts`, but for what happens only where no such view is.
    pub promised: Facts,
    /// The columns of its late rows, if it takes any out.
    pub late: Option<Vec<ColumnDef>>,
    /// How many of its late rows are kept.
    pub late_entries_max: u64,
    /// Whether these can be admitted: enough of closed windows is kept.
    pub admits_late: bool,
    /// The life of the windows that its rows are of, where they show which those are and a watermark closes them.
    pub life: Option<WindowLife>,
}

impl ViewPlan {
    /// The same rows, each once it is final. `None` where none ever is: no watermark closes the windows that the rows are of, or the rows
    /// do not show which those are.
    pub fn held_back(self) -> Option<ViewPlan> {
        let WindowLife { closing, lateness, .. } = self.life.clone()?;
        let facts = Facts { append_only: true, ..self.root.facts.clone() };
        let op = Op::HoldBack(Final { closing, lateness });
        let root = Node { op, schema: self.schema.clone(), inputs: vec![self.root], facts: facts.clone() };
        Some(ViewPlan { root, promised: facts, ..self })
    }
}

/// A plain view that can be planned.
#[derive(Clone, Debug)]
pub struct PlainView {
    /// Its columns.
    pub columns: Vec<ColumnDef>,
    /// The relations that its query names.
    pub depends_on: Vec<RelationId>,
}

/// Plans a materialized view. `name` is for messages, `columns` are the names in `CREATE MATERIALIZED VIEW v (a, b)`: none,
/// or at most as many as the query has.
pub fn plan_view(
    catalog: &Catalog,
    name: &str,
    query: &ast::Query,
    sql: &str,
    columns: &[String],
    clauses: &WindowClauses,
) -> Result<ViewPlan> {
    let context = Context::for_view(catalog.clone());
    let policy = clauses.policy(&context, sql)?;
    refuse_parameters(query)?;
    let failed = |error| context.error(error, sql);
    closed::ask::refuse(query, catalog).map_err(failed)?;
    let plan = context.bind(query.clone(), PlannerContext::new()).map_err(failed)?;
    let plan = context.analyze(plan).map_err(failed)?;
    let mut notices = Vec::new();
    let plan = without_final_sort(plan, name, &mut notices);
    let plan = temporal::mark(plan, query).map_err(failed)?;
    refuse::check(&plan, query).map_err(failed)?;
    let output = output_schema(&plan)?;
    let optimized = rules::optimize(plan.clone(), context.config());
    // A constant may be one that nanoseconds do not know: such a view is without any from the start.
    let plan = optimized.or_else(|_| rules::optimize(micros::in_plan(plan)?, context.config())).map_err(failed)?;
    let lowering = Lowering { context: &context, policy: &policy };
    let root = lowering.node(&plan).and_then(|root| lowering.served(root, &plan, &output)).map_err(failed)?;
    policy.check(&root)?;
    let (promised, late) = (lateness::promised(&root), lateness::late_columns(&root));
    let columns = named_columns(&output, columns)?;
    let schema: SchemaRef = Arc::new(Schema::new(columns.iter().map(ColumnDef::field).collect::<Vec<_>>()));
    let (mut reads, sources) = relations(&plan).map_err(failed)?;
    reads.extend(sources);
    let (root, depends_on) = (Node { schema: schema.clone(), ..root }, context.named());
    let late_entries_max = clauses.late_entries.map_or(LATE_ENTRIES_MAX, |(entries, _)| entries);
    let (admits_late, life) = (lateness::admits(&root), lateness::served(&root, catalog));
    Ok(ViewPlan { root, columns, schema, depends_on, reads, notices, promised, late, late_entries_max, admits_late, life })
}

/// Compiles a condition on the rows of a stored relation; `None` if it holds for all. It may say what the WHERE of a materialized view may
/// say of one row. Positions of errors count from the condition's start.
pub fn plan_condition(catalog: &Catalog, relation: &Relation, condition: &str) -> Result<Option<ExprRef>> {
    let before = format!("SELECT * FROM \"{}\" WHERE ", relation.name.replace('"', "\"\""));
    let sql = format!("{before}{condition}");
    let inside = |error: Error| match error.position().and_then(|position| position.checked_sub(before.chars().count())) {
        Some(position) => error.with_position(position),
        None => error,
    };
    let statement = parser::parse(&sql).map_err(inside)?.pop().map(|parsed| parsed.statement);
    let Some(Statement::Query(query)) = statement else { return Err(Error::internal("a condition made no query")) };
    let plan = plan_view(catalog, &relation.name, &query, &sql, &[], &WindowClauses::default()).map_err(inside)?;
    let columns: Vec<usize> = (0..relation.columns.len()).collect();
    let is_whole = |node: &Node| matches!(&node.op, Op::Import { columns: read, .. } if *read == columns);
    match (&plan.root.op, plan.root.inputs.as_slice()) {
        (Op::Filter { predicate }, [input]) if is_whole(input) => Ok(Some(predicate.clone())),
        (Op::Import { .. }, _) if is_whole(&plan.root) => Ok(None),
        _ => Err(Error::unsupported("this condition is not supported")
            .with_hint("It can say something of the columns of one row only, and nothing of now().")
            .with_position(1)),
    }
}

impl Context {
    /// Plans a plain view: it has to be a query that can be read now.
    pub fn plan_plain_view(&self, query: &ast::Query, sql: &str, columns: &[String]) -> Result<PlainView> {
        refuse_parameters(query)?;
        closed::ask::refuse(query, &self.catalog).map_err(|error| self.error(error, sql))?;
        let plan = self.bind(query.clone(), PlannerContext::new()).and_then(|plan| self.analyze(plan));
        let plan = plan.map_err(|error| self.error(error, sql))?;
        let columns = named_columns(&output_schema(&plan)?, columns)?;
        Ok(PlainView { columns, depends_on: self.named() })
    }

    /// The columns of `CREATE TABLE AS`, with the names that it gives.
    pub fn query_columns(&self, query: &ast::Query, sql: &str, columns: &[String]) -> Result<Vec<ColumnDef>> {
        Ok(self.plan_plain_view(query, sql, columns)?.columns)
    }
}

fn refuse_parameters(query: &ast::Query) -> Result<()> {
    match parameter::count(query) {
        0 => Ok(()),
        _ => {
            Err(Error::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1")
                .with_hint("A view's definition cannot have parameters."))
        }
    }
}

/// ORDER BY means nothing in a relation; a LIMIT that goes with it stays and is refused.
fn without_final_sort(plan: LogicalPlan, name: &str, notices: &mut Vec<Error>) -> LogicalPlan {
    match plan {
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
            let message = format!("ORDER BY in materialized view \"{name}\" is left out: a relation has no order");
            notices.push(
                Error::new(SqlState::SUCCESSFUL_COMPLETION, message).with_hint("Put the ORDER BY into the SELECT that reads the view."),
            );
            Arc::unwrap_or_clone(sort.input)
        }
        other => other,
    }
}

/// The query's columns under the names that the user listed, each name once.
fn named_columns(output: &SchemaRef, names: &[String]) -> Result<Vec<ColumnDef>> {
    if names.len() > output.fields().len() {
        return Err(Error::new(SqlState::SYNTAX_ERROR, "CREATE VIEW specifies more column names than columns"));
    }
    let mut columns: Vec<ColumnDef> = output.fields().iter().map(|field| ColumnDef::of_field(field)).collect();
    for (column, name) in columns.iter_mut().zip(names) {
        column.name = name.clone();
    }
    for (index, column) in columns.iter().enumerate() {
        if columns[..index].iter().any(|other| other.name == column.name) {
            let message = format!("column \"{}\" specified more than once", column.name);
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, message).with_hint("Give each column a name of its own with AS."));
        }
    }
    Ok(columns)
}

struct Lowering<'a> {
    context: &'a Context,
    policy: &'a Policy,
}

impl Lowering<'_> {
    /// The node that computes a plan; its columns are the plan's, by position.
    fn node(&self, plan: &LogicalPlan) -> Result<Node, DataFusionError> {
        match plan {
            LogicalPlan::TableScan(scan) => self.import(scan),
            LogicalPlan::SubqueryAlias(alias) => self.node(&alias.input),
            // An order inside a query means nothing without a LIMIT, and those are refused.
            LogicalPlan::Sort(sort) => self.node(&sort.input),
            LogicalPlan::Filter(filter) => self.filter(filter),
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Distinct(Distinct::All(input)) => self.distinct(self.node(input)?),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Unnest(unnest) => self.windows(unnest),
            LogicalPlan::Window(window) => self.session(window),
            other => Err(external(refuse::node(other))),
        }
    }

    fn import(&self, scan: &TableScan) -> Result<Node, DataFusionError> {
        let provider = source_as_provider(&scan.source)?;
        let Some(table) = provider.downcast_ref::<RelationTable>() else {
            let message = format!("a materialized view cannot read \"{}\"", scan.table_name);
            return Err(external(Error::unsupported(message).with_hint("It can read tables, sources and views.")));
        };
        if !scan.filters.is_empty() || scan.fetch.is_some() {
            return Err(external(Error::internal("a scan of a view's plan was given filters")));
        }
        let relation = &table.relation;
        let all = relation.columns.len();
        let columns: Vec<usize> = scan.projection.clone().unwrap_or_else(|| (0..all).collect());
        let facts = facts::of_relation(relation, &columns);
        let fields: Vec<Field> = columns.iter().map(|column| relation.columns[*column].field()).collect();
        let op = Op::Import { relation: relation.id, name: relation.name.clone(), columns };
        Ok(Node { op, inputs: Vec::new(), schema: Arc::new(Schema::new(fields)), facts })
    }

    /// The conditions of the row first, then those of the clock, then the demand for an event time: a row that WHERE rejects is not
    /// missed by any window, and none is kept that is never shown.
    fn filter(&self, filter: &Filter) -> Result<Node, DataFusionError> {
        let mut node = self.node(&filter.input)?;
        let schema = filter.input.schema();
        let (times, rest): (Vec<&Expr>, Vec<&Expr>) =
            split_conjunction(&filter.predicate).into_iter().partition(|expr| event_time(expr).is_some());
        let (clocks, rest): (Vec<&Expr>, Vec<&Expr>) = rest.into_iter().partition(|expr| temporal::is_temporal(expr));
        if let Some(predicate) = conjunction(rest.into_iter().cloned()) {
            let predicate = compile_as(&predicate, schema, self.context.config(), DataType::Boolean)?;
            let facts = node.facts.clone();
            node = Node { op: Op::Filter { predicate }, schema: node.schema.clone(), inputs: vec![node], facts };
        }
        if !clocks.is_empty() {
            node = self.temporal(node, clocks, schema)?;
        }
        for time in times.into_iter().filter_map(event_time) {
            node = self.require_event_time(node, time, schema)?;
        }
        Ok(node)
    }

    fn require_event_time(&self, node: Node, time: &Expr, schema: &DFSchema) -> Result<Node, DataFusionError> {
        let width = node.schema.fields().len();
        let compiled = compile(time, schema, self.context.config())?;
        let require = |node: Node, column: usize| {
            let facts = node.facts.clone();
            Node { op: Op::RequireEventTime { column }, schema: node.schema.clone(), inputs: vec![node], facts }
        };
        if let Some(column) = compiled.as_column() {
            return Ok(require(node, column));
        }
        // A computed time: beside the columns, only to be looked at.
        let mut exprs = columns_of(&node.schema);
        let mut fields: Vec<Field> = node.schema.fields().iter().map(|field| field.as_ref().clone()).collect();
        fields.push(Field::new("event_time", compiled.data_type().clone(), true));
        exprs.push(compiled);
        let (plain, back) = (node.schema.clone(), columns_of(&node.schema));
        let node = require(project(node, exprs, Arc::new(Schema::new(fields))), width);
        Ok(project(node, back, plain))
    }

    fn projection(&self, projection: &Projection) -> Result<Node, DataFusionError> {
        let input = self.node(&projection.input)?;
        let exprs = projection.expr.iter().map(|expr| compile(expr, projection.input.schema(), self.context.config()));
        let exprs = exprs.collect::<Result<Vec<_>, _>>()?;
        let steps = facts::steps(&projection.expr, projection.input.schema());
        let schema = schema_of(&projection.schema);
        Ok(project_with(input, exprs, schema, &steps))
    }

    fn union(&self, union: &Union) -> Result<Node, DataFusionError> {
        let inputs = union.inputs.iter().map(|input| self.node(input)).collect::<Result<Vec<_>, _>>()?;
        let schema = schema_of(&union.schema);
        // The analyzer has cast all inputs to the same types.
        for input in &inputs {
            let types = |schema: &Schema| schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
            if types(&input.schema) != types(&schema) {
                return Err(external(Error::internal("the inputs of a UNION have different types")));
            }
        }
        let facts = facts::of_union(&inputs);
        Ok(Node { op: Op::UnionAll, inputs, schema, facts })
    }

    /// The last step: the columns in the types in which they are stored and served.
    fn served(&self, root: Node, plan: &LogicalPlan, output: &SchemaRef) -> Result<Node, DataFusionError> {
        let same = root.schema.fields().iter().zip(output.fields()).all(|(have, want)| have.data_type() == want.data_type());
        if same {
            return Ok(root);
        }
        let schema = plan.schema();
        let columns: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
        let exprs = columns
            .iter()
            .zip(output.fields())
            .map(|(column, field)| compile_as(column, schema, self.context.config(), field.data_type().clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let steps = facts::steps(&columns, schema);
        Ok(project_with(root, exprs, output.clone(), &steps))
    }
}

/// The time that a condition demands, if that is what it does.
fn event_time(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(call) if call.func.inner().downcast_ref::<HasEventTime>().is_some() => call.args.first(),
        _ => None,
    }
}

/// All columns as they are.
fn columns_of(schema: &Schema) -> Vec<ExprRef> {
    let column = |(index, field): (usize, &Arc<Field>)| -> ExprRef {
        Arc::new(Column { index, name: field.name().clone(), data_type: field.data_type().clone() })
    };
    schema.fields().iter().enumerate().map(column).collect()
}

/// A projection whose plain columns carry their facts along.
fn project(input: Node, exprs: Vec<ExprRef>, schema: SchemaRef) -> Node {
    let steps: Vec<_> = exprs.iter().map(|expr| expr.as_column().map(|column| (column, Vec::new()))).collect();
    project_with(input, exprs, schema, &steps)
}

fn project_with(input: Node, exprs: Vec<ExprRef>, schema: SchemaRef, steps: &[facts::Step]) -> Node {
    let identity =
        exprs.len() == input.schema.fields().len() && exprs.iter().enumerate().all(|(index, expr)| expr.as_column() == Some(index));
    if identity {
        return Node { schema, ..input };
    }
    let facts = facts::of_projection(&input.facts, &exprs, steps);
    // Columns of a projection are that projection with fewer columns.
    if let (Op::Project { exprs: below }, Some(columns)) =
        (&input.op, exprs.iter().map(|expr| expr.as_column()).collect::<Option<Vec<_>>>())
    {
        let exprs = columns.into_iter().map(|column| below[column].clone()).collect();
        return Node { op: Op::Project { exprs }, inputs: input.inputs, schema, facts };
    }
    Node { op: Op::Project { exprs }, inputs: vec![input], schema, facts }
}

/// The Arrow form of a plan's output: all nullable, client's names.
fn schema_of(schema: &DFSchema) -> SchemaRef {
    let field = |field: &Arc<Field>| field.as_ref().clone().with_name(display_name(field.name())).with_nullable(true);
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}
