//! What a view computes, and what is known about each step of it.
//!
//! The `sql` crate lowers DataFusion's logical plan to a tree of [`Node`]s; the `dataflow` crate cuts the tree into
//! fragments at exchanges. Nothing is inferred ad hoc inside an operator: what a step guarantees stands in its [`Facts`].

use arrow::datatypes::{DataType, SchemaRef};

use crate::expr::ExprRef;
use crate::ids::RelationId;
use crate::lateness::{Closed, Final, LateRows, SessionLife, WindowLife};
use crate::moments::Measure;
use crate::temporal::TimeCondition;
use crate::window::{CumulateWindow, HopWindow, MonthWindow, Windows, window_start};

/// One step of a plan, with the steps that feed it.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// Where its rows come from; as many as `op` takes.
    pub inputs: Vec<Node>,
    /// Its output: all fields nullable, positions matter and names do not.
    pub schema: SchemaRef,
    /// What is known about its output.
    pub facts: Facts,
}

/// The operators that can be maintained.
#[derive(Clone, Debug)]
pub enum Op {
    /// Rows of a table, source or materialized view: the given columns of it, in this order. No inputs.
    Import {
        /// The relation.
        relation: RelationId,
        /// Its name, for EXPLAIN.
        name: String,
        /// Which of its columns.
        columns: Vec<usize>,
    },
    /// Keeps the rows for which the predicate is true. One input.
    Filter {
        /// A boolean expression; NULL counts as false.
        predicate: ExprRef,
    },
    /// Keeps the rows for which a condition is true at the wall clock of the epoch: rows come and go as time passes. One input.
    TemporalFilter(TimeCondition),
    /// Sends rows without an event time to the dead letters, for they are in no window. One input.
    RequireEventTime {
        /// The column that must not be NULL.
        column: usize,
    },
    /// Takes out what is late: a row goes on if one of its windows is not closed, and to the view's late rows once for each that is.
    /// One input.
    TakeLate(LateRows),
    /// A row for each window that holds its event time: the edge that names the window takes the place of the event time. One
    /// input.
    Windows {
        /// The column of the event time, which is never NULL.
        column: usize,
        /// The windows.
        windows: Windows,
        /// Which of them take no rows any more; `None`: all do.
        closed: Option<Closed>,
    },
    /// Holds rows back until their window is closed, and gives them then, each as often as it is there; what comes for closed windows is
    /// left out. Only in views that no checkpoint has. One input.
    HoldBack(Final),
    /// Each row with the window of its session in two more columns: the first moment of it, and the one at which it ends. Rows of
    /// one partition, in the order of their times, are in one session while each is less than the gap after the one before; it
    /// ends when the gap after its last row is over. One input.
    Session {
        /// The columns that rows of one partition have in common, NULLs included.
        partition: Vec<usize>,
        /// The column of the event time, which is never NULL.
        column: usize,
        /// Microseconds; more than 0.
        gap: i64,
        /// When sessions are closed, and take no rows any more; `None`: never.
        life: Option<SessionLife>,
    },
    /// Computes each output column from an input row. One input.
    Project {
        /// One expression for each output column.
        exprs: Vec<ExprRef>,
    },
    /// All rows of all inputs, which have equal types. One input or more.
    UnionAll,
    /// Each row once, however often its input has it; NULLs are equal, so are the two zeros and all NaNs. One input.
    Distinct,
    /// Groups by the first `keys` columns of its input; the output is those columns, then one column for each call.
    /// With `keys == 0` there is exactly one row, also over no input. One input.
    Aggregate {
        /// How many leading input columns are the key.
        keys: usize,
        /// What is computed for each group.
        calls: Vec<AggregateCall>,
        /// When its windows are shown and closed; `None`: shown at once, and never closed.
        life: Option<WindowLife>,
    },
}

/// One aggregate of an [`Op::Aggregate`].
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateCall {
    /// Which aggregate.
    pub function: AggregateFunction,
    /// The argument's column in the input; `None` for `count(*)`.
    pub argument: Option<usize>,
    /// Whether each value of the argument counts once. False where that makes no difference, such as for `min`.
    pub distinct: bool,
    /// The column of the FILTER condition in the input: a boolean, NULL counts as false.
    pub filter: Option<usize>,
    /// The argument's type ([`DataType::Null`] for `count(*)`).
    pub input: DataType,
    /// The result's type, as Postgres has it: `sum` of integers up to 32 bits is Int64, of Int64 is Decimal128(38, 0),
    /// of Decimal128(p, s) is Decimal128(38, s); `avg` of integers is Decimal128(38, 16), of Decimal128(p, s)
    /// Decimal128(38, max(s, 16)); `sum` and `avg` of Float32 and Float64 are Float32/Float64 and Float64; `count` is
    /// Int64; `min` and `max` keep the argument's type; `bool_and` and `bool_or` are Boolean. A variance or standard
    /// deviation has the type of an average.
    pub output: DataType,
    /// Its text, for EXPLAIN.
    pub name: String,
}

/// The aggregates that can be maintained under retraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateFunction {
    /// `count(*)`, and `count(x)` over values that are not NULL.
    Count,
    /// `sum(x)`; NULL over no values.
    Sum,
    /// `avg(x)`; NULL over no values.
    Avg,
    /// `min(x)`; NULL over no values.
    Min,
    /// `max(x)`; NULL over no values.
    Max,
    /// `bool_and(x)` and `every(x)`; NULL over no values.
    BoolAnd,
    /// `bool_or(x)`; NULL over no values.
    BoolOr,
    /// `variance(x)`, `stddev(x)` and the like; NULL over too few values.
    Deviation(Measure),
}

