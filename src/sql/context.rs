//! A DataFusion session for one statement: the catalog's names, Postgres rules, and the moment that `now()` shows.

mod base; // functions, rules and settings that all statements share
mod provider; // names -> table sources and functions, for DataFusion's planner
pub(crate) mod scan; // snapshots and finite sources as physical plans
pub(crate) mod table; // relations and system tables as table providers

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrow::temporal_conversions::timestamp_us_to_datetime;
use chrono::{DateTime, Utc};
use datafusion::catalog::{TableFunction, TableProvider};
use datafusion::common::{Diagnostic, Span};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, ScalarUDF};
use datafusion::sql::planner::{PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::{ast, tokenizer};
use weir_common::datetime::Customs;
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::RelationId;
use weir_common::snapshot::Snapshot;

use crate::catalog::Catalog;
pub use crate::context::table::SystemTable;
use crate::error::{ErrorContext, from_datafusion_in};
use crate::micros;

/// Relations and functions beside the users' own: schemas `weir`, `pg_catalog` and `information_schema`.
pub trait System: Send + Sync + fmt::Debug {
    /// A relation of a system schema. What it shows may be computed when it is scanned ([`SystemTable`]).
    fn table(&self, schema: &str, name: &str) -> Option<Arc<dyn TableProvider>>;
    /// The names in a system schema, for hints.
    fn tables(&self, _schema: &str) -> Vec<String> {
        Vec::new()
    }
    /// A scalar function that knows the session (`current_user`, `pg_backend_pid` ...); before DataFusion's of that name.
    fn function(&self, _name: &str) -> Option<Arc<ScalarUDF>> {
        None
    }
    /// A function in FROM (`pg_get_keywords` ...); before DataFusion's of that name.
    fn table_function(&self, _name: &str) -> Option<Arc<TableFunction>> {
        None
    }
    /// Changes a query before it is planned (`'x'::regclass`, `OPERATOR(pg_catalog.~)` ...).
    fn rewrite(&self, _query: &mut ast::Query) -> Result<()> {
        Ok(())
    }
}

/// No system relations at all: for views, which must not read them, and for tests.
#[derive(Debug)]
pub struct NoSystem;

impl System for NoSystem {
    fn table(&self, _schema: &str, _name: &str) -> Option<Arc<dyn TableProvider>> {
        None
    }
}

/// Gives the rows of stored relations at the statement's commit.
pub trait SnapshotSource: Send + Sync + fmt::Debug {
    /// The rows of a table or materialized view.
    fn snapshot(&self, relation: RelationId) -> Result<Snapshot>;
}

impl SnapshotSource for HashMap<RelationId, Snapshot> {
    fn snapshot(&self, relation: RelationId) -> Result<Snapshot> {
        self.get(&relation).cloned().ok_or_else(|| Error::internal(format!("no snapshot of relation {relation} was taken")))
    }
}

/// What a statement's session sets.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Microseconds since 1970 UTC that `now()` shows: the start of the transaction.
    pub now_micros: i64,
    /// How dates and times are read, and where instants are shown.
    pub customs: Customs,
}

/// The names, functions and settings that one statement is planned and run with. Cheap to make: microseconds.
pub struct Context {
    pub(crate) catalog: Catalog,
    pub(crate) system: Arc<dyn System>,
    /// Functions, planners and rules, which are the same for all; without a moment and a session's customs.
    pub(crate) base: &'static SessionState,
    /// The same for what runs.
    running: &'static SessionState,
    now: Option<DateTime<Utc>>,
    customs: Customs,
    /// The configuration with the customs, made when something asks.
    config: OnceLock<Arc<ConfigOptions>>,
    /// Whether this plans a materialized view.
    pub(crate) maintained: bool,
    named: Mutex<Named>,
    /// The rows that a change's own expressions are being planned over.
    scope: Mutex<Option<LogicalPlan>>,
}

/// The relations that a query names itself, not through a view.
#[derive(Default)]
struct Named {
    relations: Vec<RelationId>,
    depth: usize,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("catalog", &self.catalog).finish_non_exhaustive()
    }
}

impl Context {
    /// For a statement against one version of the catalog.
    pub fn new(catalog: Catalog, system: Arc<dyn System>, settings: &Settings) -> Context {
        Context {
            catalog,
            system,
            base: base::session(),
            running: base::running(),
            now: timestamp_us_to_datetime(settings.now_micros).map(|now| now.and_utc()),
            customs: settings.customs.clone(),
            config: OnceLock::new(),
            maintained: false,
            named: Mutex::default(),
            scope: Mutex::default(),
        }
    }

    /// For a view: no system relations, no session, no moment.
    pub(crate) fn for_view(catalog: Catalog) -> Context {
        Context {
            catalog,
            system: Arc::new(NoSystem),
            base: base::view(),
            running: base::view(),
            now: None,
            customs: Customs::default(),
            config: OnceLock::new(),
            maintained: true,
            named: Mutex::default(),
            scope: Mutex::default(),
        }
    }

