//! EXPLAIN: the plan of a query, or the fragments, exchanges and state of a view.

use std::sync::Arc;

use arrow::array::StringArray;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use weir_common::error::{Error, Result};
use weir_dataflow::{explain, lower};
use weir_sql::statement::{Explain, Statement};

use crate::names;
use crate::pgwire::backend::{Outcome, RowsTag};
use crate::session::{Session, rows, text_schema};
use crate::statement::{query, view};

/// The one column.
pub fn fields() -> SchemaRef {
    text_schema(&["QUERY PLAN"])
}

/// EXPLAIN.
pub async fn run(session: &mut Session, said: &Explain) -> Result<Outcome> {
    if said.analyze {
        return Err(Error::unsupported("EXPLAIN ANALYZE is not supported yet").with_hint("EXPLAIN shows the plan without running it."));
    }
    let parsed = &said.statement;
    let lines: Vec<String> = match &parsed.statement {
        Statement::Query(select) => {
            let context = session.context(parsed).await?;
            let plan = query::plan(&context, select, &parsed.text, &[])?;
            let snapshots = query::snapshots(session, &plan).await?;
            context.explain(&plan, &[], snapshots).await?
        }
        Statement::CreateMaterializedView(create) => {
            let name = names::relation(&create.name)?;
            let plan = view::plan(&session.catalog(), &name, parsed, create)?;
            let plan = lower::lower(&plan.root, &name, session.database.engine.workers())?;
            explain::explain(&plan).lines().map(String::from).collect()
        }
        _ => {
            return Err(Error::unsupported("only queries and CREATE MATERIALIZED VIEW can be explained yet"));
        }
    };
    let batch = RecordBatch::try_new(fields(), vec![Arc::new(StringArray::from(lines))])?;
    Ok(rows(fields(), batch, RowsTag::Fixed("EXPLAIN")))
}
