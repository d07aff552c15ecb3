//! Conditions moved towards the rows, but never below an aggregate that has a row over nothing.
//!
//! DataFusion moves a condition without columns below every aggregate. That is wrong where there is no GROUP BY, or a
//! grouping set without columns: `SELECT count(*) FROM t HAVING false` would have a row.

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// DataFusion's rule with that exception.
#[derive(Debug, Default)]
pub(crate) struct PushDown(PushDownFilter);

impl OptimizerRule for PushDown {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match below(&plan) {
            LogicalPlan::Aggregate(aggregate) if matches!(plan, LogicalPlan::Filter(_)) && has_row_over_nothing(&aggregate.group_expr) => {
                Ok(Transformed::no(plan))
            }
            _ => self.0.rewrite(plan, config),
        }
    }
}

/// What a condition, or several, would be moved into.
fn below(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::Filter(filter) => below(&filter.input),
        other => other,
    }
}

fn has_row_over_nothing(group: &[Expr]) -> bool {
    group.is_empty() || group.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)))
}
