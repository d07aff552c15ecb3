//! CREATE TABLE.

use super::{one, refuses};
use crate::statement::*;

#[test]
fn create_table() {
    let Statement::CreateTable(table) = one(
        "CREATE TABLE IF NOT EXISTS public.t (id BIGINT PRIMARY KEY, name TEXT NOT NULL DEFAULT 'x' || 'y', \"Price\" NUMERIC(12,2) DEFAULT 0 NOT NULL)",
    ) else {
        panic!()
    };
    assert!(table.if_not_exists);
    assert_eq!(table.name.to_string(), "public.t");
    assert_eq!(table.primary_key, Some(vec![table.columns[0].name.clone()]));
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|c| format!("{} {} {} {:?} {}", c.name, c.data_type, c.not_null, c.default.as_ref().map(|d| d.to_string()), c.primary_key))
        .collect();
    assert_eq!(
        columns,
        ["id BIGINT false None true", "name TEXT true Some(\"'x' || 'y'\") false", "\"Price\" NUMERIC(12,2) true Some(\"0\") false"]
    );
    assert_eq!(table.columns[1].position, 61);

    let Statement::CreateTable(table) =
        one("CREATE TABLE t (a int, b text, ts timestamp, CONSTRAINT pk PRIMARY KEY (b, a), WATERMARK FOR ts AS ts - INTERVAL '1 day')")
    else {
        panic!()
    };
    assert_eq!(table.primary_key.unwrap().iter().map(|i| i.value.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(table.primary_key_name.unwrap().value, "pk");
    assert_eq!(table.watermark.unwrap().column.value, "ts");

    let Statement::CreateTable(table) = one(
        "CREATE TABLE t (a int CHECK (a > 0) DEFAULT 1 CONSTRAINT small CHECK (a < 9) NOT NULL, b int, CHECK (a < b), CONSTRAINT c CHECK (b <> 7))",
    ) else {
        panic!()
    };
    let checks: Vec<String> = table
        .checks
        .iter()
        .map(|c| format!("{} {} {}", c.name.as_ref().map_or("-", |name| name.value.as_str()), c.expr, c.position))
        .collect();
    assert_eq!(checks, ["- a > 0 23", "small a < 9 64", "- a < b 95", "c b <> 7 123"]);
    assert!(table.columns[0].not_null && table.columns[0].default.is_some());

    let Statement::CreateTable(table) = one("CREATE TABLE t AS SELECT 1 AS a WITH DATA") else { panic!() };
    assert_eq!(table.query.unwrap().query.to_string(), "SELECT 1 AS a");
    let Statement::CreateTable(table) = one("CREATE TABLE t (x, y) AS VALUES (1, 2)") else { panic!() };
    assert_eq!(table.query.unwrap().columns.len(), 2);
}

#[test]
fn create_table_refuses_what_would_not_be_enforced() {
    refuses(&[
        ("CREATE TABLE t (a int UNIQUE)", "0A000", "UNIQUE constraints are not supported yet", "UNIQUE"),
        ("CREATE TABLE t (a int, UNIQUE (a))", "0A000", "UNIQUE constraints are not supported yet", "UNIQUE"),
        ("CREATE TABLE t (a int CHECK (a > 0) NO INHERIT)", "0A000", "NO INHERIT is not supported", "NO INHERIT"),
        ("CREATE TABLE t (a int, CHECK (a > 0) DEFERRABLE)", "0A000", "DEFERRABLE constraints are not supported yet", "DEFERRABLE"),
        ("CREATE TABLE t (a int CHECK a > 0)", "42601", "syntax error at or near \"a\"", "a > 0"),
        ("CREATE TABLE t (a int REFERENCES u)", "0A000", "foreign keys are not supported yet", "REFERENCES"),
        ("CREATE TABLE t (a int, FOREIGN KEY (a) REFERENCES u (b))", "0A000", "foreign keys are not supported yet", "FOREIGN"),
        ("CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY)", "0A000", "GENERATED columns are not supported yet", "GENERATED"),
        ("CREATE TABLE t (a text COLLATE \"de_DE\")", "0A000", "COLLATE is not supported yet", "COLLATE"),
        ("CREATE TABLE t (a int PRIMARY KEY DEFERRABLE)", "0A000", "DEFERRABLE constraints are not supported yet", "PRIMARY"),
        ("CREATE TABLE t (a int, EXCLUDE USING gist (a WITH =))", "0A000", "EXCLUDE constraints are not supported yet", "EXCLUDE"),
        ("CREATE TABLE t (LIKE u)", "0A000", "LIKE in CREATE TABLE is not supported yet", "LIKE"),
        ("CREATE TABLE t ()", "0A000", "tables without columns are not supported yet", "()"),
        ("CREATE TEMP TABLE t (a int)", "0A000", "temporary tables and views are not supported yet", "TEMP"),
        ("CREATE UNLOGGED TABLE t (a int)", "0A000", "UNLOGGED tables are not supported yet", "UNLOGGED"),
        ("CREATE OR REPLACE TABLE t (a int)", "0A000", "OR REPLACE is only supported for views", "OR"),
        ("CREATE TABLE t (a int) INHERITS (u)", "0A000", "INHERITS is not supported yet", "INHERITS"),
        ("CREATE TABLE t (a int) PARTITION BY RANGE (a)", "0A000", "PARTITION BY is not supported yet", "PARTITION"),
        ("CREATE TABLE t PARTITION OF u FOR VALUES IN (1)", "0A000", "PARTITION OF is not supported yet", "PARTITION"),
        ("CREATE TABLE t (a int) WITH (connector = 'file')", "0A000", "WITH options of a table are not supported yet", "WITH"),
        ("CREATE TABLE t (a int) TABLESPACE x", "0A000", "TABLESPACE is not supported yet", "TABLESPACE"),
        ("CREATE TABLE t AS SELECT 1 WITH NO DATA", "0A000", "WITH NO DATA is not supported yet", "WITH"),
        ("CREATE TABLE t (a int, A text)", "42701", "column \"a\" specified more than once", "A text"),
        (
            "CREATE TABLE t (a int PRIMARY KEY, PRIMARY KEY (a))",
            "42P16",
            "multiple primary keys for table \"t\" are not allowed",
            "PRIMARY KEY (a)",
        ),
        ("CREATE TABLE t (a int, PRIMARY KEY (b))", "42703", "column \"b\" named in key does not exist", "b)"),
        ("CREATE TABLE t (a int, PRIMARY KEY (a, a))", "42701", "column \"a\" appears twice in primary key constraint", "a))"),
        (
            "CREATE TABLE t (a int DEFAULT 1 DEFAULT 2)",
            "42601",
            "multiple default values specified for column \"a\" of table \"t\"",
            "DEFAULT 2",
        ),
        (
            "CREATE TABLE t (a int NOT NULL NULL)",
            "42601",
            "conflicting NULL/NOT NULL declarations for column \"a\" of table \"t\"",
            "NULL)",
        ),
        ("CREATE TABLE t (a int, b)", "42601", "syntax error at or near \")\"", ")"),
        ("CREATE TABLE t (a int) garbage", "42601", "syntax error at or near \"garbage\"", "garbage"),
        ("CREATE TABLE t", "42601", "syntax error at end of input", "$"),
    ]);
}
