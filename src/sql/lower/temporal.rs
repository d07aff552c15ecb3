//! Temporal filters: conditions that compare `now()` with times of the row.
//!
//! Before the optimizer runs, each such comparison in a WHERE or HAVING is read ([`mark`]) and put into a function that no rule looks
//! into; behind the optimizer the conditions that have some become steps of their own ([`Lowering::temporal`]).

use std::ops::ControlFlow;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{BinaryExpr, InList};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Between, Cast, Expr, ExprSchemable, Filter, LogicalPlan, Operator};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast::{self, SetExpr, Spanned, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::Span;
use weir_common::calendar::{DAY, HOUR, MINUTE, SECOND};
use weir_common::datetime;
use weir_common::error::{Error, SqlState};
use weir_common::from_now::{FromNow, NowStep};
use weir_common::plan::{Facts, Node, Op};
use weir_common::temporal::{ClockCondition, Comparison, TimeCondition};
use weir_common::window::MonthWindow;

use crate::context::{at, external};
use crate::expr::{compile, compile_as};
use crate::function::arithmetic::Arithmetic;
use crate::function::cast::PgCast;
use crate::function::compared::ComparedWithNow;
use crate::function::length::Length;
use crate::function::zone::AT_ZONE;
use crate::lower::Lowering;
use crate::names::last_part;

/// What to write: for every refusal.
const POSSIBLE: &str = "In WHERE and HAVING now() can be compared with a time of the row: WHERE ts > now() - INTERVAL '1 hour'.";

/// Months of an interval beyond which nothing is computed from `now()`: 25000 years.
const MONTHS_MAX: i32 = 25_000 * 12;
/// The same for its days and its time, in microseconds.
const SHIFT_MAX: i64 = 25_000 * 366 * DAY;

/// Reads all comparisons of `now()` in the conditions of an analyzed plan. What cannot be read is refused, with its place in the query.
pub(super) fn mark(plan: LogicalPlan, query: &ast::Query) -> Result<LogicalPlan, DataFusionError> {
    let mut calls = 0;
    plan.apply(|node| {
        if let LogicalPlan::Filter(filter) = node {
            calls += count(&filter.predicate);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    if calls == 0 {
        return Ok(plan);
    }
    let mut seen = 0;
    let marked = plan.transform_up(|node| match node {
        LogicalPlan::Filter(filter) if count(&filter.predicate) > 0 => {
            let schema = filter.input.schema().clone();
            let predicate = Reader { schema: &schema, seen: &mut seen }.condition(filter.predicate)?;
            Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, filter.input)?)))
        }
        other => Ok(Transformed::no(other)),
    });
    marked.map(|marked| marked.data).map_err(|error| {
        let places = places(query).in_conditions;
        // Calls in plain views have no place in this text.
        let place = if places.len() == calls { places.get(seen) } else { places.first() };
        match (error, place) {
            (DataFusionError::External(error), Some(span)) => match error.downcast::<Error>() {
                Ok(error) => at(*error, *span),
                Err(error) => DataFusionError::External(error),
            },
            (error, _) => error,
        }
    })
}

/// The refusal of a call of `now()` that is not in a condition; `None` for other functions.
pub(super) fn outside(function: &str, query: &ast::Query) -> Option<DataFusionError> {
    if !is_now(function) {
        return None;
    }
    let message = format!("{function}() is supported in WHERE and HAVING of a materialized view only");
    let hint = format!("{POSSIBLE} Elsewhere its value would change without any row changing: use it in the SELECT that reads the view.");
    let error = Error::unsupported(message).with_hint(hint);
    Some(match places(query).elsewhere.first() {
        Some(span) => at(error, *span),
        None => external(error),
    })
}

fn is_now(function: &str) -> bool {
    matches!(function, "now" | "current_date")
}

/// Calls of `now()` in an expression.
fn count(expr: &Expr) -> usize {
    let mut calls = 0;
    expr.apply(|expr| {
        calls += usize::from(matches!(expr, Expr::ScalarFunction(call) if is_now(call.func.name())));
        Ok(TreeNodeRecursion::Continue)
    })
    .expect("counting does not fail");
    calls
}

