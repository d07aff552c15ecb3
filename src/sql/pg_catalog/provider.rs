//! System relations as DataFusion tables, built column by column when they are scanned.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::Result;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::content;
use super::facts::SessionFacts;
use super::relations::{self, SystemRelation};

/// One system relation as a table; `None` when there is no such relation.
pub fn table(facts: &Arc<SessionFacts>, schema: &str, name: &str) -> Option<Arc<dyn TableProvider>> {
    let relation = relations::find(schema, name)?;
    Some(Arc::new(SystemTable { relation, facts: facts.clone() }))
}

/// The schema `pg_catalog` or `information_schema`; `None` for another name.
pub fn schema(facts: &Arc<SessionFacts>, name: &str) -> Option<Arc<dyn SchemaProvider>> {
    let name = relations::all().iter().find(|relation| relation.schema == name)?.schema;
    Some(Arc::new(SystemSchema { name, facts: facts.clone() }))
}

#[derive(Debug)]
struct SystemSchema {
    name: &'static str,
    facts: Arc<SessionFacts>,
}

#[async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        relations::all().iter().filter(|relation| relation.schema == self.name).map(|relation| relation.name.to_string()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(table(&self.facts, self.name, name))
    }

    fn table_exist(&self, name: &str) -> bool {
        relations::find(self.name, name).is_some()
    }
}

struct SystemTable {
    relation: &'static SystemRelation,
    facts: Arc<SessionFacts>,
}

impl fmt::Debug for SystemTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.relation.schema, self.relation.name)
    }
}

impl SystemTable {
    /// The rows in the columns asked for; `wanted` narrows an OID column to one value before the others are built.
    fn batch(&self, projection: &[usize], wanted: Option<(&str, i64)>) -> Result<RecordBatch> {
        let mut rows = content::rows(self.relation, &self.facts);
        if let Some((column, value)) = wanted {
            rows.keep(column, value);
        }
        let fields = projection.iter().map(|at| self.relation.fields.field(*at).clone()).collect::<Vec<_>>();
        let columns: Vec<ArrayRef> = fields.iter().map(|field| rows.column(self.relation, field)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
    }
}

/// The column and value of `column = 123`, when the filter is that.
fn oid_equals(filter: &Expr) -> Option<(&str, i64)> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = filter else { return None };
    let (Expr::Column(column), Expr::Literal(value, _)) = (left.as_ref(), right.as_ref()) else { return None };
    match value {
        ScalarValue::Int64(Some(value)) => Some((column.name(), *value)),
        _ => None,
    }
}

#[async_trait]
impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        self.relation.fields.clone()
    }

    fn table_type(&self) -> TableType {
        if self.relation.kind == "r" { TableType::Base } else { TableType::View }
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match oid_equals(filter) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize>;
        let projection = match projection {
            Some(projection) => projection,
            None => {
                all = (0..self.relation.fields.fields().len()).collect();
                &all
            }
        };
        let batch = self.batch(projection, filters.iter().find_map(oid_equals))?;
        let schema = batch.schema();
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None)?)
    }
}
