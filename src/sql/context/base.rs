//! What all statements share: functions, rules and settings, built once.

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use datafusion::config::{ConfigOptions, Dialect};
use datafusion::execution::{FunctionRegistry, SessionState, SessionStateBuilder};
use datafusion::optimizer::analyzer::AnalyzerRule;
use datafusion::optimizer::analyzer::resolve_grouping_function::ResolveGroupingFunction;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::prelude::SessionConfig;
use weir_common::datetime::{Customs, DateOrder};
use weir_common::limits::BATCH_ROWS_MAX;

use crate::dml::ScopePlanner;
use crate::function;
use crate::function::zone::SessionCustoms;
use crate::functions_in_from::FunctionNames;
use crate::optimizer;
use crate::rules::PostgresTypes;
use crate::types::SqlTypes;
use crate::window::WindowPlanner;

static BASE: LazyLock<SessionState> = LazyLock::new(build);

static VIEW: LazyLock<SessionState> = LazyLock::new(|| {
    let mut state = BASE.clone();
    // A view cannot run a subquery once and keep the answer: it has to become a join.
    state.config_mut().options_mut().optimizer.enable_physical_uncorrelated_scalar_subquery = false;
    state.execution_props_mut().query_execution_start_time = None;
    state
});

/// Without the functions that nothing looks up by name once a query is planned: this is copied for each run of one. Of the
/// aggregates a rule for DISTINCT ON wants one.
static RUNNING: LazyLock<SessionState> = LazyLock::new(|| {
    let mut state = BASE.clone();
    for name in BASE.scalar_functions().keys() {
        state.deregister_udf(name).expect("a session state gives any function away");
    }
    for name in BASE.window_functions().keys() {
        state.deregister_udwf(name).expect("a session state gives any function away");
    }
    state
});

/// What all statements of sessions share.
pub(super) fn session() -> &'static SessionState {
    &BASE
}

/// Of that, what queries are run with.
pub(super) fn running() -> &'static SessionState {
    &RUNNING
}

/// What all definitions of views share: `now()` stays a call.
pub(super) fn view() -> &'static SessionState {
    &VIEW
}

/// The configuration of a session with these customs.
pub(super) fn config(base: &SessionState, customs: &Customs) -> Arc<ConfigOptions> {
    if is_plain(customs) {
        return base.config_options().clone();
    }
    let mut config = ConfigOptions::clone(base.config_options());
    set_customs(&mut config, customs);
    Arc::new(config)
}

/// A session state of one statement's own: a copy, which takes tens of microseconds.
pub(super) fn state(base: &SessionState, now: Option<DateTime<Utc>>, customs: &Customs) -> SessionState {
    let mut state = base.clone();
    state.execution_props_mut().query_execution_start_time = now;
    if !is_plain(customs) {
        set_customs(state.config_mut().options_mut(), customs);
        // Functions get their configuration from here.
        state.execution_props_mut().config_options = Some(state.config_options().clone());
    }
    state
}

fn is_plain(customs: &Customs) -> bool {
    customs.zone.is_utc() && customs.order == DateOrder::default()
}

fn set_customs(options: &mut ConfigOptions, customs: &Customs) {
    options.execution.time_zone = Some(customs.zone.name().to_string());
    options.extensions.insert(SessionCustoms(customs.clone()));
}

fn build() -> SessionState {
    let mut config = SessionConfig::new().with_batch_size(BATCH_ROWS_MAX).with_target_partitions(1).with_information_schema(false);
    let options = config.options_mut();
    options.catalog.create_default_catalog_and_schema = false;
    options.sql_parser.dialect = Dialect::PostgreSQL;
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.enable_ident_normalization = true;
    options.sql_parser.support_varchar_with_length = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.collect_spans = true;
    options.execution.time_zone = Some("UTC".to_string());
    // Rules of DataFusion may find out that an input is never NULL; an aggregate over it is the same.
    options.execution.skip_physical_aggregate_schema_check = true;
    let rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> =
        vec![Arc::new(ResolveGroupingFunction::new()), Arc::new(PostgresTypes), Arc::new(TypeCoercion::new())];
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_analyzer_rules(rules)
        .with_optimizer_rules(optimizer::logical_rules())
        .with_physical_optimizer_rules(optimizer::physical_rules())
        .with_relation_planners(vec![Arc::new(WindowPlanner), Arc::new(FunctionNames), Arc::new(ScopePlanner)])
        .with_type_planner(Arc::new(SqlTypes))
        .build();
    function::register(&mut state);
    state
}
