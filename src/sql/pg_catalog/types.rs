//! The rows of pg_type, and what Postgres calls a type: `format_type` and `regtype`.
//!
//! `data/types.txt` holds one base or pseudo type a line, as PostgreSQL 15 has them (`+` for a space in a
//! name); arrays follow from it.

use std::sync::LazyLock;

use weir_common::error::{Error, Result, SqlState};

use super::identifier::identifiers;

/// A type of pg_type.
#[derive(Clone, Debug)]
pub(super) struct TypeRow {
    pub oid: i64,
    pub name: String,
    pub array: i64,
    pub len: i64,
    pub by_value: bool,
    pub kind: &'static str,
    pub category: &'static str,
    pub preferred: bool,
    pub delimiter: &'static str,
    pub element: i64,
    pub align: &'static str,
    pub storage: &'static str,
    pub collation: i64,
    /// input, output, receive, send, typmodin, typmodout, subscript
    pub functions: [i64; 7],
    /// As `format_type` shows it, without a modifier.
    pub spelling: String,
}

static ALL: LazyLock<Vec<TypeRow>> = LazyLock::new(|| {
    let base: Vec<TypeRow> = include_str!("data/types.txt").lines().map(parse).collect();
    let arrays: Vec<TypeRow> = base.iter().filter(|row| row.array != 0).map(array_of).collect();
    let mut all = base;
    all.extend(arrays);
    all.sort_by_key(|row| row.oid);
    all
});

fn parse(line: &'static str) -> TypeRow {
    let words: Vec<&'static str> = line.split(' ').collect();
    let number = |at: usize| words[at].parse::<i64>().expect("types.txt has numbers where they belong");
    TypeRow {
        oid: number(0),
        name: words[1].to_string(),
        array: number(2),
        len: number(3),
        by_value: words[4] == "t",
        kind: words[5],
        category: words[6],
        preferred: words[7] == "t",
        delimiter: words[8],
        element: number(9),
        align: words[10],
        storage: words[11],
        collation: number(12),
        functions: std::array::from_fn(|at| number(13 + at)),
        spelling: words[20].replace('+', " "),
    }
}

/// The OIDs of array_in, array_out, array_recv, array_send and array_subscript_handler.
const ARRAY_FUNCTIONS: [i64; 5] = [750, 751, 2400, 2401, 6179];

fn array_of(row: &TypeRow) -> TypeRow {
    let [input, output, receive, send, subscript] = ARRAY_FUNCTIONS;
    TypeRow {
        oid: row.array,
        name: format!("_{}", row.name),
        array: 0,
        len: -1,
        by_value: false,
        kind: if row.name == "record" { "p" } else { "b" },
        category: if row.name == "record" { "P" } else { "A" },
        preferred: false,
        delimiter: row.delimiter,
        element: row.oid,
        align: if row.align == "d" { "d" } else { "i" },
        storage: "x",
        collation: row.collation,
        functions: [input, output, receive, send, row.functions[4], row.functions[5], subscript],
        spelling: format!("{}[]", row.spelling),
    }
}

/// Every type, by OID.
pub(super) fn all() -> &'static [TypeRow] {
    &ALL
}

/// The type with this OID.
pub(super) fn by_oid(oid: i64) -> Option<&'static TypeRow> {
    ALL.binary_search_by_key(&oid, |row| row.oid).ok().map(|at| &ALL[at])
}

/// `format_type(oid, typmod)`; the modifier is -1 or `None` for none.
pub(super) fn format_type(oid: i64, modifier: Option<i64>) -> String {
    let Some(row) = by_oid(oid) else {
        return if oid == 0 { "-".to_string() } else { "???".to_string() };
    };
    if row.element != 0 && row.name.starts_with('_') {
        return format!("{}[]", format_type(row.element, modifier));
    }
    let packed = modifier.filter(|modifier| *modifier >= 0);
    match (row.name.as_str(), packed) {
        ("bpchar", None) if modifier.is_some() => "bpchar".to_string(),
        ("bpchar", Some(packed)) => format!("character({})", packed - 4),
        ("varchar", Some(packed)) => format!("character varying({})", packed - 4),
        ("numeric", Some(packed)) => format!("numeric({},{})", ((packed - 4) >> 16) & 0xFFFF, (((packed - 4) & 0x7FF) ^ 1024) - 1024),
        ("time" | "timestamp", Some(packed)) => format!("{}({packed}) without time zone", row.name),
        ("timetz" | "timestamptz", Some(packed)) => format!("{}({packed}) with time zone", row.name.trim_end_matches("tz")),
        _ => row.spelling.clone(),
    }
}

/// The OID that the text of a `regtype` means: a number, a name, SQL's spelling, or an array of one; the modifier is ignored.
pub(super) fn regtype(text: &str) -> Result<Option<i64>> {
    let text = text.trim();
    if let Ok(oid) = text.parse::<u32>() {
        return Ok(Some(oid as i64));
    }
    if let Some(element) = text.strip_suffix("[]") {
        return Ok(regtype(element)?.and_then(by_oid).map(|row| row.array).filter(|oid| *oid != 0));
    }
    let bare = match (text.find('('), text.find(')')) {
        (Some(open), Some(close)) if open < close => format!("{}{}", text[..open].trim_end(), &text[close + 1..]),
        _ => text.to_string(),
    };
    let folded = bare.to_lowercase();
    let alias = match folded.as_str() {
        "int" => "integer",
        "decimal" | "dec" => "numeric",
        "float" => "double precision",
        "char" => "character",
        "timestamp" => "timestamp without time zone",
        "time" => "time without time zone",
        other => other,
    };
    if let Some(row) = ALL.iter().find(|row| row.spelling == alias) {
        return Ok(Some(row.oid));
    }
    let parts = match identifiers(&bare) {
        Ok(parts) => parts,
        Err(_) => return Ok(None),
    };
    let name = match parts.as_slice() {
        [name] => name,
        [schema, name] if schema == "pg_catalog" => name,
        _ => return Ok(None),
    };
    Ok(ALL.iter().find(|row| row.name == *name).map(|row| row.oid))
}

/// The OID that the text of a `regtype` means, or the error of a cast.
pub(super) fn require_regtype(text: &str) -> Result<i64> {
    regtype(text)?.ok_or_else(|| Error::new(SqlState::UNDEFINED_OBJECT, format!("type \"{text}\" does not exist")))
}
