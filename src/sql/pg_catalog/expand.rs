//! A list as records of element and number: `information_schema._pg_expandarray`, before the rewriter unnests it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use weir_common::error::{Error, SqlState};

use super::function::external;

/// The function's name.
pub(super) const NAME: &str = "weir_expand";

/// `weir_expand(list)`: `[{x: element, n: number}, ..]`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Expand {
    signature: Signature,
}

impl Expand {
    pub fn new() -> Self {
        Expand { signature: Signature::any(1, Volatility::Immutable) }
    }
}

fn fields(list: &DataType) -> Result<Fields> {
    let DataType::List(element) = list else {
        let message = format!("function _pg_expandarray({list}) does not exist");
        return Err(external(Error::new(SqlState::UNDEFINED_FUNCTION, message)));
    };
    Ok(vec![Field::new("x", element.data_type().clone(), true), Field::new("n", DataType::Int32, true)].into())
}

impl ScalarUDFImpl for Expand {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let record = DataType::Struct(fields(&arguments[0])?);
        Ok(DataType::List(Arc::new(Field::new("item", record, true))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let list = args.args[0].to_array(args.number_rows)?;
        let fields = fields(list.data_type())?;
        let list = list.as_list::<i32>();
        let numbers = list.offsets().windows(2).flat_map(|bounds| 1..=bounds[1] - bounds[0]);
        let first = list.offsets()[0] as usize;
        let length = *list.offsets().last().unwrap_or(&0) as usize - first;
        let elements = cast(&list.values().slice(first, length), fields[0].data_type())?;
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(numbers));
        let records = StructArray::new(fields.clone(), vec![elements, numbers], None);
        let offsets = arrow::buffer::OffsetBuffer::from_lengths(list.offsets().windows(2).map(|bounds| (bounds[1] - bounds[0]) as usize));
        let item = Arc::new(Field::new("item", DataType::Struct(fields), true));
        Ok(ColumnarValue::Array(Arc::new(ListArray::new(item, offsets, Arc::new(records), list.nulls().cloned()))))
    }
}
