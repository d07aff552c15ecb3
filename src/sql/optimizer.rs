//! DataFusion's optimizer, with those of its rules put right that change what a query means.

mod constants; // aggregates that the number of rows answers
mod push_down; // conditions moved towards the rows

use std::sync::Arc;

use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

use crate::optimizer::constants::Constants;
pub(crate) use crate::optimizer::push_down::PushDown;

/// DataFusion's rules for logical plans.
pub(crate) fn logical_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let ours: Arc<dyn OptimizerRule + Send + Sync> = Arc::new(PushDown::default());
    Optimizer::new().rules.into_iter().map(|rule| if rule.name() == ours.name() { ours.clone() } else { rule }).collect()
}

/// DataFusion's rules for physical plans.
pub(crate) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let ours: Arc<dyn PhysicalOptimizerRule + Send + Sync> = Arc::new(Constants::default());
    PhysicalOptimizer::new().rules.into_iter().map(|rule| if rule.name() == ours.name() { ours.clone() } else { rule }).collect()
}
