//! `TUMBLE(t, ts, size [, offset])`, `HOP(t, ts, slide, size [, offset])` and `CUMULATE(t, ts, step, size [, offset])` in FROM:
//! the rows of `t` that have an event time, once for each window that holds it, with `window_start` and `window_end`.
//! `SESSION(t [PARTITION BY k], ts, gap)`: these rows, once each, with the window of their session.

mod arguments; // what stands between the parentheses
pub(crate) mod group_by; // windows in GROUP BY
mod interval; // constant intervals
pub(crate) mod closed; // window_final
pub(crate) mod time; // window_time

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, ExprSchema, Result};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Operator, ScalarUDF, lit};
use datafusion::sql::sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned, TableFactor};
use datafusion::sql::sqlparser::tokenizer;
use weir_common::error::{Error, SqlState};
use weir_common::limits::WINDOWS_PER_ROW_MAX;
use weir_common::types::PgType;
use weir_common::window::{CumulateWindow, HopWindow, Windows};

use crate::context::{at, external};
use crate::function::arithmetic::Arithmetic;
use crate::function::same::Same;
use crate::function::window::{HasEventTime, Sessions, Window, WindowEdge, WindowEdges};
use crate::names::last_part;
use crate::window::arguments::{Arguments, CUMULATE, HOP, SESSION, TUMBLE};
use crate::window::interval::{constant, literal};

/// The column that holds a window's first moment.
pub(crate) const WINDOW_START: &str = "window_start";
/// The column that holds the moment at which a window ends.
pub(crate) const WINDOW_END: &str = "window_end";

/// The column that holds a window's last moment.
pub(crate) const WINDOW_TIME: &str = "window_time";
/// The window functions.
pub(crate) const FUNCTIONS: [&str; 4] = ["tumble", "hop", "session", "cumulate"];

/// Plans the window functions in FROM.
#[derive(Debug)]
pub(crate) struct WindowPlanner;

