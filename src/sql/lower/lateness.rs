//! The clauses that say when a view's windows are shown, closed and removed, and what they make of a plan.

use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::planner::PlannerContext;
use datafusion::sql::sqlparser::ast;
use weir_common::error::{Error, Result, SqlState};
use weir_common::lateness::{Closed, Emit, LateRows, WindowLife, late_schema};
use weir_common::plan::{AggregateCall, AggregateFunction, Closing, Facts, Node, Op, TimeStep};

use crate::catalog::{Catalog, ColumnDef, RelationKind};
use crate::context::{Context, external};
use crate::lower::{Lowering, facts, session};
use crate::parser;
use crate::statement::Statement;

/// What a CREATE MATERIALIZED VIEW says about its windows.
#[derive(Clone, Debug, Default)]
pub struct WindowClauses {
    /// `EMIT ..`, and where it stands.
    pub emit: Option<(Emit, usize)>,
    /// `ALLOW LATENESS ..`
    pub lateness: Option<ast::Expr>,
    /// `WITH (retention = ..)`: an interval as text, and where it stands.
    pub retention: Option<(String, usize)>,
    /// `WITH (keep_closed = ..)`, and where it stands.
    pub keep_closed: Option<(bool, usize)>,
    /// `WITH (late_entries = ..)`: how many late rows are kept, and where it stands.
    pub late_entries: Option<(u64, usize)>,
    /// Whether late rows tell where in a source they come from.
    pub late_positions: bool,
}

/// The clauses, understood.
pub(crate) struct Policy {
    emit: Emit,
    emit_position: Option<usize>,
    /// Microseconds.
    lateness: Option<i64>,
    retention: Option<(i64, usize)>,
    keep_closed: Option<(bool, usize)>,
    late_entries: Option<(u64, usize)>,
    late_positions: bool,
}

impl WindowClauses {
    pub(super) fn policy(&self, context: &Context, sql: &str) -> Result<Policy> {
        let lateness = self.lateness.as_ref().map(|expr| length(context, &expr.to_string(), "ALLOW LATENESS", sql)).transpose()?;
        let retention = self.retention.as_ref().map(|(text, position)| -> Result<(i64, usize)> {
            let quoted = format!("'{}'", text.replace('\'', "''"));
            let micros = length(context, &quoted, "retention", sql).map_err(|error| error.with_position(*position))?;
            Ok((micros, *position))
        });
        let retention = retention.transpose()?;
        if let Some((micros, position)) = retention
            && micros < lateness.unwrap_or(0)
        {
            let error =
                Error::new(SqlState::INVALID_PARAMETER_VALUE, "the retention of a view cannot be shorter than its allowed lateness");
            return Err(error.with_position(position).with_hint("A result is kept at least until its window is closed."));
        }
        let (emit, emit_position) = self.emit.map_or((Emit::Update, None), |(emit, position)| (emit, Some(position)));
        let WindowClauses { keep_closed, late_entries, late_positions, .. } = *self;
        Ok(Policy { emit, emit_position, lateness, retention, keep_closed, late_entries, late_positions })
    }
}

/// An interval of a fixed length, 0 or longer: microseconds.
fn length(context: &Context, text: &str, what: &str, sql: &str) -> Result<i64> {
    let wrong = |message: &str| {
        Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("{what} {message}"))
            .with_hint("Write an interval such as INTERVAL '1 hour'; months differ in length, so say them in days.")
    };
    let value = constant(context, text, sql)?;
    match value {
        Some(interval) => match facts::micros(&interval) {
            Some(micros) if micros >= 0 => Ok(micros),
            Some(_) => Err(wrong("cannot be negative")),
            None => Err(wrong("cannot have months")),
        },
        None => Err(wrong("must be a constant interval")),
    }
}

/// The value of a constant interval.
fn constant(context: &Context, text: &str, sql: &str) -> Result<Option<ScalarValue>> {
    let statement = parser::parse(&format!("SELECT CAST({text} AS INTERVAL)"))?.pop().map(|parsed| parsed.statement);
    let Some(Statement::Query(query)) = statement else { return Ok(None) };
    let failed = |error| context.error(error, sql);
    let plan = context.bind(*query, PlannerContext::new()).and_then(|plan| context.analyze(plan)).map_err(failed)?;
    let LogicalPlan::Projection(projection) = plan else { return Ok(None) };
    let [expr] = projection.expr.as_slice() else { return Ok(None) };
    let simplifier = ExprSimplifier::new(SimplifyContext::builder().with_schema(projection.input.schema().clone()).build());
    let value = simplifier.simplify(expr.clone().unalias()).map_err(failed)?;
    Ok(match value {
        Expr::Literal(value @ ScalarValue::IntervalMonthDayNano(Some(_)), _) => Some(value),
        _ => None,
    })
}

