//! pg_class and what hangs on it: columns, defaults, keys, comments, dependencies.

use super::row;
use crate::pg_catalog::facts::{
    Foreign, Kind, OWNER, PG_CATALOG, RelationInfo, SessionFacts, check_oid, constraint_oid, default_oid, index_oid, rule_oid, schema_oid,
};
use crate::pg_catalog::relations;
use crate::pg_catalog::rows::{Rows, Value};
use crate::pg_catalog::types;
use weir_common::types::PgType;

/// OIDs of system relations that rows of others point at.
pub(super) const CLASS: i64 = 1259;
const REWRITE: i64 = 2618;
const CONSTRAINT: i64 = 2606;
/// The access methods of tables and of indexes.
const HEAP: i64 = 2;
const BTREE: i64 = 403;

pub(super) fn class(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&[
        "oid",
        "relname",
        "relnamespace",
        "relowner",
        "relam",
        "relfilenode",
        "reltuples",
        "relhasindex",
        "relpersistence",
        "relkind",
        "relnatts",
        "relchecks",
        "relhasrules",
        "relispopulated",
        "relreplident",
    ]);
    for relation in &facts.catalog.relations {
        let heap = matches!(relation.kind, Kind::Table | Kind::MaterializedView);
        let (am, file, identity) = if heap { (HEAP, relation.oid, "d") } else { (0, 0, "n") };
        rows.push(row![
            relation.oid,
            relation.name.as_str(),
            schema_oid(&relation.schema),
            OWNER,
            am,
            file,
            -1,
            relation.primary_key.is_some(),
            "p",
            relation.kind.letter(),
            relation.columns.len() as i64,
            relation.checks.len() as i64,
            matches!(relation.kind, Kind::View | Kind::MaterializedView),
            true,
            identity,
        ]);
        if let Some(key) = &relation.primary_key {
            let index = index_oid(relation.oid);
            let (schema, columns) = (schema_oid(&relation.schema), key.columns.len() as i64);
            rows.push(row![index, key.name.as_str(), schema, OWNER, BTREE, index, 0, false, "p", "i", columns, 0, false, true, "n"]);
        }
    }
    for system in relations::all() {
        let (am, view) = if system.kind == "r" { (HEAP, false) } else { (0, true) };
        let (schema, columns) = (schema_oid(system.schema), system.columns.len() as i64);
        rows.push(row![system.oid, system.name, schema, OWNER, am, 0, -1, false, "p", system.kind, columns, 0, view, true, "n"]);
    }
    rows
}

/// A type's OID and modifier.
fn typed(ty: &PgType) -> (i64, i32) {
    (ty.oid() as i64, ty.modifier())
}

pub(super) fn attribute(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&[
        "attrelid",
        "attname",
        "atttypid",
        "attstattarget",
        "attlen",
        "attnum",
        "attndims",
        "attcacheoff",
        "atttypmod",
        "attbyval",
        "attalign",
        "attstorage",
        "attnotnull",
        "atthasdef",
        "attislocal",
        "attcollation",
    ]);
    let mut push = |relation: i64, number: usize, name: &str, (ty, modifier): (i64, i32), not_null: bool, has_default: bool| {
        let described = types::by_oid(ty);
        let (len, by_value, align, storage, collation) =
            described.map_or((-1, false, "i", "x", 0), |row| (row.len, row.by_value, row.align, row.storage, row.collation));
        let dimensions = described.is_some_and(|row| row.name.starts_with('_')) as i64;
        rows.push(row![
            relation,
            name,
            ty,
            -1,
            len,
            number as i64,
            dimensions,
            -1,
            modifier,
            by_value,
            align,
            storage,
            not_null,
            has_default,
            true,
            collation,
        ]);
    };
    for relation in &facts.catalog.relations {
        for (at, column) in relation.columns.iter().enumerate() {
            push(relation.oid as i64, at + 1, &column.name, typed(&column.ty), column.not_null, column.default.is_some());
        }
        for (at, column) in relation.primary_key.iter().flat_map(|key| &key.columns).enumerate() {
            let column = &relation.columns[*column];
            push(index_oid(relation.oid) as i64, at + 1, &column.name, typed(&column.ty), false, false);
        }
    }
    for system in relations::all() {
        for (at, column) in system.columns.iter().enumerate() {
            push(system.oid, at + 1, column.name, (column.declared, -1), column.not_null, false);
        }
    }
    rows
}

pub(super) fn attrdef(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["oid", "adrelid", "adnum", "adbin"]);
    for relation in &facts.catalog.relations {
        for (at, column) in relation.columns.iter().enumerate() {
            if let Some(default) = &column.default {
                rows.push(row![default_oid(relation.oid, at + 1), relation.oid, at as i64 + 1, default.as_str()]);
            }
        }
    }
    rows
}

/// The numbers of a key's columns, from 1.
pub(super) fn key_numbers(columns: &[usize]) -> Vec<i64> {
    columns.iter().map(|column| *column as i64 + 1).collect()
}