fn has_now(expr: &Expr) -> bool {
    count(expr) > 0
}

/// Reads the conditions of one plan, in order.
struct Reader<'a> {
    schema: &'a DFSchema,
    /// Calls of `now()` in comparisons that were read.
    seen: &'a mut usize,
}

impl Reader<'_> {
    fn condition(&mut self, expr: Expr) -> Result<Expr, DataFusionError> {
        match expr {
            expr if !has_now(&expr) => Ok(expr),
            Expr::Alias(alias) => self.condition(*alias.expr),
            Expr::Not(expr) => Ok(Expr::Not(Box::new(self.condition(*expr)?))),
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let left = self.condition(*left)?;
                Ok(binary(left, op, self.condition(*right)?))
            }
            expr => {
                let calls = count(&expr);
                let read = self.comparison(expr)?;
                *self.seen += calls;
                Ok(read)
            }
        }
    }

    fn comparison(&self, expr: Expr) -> Result<Expr, DataFusionError> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => self.compare(*left, op, *right),
            Expr::Between(Between { expr, negated, low, high }) => {
                let (from, to, both) = match negated {
                    false => (Operator::GtEq, Operator::LtEq, Operator::And),
                    true => (Operator::Lt, Operator::Gt, Operator::Or),
                };
                Ok(binary(self.compare(*expr.clone(), from, *low)?, both, self.compare(*expr, to, *high)?))
            }
            Expr::InList(InList { expr, list, negated }) => {
                let (op, both) = if negated { (Operator::NotEq, Operator::And) } else { (Operator::Eq, Operator::Or) };
                let each = list.into_iter().map(|item| self.compare(*expr.clone(), op, item)).collect::<Result<Vec<_>, _>>()?;
                each.into_iter().reduce(|one, other| binary(one, both, other)).ok_or_else(|| refused(COMPARE))
            }
            _ => Err(refused(COMPARE)),
        }
    }

    /// A comparison in which `now()` may be on either side, or on none.
    fn compare(&self, left: Expr, op: Operator, right: Expr) -> Result<Expr, DataFusionError> {
        let (now, op, value) = match (has_now(&left), has_now(&right)) {
            (false, false) => return Ok(binary(left, op, right)),
            (true, false) => (left, op, right),
            (false, true) => (right, swapped(op)?, left),
            (true, true) => return Err(refused(ONE_SIDE)),
        };
        let (now, value) = (measured(now), measured(value));
        let mut steps = vec![];
        let (op, value) = match self.difference(&now)? {
            Some(times) => self.read_difference(times, op, value, &mut steps)?,
            None => {
                self.read(now, &mut steps)?;
                (op, value)
            }
        };
        let parts = match op {
            Operator::Lt => [Some(Comparison::Before), None],
            Operator::LtEq => [Some(Comparison::NotAfter), None],
            Operator::Gt => [Some(Comparison::After), None],
            Operator::GtEq => [Some(Comparison::NotBefore), None],
            Operator::Eq => [Some(Comparison::NotBefore), Some(Comparison::NotAfter)],
            Operator::NotEq => [Some(Comparison::Before), Some(Comparison::After)],
            _ => return Err(refused(COMPARE)),
        };
        let value = self.value(value)?;
        let both = if op == Operator::NotEq { Operator::Or } else { Operator::And };
        let each = parts.into_iter().flatten();
        let each = each.map(|comparison| ComparedWithNow::call(FromNow { steps: steps.clone() }, comparison, value.clone()));
        Ok(each.reduce(|one, other| binary(one, both, other)).expect("each comparison has a part"))
    }

    /// The two times of `one - other`, if that is what the expression is.
    fn difference(&self, expr: &Expr) -> Result<Option<[Expr; 2]>, DataFusionError> {
        let Expr::ScalarFunction(call) = expr else { return Ok(None) };
        let is_minus = call.func.inner().downcast_ref::<Arithmetic>().is_some_and(|of| of.operator() == Operator::Minus);
        for time in &call.args {
            if !is_minus || !matches!(time.get_type(self.schema)?, DataType::Timestamp(..) | DataType::Date32) {
                return Ok(None);
            }
        }
        Ok(<[Expr; 2]>::try_from(call.args.clone()).ok())
    }

    /// Reads a difference that is compared with a length as a comparison of the time with `now()`, moved by that length, with the other time.
    fn read_difference(
        &self,
        [from, less]: [Expr; 2],
        op: Operator,
        length: Expr,
        steps: &mut Vec<NowStep>,
    ) -> Result<(Operator, Expr), DataFusionError> {
        // `now() - ts < length` is `now() - length < ts`, and `ts - now() < length` is `now() + length > ts`.
        let (time, other, op, negated) = match (has_now(&from), has_now(&less)) {
            (true, true) => return Err(refused(ONE_SIDE)),
            (true, false) => (from, less, op, true),
            (false, _) => (less, from, swapped(op)?, false),
        };
        self.read(time, steps)?;
        let read = steps.len();
        self.add(length, negated, steps)?;
        if steps[read..].iter().any(|step| matches!(step, NowStep::Months(_))) {
            return Err(refused(
                "A difference is compared as if months had 30 days: write ts > now() - INTERVAL '1 month', or say it in days.",
            ));
        }
        Ok((op, other))
    }

    /// The steps from `now()` to this time.
    fn read(&self, expr: Expr, steps: &mut Vec<NowStep>) -> Result<(), DataFusionError> {
        let day = NowStep::Floor { size: DAY, offset: 0 };
        if let Expr::Cast(Cast { expr, field }) = expr {
            self.read(*expr, steps)?;
            return self.cast(field.data_type(), steps);
        }
        let Expr::ScalarFunction(mut call) = expr else { return Err(refused(STEPS)) };
        match call.func.name() {
            "now" => return Ok(()),
            "current_date" => {
                steps.push(day);
                return Ok(());
            }
            _ => {}
        }
        let function = call.func.inner();
        if let Some(cast) = function.downcast_ref::<PgCast>() {
            let to = cast.to().clone();
            self.read(call.args.swap_remove(0), steps)?;
            return self.cast(&to, steps);
        }
        if let Some(arithmetic) = function.downcast_ref::<Arithmetic>() {
            let (op, [left, right]) = (arithmetic.operator(), <[Expr; 2]>::try_from(call.args).map_err(|_| refused(STEPS))?);
            let (time, by) = match op {
                _ if has_now(&left) && has_now(&right) => return Err(refused(STEPS)),
                Operator::Plus if has_now(&right) => (right, left),
                Operator::Plus | Operator::Minus if has_now(&left) => (left, right),
                _ => return Err(refused(STEPS)),
            };
            self.read(time, steps)?;
            return self.add(by, op == Operator::Minus, steps);
        }
        match (call.func.name(), call.args.as_slice()) {
            ("date_trunc", [Expr::Literal(ScalarValue::Utf8(Some(unit)), _), _]) => {
                let floor = floor_of(unit).ok_or_else(|| refused(STEPS))?;
                self.read(call.args.swap_remove(1), steps)?;
                steps.push(floor);
                Ok(())
            }
            (AT_ZONE, [Expr::Literal(ScalarValue::Utf8(Some(zone)), _), _]) => match datetime::zone(zone).is_some_and(|zone| zone.is_utc())
            {
                true => self.read(call.args.swap_remove(1), steps),
                false => Err(refused("The clocks of a zone go back once a year: compare instants, or use the zone UTC.")),
            },
            _ => Err(refused(STEPS)),
        }
    }

    fn cast(&self, to: &DataType, steps: &mut Vec<NowStep>) -> Result<(), DataFusionError> {
        match to {
            DataType::Timestamp(..) => Ok(()),
            DataType::Date32 => {
                steps.push(NowStep::Floor { size: DAY, offset: 0 });
                Ok(())
            }
            _ => Err(refused(STEPS)),
        }
    }

    /// Adds something constant to a time, or takes it away.
    fn add(&self, by: Expr, negated: bool, steps: &mut Vec<NowStep>) -> Result<(), DataFusionError> {
        if by.any_column_refs() {
            return Err(match by.get_type(self.schema)? {
                DataType::Interval(_) => refused("Put what depends on the row on the other side: ts + length > now()."),
                _ => refused("Compare a difference with a length as it is: now() - ts < INTERVAL '1 hour'."),
            });
        }
        let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_schema(std::sync::Arc::new(self.schema.clone())).build());
        let sign = if negated { -1 } else { 1 };
        let (months, shift) = match simplifier.simplify(by)? {
            Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(by)), _) => {
                let shift = i64::from(by.days).checked_mul(DAY).and_then(|days| days.checked_add(by.nanoseconds / 1000));
                (by.months.checked_mul(sign as i32), shift.and_then(|shift| shift.checked_mul(sign)))
            }
            // Days, from a date.
            Expr::Literal(ScalarValue::Int32(Some(days)), _) => (Some(0), (i64::from(days) * sign).checked_mul(DAY)),
            _ => return Err(refused(STEPS)),
        };
        let months = months.filter(|months| (-MONTHS_MAX..=MONTHS_MAX).contains(months));
        let shift = shift.filter(|shift| (-SHIFT_MAX..=SHIFT_MAX).contains(shift));
        let (Some(months), Some(shift)) = (months, shift) else {
            return Err(external(Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range")));
        };
        // As dates and times are added: months first.
        steps.extend((months != 0).then_some(NowStep::Months(months)));
        steps.extend((shift != 0).then_some(NowStep::Shift(shift)));
        Ok(())
    }

    /// What `now()` is compared with: a time of the row, without the casts to the type that `now()` happens to have.
    fn value(&self, mut expr: Expr) -> Result<Expr, DataFusionError> {
        let is_time = |data_type: &DataType| matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond, _) | DataType::Date32);
        while let Expr::Cast(Cast { expr: inner, field }) = &expr
            && matches!(field.data_type(), DataType::Timestamp(..))
            && is_time(&inner.get_type(self.schema)?)
        {
            // A view's clocks are those of UTC, so this is the same moment.
            expr = inner.as_ref().clone();
        }
        match expr.get_type(self.schema)? {
            DataType::Timestamp(..) | DataType::Date32 => Ok(expr),
            _ => Err(refused("Compare it with a time.")),
        }
    }
}

