//! Aggregates that are answered from what is known about their input, such as its number of rows.
//!
//! DataFusion looks for such an aggregate below any final one, and takes that of a subquery where the query's own has a
//! FILTER: `SELECT max(n) FILTER (WHERE n > 9) FROM (SELECT count(*) AS n FROM t) x` would give the count.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::config::ConfigOptions;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::aggregate_statistics::AggregateStatistics;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;

/// DataFusion's rule, for plans without FILTER.
#[derive(Debug, Default)]
pub(crate) struct Constants(AggregateStatistics);

impl PhysicalOptimizerRule for Constants {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if has_filter(plan.as_ref()) { Ok(plan) } else { self.0.optimize(plan, config) }
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

fn has_filter(plan: &dyn ExecutionPlan) -> bool {
    let own = plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| aggregate.filter_expr().iter().any(Option::is_some));
    own || plan.children().into_iter().any(|child| has_filter(child.as_ref()))
}
