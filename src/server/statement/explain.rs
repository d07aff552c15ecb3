//! EXPLAIN: the plan of a query, or the fragments, exchanges and state of a view.

use std::sync::Arc;

use arrow::array::StringArray;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use weir_common::error::{Error, Result};
use weir_dataflow::{explain, lower};
use weir_sql::ast;
use weir_sql::statement::{Declare, DeclareRows, Explain, Parsed, Statement};

use crate::names;
use crate::pgwire::backend::{Outcome, RowsTag};
use crate::session::{Plan, Session, rows, text_schema};
use crate::statement::{prepared, query, view};

/// The one column.
pub fn fields() -> SchemaRef {
    text_schema(&["QUERY PLAN"])
}

/// EXPLAIN.
pub async fn run(session: &mut Session, outer: &Parsed, said: &Explain) -> Result<Outcome> {
    let explained = lines(session, said).await.map_err(|error| outer.outside(&said.statement, error))?;
    let batch = RecordBatch::try_new(fields(), vec![Arc::new(StringArray::from(explained))])?;
    Ok(rows(fields(), batch, RowsTag::Fixed("EXPLAIN")))
}

async fn lines(session: &mut Session, said: &Explain) -> Result<Vec<String>> {
    if said.analyze {
        return Err(Error::unsupported("EXPLAIN ANALYZE is not supported yet").with_hint("EXPLAIN shows the plan without running it."));
    }
    let parsed = &said.statement;
    match &parsed.statement {
        Statement::Query(select) => of_query(session, parsed, select).await,
        Statement::Declare(Declare { rows: DeclareRows::Query(query), .. }) => of_query(session, parsed, query).await,
        Statement::Execute(execute) => {
            let (prepared, values) = prepared::bind(session, parsed, execute).await?;
            let prepared = session.current(&prepared).await.map_err(Error::without_position)?;
            let Plan::Query(plan) = &prepared.plan else {
                return Err(Error::unsupported("only queries and CREATE MATERIALIZED VIEW can be explained yet"));
            };
            let context = session.context(&prepared.parsed).await?;
            let snapshots = query::snapshots(session, plan).await?;
            context.explain(plan, &values, snapshots).await.map_err(Error::without_position)
        }
        Statement::CreateMaterializedView(create) => {
            let name = names::relation(&create.name)?;
            let plan = view::plan(&session.catalog(), &name, parsed, create, true)?;
            let plan = lower::lower(&plan.root, &name, session.database.engine.workers())?;
            Ok(explain::explain(&plan).lines().map(String::from).collect())
        }
        _ => Err(Error::unsupported("only queries and CREATE MATERIALIZED VIEW can be explained yet")),
    }
}

async fn of_query(session: &mut Session, parsed: &Parsed, select: &ast::Query) -> Result<Vec<String>> {
    let context = session.context(parsed).await?;
    let plan = query::plan(&context, select, &parsed.text, &[])?;
    let snapshots = query::snapshots(session, &plan).await?;
    context.explain(&plan, &[], snapshots).await
}
