//! The functions that TUMBLE, HOP and CUMULATE in FROM become; lowering recognises them by type.

mod edges; // the windows that hold a moment, where there are several
mod session; // the windows of sessions

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use weir_common::error::Error;
use weir_common::window::window_start;

use crate::context::external;
use crate::function::calendar::{month_of, month_start};

pub(crate) use crate::function::window::edges::WindowEdges;
pub(crate) use crate::function::window::session::Sessions;

/// A tumbling window's start or end: `weir_window_start(ts, micros, months, offset)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct WindowEdge {
    name: &'static str,
    end: bool,
    signature: Signature,
}

impl WindowEdge {
    pub(crate) fn start() -> Self {
        WindowEdge { name: "weir_window_start", end: false, signature: Signature::any(4, Volatility::Immutable) }
    }

    pub(crate) fn end() -> Self {
        WindowEdge { name: "weir_window_end", end: true, signature: Signature::any(4, Volatility::Immutable) }
    }

    /// Whether it is the window's end.
    pub(crate) fn is_end(&self) -> bool {
        self.end
    }
}

/// The length of a window and where it starts, in microseconds from 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// A fixed length.
    Micros { size: i64, offset: i64 },
    /// Calendar months; the offset is added to each month's start.
    Months { months: i64, offset: i64 },
}

impl Window {
    /// As the last three arguments of a [`WindowEdge`].
    pub(crate) fn arguments(self) -> [ScalarValue; 3] {
        let (micros, months, offset) = match self {
            Window::Micros { size, offset } => (size, 0, offset),
            Window::Months { months, offset } => (0, months, offset),
        };
        [ScalarValue::from(micros), ScalarValue::from(months), ScalarValue::from(offset)]
    }

    /// From the last three arguments of a [`WindowEdge`].
    pub(crate) fn of(arguments: [&ScalarValue; 3]) -> Option<Window> {
        match arguments {
            [ScalarValue::Int64(Some(size)), ScalarValue::Int64(Some(0)), ScalarValue::Int64(Some(offset))] if *size > 0 => {
                Some(Window::Micros { size: *size, offset: *offset })
            }
            [ScalarValue::Int64(Some(0)), ScalarValue::Int64(Some(months)), ScalarValue::Int64(Some(offset))] if *months > 0 => {
                Some(Window::Months { months: *months, offset: *offset })
            }
            _ => None,
        }
    }

    fn edge(self, time: i64, end: bool) -> Option<i64> {
        match self {
            Window::Micros { size, offset } => {
                let start = window_start(time, size, offset);
                Some(if end { start.saturating_add(size) } else { start })
            }
            Window::Months { months, offset } => {
                let month = month_of(time.checked_sub(offset)?);
                let start = month - month.rem_euclid(months);
                month_start(if end { start + months } else { start })?.checked_add(offset)
            }
        }
    }
}

impl ScalarUDFImpl for WindowEdge {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [time, ColumnarValue::Scalar(micros), ColumnarValue::Scalar(months), ColumnarValue::Scalar(offset)] = args.args.as_slice()
        else {
            return internal_err!("{} takes a column and three constants", self.name);
        };
        let Some(window) = Window::of([micros, months, offset]) else {
            return internal_err!("{} got no window", self.name);
        };
        let scalar = matches!(time, ColumnarValue::Scalar(_));
        let times = time.to_array(if scalar { 1 } else { args.number_rows })?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let edges: PrimitiveArray<TimestampMicrosecondType> = match window {
            Window::Micros { size, offset } if self.end => times.unary(|time| window_start(time, size, offset).saturating_add(size)),
            Window::Micros { size, offset } => times.unary(|time| window_start(time, size, offset)),
            Window::Months { .. } => times.unary_opt(|time| window.edge(time, self.end)),
        };
        let edges: ArrayRef = Arc::new(edges.with_data_type(times.data_type().clone()));
        match scalar {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&edges, 0)?)),
            false => Ok(ColumnarValue::Array(edges)),
        }
    }
}

/// Whether a row has an event time; one without is in no window. In a view it becomes [`weir_common::plan::Op::RequireEventTime`].
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct HasEventTime {
    signature: Signature,
}

impl Default for HasEventTime {
    fn default() -> Self {
        HasEventTime { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for HasEventTime {
    fn name(&self) -> &str {
        "weir_has_event_time"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &args.args[0] {
            ColumnarValue::Scalar(time) => Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(!time.is_null())))),
            ColumnarValue::Array(times) => {
                let valid = times.nulls().map_or_else(|| BooleanBuffer::new_set(times.len()), |nulls| nulls.inner().clone());
                Ok(ColumnarValue::Array(Arc::new(BooleanArray::new(valid, None))))
            }
        }
    }
}

/// `tumble(ts, size)` and its like outside of FROM: refused with what to write instead.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct OutsideFrom {
    name: &'static str,
    signature: Signature,
}

impl OutsideFrom {
    /// One for each window function.
    pub(crate) fn all() -> [OutsideFrom; 4] {
        ["tumble", "hop", "session", "cumulate"].map(|name| OutsideFrom { name, signature: Signature::variadic_any(Volatility::Immutable) })
    }

    fn refused(&self) -> DataFusionError {
        let name = self.name.to_uppercase();
        let error = Error::unsupported(format!("{name} is supported in FROM and GROUP BY only"))
            .with_hint("Write SELECT window_start, ... FROM TUMBLE(t, ts, INTERVAL '1 minute') GROUP BY window_start.");
        external(error)
    }
}

impl ScalarUDFImpl for OutsideFrom {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Err(self.refused())
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(self.refused())
    }
}
