//! Queries.

use datafusion::sql::sqlparser::ast;
use weir_common::error::Error;

use super::{one, parse, refuses};
use crate::statement::*;

#[test]
fn queries_keep_their_tree() {
    for sql in [
        "SELECT a, count(*) FILTER (WHERE b > 1) FROM t GROUP BY a HAVING count(*) > 1 ORDER BY a LIMIT 3 OFFSET 1",
        "WITH x AS (SELECT 1 AS a) SELECT * FROM x",
        "VALUES (1, 'a'), (2, 'b')",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "SELECT * FROM TUMBLE(bids, date_time, INTERVAL '1 minute')",
        "SELECT $1::int + $2",
        "SELECT a -> 'b' ->> 'c' FROM t",
        "SELECT 'a' OPERATOR(pg_catalog.~) 'b' COLLATE pg_catalog.default",
    ] {
        let Statement::Query(query) = one(sql) else { panic!("{sql}") };
        let again = one(&query.to_string());
        assert_eq!(Statement::Query(query).to_string_of_query(), again.to_string_of_query(), "{sql}");
    }
    let Statement::Query(query) = one("TABLE t") else { panic!() };
    assert_eq!(query.to_string(), "SELECT * FROM t");
    let Statement::Query(query) = one("SELECT a FROM t OFFSET 2 FETCH FIRST 5 ROWS ONLY") else { panic!() };
    assert_eq!(query.to_string(), "SELECT a FROM t LIMIT 5 OFFSET 2");
    let Statement::Query(query) = one("SELECT 'a'\n 'b'") else { panic!() };
    assert_eq!(query.to_string(), "SELECT 'ab'");
}

impl Statement {
    fn to_string_of_query(&self) -> String {
        match self {
            Statement::Query(query) => query.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn spans_count_from_the_statement() {
    let parsed = parse("SELECT 1;\n  SELECT\n  foo FROM t").unwrap();
    let Statement::Query(query) = &parsed[1].statement else { panic!() };
    let ast::SetExpr::Select(select) = &*query.body else { panic!() };
    let ast::SelectItem::UnnamedExpr(ast::Expr::Identifier(ident)) = &select.projection[0] else { panic!() };
    assert_eq!(super::offsets(&parsed[1].text, ident.span.start).map(|at| at.chars), Some(9));
    let placed = parsed[1].place(Error::internal("x").with_position(10));
    assert_eq!(placed.position(), Some(22));
}

#[test]
fn queries_refuse_what_would_be_ignored() {
    refuses(&[
        ("SELECT a FROM t FOR UPDATE", "0A000", "SELECT FOR UPDATE is not supported yet", ""),
        ("SELECT * FROM (SELECT a FROM t FOR SHARE) x", "0A000", "SELECT FOR SHARE is not supported yet", ""),
        ("SELECT a INTO b FROM t", "0A000", "SELECT INTO is not supported yet", ""),
        ("SELECT a FROM t TABLESAMPLE SYSTEM (10)", "0A000", "TABLESAMPLE is not supported yet", ""),
        ("SELECT a FROM t ORDER BY a FETCH FIRST 3 ROWS WITH TIES", "0A000", "FETCH FIRST ... WITH TIES is not supported yet", ""),
        ("WITH x AS (DELETE FROM t) SELECT 1", "0A000", "INSERT, UPDATE or DELETE inside WITH is not supported yet", ""),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "0A000", "INSERT, UPDATE or DELETE inside WITH is not supported yet", ""),
        ("SELECT * FROM unnest(ARRAY[1]) WITH ORDINALITY", "0A000", "WITH ORDINALITY is not supported yet", ""),
    ]);
}
