//! The optimizer's rules that are right for a plan that never ends (research/engine.md 3.3).
//!
//! Left out are those that push LIMIT around, merge the branches of a UNION, or drop what is empty now: a view's input
//! changes. Only rules whose result is another plan of the same operators are of use here.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNode;
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{Optimizer, OptimizerContext, OptimizerRule};

use crate::optimizer::PushDown;

/// Makes an analyzed plan smaller without changing what it means at any time.
pub(super) fn optimize(plan: LogicalPlan, config: &Arc<ConfigOptions>) -> Result<LogicalPlan, DataFusionError> {
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> =
        vec![Arc::new(SimplifyExpressions::new()), Arc::new(PushDown::default()), Arc::new(CommonSubexprEliminate::new())];
    let projections: Arc<dyn OptimizerRule + Send + Sync> = Arc::new(OptimizeProjections::new());
    let context =
        OptimizerContext::new_with_config_options(config.clone()).without_query_execution_start_time().with_skip_failing_rules(false);
    let all = rules.iter().cloned().chain([projections]).collect();
    let optimized = Optimizer::with_rules(all).optimize(plan.clone(), &context, |_, _| {})?;
    // A global aggregate of which no column is used has become one row from nowhere; it reads something as it was written.
    match optimized.exists(|node| Ok(matches!(node, LogicalPlan::EmptyRelation(_))))? {
        true => Optimizer::with_rules(rules).optimize(plan, &context, |_, _| {}),
        false => Ok(optimized),
    }
}
