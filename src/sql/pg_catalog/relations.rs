//! The columns of every system relation, as PostgreSQL 15 has them.
//!
//! `data/relations.txt` holds one relation a line: OID, schema.name, kind, then `column:type` with `!` before the type of a
//! column that is never NULL. A relation that Weir has no rows for is there too, empty: clients join it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{Field, Schema, SchemaRef};
use weir_common::types::PgType;

use super::types;

/// A relation of `pg_catalog` or `information_schema`.
#[derive(Debug)]
pub(super) struct SystemRelation {
    pub oid: i64,
    pub schema: &'static str,
    pub name: &'static str,
    /// `r` or `v`.
    pub kind: &'static str,
    /// Those that `*` shows.
    pub columns: Vec<SystemColumn>,
    /// All of them, the hidden ones last.
    pub fields: SchemaRef,
}

/// A column of a system relation.
#[derive(Debug)]
pub(super) struct SystemColumn {
    pub name: &'static str,
    /// The type that carries it here.
    pub ty: PgType,
    /// The OID of its type in Postgres.
    pub declared: i64,
    pub not_null: bool,
}

/// Columns that every system relation has and `*` does not show.
pub(super) const HIDDEN: [&str; 2] = ["tableoid", "xmin"];

static ALL: LazyLock<Vec<SystemRelation>> = LazyLock::new(|| include_str!("data/relations.txt").lines().map(parse).collect());

static BY_NAME: LazyLock<HashMap<(&str, &str), usize>> =
    LazyLock::new(|| ALL.iter().enumerate().map(|(at, relation)| ((relation.schema, relation.name), at)).collect());

/// Every system relation.
pub(super) fn all() -> &'static [SystemRelation] {
    &ALL
}

/// A system relation by schema and name.
pub(super) fn find(schema: &str, name: &str) -> Option<&'static SystemRelation> {
    BY_NAME.get(&(schema, name)).map(|at| &ALL[*at])
}

/// A system relation by OID.
pub(super) fn by_oid(oid: i64) -> Option<&'static SystemRelation> {
    ALL.iter().find(|relation| relation.oid == oid)
}

fn parse(line: &'static str) -> SystemRelation {
    let mut words = line.split(' ');
    let mut word = || words.next().expect("relations.txt has all words");
    let oid = word().parse().expect("relations.txt begins with OIDs");
    let (schema, name) = word().split_once('.').expect("relations.txt has qualified names");
    let kind = word();
    let columns: Vec<SystemColumn> = words
        .map(|column| {
            let (name, ty) = column.split_once(':').expect("relations.txt has typed columns");
            let plain = ty.trim_start_matches('!');
            let declared = types::all().iter().find(|row| row.name == plain).map_or(0, |row| row.oid);
            SystemColumn { name, ty: column_type(name, plain), declared, not_null: plain.len() != ty.len() }
        })
        .collect();
    let hidden = HIDDEN.iter().filter(|hidden| !columns.iter().any(|column| column.name == **hidden)).map(|name| PgType::Oid.field(*name));
    let fields: Vec<Field> = columns.iter().map(|column| column.ty.field(column.name)).chain(hidden).collect();
    SystemRelation { oid, schema, name, kind, columns, fields: Arc::new(Schema::new(fields)) }
}

/// The type that carries a column: what Weir has no type for is text, and `regproc` is an OID so that it can be joined.
fn column_type(name: &str, typname: &str) -> PgType {
    match typname {
        "regproc" | "xid" | "regtype" => PgType::Oid,
        "pg_node_tree" | "pg_lsn" | "inet" | "anyarray" => PgType::Text,
        "_aclitem" => PgType::Array(Box::new(PgType::Text)),
        // Shown by name, as Postgres shows them.
        "_regtype" => PgType::Array(Box::new(PgType::Text)),
        _ => match typname.strip_prefix('_') {
            Some(element) => PgType::Array(Box::new(column_type(name, element))),
            None => PgType::parse(typname).unwrap_or_else(|| panic!("relations.txt: {name} has the unknown type {typname}")),
        },
    }
}

/// Whether a column of the system relations is a `regproc`: carried as an OID, shown as a function's name.
pub(super) fn is_regproc(column: &str) -> bool {
    const REGPROCS: [&str; 35] = [
        "aggfnoid",
        "aggtransfn",
        "aggfinalfn",
        "aggcombinefn",
        "aggserialfn",
        "aggdeserialfn",
        "aggmtransfn",
        "aggminvtransfn",
        "aggmfinalfn",
        "amhandler",
        "amproc",
        "conproc",
        "oprcode",
        "oprrest",
        "oprjoin",
        "prosupport",
        "prsstart",
        "prstoken",
        "prsend",
        "prsheadline",
        "prslextype",
        "tmplinit",
        "tmpllexize",
        "typinput",
        "typoutput",
        "typreceive",
        "typsend",
        "typmodin",
        "typmodout",
        "typanalyze",
        "typsubscript",
        "rngcanonical",
        "rngsubdiff",
        "trffromsql",
        "trftosql",
    ];
    REGPROCS.contains(&column)
}