impl RelationPlanner for WindowPlanner {
    fn plan_relation(&self, relation: TableFactor, context: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
        let (name, args, alias, standard) = match &relation {
            TableFactor::Table { name, args: Some(args), alias, .. } => (name, args.args.clone(), alias.clone(), false),
            // TABLE(TUMBLE(...))
            TableFactor::TableFunction {
                expr: ast::Expr::Function(ast::Function { name, args: FunctionArguments::List(list), .. }),
                alias,
            } => (name, list.args.clone(), alias.clone(), true),
            _ => return Ok(RelationPlanning::Original(Box::new(relation))),
        };
        let (function, plan): (_, Plan) = match last_part(name).as_str() {
            "tumble" => (&TUMBLE, tumble),
            "hop" => (&HOP, hop),
            "session" => (&SESSION, session),
            "cumulate" => (&CUMULATE, cumulate),
            _ => return Ok(RelationPlanning::Original(Box::new(relation))),
        };
        let span = name.span();
        let arguments = Arguments::read(function, args, span)?;
        let with_time = standard || arguments.time_asked;
        let plan = plan(arguments, span, context)?;
        // A relation that has such a column keeps it.
        let has_time = plan.schema().iter().any(|(_, field)| field.name() == WINDOW_TIME);
        let plan = if with_time && !has_time { timed(plan)? } else { plan };
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// What plans a window function.
type Plan = fn(Arguments, tokenizer::Span, &mut dyn RelationPlannerContext) -> Result<LogicalPlan>;

/// The rows with `window_time` besides.
fn timed(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    columns.push(moved(WINDOW_END, -1).alias(WINDOW_TIME));
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

fn invalid(message: impl Into<String>, span: tokenizer::Span) -> DataFusionError {
    at(Error::new(SqlState::INVALID_PARAMETER_VALUE, message), span)
}

fn tumble(arguments: Arguments, span: tokenizer::Span, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let window = tumble_window(&arguments, span, context)?;
    let (input, time) = timed_input(arguments, span, context)?;
    let mut columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    for (edge, name) in [(WindowEdge::start(), WINDOW_START), (WindowEdge::end(), WINDOW_END)] {
        let [micros, months, offset] = window.arguments();
        columns.push(ScalarUDF::from(edge).call(vec![Expr::Column(time.clone()), lit(micros), lit(months), lit(offset)]).alias(name));
    }
    LogicalPlanBuilder::from(input).project(columns)?.build()
}

fn hop(arguments: Arguments, span: tokenizer::Span, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let window = hop_window(&arguments, span, context)?;
    let copies = copies(arguments, Windows::Hop(window), WINDOW_START, span, context)?;
    let mut columns: Vec<Expr> = copies.schema().columns().into_iter().map(Expr::Column).collect();
    columns.push(moved(WINDOW_START, window.size).alias(WINDOW_END));
    copies.project(columns)?.build()
}

fn cumulate(arguments: Arguments, span: tokenizer::Span, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let window = cumulate_window(&arguments, span, context)?;
    let copies = copies(arguments, Windows::Cumulate(window), WINDOW_END, span, context)?;
    let mut columns: Vec<Expr> = copies.schema().columns().into_iter().map(Expr::Column).collect();
    // Before the end; the earliest end is one step after the start.
    let [micros, months, offset] = Window::Micros { size: window.size, offset: window.offset }.arguments();
    let first = moved(WINDOW_END, -window.step);
    let start = ScalarUDF::from(WindowEdge::start()).call(vec![first, lit(micros), lit(months), lit(offset)]);
    columns.insert(columns.len() - 1, start.alias(WINDOW_START));
    copies.project(columns)?.build()
}

fn session(mut arguments: Arguments, span: tokenizer::Span, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let gap = match constant(&arguments.length, span, context)? {
        (0, micros) if micros > 0 => micros,
        (0, _) => return Err(invalid("the gap of a session must be greater than zero", span)),
        _ => {
            let error = Error::unsupported("the gap of a session cannot have months").with_hint("Use days and shorter.");
            return Err(at(error, span));
        }
    };
    let partition = std::mem::take(&mut arguments.partition);
    let (input, time) = timed_input(arguments, span, context)?;
    let partition = partition.into_iter().map(|expr| partition_column(expr, input.schema(), context)).collect::<Result<_>>()?;
    let sessions = Sessions { partition, time: Expr::Column(time), gap };
    let mut columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    let rows = LogicalPlanBuilder::from(input).window(sessions.edges())?;
    let edges: Vec<Expr> = rows.schema().columns().into_iter().skip(columns.len()).map(Expr::Column).collect();
    columns.extend(edges.into_iter().zip([WINDOW_START, WINDOW_END]).map(|(edge, name)| edge.alias(name)));
    rows.project(columns)?.build()
}

/// A column of PARTITION BY.
fn partition_column(expr: ast::Expr, schema: &DFSchema, context: &mut dyn RelationPlannerContext) -> Result<Expr> {
    let (span, text) = (expr.span(), expr.to_string());
    match context.sql_to_expr(expr, schema)? {
        column @ Expr::Column(_) => Ok(column),
        _ => {
            let error = Error::new(SqlState::SYNTAX_ERROR, format!("sessions are partitioned by columns, not by {text}"))
                .with_hint("Compute it in a subquery: SESSION((SELECT ..., expression AS k FROM t) PARTITION BY k, ts, ...).");
            Err(at(error, span))
        }
    }
}

/// A row for each window that holds its event time, with the edge that tells the window in the column `edge`, the last one.
fn copies(
    arguments: Arguments,
    windows: Windows,
    edge: &str,
    span: tokenizer::Span,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlanBuilder> {
    if windows.overlap() > WINDOWS_PER_ROW_MAX {
        let message = format!("each row would be in {} windows, more than {WINDOWS_PER_ROW_MAX}", windows.overlap());
        let longer = arguments.function.every;
        let error = Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).with_hint(format!("Take a longer {longer} or a shorter size."));
        return Err(at(error, span));
    }
    let (input, time) = timed_input(arguments, span, context)?;
    // A key of the relation is no key of its copies, though DataFusion takes it for one.
    let mut columns = Same::without_keys(&input);
    columns.push(WindowEdges::call(Expr::Column(time), windows).alias(edge));
    LogicalPlanBuilder::from(input).project(columns)?.unnest_column(edge)
}

/// A time column moved by microseconds.
fn moved(column: &str, by: i64) -> Expr {
    ScalarUDF::from(Arithmetic::new(Operator::Plus)).call(vec![Expr::Column(Column::from_name(column)), literal(by)])
}

/// The relation whose rows are put into windows, those without an event time left out, and the column of that time.
fn timed_input(arguments: Arguments, span: tokenizer::Span, context: &mut dyn RelationPlannerContext) -> Result<(LogicalPlan, Column)> {
    let function = arguments.function;
    let input = context.plan(arguments::relation(function, arguments.data, span)?)?;
    let time = time_column(arguments.time, input.schema(), context)?;
    for name in [WINDOW_START, WINDOW_END] {
        if input.schema().iter().any(|(_, field)| field.name() == name) {
            let example = format!("{}((SELECT window_start AS hour, ... FROM v), hour, ...)", function.name);
            let error = Error::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once"))
                .with_hint(format!("Rename the relation's own in a subquery: {example}."));
            return Err(at(error, span));
        }
    }
    let has_event_time = ScalarUDF::from(HasEventTime::default()).call(vec![Expr::Column(time.clone())]);
    Ok((LogicalPlanBuilder::from(input).filter(has_event_time)?.build()?, time))
}

/// The column of the event time: a name, or `DESCRIPTOR(name)`.
fn time_column(time: ast::Expr, schema: &DFSchema, context: &mut dyn RelationPlannerContext) -> Result<Column> {
    let time = match time {
        ast::Expr::Function(function) if last_part(&function.name) == "descriptor" => match function.args {
            FunctionArguments::List(mut list) if list.args.len() == 1 => match list.args.remove(0) {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => expr,
                other => {
                    return Err(external(Error::new(SqlState::SYNTAX_ERROR, format!("DESCRIPTOR takes a column, not {other}"))));
                }
            },
            other => return Err(external(Error::new(SqlState::SYNTAX_ERROR, format!("DESCRIPTOR takes a column, not {other}")))),
        },
        other => other,
    };
    let span = time.span();
    let text = time.to_string();
    let Expr::Column(column) = context.sql_to_expr(time, schema)? else {
        let error = Error::new(SqlState::SYNTAX_ERROR, format!("the time of a window must be a column, not {text}"))
            .with_hint("Compute it in a subquery: TUMBLE((SELECT ..., expression AS ts FROM t), ts, ...).");
        return Err(at(error, span));
    };
    let field = schema.field_from_column(&column)?;
    if !matches!(field.data_type(), DataType::Timestamp(..)) {
        let ty = PgType::of_field(field).spelling();
        let error =
            Error::new(SqlState::DATATYPE_MISMATCH, format!("column \"{}\" is of type {ty}, but a window needs a timestamp", column.name))
                .with_hint("Cast it in a subquery: TUMBLE((SELECT ..., x::timestamp AS ts FROM t), ts, ...).");
        return Err(at(error, span));
    }
    Ok(column)
}

fn tumble_window(arguments: &Arguments, span: tokenizer::Span, context: &mut dyn RelationPlannerContext) -> Result<Window> {
    let (months, micros) = constant(&arguments.length, span, context)?;
    let offset = offset(arguments, span, context)?;
    match (months, micros) {
        (months, 0) if months > 0 => Ok(Window::Months { months, offset }),
        (0, size) if size > 0 => Ok(Window::Micros { size, offset }),
        (months, micros) if months >= 0 && micros >= 0 && (months, micros) != (0, 0) => Err(at(
            Error::unsupported("the size of a window cannot mix months and shorter units")
                .with_hint("Use whole months, or days and shorter."),
            span,
        )),
        _ => Err(invalid("the size of a window must be greater than zero", span)),
    }
}

fn hop_window(arguments: &Arguments, span: tokenizer::Span, context: &mut dyn RelationPlannerContext) -> Result<HopWindow> {
    let (slide, size) = lengths(arguments, "hopping", span, context)?;
    let window = HopWindow { slide, size, offset: offset(arguments, span, context)? };
    if slide > size {
        let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, "the slide of a window must not be longer than its size")
            .with_hint("The order is HOP(relation, time_column, slide, size). Longer slides would leave rows out.");
        return Err(at(error, span));
    }
    Ok(window)
}

fn cumulate_window(arguments: &Arguments, span: tokenizer::Span, context: &mut dyn RelationPlannerContext) -> Result<CumulateWindow> {
    let (step, size) = lengths(arguments, "cumulating", span, context)?;
    if size % step != 0 {
        let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, "the size of a cumulating window must be a multiple of its step")
            .with_hint("The order is CUMULATE(relation, time_column, step, size).");
        return Err(at(error, span));
    }
    Ok(CumulateWindow { step, size, offset: offset(arguments, span, context)? })
}

/// From one window to the next, and the size, in microseconds.
fn lengths(arguments: &Arguments, kind: &str, span: tokenizer::Span, context: &mut dyn RelationPlannerContext) -> Result<(i64, i64)> {
    let mut length = |what: &str, expr: &ast::Expr| match constant(expr, span, context)? {
        (0, micros) if micros > 0 => Ok(micros),
        (0, _) => Err(invalid(format!("the {what} of a window must be greater than zero"), span)),
        _ => {
            let error = Error::unsupported(format!("the {what} of a {kind} window cannot have months"))
                .with_hint("Use days and shorter, or TUMBLE, which takes months.");
            Err(at(error, span))
        }
    };
    let every = arguments.function.every;
    let missing = || external(Error::internal(format!("{} was read without its {every}", arguments.function.name)));
    Ok((length(every, arguments.every.as_ref().ok_or_else(missing)?)?, length("size", &arguments.length)?))
}

fn offset(arguments: &Arguments, span: tokenizer::Span, context: &mut dyn RelationPlannerContext) -> Result<i64> {
    match arguments.offset.as_ref().map_or(Ok((0, 0)), |offset| constant(offset, span, context))? {
        (0, micros) => Ok(micros),
        _ => Err(invalid("the offset of a window cannot have months", span)),
    }
}
