//! Postgres' typing rules.

use datafusion::config::ConfigOptions;
use datafusion::common::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::analyzer::AnalyzerRule;

/// Gives literals and operators the types and results that they have in Postgres.
#[derive(Debug)]
pub(crate) struct PostgresTypes;

impl AnalyzerRule for PostgresTypes {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan)
    }
    fn name(&self) -> &str {
        "postgres_types"
    }
}