impl Policy {
    /// Whether windows close at all.
    pub(super) fn closes(&self) -> bool {
        self.emit != Emit::Update || self.lateness.is_some() || self.retention.is_some()
    }

    /// Refuses clauses that nothing in the plan obeys.
    pub(super) fn check(&self, root: &Node) -> Result<()> {
        let clause = match (self.emit, self.lateness, self.retention) {
            (Emit::WindowClose, ..) => "EMIT ON WINDOW CLOSE",
            (Emit::Final, ..) => "EMIT FINAL",
            (Emit::Update, Some(_), _) => "ALLOW LATENESS",
            (Emit::Update, None, Some(_)) => "retention",
            (Emit::Update, None, None) if self.keep_closed.is_some() => "keep_closed",
            (Emit::Update, None, None) if self.late_entries.is_some() => "late_entries",
            (Emit::Update, None, None) => return Ok(()),
        };
        if lives(root).next().is_some() {
            return Ok(());
        }
        let hint = match (clause, closable(root), windows(root)) {
            _ if filters_by_clock(root) => {
                "Below the windows rows come and go with now(), whatever the watermark is: put that condition into a view on this one."
            }
            ("keep_closed" | "late_entries", true, _) => "Without ALLOW LATENESS, EMIT ON WINDOW CLOSE or EMIT FINAL no window closes.",
            (_, _, WindowsOf::Timed) if sessions(root) => {
                "Group by window_end, or by window_start and what the sessions are partitioned by: a session is closed with its groups."
            }
            (_, _, WindowsOf::Timed) => "Group by window_start or window_end: a window is closed with the groups that it is part of.",
            (_, _, WindowsOf::Untimed) => {
                "Declare WATERMARK FOR the event time of the source, and put that column into windows: only a watermark closes them."
            }
            (_, _, WindowsOf::None) => {
                "Group by window_start and window_end of TUMBLE, HOP, CUMULATE or SESSION over a source with a WATERMARK."
            }
        };
        let message = format!("{clause} needs windows that a watermark closes");
        let error = Error::new(SqlState::FEATURE_NOT_SUPPORTED, message).with_hint(hint);
        let position = self.emit_position.filter(|_| self.emit != Emit::Update);
        Err(
            match position
                .or(self.retention.map(|(_, position)| position))
                .or(self.keep_closed.map(|(_, position)| position))
                .or(self.late_entries.map(|(_, position)| position))
            {
                Some(position) => error.with_position(position),
                None => error,
            },
        )
    }
}

/// The lives of all windows in a plan.
fn lives(node: &Node) -> Box<dyn Iterator<Item = &WindowLife> + '_> {
    let own = match &node.op {
        Op::Aggregate { life, .. } => life.as_ref(),
        _ => None,
    };
    Box::new(own.into_iter().chain(node.inputs.iter().flat_map(lives)))
}

/// Whether there are temporal filters.
fn filters_by_clock(node: &Node) -> bool {
    matches!(node.op, Op::TemporalFilter(_)) || node.inputs.iter().any(filters_by_clock)
}

/// Whether there are sessions.
fn sessions(node: &Node) -> bool {
    matches!(node.op, Op::Session { .. }) || node.inputs.iter().any(sessions)
}

/// Windows in a plan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum WindowsOf {
    None,
    /// Of a time that no watermark tells of.
    Untimed,
    /// Of one that a watermark tells of.
    Timed,
}

fn windows(node: &Node) -> WindowsOf {
    let own = match (&node.op, node.inputs.as_slice()) {
        (Op::RequireEventTime { column } | Op::Windows { column, .. }, [input]) => {
            match input.facts.event_times.iter().any(|time| time.column == *column) {
                true => WindowsOf::Timed,
                false => WindowsOf::Untimed,
            }
        }
        _ => WindowsOf::None,
    };
    node.inputs.iter().map(windows).fold(own, WindowsOf::max)
}

/// Whether there are groups that a watermark could close.
fn closable(node: &Node) -> bool {
    (matches!(node.op, Op::Aggregate { .. }) && node.facts.closes.is_some()) || node.inputs.iter().any(closable)
}