/// Where `now()` may be.
const ONE_SIDE: &str = "Leave now() out of one of the two times.";
/// What is done to `now()` that can be followed.
const STEPS: &str = "On its side may be constant intervals that are added or taken away, date_trunc, and casts to date or timestamp.";
/// How it can be compared.
const COMPARE: &str = "Compare with <, <=, =, <>, >=, >, BETWEEN or IN, and combine comparisons with AND, OR and NOT.";

fn refused(hint: &str) -> DataFusionError {
    let error = Error::unsupported("this use of now() cannot be maintained in a materialized view");
    external(error.with_hint(format!("{POSSIBLE} {hint}")))
}

fn swapped(op: Operator) -> Result<Operator, DataFusionError> {
    op.swap().ok_or_else(|| refused(COMPARE))
}

/// An interval, for how long it is.
fn measured(expr: Expr) -> Expr {
    Length::of(&expr).cloned().unwrap_or(expr)
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// What `date_trunc` does.
fn floor_of(unit: &str) -> Option<NowStep> {
    let span = |size: i64| Some(NowStep::Floor { size, offset: 0 });
    let months = |months: i64| Some(NowStep::MonthFloor(MonthWindow { months, offset: 0 }));
    match unit.to_ascii_lowercase().as_str() {
        "microsecond" => span(1),
        "millisecond" => span(1000),
        "second" => span(SECOND),
        "minute" => span(MINUTE),
        "hour" => span(HOUR),
        "day" => span(DAY),
        // 1970-01-05 was a Monday.
        "week" => Some(NowStep::Floor { size: 7 * DAY, offset: 4 * DAY }),
        "month" => months(1),
        "quarter" => months(3),
        "year" => months(12),
        _ => None,
    }
}

/// Where `now()` and the like stand in a query, in the order in which their conditions are planned.
#[derive(Default)]
struct Places {
    in_conditions: Vec<Span>,
    elsewhere: Vec<Span>,
}

fn places(query: &ast::Query) -> Places {
    /// All calls in a part of a query.
    struct Calls(Vec<Span>);
    impl Visitor for Calls {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
            if let ast::Expr::Function(function) = expr
                && matches!(last_part(&function.name).as_str(), "now" | "current_timestamp" | "current_date" | "today")
            {
                self.0.push(function.name.span());
            }
            ControlFlow::Continue(())
        }
    }
    struct Conditions(Vec<Span>);
    impl Conditions {
        fn of(&mut self, body: &SetExpr) {
            match body {
                SetExpr::Select(select) => {
                    let mut calls = Calls(vec![]);
                    let _ = select.selection.visit(&mut calls);
                    let _ = select.having.visit(&mut calls);
                    self.0.extend(calls.0);
                }
                SetExpr::SetOperation { left, right, .. } => {
                    self.of(left);
                    self.of(right);
                }
                _ => {}
            }
        }
    }
    impl Visitor for Conditions {
        type Break = ();
        // What is inside is planned first.
        fn post_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
            self.of(&query.body);
            ControlFlow::Continue(())
        }
    }
    let (mut conditions, mut calls) = (Conditions(vec![]), Calls(vec![]));
    let _ = query.visit(&mut conditions);
    let _ = query.visit(&mut calls);
    let elsewhere = calls.0.into_iter().filter(|span| !conditions.0.contains(span)).collect();
    Places { in_conditions: conditions.0, elsewhere }
}

