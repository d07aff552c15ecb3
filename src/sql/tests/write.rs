//! INSERT, UPDATE and DELETE: rows, defaults, checks.

use datafusion::common::ScalarValue;
use weir_common::error::Result;
use weir_common::types::PgType;

use super::{World, lines, statement, wait, world};
use crate::statement::Statement;

/// A table with everything that a row can violate.
fn tables() -> World {
    world().table(
        "p",
        "id bigint not null; name character varying(5) not null; price numeric(5,2) default 9.99; note text default 'none'; at timestamp with time zone default now()",
        Some(vec![0]),
        "1 | one | 1.50 | x | 2024-01-01 00:00:00+00
         2 | two | 2.50 | - | 2024-01-01 00:00:00+00",
    )
}

fn write(sql: &str, parameters: &[ScalarValue]) -> Result<String> {
    let world = tables();
    let context = world.context();
    let snapshots = world.snapshots();
    let written = wait(async {
        match statement(sql) {
            Statement::Insert(insert) => context.run_insert(&context.plan_insert(&insert, sql, &[])?, parameters, snapshots).await,
            Statement::Update(update) => context.run_update(&context.plan_update(&update, sql, &[])?, parameters, snapshots).await,
            Statement::Delete(delete) => context.run_delete(&context.plan_delete(&delete, sql, &[])?, parameters, snapshots).await,
            other => panic!("not a write: {other:?}"),
        }
    })?;
    let table = world.catalog.require("p").unwrap().schema();
    for batch in written.old.iter().chain(&written.new) {
        assert_eq!(batch.schema(), table, "{sql}");
    }
    let section = |mark: &str, batches: &[_]| lines(batches).lines().map(|line| format!("{mark} {line}")).collect::<Vec<_>>();
    Ok([section("-", &written.old), section("+", &written.new)].concat().join("\n"))
}

fn written(sql: &str) -> String {
    match write(sql, &[]) {
        Ok(text) => text,
        Err(error) => format!("[{}] {}", error.sqlstate().0, error.message()),
    }
}

#[test]
fn rows_are_inserted_in_the_tables_types() {
    for (sql, expected) in [
        ("INSERT INTO p VALUES (3, 'x', 1, NULL, '2024-02-01 10:00+01')", "+ 3 | x | 1.00 | - | 2024-02-01 09:00:00+00"),
        (
            "INSERT INTO p (name, id) VALUES ('a', 3), ('b', 4)",
            "+ 3 | a | 9.99 | none | 2024-01-01 12:00:00+00\n+ 4 | b | 9.99 | none | 2024-01-01 12:00:00+00",
        ),
        ("INSERT INTO p (id, name, price) VALUES (1 + 2, 'a' || 'b', DEFAULT)", "+ 3 | ab | 9.99 | none | 2024-01-01 12:00:00+00"),
        ("INSERT INTO p (id, name, price) VALUES ('3', 7, 1.005)", "+ 3 | 7 | 1.01 | none | 2024-01-01 12:00:00+00"),
        ("INSERT INTO p (id, name) VALUES (-3, 'abc     ')", "+ -3 | abc   | 9.99 | none | 2024-01-01 12:00:00+00"),
        ("INSERT INTO p (id, name) SELECT id + 10, name FROM p WHERE id = 1", "+ 11 | one | 9.99 | none | 2024-01-01 12:00:00+00"),
        ("INSERT INTO p (id, name, note) SELECT 7, 'x', count(*) FROM t", "+ 7 | x | 9.99 | 3 | 2024-01-01 12:00:00+00"),
        ("INSERT INTO p (id, name) VALUES ((SELECT max(id) + 1 FROM p), 'new')", "+ 3 | new | 9.99 | none | 2024-01-01 12:00:00+00"),
    ] {
        assert_eq!(written(sql), expected, "{sql}");
    }
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    for (sql, expected) in [
        ("INSERT INTO p (id) VALUES (3)", "[23502] null value in column \"name\" of relation \"p\" violates not-null constraint"),
        (
            "INSERT INTO p (id, name) VALUES (NULL, 'x')",
            "[23502] null value in column \"id\" of relation \"p\" violates not-null constraint",
        ),
        ("INSERT INTO p (id, name) VALUES (3, 'abcdef')", "[22001] value too long for type character varying(5)"),
        ("INSERT INTO p (id, name, price) VALUES (3, 'x', 1000)", "[22003] numeric field overflow"),
        ("INSERT INTO p (id, name) VALUES (99999999999999999999, 'x')", "[22003] bigint out of range"),
        ("INSERT INTO p (id, name) VALUES ('x', 'x')", "[22P02] invalid input syntax for type bigint: \"x\""),
        ("INSERT INTO p (id, name) VALUES (true, 'x')", "[42804] column \"id\" is of type bigint but expression is of type boolean"),
        ("INSERT INTO p (id, name) SELECT name, name FROM t", "[42804] column \"id\" is of type bigint but expression is of type text"),
        ("INSERT INTO p (id, nam) VALUES (3, 'x')", "[42703] column \"nam\" of relation \"p\" does not exist"),
        ("INSERT INTO p (id, id) VALUES (3, 4)", "[42701] column \"id\" specified more than once"),
        ("INSERT INTO p (id) VALUES (3, 4)", "[42601] INSERT has more expressions than target columns"),
        ("INSERT INTO p (id, name) VALUES (3)", "[42601] INSERT has more target columns than expressions"),
        ("INSERT INTO nothing VALUES (3)", "[42P01] relation \"nothing\" does not exist"),
        ("INSERT INTO bids VALUES (3)", "[42809] cannot insert into source \"bids\""),
        ("INSERT INTO cheap VALUES (3)", "[42809] cannot insert into view \"cheap\""),
        ("UPDATE p SET id = 1, id = 2", "[42601] multiple assignments to same column \"id\""),
        ("UPDATE p SET name = NULL", "[23502] null value in column \"name\" of relation \"p\" violates not-null constraint"),
        ("UPDATE p SET price = name", "[42804] column \"price\" is of type numeric(5,2) but expression is of type character varying(5)"),
    ] {
        assert_eq!(written(sql), expected, "{sql}");
    }
    let error = write("INSERT INTO p (id, price) VALUES (3, 1)", &[]).unwrap_err();
    assert_eq!(error.detail(), Some("Failing row contains (3, null, 1.00, none, 2024-01-01 12:00:00+00)."));
}

