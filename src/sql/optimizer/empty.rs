//! What is empty, and what becomes of a plan with it.
//!
//! Where one branch of a UNION is left, DataFusion looks for the union's columns among the branch's, by name: in
//! `SELECT a FROM t WHERE false UNION ALL SELECT b FROM u` there is no `a`.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::propagate_empty_relation::PropagateEmptyRelation;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// DataFusion's rule, with columns of a union by position.
#[derive(Debug, Default)]
pub(crate) struct Empty(PropagateEmptyRelation);

impl OptimizerRule for Empty {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if let LogicalPlan::Union(union) = &plan {
            let mut others = union.inputs.iter().filter(|input| !is_empty(input));
            if let (Some(last), None) = (others.next(), others.next()) {
                let columns = last.schema().columns().into_iter().zip(union.schema.iter());
                let columns =
                    columns.map(|(column, (qualifier, field))| Expr::Column(column).alias_qualified(qualifier.cloned(), field.name()));
                return Ok(Transformed::yes(LogicalPlanBuilder::from(Arc::unwrap_or_clone(last.clone())).project(columns)?.build()?));
            }
        }
        self.0.rewrite(plan, config)
    }
}

fn is_empty(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::EmptyRelation(empty) if !empty.produce_one_row)
}