/// What is promised to views that read this one: late rows of final results are admitted only where no view reads them.
pub(super) fn promised(root: &Node) -> Facts {
    let mut node = root;
    while let Op::Project { .. } | Op::Filter { .. } = node.op {
        let Some(input) = node.inputs.first() else { break };
        node = input;
    }
    let append_only = match &node.op {
        Op::Aggregate { life: Some(life), .. } => life.emit == Emit::Final && life.retention.is_none(),
        _ => root.facts.append_only,
    };
    Facts { append_only, ..root.facts.clone() }
}

/// The life of the windows that the rows of a plan are of, where a column still names them.
pub(super) fn served(root: &Node, catalog: &Catalog) -> Option<WindowLife> {
    let closing = root.facts.closes.clone()?;
    let mut node = root;
    while let Op::Project { .. } | Op::Filter { .. } = node.op {
        node = node.inputs.first()?;
    }
    let life = match &node.op {
        Op::Aggregate { life, .. } => life.clone()?,
        Op::Import { relation, .. } => match &catalog.by_id(*relation)?.kind {
            RelationKind::MaterializedView(view) => view.life.clone()?,
            _ => return None,
        },
        _ => return None,
    };
    Some(WindowLife { closing, ..life })
}

/// Whether late rows can be admitted: all windows keep what that needs.
pub(super) fn admits(root: &Node) -> bool {
    lives(root).all(|life| life.keeps_closed)
}

/// The columns of the late rows of a plan.
pub(super) fn late_columns(node: &Node) -> Option<Vec<ColumnDef>> {
    let late = match &node.op {
        Op::TakeLate(late) => Some((late.column, late.positions)),
        Op::Session { column, life: Some(life), .. } => Some((*column, life.positions)),
        _ => None,
    };
    if let (Some((column, positions)), [input]) = (late, node.inputs.as_slice()) {
        return Some(late_schema(&input.schema, column, positions).fields().iter().map(|field| ColumnDef::of_field(field)).collect());
    }
    node.inputs.iter().find_map(late_columns)
}

impl Lowering<'_> {
    /// Each row once; where there is a key, rows differ already. Rows in windows that close are groups without results.
    pub(super) fn distinct(&self, input: Node) -> Result<Node, DataFusionError> {
        if input.facts.key.is_some() {
            return Ok(input);
        }
        let (facts, schema, keys) = (facts::of_distinct(&input), input.schema.clone(), input.schema.fields().len());
        let (op, input, facts) = match self.windowed(input, facts, &[])? {
            (input, facts, None) => (Op::Distinct, input, facts),
            (input, facts, life) => {
                let append_only = facts.append_only && life.as_ref().is_some_and(|life| life.emit == Emit::Final);
                (Op::Aggregate { keys, calls: Vec::new(), life }, input, Facts { append_only, ..facts })
            }
        };
        Ok(Node { op, inputs: vec![input], schema, facts })
    }

    /// An aggregate's input without what is too late, its facts, and the life of its windows, if the view's clauses give them one.
    pub(super) fn windowed(
        &self,
        input: Node,
        facts: Facts,
        calls: &[AggregateCall],
    ) -> Result<(Node, Facts, Option<WindowLife>), DataFusionError> {
        let Some(closing) = facts.closes.clone().filter(|_| self.policy.closes()) else { return Ok((input, facts, None)) };
        let keeps_values = calls.iter().any(|call| {
            let extremum = matches!(call.function, AggregateFunction::Min | AggregateFunction::Max);
            call.distinct || (extremum && !input.facts.append_only)
        });
        let Policy { emit, lateness, retention, keep_closed, .. } = *self.policy;
        let retention = retention.map(|(micros, _)| micros);
        // What removes a result closes its window at the latest.
        let lateness = lateness.or(retention.filter(|_| emit == Emit::Update)).unwrap_or(0);
        let mut facts = facts;
        // Of sessions nothing is kept unless it is asked for.
        let keeps = !keeps_values && !session::of_groups(&input, &closing) && lives(&input).all(|life| life.keeps_closed);
        let keeps_closed = keep_closed.map_or(keeps, |(keep, _)| keep);
        if session::may_shrink(&input) && retention.is_none() && !keeps_closed {
            // A session from which rows are taken back may become like one that is closed, of which nothing is known any more.
            facts.key = None;
        }
        let mut life = WindowLife { closing, lateness, emit, retention, keeps_closed };
        if lives(&input).next().is_some() {
            life.lateness = nested(&input, &life).map_err(external)?;
            let mut input = input;
            if !keeps_closed {
                forget(&mut input);
            }
            facts.append_only = emit == Emit::Final && !keeps_closed;
            return Ok((input, facts, Some(life)));
        }
        let input = take_late(input, &life, self.policy.late_positions).map_err(external)?;
        if emit == Emit::Final {
            facts.append_only = retention.is_none() && !keeps_closed;
            // A result comes when its window is closed, and not when it ends.
            for time in facts.event_times.iter_mut().filter(|time| time.source == life.closing.source) {
                if let Some(at) = facts::window_step(time) {
                    time.steps.insert(at, TimeStep::Shift(-lateness));
                }
            }
        }
        Ok((input, facts, Some(life)))
    }
}

