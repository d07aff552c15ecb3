//! UNION ALL: the rows of all inputs, under the names of the output.

use arrow::datatypes::SchemaRef;
use weir_common::delta::{Delta, batch};
use weir_common::error::Result;

use crate::fragment::Context;
use crate::operator::Operator;

pub(crate) struct Union {
    schema: SchemaRef,
}

impl Union {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Union { schema }
    }
}

impl Operator for Union {
    fn push(&mut self, _port: usize, delta: Delta, cx: &mut Context) -> Result<()> {
        let rows = batch(self.schema.clone(), delta.rows.columns().to_vec(), delta.num_rows())?;
        cx.out.push(delta.with_rows(rows));
        Ok(())
    }
}
