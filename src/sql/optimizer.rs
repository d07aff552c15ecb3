//! DataFusion's optimizer, with those of its rules put right that change what a query means.

mod constants; // aggregates that the number of rows answers
mod empty; // what is empty
mod push_down; // conditions moved towards the rows
mod single_distinct; // DISTINCT aggregates as groups

use std::sync::Arc;

use datafusion::optimizer::optimize_unions::OptimizeUnions;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

use crate::optimizer::constants::Constants;
use crate::optimizer::empty::Empty;
pub(crate) use crate::optimizer::push_down::PushDown;
use crate::optimizer::single_distinct::SingleDistinct;

/// DataFusion's rules for logical plans.
pub(crate) fn logical_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let ours: [Arc<dyn OptimizerRule + Send + Sync>; 3] =
        [Arc::new(PushDown::default()), Arc::new(SingleDistinct::default()), Arc::new(Empty::default())];
    let instead = |rule: Arc<dyn OptimizerRule + Send + Sync>| ours.iter().find(|ours| ours.name() == rule.name()).cloned().unwrap_or(rule);
    // Joining a UNION with those in its branches takes the names of one branch for those of all.
    let flatten = OptimizeUnions::new();
    Optimizer::new().rules.into_iter().filter(|rule| rule.name() != flatten.name()).map(instead).collect()
}

/// DataFusion's rules for physical plans.
pub(crate) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let ours: Arc<dyn PhysicalOptimizerRule + Send + Sync> = Arc::new(Constants::default());
    PhysicalOptimizer::new().rules.into_iter().map(|rule| if rule.name() == ours.name() { ours.clone() } else { rule }).collect()
}