impl Lowering<'_> {
    /// The step for conditions of which each compares `now()` with something; `node` has the columns of `schema`.
    pub(super) fn temporal(&self, node: Node, conditions: Vec<&Expr>, schema: &DFSchema) -> Result<Node, DataFusionError> {
        let mut parts = conditions.into_iter().map(|expr| self.time_condition(expr, false, schema)).collect::<Result<Vec<_>, _>>()?;
        let condition = if parts.len() == 1 { parts.remove(0) } else { TimeCondition::All(parts) };
        // Rows come and go whatever the watermarks are.
        let facts = Facts { key: node.facts.key.clone(), ..Facts::default() };
        Ok(Node { op: Op::TemporalFilter(condition), schema: node.schema.clone(), inputs: vec![node], facts })
    }

    fn time_condition(&self, expr: &Expr, negated: bool, schema: &DFSchema) -> Result<TimeCondition, DataFusionError> {
        let config = self.context.config();
        if !is_temporal(expr) {
            let expr = if negated { Expr::Not(Box::new(expr.clone())) } else { expr.clone() };
            return Ok(TimeCondition::Row(compile_as(&expr, schema, config, DataType::Boolean)?));
        }
        if let Some((from_now, comparison, value)) = ComparedWithNow::of(expr) {
            let comparison = match (negated, comparison) {
                (false, comparison) => comparison,
                (true, Comparison::Before) => Comparison::NotBefore,
                (true, Comparison::NotAfter) => Comparison::After,
                (true, Comparison::NotBefore) => Comparison::Before,
                (true, Comparison::After) => Comparison::NotAfter,
            };
            let value = match value.get_type(schema)? {
                DataType::Timestamp(_, zone) => compile_as(value, schema, config, DataType::Timestamp(TimeUnit::Microsecond, zone))?,
                _ => compile(value, schema, config)?,
            };
            return Ok(TimeCondition::Clock(ClockCondition { from_now: from_now.clone(), comparison, value }));
        }
        match expr {
            Expr::Not(inner) => self.time_condition(inner, !negated, schema),
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let both = [left, right].map(|side| self.time_condition(side, negated, schema));
                let all = (*op == Operator::And) != negated;
                let mut parts = vec![];
                for part in both {
                    match (part?, all) {
                        (TimeCondition::All(inner), true) | (TimeCondition::Any(inner), false) => parts.extend(inner),
                        (part, _) => parts.push(part),
                    }
                }
                Ok(if all { TimeCondition::All(parts) } else { TimeCondition::Any(parts) })
            }
            other => Err(external(Error::internal(format!("a rule has moved a comparison with now() into {other}")))),
        }
    }
}

/// Whether an expression has comparisons with `now()` in it, as [`mark`] leaves them.
pub(super) fn is_temporal(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(ComparedWithNow::of(expr).is_some())).expect("looking does not fail")
}
