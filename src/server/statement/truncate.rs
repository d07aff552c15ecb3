//! TRUNCATE: all rows of tables are taken away in the transaction, as DELETE does it, without looking at them.

use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::RelationId;
use weir_sql::catalog::RelationKind;
use weir_sql::statement::Truncate;

use crate::names;
use crate::pgwire::backend::Outcome;
use crate::session::{Session, done};
use crate::statement::dml;

/// TRUNCATE.
pub async fn run(session: &mut Session, truncate: &Truncate) -> Result<Outcome> {
    dml::refuse_if_read_only(session, "TRUNCATE TABLE")?;
    let catalog = session.catalog();
    let mut tables: Vec<RelationId> = vec![];
    for name in &truncate.names {
        let relation = catalog.require(&names::relation(name)?)?;
        if !matches!(relation.kind, RelationKind::Table(_)) {
            let error = Error::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is not a table", relation.name));
            return Err(error.with_hint(format!("It is a {}; only tables can be emptied.", relation.kind.word())));
        }
        if !tables.contains(&relation.id) {
            tables.push(relation.id);
        }
    }
    let mut own = false;
    for table in &tables {
        match dml::lock(session, *table, &tables).await {
            Ok(begun) => own |= begun,
            Err(error) => return dml::end(session, own, Err(error)).await,
        }
    }
    let result = empty(session, &tables).await;
    dml::end(session, own, result).await
}

async fn empty(session: &mut Session, tables: &[RelationId]) -> Result<Outcome> {
    let snapshots = session.snapshots(tables).await?;
    for table in tables {
        let Some(snapshot) = snapshots.get(table) else {
            return Err(Error::new(SqlState::UNDEFINED_TABLE, "the table was dropped while the statement ran"));
        };
        dml::write(session, *table, snapshot.batches()?, vec![]).await?;
    }
    Ok(done("TRUNCATE TABLE"))
}
