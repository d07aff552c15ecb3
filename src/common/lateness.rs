//! The life of windows: when one is shown, how long it takes rows, and which rows come too late.
//!
//! All moments and lengths are microseconds; W is the watermark of the event time that was put into windows, `i64::MIN` before the
//! first event time and `i64::MAX` when its source has ended.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::ids::RelationId;
use crate::plan::{Closing, TimeStep, WindowEnd};

/// What a view shows of a window, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Emit {
    /// Its rows so far, from the first one on.
    Update,
    /// Nothing before W reaches its end; then its rows, revised until it is closed.
    WindowClose,
    /// Nothing before it is closed; then its rows, which never change.
    Final,
}

/// When the windows of an aggregate are shown, closed and removed.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowLife {
    /// What its windows are.
    pub closing: Closing,
    /// How long after its end a window takes rows; 0 or more.
    pub lateness: i64,
    /// What is shown.
    pub emit: Emit,
    /// How long after its end a window's rows are kept: at least `lateness`. `None`: for ever.
    pub retention: Option<i64>,
    /// Whether what merging needs is kept of closed windows, so that late rows can be admitted.
    pub keeps_closed: bool,
}

impl WindowLife {
    /// The end of the window that a key names.
    pub fn end(&self, named: i64) -> i64 {
        self.closing.end.of(named)
    }

    /// The watermark at which the window is shown.
    pub fn shown_at(&self, named: i64) -> i64 {
        match self.emit {
            Emit::Update => i64::MIN,
            Emit::WindowClose => self.end(named),
            Emit::Final => self.closed_at(named),
        }
    }

    /// The watermark at which the window is closed.
    pub fn closed_at(&self, named: i64) -> i64 {
        self.end(named).saturating_add(self.lateness)
    }

    /// The watermark at which its rows are removed, if they are.
    pub fn removed_at(&self, named: i64) -> Option<i64> {
        Some(self.end(named).saturating_add(self.retention?))
    }
}

/// When rows with a window among their columns are final.
#[derive(Clone, Debug, PartialEq)]
pub struct Final {
    /// Which column names the window, and whose watermark decides.
    pub closing: Closing,
    /// How long after its end a window takes rows; 0 or more.
    pub lateness: i64,
}

impl Final {
    /// The watermark at which a window is closed.
    pub fn closed_at(&self, named: i64) -> i64 {
        self.closing.end.of(named).saturating_add(self.lateness)
    }
}

/// The sessions of a step that closes them by itself.
///
/// A row is late if no session that is still open would be its own: of all rows that are there and that come in the epoch, those that
/// follow each other by less than the gap are together; they are late if all of them have just come and their session was closed, by
/// the watermark before the epoch, when they came.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionLife {
    /// The names of what is read below.
    pub input: String,
    /// When sessions are shown, closed and removed. Its column is that of their end, behind those of the input and of the start.
    pub windows: WindowLife,
    /// Whether late rows tell where in a source they come from.
    pub positions: bool,
}

/// Which of the windows that hold a moment take no rows any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    /// The source whose watermark decides.
    pub source: RelationId,
    /// From its watermark to that of the event time that is put into windows.
    pub steps: Vec<TimeStep>,
    /// From the moment to what names each window that holds it; more than one where a step is that of HOP or CUMULATE.
    pub named: Vec<TimeStep>,
    /// From there to the window's end.
    pub end: WindowEnd,
    /// How long after its end a window takes rows.
    pub lateness: i64,
}

/// A window that holds a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its start, if the steps tell.
    pub start: Option<i64>,
    /// Its end.
    pub end: i64,
}

impl Closed {
    /// W, given the source's watermark.
    pub fn watermark(&self, source_watermark: i64) -> i64 {
        if source_watermark == i64::MAX {
            return i64::MAX;
        }
        self.steps.iter().fold(source_watermark, |watermark, step| step.apply(watermark))
    }

    /// Whether a window that ends at this moment is closed.
    pub fn is_closed(&self, end: i64, watermark: i64) -> bool {
        end.saturating_add(self.lateness) <= watermark
    }