pub(super) fn index(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&[
        "indexrelid",
        "indrelid",
        "indnatts",
        "indnkeyatts",
        "indisunique",
        "indisprimary",
        "indimmediate",
        "indisvalid",
        "indisready",
        "indislive",
        "indkey",
        "indcollation",
        "indclass",
        "indoption",
    ]);
    for relation in &facts.catalog.relations {
        let Some(key) = &relation.primary_key else { continue };
        let count = key.columns.len() as i64;
        let types = || key.columns.iter().map(|column| &relation.columns[*column].ty);
        let collations: Vec<i64> = types().map(|ty| types::by_oid(ty.oid() as i64).map_or(0, |row| row.collation)).collect();
        let classes: Vec<i64> = types().map(|ty| super::programs::default_operator_class(ty.oid() as i64)).collect();
        rows.push(row![
            index_oid(relation.oid),
            relation.oid,
            count,
            count,
            true,
            true,
            true,
            true,
            true,
            true,
            key_numbers(&key.columns),
            collations,
            classes,
            vec![0; key.columns.len()],
        ]);
    }
    rows
}

pub(super) fn constraint(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&[
        "oid",
        "conname",
        "connamespace",
        "contype",
        "convalidated",
        "conrelid",
        "conindid",
        "confupdtype",
        "confdeltype",
        "confmatchtype",
        "conislocal",
        "connoinherit",
        "conkey",
        "conbin",
    ]);
    for relation in &facts.catalog.relations {
        for (number, check) in relation.checks.iter().enumerate() {
            rows.push(row![
                check_oid(relation.oid, number),
                check.name.as_str(),
                schema_oid(&relation.schema),
                "c",
                true,
                relation.oid,
                0,
                " ",
                " ",
                " ",
                true,
                false,
                if check.columns.is_empty() { Value::Null } else { Value::from(key_numbers(&check.columns)) },
                check.expr.as_str(),
            ]);
        }
        let Some(key) = &relation.primary_key else { continue };
        rows.push(row![
            constraint_oid(relation.oid),
            key.name.as_str(),
            schema_oid(&relation.schema),
            "p",
            true,
            relation.oid,
            index_oid(relation.oid),
            " ",
            " ",
            " ",
            true,
            true,
            key_numbers(&key.columns),
            None::<String>,
        ]);
    }
    rows
}

/// Comments on the system's own objects: class, object and text.
pub(in crate::pg_catalog) const COMMENTS: [(i64, i64, &str); 8] = [
    (2601, HEAP, "heap table access method"),
    (2601, BTREE, "b-tree index access method"),
    (2612, 12, "built-in functions"),
    (2612, 13, "dynamically-loaded C functions"),
    (2612, 14, "SQL-language functions"),
    (2615, PG_CATALOG, "system catalog schema"),
    (2615, super::cluster::PUBLIC_SCHEMA, "standard public schema"),
    (2615, super::cluster::WEIR_SCHEMA, "what Weir tells about itself"),
];

pub(super) fn description(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["objoid", "classoid", "objsubid", "description"]);
    for (class, object, text) in COMMENTS {
        rows.push(row![object, class, 0, text]);
    }
    for relation in &facts.catalog.relations {
        if let Some(comment) = &relation.comment {
            rows.push(row![relation.oid, CLASS, 0, comment.as_str()]);
        }
        for (at, column) in relation.columns.iter().enumerate() {
            if let Some(comment) = &column.comment {
                rows.push(row![relation.oid, CLASS, at as i64 + 1, comment.as_str()]);
            }
        }
    }
    rows
}

/// Views and materialized views: what has a query.
fn queries(facts: &SessionFacts) -> impl Iterator<Item = &RelationInfo> {
    facts.catalog.relations.iter().filter(|relation| matches!(relation.kind, Kind::View | Kind::MaterializedView))
}

pub(super) fn rewrite(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["oid", "rulename", "ev_class", "ev_type", "ev_enabled", "is_instead", "ev_qual", "ev_action"]);
    for relation in queries(facts) {
        rows.push(row![rule_oid(relation.oid), "_RETURN", relation.oid, "1", "O", true, "<>", relation.definition.as_deref()]);
    }
    rows
}

pub(super) fn depend(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["classid", "objid", "objsubid", "refclassid", "refobjid", "refobjsubid", "deptype"]);
    for relation in queries(facts) {
        rows.push(row![REWRITE, rule_oid(relation.oid), 0, CLASS, relation.oid, 0, "i"]);
        for on in &relation.depends_on {
            rows.push(row![REWRITE, rule_oid(relation.oid), 0, CLASS, *on, 0, "n"]);
        }
    }
    for relation in &facts.catalog.relations {
        for (at, check) in relation.checks.iter().enumerate() {
            for number in key_numbers(&check.columns) {
                rows.push(row![CONSTRAINT, check_oid(relation.oid, at), 0, CLASS, relation.oid, number, "a"]);
            }
        }
        let Some(key) = &relation.primary_key else { continue };
        for number in key_numbers(&key.columns) {
            rows.push(row![CONSTRAINT, constraint_oid(relation.oid), 0, CLASS, relation.oid, number, "a"]);
        }
        rows.push(row![CLASS, index_oid(relation.oid), 0, CONSTRAINT, constraint_oid(relation.oid), 0, "i"]);
    }
    rows
}

pub(super) fn foreign_table(facts: &SessionFacts) -> Rows {
    let mut rows = Rows::new(&["ftrelid", "ftserver", "ftoptions"]);
    let servers = facts.servers();
    for relation in &facts.catalog.relations {
        let Some(Foreign { server, options }) = &relation.foreign else { continue };
        let server = servers.iter().find(|(_, name)| name == server).map(|(oid, _)| *oid);
        let options: Vec<String> = options.iter().map(|(name, value)| format!("{name}={value}")).collect();
        rows.push(row![relation.oid, server, Value::from(options)]);
    }
    rows
}
