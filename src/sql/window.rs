//! `TUMBLE(t, ts, size [, offset])` in FROM: the rows of `t` that have an event time, with `window_start` and `window_end`.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, ExprSchema, Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ScalarUDF, lit};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Spanned, TableFactor};
use datafusion::sql::sqlparser::tokenizer;
use weir_common::error::{Error, SqlState};
use weir_common::types::PgType;

use crate::context::{at, external};
use crate::function::parse;
use crate::function::window::{HasEventTime, Window, WindowEdge};
use crate::names::{last_part, normalized};

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
            "hop" => Err(at(later("HOP", "sliding windows"), span)),
            "session" => Err(at(later("SESSION", "session windows"), span)),
            "cumulate" => Err(at(later("CUMULATE", "cumulating windows"), span)),
            _ => Ok(RelationPlanning::Original(Box::new(relation))),
        }
    }
}

fn later(function: &str, what: &str) -> Error {
    Error::unsupported(format!("{function} is not supported yet")).with_hint(format!("It comes with {what}; for now there is TUMBLE."))
}

fn invalid(message: impl Into<String>, span: tokenizer::Span) -> DataFusionError {
    at(Error::new(SqlState::INVALID_PARAMETER_VALUE, message), span)
}

/// The arguments by name.
struct Arguments {
    data: ast::Expr,
    time: ast::Expr,
    size: ast::Expr,
    offset: Option<ast::Expr>,
}

const USAGE: &str = "Write TUMBLE(relation, time_column, INTERVAL '1 minute' [, offset]).";

impl Arguments {
    fn read(args: Vec<FunctionArg>, span: tokenizer::Span) -> Result<Arguments> {
        let wrong = |message: String| at(Error::new(SqlState::SYNTAX_ERROR, message).with_hint(USAGE), span);
        let mut slots: [Option<ast::Expr>; 4] = Default::default();
        for (position, arg) in args.into_iter().enumerate() {
            let (slot, arg) = match arg {
                FunctionArg::Unnamed(arg) => (position, arg),
                FunctionArg::Named { name, arg, .. } => (slot(&normalized(&name), &wrong)?, arg),
                FunctionArg::ExprNamed { name: ast::Expr::Identifier(name), arg, .. } => (slot(&normalized(&name), &wrong)?, arg),
                FunctionArg::ExprNamed { name, .. } => return Err(wrong(format!("TUMBLE has no argument {name}"))),
            };
            let FunctionArgExpr::Expr(expr) = arg else {
                return Err(wrong(format!("TUMBLE cannot take {arg} as an argument")));
            };
            match slots.get_mut(slot) {
                Some(empty @ None) => *empty = Some(expr),
                Some(Some(_)) => return Err(wrong("TUMBLE got an argument twice".to_string())),
                None => return Err(wrong("TUMBLE takes at most 4 arguments".to_string())),
            }
        }
        match slots {
            [Some(data), Some(time), Some(size), offset] => Ok(Arguments { data, time, size, offset }),
            _ => Err(wrong("TUMBLE takes a relation, a time column and a size".to_string())),
        }
    }
}

fn slot(name: &str, wrong: &dyn Fn(String) -> DataFusionError) -> Result<usize> {
    match name {
        "data" => Ok(0),
        "timecol" => Ok(1),
        "size" => Ok(2),
        "offset" => Ok(3),
        other => Err(wrong(format!("TUMBLE has no argument \"{other}\""))),
    }
}

fn tumble(args: Vec<FunctionArg>, span: tokenizer::Span, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let arguments = Arguments::read(args, span)?;
    let input = context.plan(relation(arguments.data, span)?)?;
    let window = window(&arguments.size, arguments.offset.as_ref(), span, context)?;
    let time = time_column(arguments.time, input.schema(), context)?;
    for name in [WINDOW_START, WINDOW_END] {
        if input.schema().iter().any(|(_, field)| field.name() == name) {
            let error = Error::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once"))
                .with_hint("Rename the relation's own in a subquery: TUMBLE((SELECT window_start AS hour, ... FROM v), hour, ...).");
            return Err(at(error, span));
        }
    }
    let mut columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    for (edge, name) in [(WindowEdge::start(), WINDOW_START), (WindowEdge::end(), WINDOW_END)] {
        let [micros, months, offset] = window.arguments();
        columns.push(ScalarUDF::from(edge).call(vec![Expr::Column(time.clone()), lit(micros), lit(months), lit(offset)]).alias(name));
    }
    let has_event_time = ScalarUDF::from(HasEventTime::default()).call(vec![Expr::Column(time)]);
    LogicalPlanBuilder::from(input).filter(has_event_time)?.project(columns)?.build()
}

/// The relation or subquery that is given as an argument, as an item of FROM.
fn relation(data: ast::Expr, span: tokenizer::Span) -> Result<TableFactor> {
    let named = |parts: Vec<Ident>| TableFactor::Table {
        name: ObjectName::from(parts),
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    };
    match data {
        ast::Expr::Identifier(name) => Ok(named(vec![name])),
        ast::Expr::CompoundIdentifier(parts) => Ok(named(parts)),
        ast::Expr::Subquery(subquery) => Ok(TableFactor::Derived { lateral: false, subquery, alias: None, sample: None }),
        ast::Expr::Nested(inner) => relation(*inner, span),
        other => {
            let error = Error::new(SqlState::SYNTAX_ERROR, format!("TUMBLE cannot read {other}")).with_hint(USAGE);
            Err(at(error, span))
        }
    }
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

fn window(size: &ast::Expr, offset: Option<&ast::Expr>, span: tokenizer::Span, context: &mut dyn RelationPlannerContext) -> Result<Window> {
    let (months, micros) = interval(size, span, context)?;
    let (offset_months, offset) = offset.map_or(Ok((0, 0)), |offset| interval(offset, span, context))?;
    if offset_months != 0 {
        return Err(invalid("the offset of a window cannot have months", span));
    }
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

/// A constant interval: months, and microseconds of the rest (a day is 24 hours: windows are aligned in UTC).
fn interval(expr: &ast::Expr, span: tokenizer::Span, context: &mut dyn RelationPlannerContext) -> Result<(i64, i64)> {
    let schema = Arc::new(DFSchema::empty());
    let planned = context.sql_to_expr(expr.clone(), &schema)?;
    let options = Arc::new(context.context_provider().options().clone());
    let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_schema(schema.clone()).with_config_options(options).build());
    let value = simplifier.simplify(simplifier.coerce(planned, &schema)?)?;
    let value = match value {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => parse::interval(&text).map_err(|error| at(error, span))?,
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(value)), _) => value,
        _ => {
            let error = Error::new(SqlState::DATATYPE_MISMATCH, format!("a window needs a constant interval, not {expr}"))
                .with_hint("Write it as INTERVAL '1 minute'.");
            return Err(at(error, span));
        }
    };
    let days = (value.days as i64).checked_mul(86_400_000_000);
    let micros = days.and_then(|days| days.checked_add(value.nanoseconds / 1000)).ok_or_else(|| invalid("interval out of range", span))?;
    Ok((value.months as i64, micros))
}
