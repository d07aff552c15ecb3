//! `weir_hop_starts(ts, slide, size, offset)` and `weir_cumulate_ends(ts, step, size, offset)`: an edge of each window that
//! holds a moment, as a list that is unnested.

use std::sync::Arc;

use arrow::array::{Array, AsArray, ListArray, TimestampMicrosecondArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, TimestampMicrosecondType};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit};
use weir_common::window::{CumulateWindow, HopWindow, Windows};

/// One of the functions; no user can call them.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct WindowEdges {
    cumulates: bool,
    signature: Signature,
}

impl WindowEdges {
    /// The call that gives the edges of these windows.
    pub(crate) fn call(time: Expr, windows: Windows) -> Expr {
        let (cumulates, lengths) = match windows {
            Windows::Hop(HopWindow { slide, size, offset }) => (false, [slide, size, offset]),
            Windows::Cumulate(CumulateWindow { step, size, offset }) => (true, [step, size, offset]),
        };
        let function = WindowEdges { cumulates, signature: Signature::any(4, Volatility::Immutable) };
        let lengths = lengths.map(|length| lit(ScalarValue::from(length)));
        ScalarUDF::from(function).call(std::iter::once(time).chain(lengths).collect())
    }

    /// The event time and the windows, where an expression is such a call.
    pub(crate) fn of(expr: &Expr) -> Option<(&Expr, Windows)> {
        match expr {
            Expr::Alias(alias) => WindowEdges::of(&alias.expr),
            Expr::ScalarFunction(call) => {
                let edges = call.func.inner().downcast_ref::<WindowEdges>()?;
                let [time, Expr::Literal(every, _), Expr::Literal(size, _), Expr::Literal(offset, _)] = call.args.as_slice() else {
                    return None;
                };
                Some((time, edges.windows([every, size, offset])?))
            }
            _ => None,
        }
    }

    /// From the last three arguments.
    fn windows(&self, arguments: [&ScalarValue; 3]) -> Option<Windows> {
        let [ScalarValue::Int64(Some(every)), ScalarValue::Int64(Some(size)), ScalarValue::Int64(Some(offset))] = arguments else {
            return None;
        };
        let (every, size, offset) = (*every, *size, *offset);
        Some(match self.cumulates {
            true => Windows::Cumulate(CumulateWindow { step: every, size, offset }),
            false => Windows::Hop(HopWindow { slide: every, size, offset }),
        })
    }
}

fn item(data_type: &DataType) -> Arc<Field> {
    Arc::new(Field::new_list_field(data_type.clone(), true))
}

impl ScalarUDFImpl for WindowEdges {
    fn name(&self) -> &str {
        if self.cumulates { "weir_cumulate_ends" } else { "weir_hop_starts" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(item(&arg_types[0])))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [time, ColumnarValue::Scalar(every), ColumnarValue::Scalar(size), ColumnarValue::Scalar(offset)] = args.args.as_slice() else {
            return internal_err!("{} takes a column and three constants", self.name());
        };
        let Some(windows) = self.windows([every, size, offset]) else {
            return internal_err!("{} got no windows", self.name());
        };
        let times = time.to_array(args.number_rows)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let mut edges = Vec::with_capacity(times.len());
        // A row without an event time is in no window: its list is empty.
        let lengths = times.iter().map(|time| {
            let before = edges.len();
            if let Some(time) = time {
                windows.edges(time, |edge| edges.push(edge));
            }
            edges.len() - before
        });
        let offsets = OffsetBuffer::from_lengths(lengths);
        let values = TimestampMicrosecondArray::from(edges).with_data_type(times.data_type().clone());
        Ok(ColumnarValue::Array(Arc::new(ListArray::try_new(item(times.data_type()), offsets, Arc::new(values), None)?)))
    }
}