    /// What `now()` shows; `None` where it stays a call.
    pub(crate) fn now(&self) -> Option<DateTime<Utc>> {
        self.now
    }

    /// How the session reads dates and times.
    pub(crate) fn customs(&self) -> &Customs {
        &self.customs
    }

    /// The configuration of planning and of functions.
    pub(crate) fn config(&self) -> &Arc<ConfigOptions> {
        self.config.get_or_init(|| base::config(self.base, &self.customs))
    }

    /// A session state of its own, to run something with: a copy, which takes longer than all else here.
    pub(crate) fn state(&self) -> SessionState {
        base::state(self.running, self.now, &self.customs)
    }

    /// The relations that the queries planned so far name themselves.
    pub(crate) fn named(&self) -> Vec<RelationId> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner).relations.clone()
    }

    fn note(&self, relation: RelationId) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.depth == 0 && !named.relations.contains(&relation) {
            named.relations.push(relation);
        }
    }

    /// Plans the query of a view; what it names counts as the view's, not as the outer query's.
    fn inside_view<T>(&self, plan: impl FnOnce() -> T) -> T {
        let step = |by: isize| {
            let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
            named.depth = named.depth.saturating_add_signed(by);
        };
        step(1);
        let result = plan();
        step(-1);
        result
    }

    /// Plans something over the rows of a change, which have this plan.
    pub(crate) fn with_scope<T>(&self, scope: LogicalPlan, plan: impl FnOnce() -> T) -> T {
        let set = |scope| *self.scope.lock().unwrap_or_else(PoisonError::into_inner) = scope;
        set(Some(scope));
        let result = plan();
        set(None);
        result
    }

    /// The rows of the change that is being planned.
    pub(crate) fn scope(&self) -> Option<LogicalPlan> {
        self.scope.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The catalog that names are looked up in.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// A query's plan as DataFusion's planner makes it, before any rule; `parameters` are the types of `$1` and so on.
    pub(crate) fn bind(&self, query: ast::Query, parameters: PlannerContext) -> Result<LogicalPlan, DataFusionError> {
        let mut query = query;
        crate::functions_in_from::unnest_series(&mut query);
        self.system.rewrite(&mut query).map_err(external)?;
        crate::values::give_types(&mut query);
        crate::window::group_by::move_to_from(&mut query)?;
        crate::window::time::ask(&mut query);
        if !self.maintained {
            crate::window::closed::ask::ask(&mut query, &self.catalog)?;
        }
        crate::interval::spell_out(&mut query);
        crate::function::zone::spell_out(&mut query);
        crate::names::name_outputs(&mut query);
        let mut parameters = parameters;
        let planner = SqlToRel::new(self);
        planner.sql_statement_to_plan_with_context(ast::Statement::Query(Box::new(query)), &mut parameters)
    }

    /// With Postgres' types everywhere: the form that later steps start from.
    pub(crate) fn analyze(&self, plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
        let plan = self.base.analyzer().execute_and_check(plan, self.config(), |_, _| {})?;
        // The state of a view is known by a text that has them, and does not change: there they go when it is compiled.
        if self.maintained { Ok(plan) } else { micros::in_plan(plan) }
    }

    /// DataFusion's errors in Postgres' words, with positions in `sql`.
    pub(crate) fn error(&self, error: DataFusionError, sql: &str) -> Error {
        let relations: Vec<&str> = self.catalog.relations().map(|relation| relation.name.as_str()).collect();
        let functions = self.base.scalar_functions().keys().chain(self.base.aggregate_functions().keys()).map(String::as_str);
        let functions: Vec<&str> = functions.filter(|name| !name.starts_with("weir_")).collect();
        let error = from_datafusion_in(error, &ErrorContext { sql, relations: &relations, functions: &functions });
        crate::window::closed::ask::hinted(error)
    }
}

/// Carries one of our errors through DataFusion; [`from_datafusion_in`] takes it out again.
pub(crate) fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// One of our errors with the place in the statement that it is about.
pub(crate) fn at(error: Error, span: tokenizer::Span) -> DataFusionError {
    let message = error.message().to_string();
    external(error).with_diagnostic(Diagnostic::new_error(message, Span::try_from_sqlparser_span(span)))
}

/// The query in a view's definition.
pub(crate) fn parse_query(text: &str) -> Result<ast::Query> {
    let parsed = crate::parser::parse(text)?;
    match parsed.into_iter().next().map(|parsed| parsed.statement) {
        Some(crate::statement::Statement::Query(query)) => Ok(*query),
        _ => Err(Error::new(SqlState::INTERNAL_ERROR, format!("the definition of a view is not a query: {text}"))),
    }
}