/// How long after its end a window of groups takes rows that reads groups of windows, given what the view says: those take late rows out
/// already, and none of theirs may come too late for it.
fn nested(input: &Node, life: &WindowLife) -> Result<i64> {
    let refused = |why: &str| {
        Err(Error::unsupported(format!("a view cannot close the windows of several GROUP BYs {why}"))
            .with_hint("Create the inner query as a materialized view of its own, and read that."))
    };
    if life.retention.is_some() {
        // It would take back the results of inner windows from outer ones that are still there.
        return refused("when its results are removed by retention");
    }
    let mut below = input;
    let inner = loop {
        match (&below.op, below.inputs.as_slice()) {
            (Op::Aggregate { life: Some(inner), .. }, _) => break inner,
            (Op::Project { .. } | Op::Filter { .. } | Op::RequireEventTime { .. } | Op::Windows { .. }, [input]) => below = input,
            _ => return refused("when something else is between them"),
        }
    };
    match life.emit {
        // Results of inner windows are as old as that already.
        Emit::Final => Ok(0),
        _ if life.lateness == 0 || (&life.closing.source, &life.closing.steps) == (&inner.closing.source, &inner.closing.steps) => {
            Ok(life.lateness)
        }
        _ => refused("that differ, with ALLOW LATENESS"),
    }
}

/// Late rows cannot be admitted: nothing is kept for it.
fn forget(node: &mut Node) {
    match &mut node.op {
        Op::Aggregate { life: Some(life), .. } => life.keeps_closed = false,
        Op::Session { life: Some(life), .. } => life.windows.keeps_closed = false,
        _ => {}
    }
    node.inputs.iter_mut().for_each(forget);
}

/// Takes late rows out of what an aggregate reads: before their event times are put into windows, where that can be told.
fn take_late(input: Node, life: &WindowLife, positions: bool) -> Result<Node> {
    let closing = &life.closing;
    let named = input.facts.event_times.iter().find(|time| time.column == closing.column && time.source == closing.source);
    let named = named.ok_or_else(|| Error::internal("windows close by a time that is not there"))?.steps.clone();
    let mut input = input;
    if session::close(&mut input, life, positions)? {
        return Ok(input);
    }
    if named.get(closing.steps.len()) == Some(&TimeStep::SessionEnd) && sessions(&input) {
        return Err(Error::unsupported("sessions of several queries cannot be closed together")
            .with_hint("Create each query over sessions as a materialized view of its own, and read those."));
    }
    gate(input, &named, life, positions)
}

/// `named`: the steps from the source's watermark to what names the windows.
fn gate(mut node: Node, named: &[TimeStep], life: &WindowLife, positions: bool) -> Result<Node> {
    let Closing { source, steps, end, .. } = &life.closing;
    let closed =
        |from: usize| Closed { source: *source, steps: steps.clone(), named: named[from..].to_vec(), end: *end, lateness: life.lateness };
    let moment = |facts: &Facts| {
        let times = facts.event_times.iter().filter(|time| time.source == *source && named.starts_with(&time.steps));
        times.map(|time| (time.column, time.steps.len())).min_by_key(|(_, steps)| *steps)
    };
    if let (Op::Project { .. } | Op::Windows { .. }, [input]) = (&node.op, node.inputs.as_slice())
        && moment(&input.facts).is_some()
    {
        let several = named.iter().rposition(|step| matches!(step, TimeStep::Hop(_) | TimeStep::Cumulate(_)));
        if let (Op::Windows { closed: of_windows, .. }, Some(several)) = (&mut node.op, several) {
            *of_windows = Some(closed(several + 1));
        }
        node.inputs = node.inputs.into_iter().map(|input| gate(input, named, life, positions)).collect::<Result<_>>()?;
        return Ok(node);
    }
    let (column, from) = moment(&node.facts).ok_or_else(|| Error::internal("windows close by a time that is not there"))?;
    let input = node.imports().iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
    let (schema, facts) = (node.schema.clone(), node.facts.clone());
    let late = LateRows { input, column, is_event_time: from <= steps.len(), closed: closed(from), positions };
    Ok(Node { op: Op::TakeLate(late), inputs: vec![node], schema, facts })
}
