//! Relations and system tables as DataFusion sees them.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Constraint, Constraints, Result};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use weir_common::error::{Error, SqlState};

use crate::catalog::{Relation, RelationKind, SourceDef};
use crate::context::scan::{SnapshotExec, SourceStream};
use crate::context::{SnapshotSource, external};

/// The statement's snapshots, where scans find them: an extension of the session's configuration.
pub(crate) struct Snapshots(pub Arc<dyn SnapshotSource>);

/// A table, a source or a materialized view.
#[derive(Debug)]
pub(crate) struct RelationTable {
    pub relation: Arc<Relation>,
    schema: SchemaRef,
    constraints: Constraints,
}

impl RelationTable {
    pub(crate) fn new(relation: Arc<Relation>) -> Self {
        // DataFusion trusts constraints, so only keys that the engine keeps unique are told.
        let constraints = match relation.key() {
            Some(key) if !key.is_empty() => Constraints::new_unverified(vec![Constraint::PrimaryKey(key.to_vec())]),
            _ => Constraints::default(),
        };
        let schema = relation.schema();
        RelationTable { relation, schema, constraints }
    }
}

#[async_trait]
impl TableProvider for RelationTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn constraints(&self) -> Option<&Constraints> {
        Some(&self.constraints)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match &self.relation.kind {
            RelationKind::Source(source) => {
                check_finite(&self.relation.name, source).map_err(external)?;
                Ok(Arc::new(SourceStream::plan(source.source.clone(), self.schema.clone(), projection, limit)?))
            }
            _ => {
                let missing = || external(Error::internal(format!("relation \"{}\" is read without snapshots", self.relation.name)));
                let snapshots = state.config().get_extension::<Snapshots>().ok_or_else(missing)?;
                let snapshot = snapshots.0.snapshot(self.relation.id).map_err(external)?;
                let partitions = state.config().target_partitions();
                let name = self.relation.name.clone();
                Ok(Arc::new(SnapshotExec::new(name, snapshot, &self.schema, projection.map(Vec::as_slice), limit, partitions)?))
            }
        }
    }
}

/// An unbounded source has no rows to give at once.
fn check_finite(name: &str, source: &SourceDef) -> Result<(), Error> {
    if source.source.finite() {
        return Ok(());
    }
    Err(Error::new(SqlState::WRONG_OBJECT_TYPE, format!("cannot read source \"{name}\" directly: it has no end"))
        .with_hint("Create a materialized view over it, and read that."))
}

/// A relation about the system, computed when a statement scans it.
pub struct SystemTable {
    schema: SchemaRef,
    rows: Arc<dyn Fn() -> Result<RecordBatch, Error> + Send + Sync>,
}

impl SystemTable {
    /// A table of this schema whose rows come from `rows`, called once a scan.
    pub fn new(schema: SchemaRef, rows: impl Fn() -> Result<RecordBatch, Error> + Send + Sync + 'static) -> Self {
        SystemTable { schema, rows: Arc::new(rows) }
    }
}

impl fmt::Debug for SystemTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemTable").field("schema", &self.schema).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = (self.rows)().map_err(external)?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![rows]], self.schema.clone(), projection.cloned())?)
    }
}
