//! How much room things take.

use weir_common::error::Result;
use weir_common::types::PgType;

use super::function;
use crate::pg_catalog::facts::SessionFacts;
use crate::pg_catalog::function::{Function, int, relation};
use crate::pg_catalog::rows::Value;

pub(super) fn add(all: &mut Vec<Function>) {
    for name in ["pg_table_size", "pg_total_relation_size"] {
        all.push(function(name, 1..=1, PgType::Int8, relation_size));
    }
    all.extend([
        function("pg_relation_size", 1..=2, PgType::Int8, relation_size),
        function("pg_indexes_size", 1..=1, PgType::Int8, |_, _| Ok(0.into())),
        function("pg_database_size", 1..=1, PgType::Int8, |facts, _| Ok(total(facts).into())),
        function("pg_tablespace_size", 1..=1, PgType::Int8, |facts, _| Ok(total(facts).into())),
        function("pg_tablespace_location", 1..=1, PgType::Text, |_, _| Ok("".into())),
        function("pg_size_pretty", 1..=1, PgType::Text, |_, args| Ok(pretty(int(&args[0])?).into())),
    ]);
}

fn relation_size(facts: &SessionFacts, args: &[Value]) -> Result<Value> {
    let oid = relation(facts, &args[0])?;
    Ok(match facts.relation(oid) {
        Some(relation) => (relation.bytes as i64).into(),
        None => facts.named(oid).map(|_| 0i64).into(),
    })
}

fn total(facts: &SessionFacts) -> i64 {
    facts.catalog.relations.iter().map(|relation| relation.bytes as i64).sum()
}

/// Bytes as Postgres shortens them: a unit is used up to 20 times 1024 of the one below, then rounded half up.
fn pretty(bytes: i64) -> String {
    const LIMIT: i64 = 10 * 1024;
    if bytes.abs() < LIMIT {
        return format!("{bytes} bytes");
    }
    // One bit more than the unit is kept to round by.
    let mut halves = bytes >> 9;
    for unit in ["kB", "MB", "GB", "TB"] {
        if halves.abs() < 2 * LIMIT - 1 {
            return format!("{} {unit}", (halves + halves.signum()) / 2);
        }
        halves >>= 10;
    }
    format!("{} PB", (halves + halves.signum()) / 2)
}

#[cfg(test)]
mod tests {
    use super::pretty;

    /// What PostgreSQL 15 answers.
    #[test]
    fn sizes_read_as_in_postgres() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (8192, "8192 bytes"),
            (10239, "10239 bytes"),
            (10240, "10 kB"),
            (16384, "16 kB"),
            (10_485_247, "10239 kB"),
            (10_485_248, "10 MB"),
            (1_000_000_000, "954 MB"),
            (-20_480, "-20 kB"),
            (123_456_789_012_345, "112 TB"),
        ] {
            assert_eq!(pretty(bytes), text, "{bytes}");
        }
    }
}