    /// Calls back with each window that holds `moment`, the latest first.
    pub fn each(&self, moment: i64, mut window: impl FnMut(Span)) {
        let several = self.named.iter().position(|step| matches!(step, TimeStep::Hop(_) | TimeStep::Cumulate(_)));
        let Some(several) = several else { return window(self.span(moment, &self.named)) };
        let before = self.named[..several].iter().fold(moment, |moment, step| step.apply(moment));
        let mut each = |edge: i64, start: i64| {
            let Span { end, .. } = self.span(edge, &self.named[several + 1..]);
            window(Span { start: Some(start), end });
        };
        match self.named[several] {
            TimeStep::Hop(windows) => windows.starts(before).for_each(|start| each(start, start)),
            TimeStep::Cumulate(windows) => {
                let ends: Vec<i64> = windows.ends(before).collect();
                ends.into_iter().rev().for_each(|end| each(end, windows.start(end)));
            }
            _ => {}
        }
    }

    /// Whether the earliest window that holds `moment` is closed: then all earlier moments have a closed one too.
    pub fn touches(&self, moment: i64, watermark: i64) -> bool {
        // The first start of a hop, or the first end of a cumulating window, is a step like others.
        self.is_closed(self.span(moment, &self.named).end, watermark)
    }

    fn span(&self, moment: i64, steps: &[TimeStep]) -> Span {
        let (mut at, mut start) = (moment, None);
        for step in steps {
            at = step.apply(at);
            match step {
                TimeStep::Floor { .. } | TimeStep::Months(_) | TimeStep::Hop(_) => start = Some(at),
                TimeStep::MonthsEnd(window) => start = Some(window.start(moment)),
                TimeStep::Cumulate(window) => start = Some(window.start(at)),
                TimeStep::Shift(_) | TimeStep::SessionEnd => {}
            }
        }
        Span { start, end: self.end.of(at) }
    }
}

/// What is taken out of a stream because it comes too late.
#[derive(Clone, Debug, PartialEq)]
pub struct LateRows {
    /// The names of what is read below.
    pub input: String,
    /// The column with the moment that is put into windows; never NULL.
    pub column: usize,
    /// Whether that is the event time itself, and not already a window's edge.
    pub is_event_time: bool,
    /// Which windows take no rows any more.
    pub closed: Closed,
    /// Whether they tell where in a source they come from.
    pub positions: bool,
}

/// The columns of a view's late rows behind those of the input. The last two, where in a source the row comes from, are missing in views
/// that an earlier version of Weir made: what was defined over their late rows stays what it was.
pub const LATE_COLUMNS: [&str; 8] = ["input", "event_time", "window_start", "window_end", "watermark", "weight", "partition", "offset"];
/// Where in [`LATE_COLUMNS`] the window's end is.
pub const LATE_WINDOW_END: usize = 3;
/// Where in [`LATE_COLUMNS`] the watermark is.
pub const LATE_WATERMARK: usize = 4;
/// Where in [`LATE_COLUMNS`] the weight is.
pub const LATE_WEIGHT: usize = 5;
/// Where in [`LATE_COLUMNS`] those begin that tell where in a source the row comes from.
pub const LATE_POSITION: usize = 6;

/// The columns of late rows of an input with these columns: those, under names that are not taken, and [`LATE_COLUMNS`], whose times
/// have the type of the moment that is put into windows; `positions` says whether the last two are among them.
pub fn late_schema(input: &Schema, moment: usize, positions: bool) -> SchemaRef {
    let time = input.field(moment).data_type().clone();
    let types = [DataType::Utf8, time.clone(), time.clone(), time.clone(), time, DataType::Int64, DataType::Utf8, DataType::Int64];
    let columns = if positions { &LATE_COLUMNS[..] } else { &LATE_COLUMNS[..LATE_POSITION] };
    let mut fields: Vec<Field> = Vec::new();
    for field in input.fields() {
        let mut name = field.name().clone();
        while columns.contains(&name.as_str()) || fields.iter().any(|field| *field.name() == name) {
            name.push_str("_of_row");
        }
        fields.push(Field::new(name, field.data_type().clone(), true));
    }
    fields.extend(columns.iter().zip(types).map(|(name, data_type)| Field::new(*name, data_type, true)));
    Arc::new(Schema::new(fields))
}

/// How many of the columns of late rows are those of the input.
pub fn late_width(late: &Schema) -> usize {
    let positions = late.fields().last().is_some_and(|last| last.name() == LATE_COLUMNS[LATE_COLUMNS.len() - 1]);
    late.fields().len() - if positions { LATE_COLUMNS.len() } else { LATE_POSITION }
}