impl AggregateFunction {
    /// Whether it makes a difference that a value comes more than once.
    pub fn counts_repeats(self) -> bool {
        !matches!(self, AggregateFunction::Min | AggregateFunction::Max | AggregateFunction::BoolAnd | AggregateFunction::BoolOr)
    }
}

/// What is known about the output of a step. The plan checker holds every delta against it in debug builds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Rows are only ever added, each with weight 1.
    pub append_only: bool,
    /// Columns whose values together are unique at every epoch's end.
    pub key: Option<Vec<usize>>,
    /// The columns that carry an event time, and what a source's watermark says about each.
    pub event_times: Vec<EventTime>,
    /// What will close this step's state once lateness bounds it; `None`: nothing ever does.
    pub closes: Option<Closing>,
}

/// A column that is a monotone function of a source's event time.
#[derive(Clone, Debug, PartialEq)]
pub struct EventTime {
    /// The column.
    pub column: usize,
    /// The source whose watermark bounds it.
    pub source: RelationId,
    /// From the source's watermark to this column's, in order.
    pub steps: Vec<TimeStep>,
}

impl EventTime {
    /// The watermark of this column, given its source's; both in microseconds.
    pub fn watermark(&self, source_watermark: i64) -> i64 {
        self.steps.iter().fold(source_watermark, |watermark, step| step.apply(watermark))
    }
}

/// A monotone step from one time to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeStep {
    /// Adds microseconds.
    Shift(i64),
    /// Goes down to the start of its tumbling window, both in microseconds since 1970-01-01.
    Floor {
        /// Length of a window; more than 0.
        size: i64,
        /// Where window 0 starts.
        offset: i64,
    },
    /// Goes down to the start of its window of calendar months.
    Months(MonthWindow),
    /// Goes up to the end of its window of calendar months.
    MonthsEnd(MonthWindow),
    /// Goes down to the start of the earliest window that holds it or anything later.
    Hop(HopWindow),
    /// Goes up to the end of the earliest window that holds it or anything later.
    Cumulate(CumulateWindow),
    /// Stays: a session that holds it or anything later ends after it.
    SessionEnd,
}

impl TimeStep {
    /// Applies the step, saturating at the ends of time.
    pub fn apply(self, time: i64) -> i64 {
        match self {
            TimeStep::Shift(micros) => time.saturating_add(micros),
            TimeStep::Floor { size, offset } => window_start(time, size, offset),
            TimeStep::Months(window) => window.start(time),
            TimeStep::MonthsEnd(window) => window.end(time),
            TimeStep::Hop(window) => window.first_start(time),
            TimeStep::Cumulate(window) => window.first_end(time),
            TimeStep::SessionEnd => time,
        }
    }
}

/// A group is closed when the watermark of its windows' event time passes its window's end.
#[derive(Clone, Debug, PartialEq)]
pub struct Closing {
    /// The source whose watermark decides.
    pub source: RelationId,
    /// From the source's watermark to that of the event time that was put into windows, in order.
    pub steps: Vec<TimeStep>,
    /// The key column that names the window (its start or its end).
    pub column: usize,
    /// From that column's value to the window's end.
    pub end: WindowEnd,
}

impl Closing {
    /// The watermark of the event time that was put into windows, given its source's; both in microseconds.
    pub fn watermark(&self, source_watermark: i64) -> i64 {
        if source_watermark == i64::MAX {
            // The source has ended.
            return i64::MAX;
        }
        self.steps.iter().fold(source_watermark, |watermark, step| step.apply(watermark))
    }

    /// The source's watermark cannot be earlier than this when [`Closing::watermark`] comes to a moment; both in microseconds.
    pub fn earliest(&self, watermark: i64) -> i64 {
        self.steps.iter().rev().fold(watermark, |watermark, step| match step {
            TimeStep::Shift(micros) => watermark.saturating_sub(*micros),
            // They go down.
            TimeStep::Floor { .. } | TimeStep::Months(_) | TimeStep::Hop(_) | TimeStep::SessionEnd => watermark,
            TimeStep::Cumulate(window) => watermark.saturating_sub(window.step),
            TimeStep::MonthsEnd(window) => window.start(watermark.saturating_sub(1)),
        })
    }
}

/// From the moment that names a window to the window's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowEnd {
    /// So many microseconds later.
    After(i64),
    /// The end of the window of calendar months that holds it.
    Months(MonthWindow),
}

impl WindowEnd {
    /// The end of the window that is named by this moment; both in microseconds since 1970 UTC.
    pub fn of(self, named: i64) -> i64 {
        match self {
            WindowEnd::After(micros) => named.saturating_add(micros),
            WindowEnd::Months(window) => window.end(named),
        }
    }
}

impl Node {
    /// Every import below this node, depth first, a relation as often as it is read.
    pub fn imports(&self) -> Vec<(RelationId, &str)> {
        match &self.op {
            Op::Import { relation, name, .. } => vec![(*relation, name.as_str())],
            _ => self.inputs.iter().flat_map(Node::imports).collect(),
        }
    }
}
