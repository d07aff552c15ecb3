//! The oracle: a query run by DataFusion over whole relations, as a client's SELECT is.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, new_empty_array};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use weir_common::error::Result;
use weir_common::ids::{Epoch, RelationId};
use weir_common::snapshot::{Run, Snapshot};
use weir_sql::ScalarValue;
use weir_sql::ast::Query;
use weir_sql::catalog::Catalog;
use weir_sql::context::{Context, NoSystem, Settings};
use weir_sql::parser;
use weir_sql::read::QueryPlan;
use weir_sql::statement::Statement;

use crate::relation::Row;

/// What every stored relation holds.
pub type Stored = HashMap<RelationId, Snapshot>;

/// A query that is planned once and run over what the relations hold after each epoch.
pub struct Batch {
    context: Context,
    plan: QueryPlan,
}

impl Batch {
    pub fn plan(catalog: &Catalog, sql: &str) -> Result<Batch> {
        let context = context(catalog);
        let plan = context.plan_query(&query(sql)?, sql, &[])?;
        Ok(Batch { context, plan })
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.plan.schema
    }

    pub fn run(&self, stored: &Stored, runtime: &tokio::runtime::Runtime) -> Result<Vec<RecordBatch>> {
        let stored = Arc::new(stored.clone());
        runtime.block_on(async { self.context.execute(&self.plan, &[], stored).await?.collect().await })
    }
}

pub fn context(catalog: &Catalog) -> Context {
    Context::new(catalog.clone(), Arc::new(NoSystem), &Settings::default())
}

pub fn query(sql: &str) -> Result<Query> {
    match parser::parse(sql)?.remove(0).statement {
        Statement::Query(query) => Ok(*query),
        other => panic!("not a query: {other:?}"),
    }
}

/// One run of rows at an epoch.
pub fn snapshot(rows: RecordBatch, epoch: Epoch) -> Snapshot {
    Snapshot { schema: rows.schema(), epoch, runs: vec![Run { rows: Arc::new(rows), live: None }], watermarks: vec![] }
}

/// Rows in a relation's columns.
pub fn batch<'a>(schema: &SchemaRef, rows: impl Iterator<Item = &'a Row> + Clone) -> RecordBatch {
    let column = |column: usize| -> ArrayRef {
        let mut values = rows.clone().map(|row| row[column].clone()).peekable();
        match values.peek() {
            None => new_empty_array(schema.field(column).data_type()),
            Some(_) => ScalarValue::iter_to_array(values).expect("values of the column's type"),
        }
    };
    let columns = (0..schema.fields().len()).map(column).collect();
    RecordBatch::try_new(schema.clone(), columns).expect("columns of the relation")
}