#[test]
fn rows_are_updated_and_deleted() {
    for (sql, expected) in [
        (
            "UPDATE p SET price = price * 2, note = 'n' WHERE id = 1",
            "- 1 | one | 1.50 | x | 2024-01-01 00:00:00+00\n+ 1 | one | 3.00 | n | 2024-01-01 00:00:00+00",
        ),
        (
            "UPDATE p AS q SET (name, price) = ('z', DEFAULT) WHERE q.id > 1",
            "- 2 | two | 2.50 | - | 2024-01-01 00:00:00+00\n+ 2 | z | 9.99 | - | 2024-01-01 00:00:00+00",
        ),
        (
            "UPDATE p SET note = t.name FROM t WHERE t.id = p.id AND p.id = 2",
            "- 2 | two | 2.50 | - | 2024-01-01 00:00:00+00\n+ 2 | two | 2.50 | two | 2024-01-01 00:00:00+00",
        ),
        ("UPDATE p SET price = 0 WHERE false", ""),
        ("DELETE FROM p WHERE name LIKE 'o%'", "- 1 | one | 1.50 | x | 2024-01-01 00:00:00+00"),
        ("DELETE FROM p USING bids WHERE bids.auction = p.id AND p.id = 1", "- 1 | one | 1.50 | x | 2024-01-01 00:00:00+00"),
    ] {
        assert_eq!(written(sql), expected, "{sql}");
    }
}

#[test]
fn parameters_take_the_columns_types() {
    let world = tables();
    let insert = |sql: &str| match statement(sql) {
        Statement::Insert(insert) => world.context().plan_insert(&insert, sql, &[]).unwrap().parameters,
        Statement::Update(update) => world.context().plan_update(&update, sql, &[]).unwrap().parameters,
        _ => panic!("{sql}"),
    };
    assert_eq!(
        insert("INSERT INTO p (id, name, price) VALUES ($1, $2, $3)"),
        [PgType::Int8, PgType::Varchar(Some(5)), PgType::Numeric(Some((5, 2)))]
    );
    assert_eq!(insert("INSERT INTO p (id, name) VALUES ($1::int + 1, $2)"), [PgType::Int4, PgType::Varchar(Some(5))]);
    assert_eq!(insert("UPDATE p SET price = $1, note = $2 WHERE id = $3"), [PgType::Numeric(Some((5, 2))), PgType::Text, PgType::Int8]);
    let parameters = [ScalarValue::Int64(Some(5)), ScalarValue::Utf8(Some("five".into()))];
    assert_eq!(
        write("INSERT INTO p (id, name) VALUES ($1, $2)", &parameters).unwrap(),
        "+ 5 | five | 9.99 | none | 2024-01-01 12:00:00+00"
    );
    let parameters = [ScalarValue::Int64(Some(5)), ScalarValue::Utf8(Some("too long".into()))];
    assert_eq!(write("INSERT INTO p (id, name) VALUES ($1, $2)", &parameters).unwrap_err().sqlstate().0, "22001");
}
