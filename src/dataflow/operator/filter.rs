//! WHERE and HAVING: keeps the rows for which a predicate is true.

use std::sync::Arc;

use arrow::array::AsArray;
use weir_common::delta::Delta;
use weir_common::error::Result;
use weir_common::expr::ExprRef;

use crate::fragment::Context;
use crate::isolate::evaluate;
use crate::operator::Operator;

pub(crate) struct Filter {
    predicate: [ExprRef; 1],
    view: Arc<str>,
}

impl Filter {
    pub(crate) fn new(predicate: ExprRef, view: Arc<str>) -> Self {
        Filter { predicate: [predicate], view }
    }
}

impl Operator for Filter {
    fn push(&mut self, _port: usize, delta: Delta, cx: &mut Context) -> Result<()> {
        for part in evaluate(&self.predicate, delta, &self.view, cx.dead) {
            let mask = part.values[0].as_boolean();
            match mask.true_count() {
                0 => {}
                kept if kept == part.delta.num_rows() => cx.out.push(part.delta),
                _ => cx.out.push(part.delta.filter(mask)?),
            }
        }
        Ok(())
    }
}
