//! The rows of each relation of `pg_catalog`.

mod checks; // CHECK constraints as text
mod objects; // relations, columns, keys
mod cluster; // roles, databases, settings, what there is one of
mod sessions; // who is connected, prepared statements, cursors
mod views; // pg_tables and the like
mod programs; // types, functions, operator classes

use super::facts::SessionFacts;
use super::information_schema;
use super::relations::SystemRelation;
use super::rows::Rows;

/// A row: each value by its own type.
macro_rules! row {
    ($($value:expr),* $(,)?) => { [$($crate::pg_catalog::rows::Value::from($value)),*] };
}
pub(in crate::pg_catalog) use checks::{check_clause, check_definition};
pub(in crate::pg_catalog) use cluster::{DATABASE_COMMENT, UTF8};
pub(in crate::pg_catalog) use objects::COMMENTS;
pub(in crate::pg_catalog) use programs::{proc_by_oid, procs_named};
pub(in crate::pg_catalog) use row;
pub(in crate::pg_catalog) use views::{definition as views_definition, index_definition, key_columns};

/// The rows of a system relation; those that Weir knows nothing about have none.
pub(super) fn rows(relation: &SystemRelation, facts: &SessionFacts) -> Rows {
    if relation.schema == "information_schema" {
        return information_schema::rows(relation, facts);
    }
    match relation.name {
        "pg_class" => objects::class(facts),
        "pg_attribute" => objects::attribute(facts),
        "pg_attrdef" => objects::attrdef(facts),
        "pg_index" => objects::index(facts),
        "pg_constraint" => objects::constraint(facts),
        "pg_description" => objects::description(facts),
        "pg_rewrite" => objects::rewrite(facts),
        "pg_depend" => objects::depend(facts),
        "pg_foreign_table" => objects::foreign_table(facts),
        "pg_foreign_server" => cluster::foreign_server(facts),
        "pg_foreign_data_wrapper" => cluster::foreign_data_wrapper(facts),
        "pg_namespace" => cluster::namespace(),
        "pg_database" => cluster::database(facts),
        "pg_authid" => cluster::authid(facts),
        "pg_roles" => cluster::roles(facts),
        "pg_user" | "pg_shadow" => cluster::user(facts),
        "pg_tablespace" => cluster::tablespace(),
        "pg_settings" => cluster::settings(facts),
        "pg_shdescription" => cluster::shared_description(),
        "pg_stat_activity" => sessions::activity(facts),
        "pg_prepared_statements" => sessions::prepared_statements(facts),
        "pg_cursors" => sessions::cursors(facts),
        "pg_am" => programs::access_method(),
        "pg_type" => programs::types(),
        "pg_proc" => programs::procs(),
        "pg_language" => programs::language(),
        "pg_collation" => programs::collation(),
        "pg_opclass" => programs::operator_class(),
        "pg_tables" => views::tables(facts),
        "pg_views" => views::views(facts),
        "pg_matviews" => views::matviews(facts),
        "pg_indexes" => views::indexes(facts),
        "pg_stat_user_tables" | "pg_stat_all_tables" => views::table_statistics(facts),
        "pg_stat_user_indexes" | "pg_stat_all_indexes" => views::index_statistics(facts),
        _ => Rows::new(&[]),
    }
}
