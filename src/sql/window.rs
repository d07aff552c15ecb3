//! `TUMBLE(t, ts, size [, offset])` and `HOP(t, ts, slide, size [, offset])` in FROM: the rows of `t` that have an event
//! time, once for each window that holds it, with `window_start` and `window_end`.

mod arguments; // what stands between the parentheses
mod interval; // constant intervals

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, ExprSchema, Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Operator, ScalarUDF, lit};
use datafusion::sql::sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned, TableFactor};
use datafusion::sql::sqlparser::tokenizer;
use weir_common::error::{Error, SqlState};
use weir_common::limits::WINDOWS_PER_ROW_MAX;
use weir_common::types::PgType;
use weir_common::window::HopWindow;

use crate::context::{at, external};
use crate::function::arithmetic::Arithmetic;
use crate::function::same::Same;
use crate::function::window::{HasEventTime, HopStarts, Window, WindowEdge};
use crate::names::last_part;
use crate::window::arguments::{Arguments, HOP, TUMBLE};
use crate::window::interval::{constant, literal};

/// The column that holds a window's first moment.
pub(crate) const WINDOW_START: &str = "window_start";
/// The column that holds the moment at which a window ends.
pub(crate) const WINDOW_END: &str = "window_end";

/// Plans the window functions in FROM.
#[derive(Debug)]
pub(crate) struct WindowPlanner;

impl RelationPlanner for WindowPlanner {
    fn plan_relation(&self, relation: TableFactor, context: &mut dyn RelationPlannerContext) -> Result<RelationPlanning> {
        let (name, args, alias) = match &relation {
            TableFactor::Table { name, args: Some(args), alias, .. } => (name, args.args.clone(), alias.clone()),
            // TABLE(TUMBLE(...))
            TableFactor::TableFunction {
                expr: ast::Expr::Function(ast::Function { name, args: FunctionArguments::List(list), .. }),
                alias,
            } => (name, list.args.clone(), alias.clone()),
            _ => return Ok(RelationPlanning::Original(Box::new(relation))),
        };
        let span = name.span();
        match last_part(name).as_str() {
            "tumble" => {
                let plan = tumble(args, span, context)?;
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
            }
            "hop" => {
                let plan = hop(args, span, context)?;
                Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
            }
            "session" => Err(at(later("SESSION", "session windows"), span)),
            "cumulate" => Err(at(later("CUMULATE", "cumulating windows"), span)),
            _ => Ok(RelationPlanning::Original(Box::new(relation))),
        }
    }
}

fn later(function: &str, what: &str) -> Error {
    Error::unsupported(format!("{function} is not supported yet"))
        .with_hint(format!("It comes with {what}; for now there are TUMBLE and HOP."))
}

fn invalid(message: impl Into<String>, span: tokenizer::Span) -> DataFusionError {
    at(Error::new(SqlState::INVALID_PARAMETER_VALUE, message), span)
}

fn tumble(args: Vec<FunctionArg>, span: tokenizer::Span, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let arguments = Arguments::read(&TUMBLE, args, span)?;
    let window = tumble_window(&arguments, span, context)?;
    let (input, time) = timed_input(arguments, span, context)?;
    let mut columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    for (edge, name) in [(WindowEdge::start(), WINDOW_START), (WindowEdge::end(), WINDOW_END)] {
        let [micros, months, offset] = window.arguments();
        columns.push(ScalarUDF::from(edge).call(vec![Expr::Column(time.clone()), lit(micros), lit(months), lit(offset)]).alias(name));
    }
    LogicalPlanBuilder::from(input).project(columns)?.build()
}

fn hop(args: Vec<FunctionArg>, span: tokenizer::Span, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let arguments = Arguments::read(&HOP, args, span)?;
    let window = hop_window(&arguments, span, context)?;
    let (input, time) = timed_input(arguments, span, context)?;
    // A key of the relation is no key of its copies, though DataFusion takes it for one.
    let mut columns = Same::without_keys(&input);
    let starts = ScalarUDF::from(HopStarts::default()).call(vec![
        Expr::Column(time),
        lit(ScalarValue::from(window.slide)),
        lit(ScalarValue::from(window.size)),
        lit(ScalarValue::from(window.offset)),
    ]);
    columns.push(starts.alias(WINDOW_START));
    let copies = LogicalPlanBuilder::from(input).project(columns)?.unnest_column(WINDOW_START)?;
    let mut columns: Vec<Expr> = copies.schema().columns().into_iter().map(Expr::Column).collect();
    let start = Expr::Column(Column::from_name(WINDOW_START));
    let end = ScalarUDF::from(Arithmetic::new(Operator::Plus)).call(vec![start, literal(window.size)]);
    columns.push(end.alias(WINDOW_END));
    copies.project(columns)?.build()
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
    let (months, micros) = constant(&arguments.size, span, context)?;
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
    let mut length = |what: &str, expr: &ast::Expr| match constant(expr, span, context)? {
        (0, micros) if micros > 0 => Ok(micros),
        (0, _) => Err(invalid(format!("the {what} of a window must be greater than zero"), span)),
        _ => {
            let error = Error::unsupported(format!("the {what} of a hopping window cannot have months"))
                .with_hint("Use days and shorter, or TUMBLE, which takes months.");
            Err(at(error, span))
        }
    };
    let missing = || external(Error::internal("HOP was read without its slide"));
    let slide = length("slide", arguments.slide.as_ref().ok_or_else(missing)?)?;
    let size = length("size", &arguments.size)?;
    let window = HopWindow { slide, size, offset: offset(arguments, span, context)? };
    if slide > size {
        let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, "the slide of a window must not be longer than its size")
            .with_hint("The order is HOP(relation, time_column, slide, size). Longer slides would leave rows out.");
        return Err(at(error, span));
    }
    if window.overlap() > WINDOWS_PER_ROW_MAX {
        let message = format!("each row would be in {} windows, more than {WINDOWS_PER_ROW_MAX}", window.overlap());
        let error = Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).with_hint("Take a longer slide or a shorter size.");
        return Err(at(error, span));
    }
    Ok(window)
}

fn offset(arguments: &Arguments, span: tokenizer::Span, context: &mut dyn RelationPlannerContext) -> Result<i64> {
    match arguments.offset.as_ref().map_or(Ok((0, 0)), |offset| constant(offset, span, context))? {
        (0, micros) => Ok(micros),
        _ => Err(invalid("the offset of a window cannot have months", span)),
    }
}
