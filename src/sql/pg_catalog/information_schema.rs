//! The rows of the standard's views.
//!
//! A materialized view is a `VIEW` here, although Postgres leaves those out: what lists tables by these views (Grafana, BI
//! tools) must find them. A source is `FOREIGN`.

use weir_common::types::PgType;

use super::content::{check_clause, row, views_definition};
use super::facts::{Kind, OWNER_NAME, RelationInfo, SCHEMAS, SessionFacts};
use super::relations::{self, SystemRelation};
use super::rows::{Rows, Value};

/// The rows of one view; those that Weir knows nothing about have none.
pub(super) fn rows(relation: &SystemRelation, facts: &SessionFacts) -> Rows {
    match relation.name {
        "schemata" => schemata(facts),
        "tables" => tables(facts),
        "columns" => columns(facts),
        "views" => views(facts),
        "table_constraints" => table_constraints(facts),
        "key_column_usage" => key_column_usage(facts),
        "constraint_column_usage" => constraint_column_usage(facts),
        "check_constraints" => check_constraints(facts),
        "character_sets" => character_sets(facts),
        "role_table_grants" | "table_privileges" => grants(facts),
        "foreign_tables" => foreign_tables(facts),
        "enabled_roles" => enabled_roles(facts),
        "information_schema_catalog_name" => {
            let mut rows = Rows::new(&["catalog_name"]);
            rows.push(row![facts.database.as_str()]);
            rows
        }
        _ => Rows::new(&[]),
    }
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "YES" } else { "NO" }
}

fn schemata(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["catalog_name", "schema_name", "schema_owner"]);
    for (_, name) in SCHEMAS {
        rows.push(row![facts.database.as_str(), name, OWNER_NAME]);
    }
    rows
}

fn tables(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["table_catalog", "table_schema", "table_name", "table_type", "is_insertable_into", "is_typed"]);
    let database = facts.database.as_str();
    for relation in &facts.catalog.relations {
        let kind = match relation.kind {
            Kind::Table => "BASE TABLE",
            Kind::View | Kind::MaterializedView => "VIEW",
            Kind::Source => "FOREIGN",
        };
        let writable = yes_or_no(relation.kind == Kind::Table);
        rows.push(row![database, relation.schema.as_str(), relation.name.as_str(), kind, writable, "NO"]);
    }
    for system in relations::all() {
        let kind = if system.kind == "r" { "BASE TABLE" } else { "VIEW" };
        rows.push(row![database, system.schema, system.name, kind, "NO", "NO"]);
    }
    rows
}

fn columns(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&[
        "table_catalog",
        "table_schema",
        "table_name",
        "column_name",
        "ordinal_position",
        "column_default",
        "is_nullable",
        "data_type",
        "character_maximum_length",
        "character_octet_length",
        "numeric_precision",
        "numeric_precision_radix",
        "numeric_scale",
        "datetime_precision",
        "collation_catalog",
        "collation_schema",
        "collation_name",
        "udt_catalog",
        "udt_schema",
        "udt_name",
        "dtd_identifier",
        "is_self_referencing",
        "is_identity",
        "identity_cycle",
        "is_generated",
        "is_updatable",
    ]);
    let database = facts.database.as_str();
    let mut push = |table: [&str; 2], at: usize, name: &str, ty: &PgType, not_null: bool, default: Option<&str>, updatable: bool| {
        let data_type = match ty {
            PgType::Array(_) => "ARRAY".to_string(),
            PgType::Varchar(_) => "character varying".to_string(),
            PgType::Bpchar(_) => "character".to_string(),
            PgType::Numeric(_) => "numeric".to_string(),
            other => other.spelling(),
        };
        let (length, octets) = match ty {
            PgType::Varchar(Some(length)) | PgType::Bpchar(Some(length)) => (Some(*length as i64), Some(*length as i64 * 4)),
            PgType::Text | PgType::Varchar(None) => (None, Some(1_073_741_824)),
            _ => (None, None),
        };
        let (precision, radix, scale) = match ty {
            PgType::Int2 => (Some(16), Some(2), Some(0)),
            PgType::Int4 => (Some(32), Some(2), Some(0)),
            PgType::Int8 => (Some(64), Some(2), Some(0)),
            PgType::Float4 => (Some(24), Some(2), None),
            PgType::Float8 => (Some(53), Some(2), None),
            PgType::Numeric(Some((precision, scale))) => (Some(*precision as i64), Some(10), Some(*scale as i64)),
            PgType::Numeric(None) => (None, Some(10), None),
            _ => (None, None, None),
        };
        let sub_seconds = match ty {
            PgType::Date => Some(0),
            PgType::Time | PgType::Timestamp | PgType::Timestamptz | PgType::Interval => Some(6),
            _ => None,
        };
        let collated = matches!(ty, PgType::Name);
        let [schema, table] = table;
        let number = at as i64 + 1;
        rows.push(row![
            database,
            schema,
            table,
            name,
            number,
            default,
            yes_or_no(!not_null),
            data_type,
            length,
            octets,
            precision,
            radix,
            scale,
            sub_seconds,
            collated.then_some(database),
            collated.then_some("pg_catalog"),
            collated.then_some("C"),
            database,
            "pg_catalog",
            ty.typname(),
            number.to_string(),
            "NO",
            "NO",
            "NO",
            "NEVER",
            yes_or_no(updatable),
        ]);
    };
    for relation in &facts.catalog.relations {
        for (at, column) in relation.columns.iter().enumerate() {
            let table = [relation.schema.as_str(), relation.name.as_str()];
            push(table, at, &column.name, &column.ty, column.not_null, column.default.as_deref(), relation.kind == Kind::Table);
        }
    }
    for system in relations::all() {
        for (at, column) in system.columns.iter().enumerate() {
            push([system.schema, system.name], at, column.name, &column.ty, column.not_null, None, false);
        }
    }
    rows
}

