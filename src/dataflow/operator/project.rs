//! SELECT's expressions: computes the output columns from each row.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use weir_common::delta::{Delta, batch};
use weir_common::error::Result;
use weir_common::expr::ExprRef;

use crate::fragment::Context;
use crate::isolate::evaluate;
use crate::operator::Operator;

pub(crate) struct Project {
    exprs: Vec<ExprRef>,
    schema: SchemaRef,
    view: Arc<str>,
}

impl Project {
    pub(crate) fn new(exprs: Vec<ExprRef>, schema: SchemaRef, view: Arc<str>) -> Self {
        Project { exprs, schema, view }
    }
}

impl Operator for Project {
    fn push(&mut self, _port: usize, delta: Delta, cx: &mut Context) -> Result<()> {
        for part in evaluate(&self.exprs, delta, &self.view, cx.dead) {
            let rows = batch(self.schema.clone(), part.values, part.delta.num_rows())?;
            cx.out.push(part.delta.with_rows(rows));
        }
        Ok(())
    }
}
