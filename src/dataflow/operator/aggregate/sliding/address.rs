//! Sums of slices get an address: late rows that are admitted go to one window, all others to every window that holds their slice.

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::datatypes::SchemaRef;
use weir_common::delta::{Delta, batch};
use weir_common::error::{Error, Result};
use weir_common::lateness::WindowLife;
use weir_common::window::Windows;

use crate::fragment::Context;
use crate::operator::Operator;
use crate::operator::aggregate::sliding::SlidingSpec;
use crate::operator::windows::of_type;
use crate::rows::times;

/// Adds a column with what names the one window, NULL for all. Behind an exchange nobody knows which rows were admitted.
pub(crate) struct Address {
    windows: Windows,
    life: WindowLife,
    /// Of the output.
    schema: SchemaRef,
}

impl Address {
    pub(crate) fn new(spec: &SlidingSpec, schema: SchemaRef) -> Self {
        Address { windows: spec.windows, life: spec.life.clone(), schema }
    }

    /// What names the window that ends at this moment, of those that hold a slice.
    fn window(&self, slice: i64, end: i64) -> Result<i64> {
        let mut found = None;
        self.windows.edges(slice, |edge| {
            if self.life.end(edge) == end {
                found = Some(edge);
            }
        });
        found.ok_or_else(|| Error::internal("a late row was admitted to a window that does not hold it"))
    }
}

impl Operator for Address {
    fn push(&mut self, _port: usize, delta: Delta, cx: &mut Context) -> Result<()> {
        let slices = times(&delta.rows, self.life.closing.column)?;
        let window: ArrayRef = match cx.admitted {
            None => new_null_array(slices.data_type(), delta.num_rows()),
            Some(end) => {
                let windows = slices.values().iter().map(|slice| self.window(*slice, end)).collect::<Result<Vec<_>>>()?;
                of_type(windows, slices.data_type())
            }
        };
        let mut columns = delta.rows.columns().to_vec();
        columns.push(window);
        let rows = batch(self.schema.clone(), columns, delta.num_rows())?;
        cx.out.push(delta.with_rows(rows));
        Ok(())
    }
}
