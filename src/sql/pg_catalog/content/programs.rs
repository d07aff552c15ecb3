//! Types, functions, languages, collations, access methods and operator classes: the same in every database.

use std::sync::LazyLock;

use super::row;
use crate::pg_catalog::facts::{OWNER, PG_CATALOG};
use crate::pg_catalog::rows::Rows;
use crate::pg_catalog::types;

/// A function of pg_proc.
pub(in crate::pg_catalog) struct Proc {
    pub oid: i64,
    pub name: &'static str,
    language: i64,
    kind: &'static str,
    returns_set: bool,
    volatility: &'static str,
    pub result: i64,
    pub arguments: Vec<i64>,
}

/// Those that clients look for: the input and output functions of types, and some that they call. One a line: OID, name,
/// language, kind, whether it returns a set, volatility, number of arguments, result, arguments.
static PROCS: LazyLock<Vec<Proc>> = LazyLock::new(|| {
    let number = |word: &str| word.parse::<i64>().expect("procs.txt has numbers where they belong");
    include_str!("../data/procs.txt")
        .lines()
        .map(|line| {
            let words: Vec<&'static str> = line.split(' ').collect();
            Proc {
                oid: number(words[0]),
                name: words[1],
                language: number(words[2]),
                kind: words[3],
                returns_set: words[4] == "t",
                volatility: words[5],
                result: number(words[7]),
                arguments: words.get(8).map_or_else(Vec::new, |list| list.split(',').filter(|word| !word.is_empty()).map(number).collect()),
            }
        })
        .collect()
});

/// The function with this OID.
pub(in crate::pg_catalog) fn proc_by_oid(oid: i64) -> Option<&'static Proc> {
    PROCS.iter().find(|proc| proc.oid == oid)
}

/// The functions with this name.
pub(in crate::pg_catalog) fn procs_named(name: &str) -> impl Iterator<Item = &'static Proc> {
    PROCS.iter().filter(move |proc| proc.name == name)
}

pub(super) fn procs() -> Rows {
    let mut rows = Rows::new(&[
        "oid",
        "proname",
        "pronamespace",
        "proowner",
        "prolang",
        "procost",
        "prokind",
        "proisstrict",
        "proretset",
        "provolatile",
        "proparallel",
        "pronargs",
        "prorettype",
        "proargtypes",
        "prosrc",
    ]);
    for proc in PROCS.iter() {
        rows.push(row![
            proc.oid,
            proc.name,
            PG_CATALOG,
            OWNER,
            proc.language,
            1,
            proc.kind,
            true,
            proc.returns_set,
            proc.volatility,
            "s",
            proc.arguments.len() as i64,
            proc.result,
            proc.arguments.clone(),
            proc.name,
        ]);
    }
    rows
}

pub(super) fn types() -> Rows {
    let mut rows = Rows::new(&[
        "oid",
        "typname",
        "typnamespace",
        "typowner",
        "typlen",
        "typbyval",
        "typtype",
        "typcategory",
        "typispreferred",
        "typisdefined",
        "typdelim",
        "typelem",
        "typarray",
        "typinput",
        "typoutput",
        "typreceive",
        "typsend",
        "typmodin",
        "typmodout",
        "typsubscript",
        "typalign",
        "typstorage",
        "typtypmod",
        "typcollation",
    ]);
    for row in types::all() {
        let [input, output, receive, send, modifier_in, modifier_out, subscript] = row.functions;
        rows.push(row![
            row.oid,
            row.name.as_str(),
            PG_CATALOG,
            OWNER,
            row.len,
            row.by_value,
            row.kind,
            row.category,
            row.preferred,
            true,
            row.delimiter,
            row.element,
            row.array,
            input,
            output,
            receive,
            send,
            modifier_in,
            modifier_out,
            subscript,
            row.align,
            row.storage,
            -1,
            row.collation,
        ]);
    }
    rows
}

pub(super) fn access_method() -> Rows {
    let mut rows = Rows::new(&["oid", "amname", "amhandler", "amtype"]);
    rows.push(row![2, "heap", 3, "t"]);
    rows.push(row![403, "btree", 330, "i"]);
    rows
}

pub(super) fn language() -> Rows {
    let mut rows = Rows::new(&["oid", "lanname", "lanowner", "lanispl", "lanpltrusted"]);
    rows.push(row![12, "internal", OWNER, false, false]);
    rows.push(row![13, "c", OWNER, false, false]);
    rows.push(row![14, "sql", OWNER, false, true]);
    rows
}

pub(super) fn collation() -> Rows {
    let mut rows = Rows::new(&[
        "oid",
        "collname",
        "collnamespace",
        "collowner",
        "collprovider",
        "collisdeterministic",
        "collencoding",
        "collcollate",
        "collctype",
    ]);
    rows.push(row![100, "default", PG_CATALOG, OWNER, "d", true, -1, None::<String>, None::<String>]);
    rows.push(row![950, "C", PG_CATALOG, OWNER, "c", true, -1, "C", "C"]);
    rows.push(row![951, "POSIX", PG_CATALOG, OWNER, "c", true, -1, "POSIX", "POSIX"]);
    rows
}

/// B-tree operator classes: OID, name, family, type.
const OPERATOR_CLASSES: [(i64, &str, i64, i64); 19] = [
    (10000, "array_ops", 397, 2277),
    (10003, "bool_ops", 424, 16),
    (10004, "bpchar_ops", 426, 1042),
    (10006, "bytea_ops", 428, 17),
    (10007, "char_ops", 429, 18),
    (3122, "date_ops", 434, 1082),
    (10012, "float4_ops", 1970, 700),
    (3123, "float8_ops", 1970, 701),
    (1979, "int2_ops", 1976, 21),
    (1978, "int4_ops", 1976, 23),
    (3124, "int8_ops", 1976, 20),
    (10022, "interval_ops", 1982, 1186),
    (10028, "name_ops", 1994, 19),
    (3125, "numeric_ops", 1988, 1700),
    (3126, "text_ops", 1994, 25),
    (10038, "time_ops", 1996, 1083),
    (3127, "timestamptz_ops", 434, 1184),
    (3128, "timestamp_ops", 434, 1114),
    (10065, "uuid_ops", 2968, 2950),
];

/// The operator class that orders a type in an index.
pub(super) fn default_operator_class(ty: i64) -> i64 {
    // varchar is ordered as text.
    let ty = if ty == 1043 { 25 } else { ty };
    let array = types::by_oid(ty).is_some_and(|row| row.category == "A");
    let wanted = if array { 2277 } else { ty };
    OPERATOR_CLASSES.iter().find(|(.., input)| *input == wanted).map_or(0, |(oid, ..)| *oid)
}

pub(super) fn operator_class() -> Rows {
    let mut rows =
        Rows::new(&["oid", "opcmethod", "opcname", "opcnamespace", "opcowner", "opcfamily", "opcintype", "opcdefault", "opckeytype"]);
    for (oid, name, family, input) in OPERATOR_CLASSES {
        rows.push(row![oid, 403, name, PG_CATALOG, OWNER, family, input, true, 0]);
    }
    rows
}