fn views(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&[
        "table_catalog",
        "table_schema",
        "table_name",
        "view_definition",
        "check_option",
        "is_updatable",
        "is_insertable_into",
        "is_trigger_updatable",
        "is_trigger_deletable",
        "is_trigger_insertable_into",
    ]);
    for relation in facts.catalog.relations.iter().filter(|relation| relation.definition.is_some()) {
        let (schema, name) = (relation.schema.as_str(), relation.name.as_str());
        rows.push(row![facts.database.as_str(), schema, name, views_definition(relation), "NONE", "NO", "NO", "NO", "NO", "NO"]);
    }
    rows
}

/// The relations with a primary key, with the first columns that the constraint views share.
fn keyed(facts: &SessionFacts) -> impl Iterator<Item = (&RelationInfo, &super::facts::PrimaryKey)> {
    facts.catalog.relations.iter().filter_map(|relation| Some((relation, relation.primary_key.as_ref()?)))
}

fn checked(facts: &SessionFacts) -> impl Iterator<Item = (&RelationInfo, &super::facts::Check)> {
    facts.catalog.relations.iter().flat_map(|relation| relation.checks.iter().map(move |check| (relation, check)))
}

fn table_constraints(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&[
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
        "table_catalog",
        "table_schema",
        "table_name",
        "constraint_type",
        "is_deferrable",
        "initially_deferred",
        "enforced",
    ]);
    let database = facts.database.as_str();
    for (relation, key) in keyed(facts) {
        let (schema, name) = (relation.schema.as_str(), relation.name.as_str());
        rows.push(row![database, schema, key.name.as_str(), database, schema, name, "PRIMARY KEY", "NO", "NO", "YES"]);
    }
    for (relation, check) in checked(facts) {
        let (schema, name) = (relation.schema.as_str(), relation.name.as_str());
        rows.push(row![database, schema, check.name.as_str(), database, schema, name, "CHECK", "NO", "NO", "YES"]);
    }
    rows
}

fn key_column_usage(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&[
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
        "table_catalog",
        "table_schema",
        "table_name",
        "column_name",
        "ordinal_position",
    ]);
    let database = facts.database.as_str();
    for (relation, key) in keyed(facts) {
        let (schema, name) = (relation.schema.as_str(), relation.name.as_str());
        for (at, column) in key.columns.iter().enumerate() {
            let column = relation.columns[*column].name.as_str();
            rows.push(row![database, schema, key.name.as_str(), database, schema, name, column, at as i64 + 1]);
        }
    }
    rows
}

fn constraint_column_usage(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&[
        "table_catalog",
        "table_schema",
        "table_name",
        "column_name",
        "constraint_catalog",
        "constraint_schema",
        "constraint_name",
    ]);
    let database = facts.database.as_str();
    for (relation, key) in keyed(facts) {
        let (schema, name) = (relation.schema.as_str(), relation.name.as_str());
        for column in &key.columns {
            let column = relation.columns[*column].name.as_str();
            rows.push(row![database, schema, name, column, database, schema, key.name.as_str()]);
        }
    }
    for (relation, check) in checked(facts) {
        let (schema, name) = (relation.schema.as_str(), relation.name.as_str());
        for column in &check.columns {
            let column = relation.columns[*column].name.as_str();
            rows.push(row![database, schema, name, column, database, schema, check.name.as_str()]);
        }
    }
    rows
}

/// The CHECK constraints. Postgres lists NOT NULL here too; it is in `columns.is_nullable`.
fn check_constraints(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["constraint_catalog", "constraint_schema", "constraint_name", "check_clause"]);
    for (relation, check) in checked(facts) {
        let (schema, clause) = (relation.schema.as_str(), check_clause(&check.expr, false));
        rows.push(row![facts.database.as_str(), schema, check.name.as_str(), clause]);
    }
    rows
}

fn character_sets(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["character_set_name", "character_repertoire", "form_of_use", "default_collate_catalog"]);
    rows.push(row!["UTF8", "UCS", "UTF8", facts.database.as_str()]);
    rows
}

fn grants(facts: &SessionFacts) -> Rows {
    const ON_TABLES: [&str; 7] = ["INSERT", "SELECT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"];
    let mut rows = Rows::new(&[
        "grantor",
        "grantee",
        "table_catalog",
        "table_schema",
        "table_name",
        "privilege_type",
        "is_grantable",
        "with_hierarchy",
    ]);
    for relation in &facts.catalog.relations {
        let (schema, name) = (relation.schema.as_str(), relation.name.as_str());
        for privilege in ON_TABLES.iter().filter(|privilege| relation.kind == Kind::Table || **privilege == "SELECT") {
            let hierarchy = yes_or_no(*privilege == "SELECT");
            for (_, grantee) in facts.roles() {
                rows.push(row![OWNER_NAME, grantee, facts.database.as_str(), schema, name, *privilege, "YES", hierarchy]);
            }
        }
    }
    rows
}

fn foreign_tables(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&[
        "foreign_table_catalog",
        "foreign_table_schema",
        "foreign_table_name",
        "foreign_server_catalog",
        "foreign_server_name",
    ]);
    let database = facts.database.as_str();
    for relation in &facts.catalog.relations {
        let Some(foreign) = &relation.foreign else { continue };
        let (schema, name) = (relation.schema.as_str(), relation.name.as_str());
        rows.push(row![database, schema, name, database, foreign.server.as_str()]);
    }
    rows
}

fn enabled_roles(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["role_name"]);
    for (_, name) in facts.roles() {
        rows.push([Value::from(name)]);
    }
    rows
}
