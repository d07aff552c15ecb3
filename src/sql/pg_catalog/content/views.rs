//! The views that say in one row what takes several joins: pg_tables, pg_views, pg_indexes.

use super::row;
use crate::pg_catalog::facts::{Kind, OWNER_NAME, PrimaryKey, RelationInfo, SessionFacts, index_oid};
use crate::pg_catalog::identifier::quote_ident;
use crate::pg_catalog::relations;
use crate::pg_catalog::rows::Rows;

fn of_kind(facts: &SessionFacts, kind: Kind) -> impl Iterator<Item = &RelationInfo> {
    facts.catalog.relations.iter().filter(move |relation| relation.kind == kind)
}

pub(super) fn tables(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["schemaname", "tablename", "tableowner", "hasindexes", "hasrules", "hastriggers", "rowsecurity"]);
    for relation in of_kind(facts, Kind::Table) {
        let indexed = relation.primary_key.is_some();
        rows.push(row![relation.schema.as_str(), relation.name.as_str(), OWNER_NAME, indexed, false, false, false]);
    }
    for system in relations::all().iter().filter(|system| system.kind == "r") {
        rows.push(row![system.schema, system.name, OWNER_NAME, false, false, false, false]);
    }
    rows
}

/// The text of a view's query as `pg_get_viewdef` gives it.
pub(in crate::pg_catalog) fn definition(relation: &RelationInfo) -> Option<String> {
    let query = relation.definition.as_deref()?;
    Some(format!(" {};", query.trim().trim_end_matches(';').trim_end()))
}

pub(super) fn views(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["schemaname", "viewname", "viewowner", "definition"]);
    for relation in of_kind(facts, Kind::View) {
        rows.push(row![relation.schema.as_str(), relation.name.as_str(), OWNER_NAME, definition(relation)]);
    }
    for system in relations::all().iter().filter(|system| system.kind == "v") {
        rows.push(row![system.schema, system.name, OWNER_NAME, None::<String>]);
    }
    rows
}

pub(super) fn matviews(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["schemaname", "matviewname", "matviewowner", "hasindexes", "ispopulated", "definition"]);
    for relation in of_kind(facts, Kind::MaterializedView) {
        rows.push(row![relation.schema.as_str(), relation.name.as_str(), OWNER_NAME, false, true, definition(relation)]);
    }
    rows
}

/// The statement that would make the index behind a primary key.
pub(in crate::pg_catalog) fn index_definition(relation: &RelationInfo, key: &PrimaryKey) -> String {
    format!(
        "CREATE UNIQUE INDEX {} ON {}.{} USING btree ({})",
        quote_ident(&key.name),
        quote_ident(&relation.schema),
        quote_ident(&relation.name),
        key_columns(relation, key),
    )
}

/// The columns of a primary key, with commas.
pub(in crate::pg_catalog) fn key_columns(relation: &RelationInfo, key: &PrimaryKey) -> String {
    key.columns.iter().map(|column| quote_ident(&relation.columns[*column].name)).collect::<Vec<_>>().join(", ")
}

pub(super) fn indexes(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["schemaname", "tablename", "indexname", "indexdef"]);
    for relation in &facts.catalog.relations {
        if let Some(key) = &relation.primary_key {
            let definition = index_definition(relation, key);
            rows.push(row![relation.schema.as_str(), relation.name.as_str(), key.name.as_str(), definition]);
        }
    }
    rows
}

pub(super) fn table_statistics(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["relid", "schemaname", "relname"]);
    for relation in of_kind(facts, Kind::Table).chain(of_kind(facts, Kind::MaterializedView)) {
        rows.push(row![relation.oid, relation.schema.as_str(), relation.name.as_str()]);
    }
    rows
}

pub(super) fn index_statistics(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["relid", "indexrelid", "schemaname", "relname", "indexrelname"]);
    for relation in &facts.catalog.relations {
        if let Some(key) = &relation.primary_key {
            let (schema, name) = (relation.schema.as_str(), relation.name.as_str());
            rows.push(row![relation.oid, index_oid(relation.oid), schema, name, key.name.as_str()]);
        }
    }
    rows
}
