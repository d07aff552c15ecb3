//! SHOW: variables, and lists of objects.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use weir_common::error::{Error, Result, SqlState};
use weir_sql::catalog::{Relation, RelationKind};
use weir_sql::statement::{ObjectKind, Show};

use crate::names;
use crate::pgwire::backend::{Outcome, RowsTag};
use crate::session::{Session, rows, text_schema};

/// The columns of a SHOW.
pub fn fields(show: &Show) -> SchemaRef {
    match show {
        Show::Variable(name) => text_schema(&[name]),
        Show::All => text_schema(&["name", "setting", "description"]),
        Show::Objects(_) => text_schema(&["name"]),
        Show::Create { .. } => text_schema(&["name", "create_sql"]),
    }
}

/// SHOW.
pub fn run(session: &Session, show: &Show) -> Result<Outcome> {
    let columns: Vec<Vec<Option<String>>> = match show {
        Show::Variable(name) => vec![vec![Some(session.variables.get(name)?)]],
        Show::All => session
            .variables
            .all()
            .into_iter()
            .map(|setting| vec![Some(setting.name), Some(setting.value), Some(setting.description)])
            .collect(),
        Show::Objects(kind) => {
            let mut names: Vec<String> =
                session.catalog().relations().filter(|relation| is(relation, *kind)).map(|relation| relation.name.clone()).collect();
            names.sort();
            names.into_iter().map(|name| vec![Some(name)]).collect()
        }
        Show::Create { kind, name } => {
            let catalog = session.catalog();
            let relation = catalog.require(&names::relation(name)?)?;
            if !is(relation, *kind) {
                return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is a {}", relation.name, relation.kind.word())));
            }
            vec![vec![Some(relation.name.clone()), Some(relation.sql.clone())]]
        }
    };
    let schema = fields(show);
    let arrays: Vec<ArrayRef> = (0..schema.fields().len())
        .map(|column| Arc::new(columns.iter().map(|row| row[column].clone()).collect::<StringArray>()) as ArrayRef)
        .collect();
    let batch = RecordBatch::try_new(schema.clone(), arrays)?;
    Ok(rows(schema, batch, RowsTag::Fixed("SHOW")))
}

fn is(relation: &Relation, kind: ObjectKind) -> bool {
    match relation.kind {
        RelationKind::Table(_) => kind == ObjectKind::Table,
        RelationKind::Source(_) => kind == ObjectKind::Source,
        RelationKind::View(_) => kind == ObjectKind::View,
        RelationKind::MaterializedView(_) => kind == ObjectKind::MaterializedView,
        RelationKind::LateRows(_) => false,
    }
}
