//! SELECT DISTINCT: equal rows come together, as sums of how often each worker saw them.

use arrow::datatypes::SchemaRef;
use weir_common::error::{Error, Result};
use weir_common::plan::Facts;

use super::{Lowering, Open, Spread, hashable};
use crate::lower::StepOp;
use crate::operator::aggregate::distinct::Distinct;
use crate::operator::aggregate::{AggregateSpec, Stage};

impl Lowering {
    pub(super) fn distinct(&mut self, input: Open, schema: SchemaRef, facts: Facts) -> Result<Open> {
        let input = input.windowed();
        let types = |schema: &SchemaRef| schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        if types(&input.schema) != types(&schema) {
            return Err(Error::internal("the columns of DISTINCT are not what the plan says"));
        }
        if let Some(field) = schema.fields().iter().find(|field| !hashable(field.data_type())) {
            return Err(Error::unsupported(format!("DISTINCT over values of type {} cannot be maintained yet", field.data_type()))
                .with_hint("Select a cast of it, such as to text."));
        }
        Distinct::check(&schema)?;
        let columns = schema.fields().len();
        let state = self.state_number()?;
        if input.gathers(|_| true) {
            let spread = input.spread.clone();
            self.states.push(Distinct::state_spec(&schema, state, spread.columns()));
            return Ok(input.add(StepOp::Distinct(Stage::Whole, state), schema, facts, spread));
        }
        let append_only = input.facts.append_only;
        let sums = AggregateSpec { keys: columns, calls: Vec::new(), stage: Stage::Partial, append_only, state, life: None };
        // Messages to the final step: they are never taken back, whatever the rows that they sum up.
        let messages = Facts { append_only: true, ..Facts::default() };
        let sums_schema = sums.partial_schema(&input.schema)?;
        let sums = input.add(StepOp::Aggregate(sums), sums_schema, messages, Spread::Anywhere);
        let input = self.exchange(sums, (0..columns).collect());
        let spread = input.spread.clone();
        self.states.push(Distinct::state_spec(&schema, state, spread.columns()));
        Ok(input.add(StepOp::Distinct(Stage::Final, state), schema, facts, spread))
    }
}
