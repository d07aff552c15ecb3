//! `weir_hop_starts(ts, slide, size, offset)`: the starts of the windows that hold a moment, as a list that is unnested.

use std::sync::Arc;

use arrow::array::{Array, AsArray, ListArray, TimestampMicrosecondArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, TimestampMicrosecondType};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use weir_common::window::HopWindow;

/// The function; no user can call it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct HopStarts {
    signature: Signature,
}

impl Default for HopStarts {
    fn default() -> Self {
        HopStarts { signature: Signature::any(4, Volatility::Immutable) }
    }
}

impl HopStarts {
    /// The event time and the windows, where an expression is such a call.
    pub(crate) fn of(expr: &Expr) -> Option<(&Expr, HopWindow)> {
        match expr {
            Expr::Alias(alias) => HopStarts::of(&alias.expr),
            Expr::ScalarFunction(call) if call.func.inner().downcast_ref::<HopStarts>().is_some() => {
                let [time, Expr::Literal(slide, _), Expr::Literal(size, _), Expr::Literal(offset, _)] = call.args.as_slice() else {
                    return None;
                };
                Some((time, window([slide, size, offset])?))
            }
            _ => None,
        }
    }
}

fn window(arguments: [&ScalarValue; 3]) -> Option<HopWindow> {
    match arguments {
        [ScalarValue::Int64(Some(slide)), ScalarValue::Int64(Some(size)), ScalarValue::Int64(Some(offset))] => {
            Some(HopWindow { slide: *slide, size: *size, offset: *offset })
        }
        _ => None,
    }
}

fn item(data_type: &DataType) -> Arc<Field> {
    Arc::new(Field::new_list_field(data_type.clone(), true))
}

impl ScalarUDFImpl for HopStarts {
    fn name(&self) -> &str {
        "weir_hop_starts"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(item(&arg_types[0])))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [time, ColumnarValue::Scalar(slide), ColumnarValue::Scalar(size), ColumnarValue::Scalar(offset)] = args.args.as_slice() else {
            return internal_err!("weir_hop_starts takes a column and three constants");
        };
        let Some(window) = window([slide, size, offset]) else {
            return internal_err!("weir_hop_starts got no window");
        };
        let times = time.to_array(args.number_rows)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let mut starts = Vec::with_capacity(times.len());
        // A row without an event time is in no window: its list is empty.
        let lengths = times.iter().map(|time| {
            let before = starts.len();
            starts.extend(time.into_iter().flat_map(|time| window.starts(time)));
            starts.len() - before
        });
        let offsets = OffsetBuffer::from_lengths(lengths);
        let values = TimestampMicrosecondArray::from(starts).with_data_type(times.data_type().clone());
        Ok(ColumnarValue::Array(Arc::new(ListArray::try_new(item(times.data_type()), offsets, Arc::new(values), None)?)))
    }
}
