//! PREPARE, EXECUTE, DECLARE, FETCH, MOVE.

use super::{one, parse, refuses};
use crate::statement::*;

#[test]
fn prepare_and_execute() {
    let sql = "SELECT 1; PREPARE P (int, unknown, numeric(10,2)) AS INSERT INTO t VALUES ($1, $2, $3)";
    let parsed = parse(sql).unwrap().remove(1);
    let Statement::Prepare(prepare) = &parsed.statement else { panic!() };
    assert_eq!((prepare.name.as_str(), prepare.types.len(), prepare.types[1].is_none()), ("p", 3, true));
    assert!(matches!(prepare.statement.statement, Statement::Insert(_)));
    assert_eq!(prepare.statement.text, "INSERT INTO t VALUES ($1, $2, $3)");
    assert_eq!(prepare.statement.offset, sql.rfind("INSERT").unwrap());
    for sql in ["PREPARE p AS TABLE t", "PREPARE p AS (SELECT 1)", "PREPARE p AS WITH a AS (SELECT 1) SELECT * FROM a"] {
        let Statement::Prepare(prepare) = one(sql) else { panic!("{sql}") };
        assert!(matches!(prepare.statement.statement, Statement::Query(_)), "{sql}");
    }
    let Statement::Execute(execute) = one("EXECUTE \"P\"(1, now() - INTERVAL '1 day')") else { panic!() };
    assert_eq!((execute.name.as_str(), execute.arguments.len()), ("P", 2));
    assert!(matches!(one("EXECUTE p"), Statement::Execute(execute) if execute.arguments.is_empty()));
    assert!(matches!(one("PREPARE TRANSACTION 'x'"), Statement::Unsupported(_)));
    refuses(&[
        ("PREPARE p AS DROP TABLE t", "42601", "syntax error at or near \"DROP\"", "DROP"),
        ("PREPARE p AS EXECUTE q", "42601", "syntax error at or near \"EXECUTE\"", "EXECUTE"),
        ("PREPARE p AS SELECT 1 +", "42601", "syntax error at end of input", "$"),
        ("PREPARE p () AS SELECT 1", "42601", "syntax error at or near \")\"", ")"),
        ("PREPARE p SELECT 1", "42601", "syntax error at or near \"SELECT\"", "SELECT"),
        ("EXECUTE p(1", "42601", "syntax error at end of input", "$"),
        ("EXECUTE", "42601", "syntax error at end of input", "$"),
    ]);
}

fn declared(sql: &str) -> Declare {
    match one(sql) {
        Statement::Declare(declare) => declare,
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn declare() {
    let plain = declared("DECLARE c CURSOR FOR SELECT 1");
    assert_eq!((plain.name.as_str(), plain.binary, plain.scroll, plain.hold), ("c", false, false, false));
    // psql, psycopg2, postgres_fdw, psqlODBC.
    let psql = declared("DECLARE _psql_cursor NO SCROLL CURSOR FOR\nselect 1");
    assert_eq!((psql.name.as_str(), psql.scroll), ("_psql_cursor", false));
    let psycopg = declared("DECLARE \"my cursor\" SCROLL CURSOR WITH HOLD FOR VALUES (1)");
    assert_eq!((psycopg.name.as_str(), psycopg.scroll, psycopg.hold), ("my cursor", true, true));
    let odbc = declared("declare \"SQL_CUR0x1\" cursor with hold for select 1");
    assert!(odbc.hold);
    let all = declared("DECLARE C BINARY INSENSITIVE NO SCROLL CURSOR WITHOUT HOLD FOR TABLE t");
    assert_eq!((all.name.as_str(), all.binary, all.hold), ("c", true, false));
    refuses(&[
        ("DECLARE c FOR SELECT 1", "42601", "syntax error at or near \"FOR\"", "FOR"),
        ("DECLARE c CURSOR FOR UPDATE t SET a = 1", "42601", "syntax error at or near \"UPDATE\"", "UPDATE"),
        ("DECLARE c CURSOR SELECT 1", "42601", "syntax error at or near \"SELECT\"", "SELECT"),
    ]);
    assert_eq!(parse("DECLARE c INSENSITIVE ASENSITIVE CURSOR FOR SELECT 1").unwrap_err().sqlstate().0, "42P11");
}

#[test]
fn fetch_and_move() {
    use FetchDirection::*;
    for (words, direction) in [
        ("c", Forward(Some(1))),
        ("FROM c", Forward(Some(1))),
        ("IN c", Forward(Some(1))),
        ("NEXT c", Forward(Some(1))),
        ("PRIOR FROM c", Backward(Some(1))),
        ("FIRST IN c", Absolute(1)),
        ("LAST c", Absolute(-1)),
        ("ABSOLUTE -5 c", Absolute(-5)),
        ("RELATIVE +5 FROM c", Relative(5)),
        ("100 FROM c", Forward(Some(100))),
        ("-3 FROM c", Backward(Some(3))),
        ("0 c", Relative(0)),
        ("ALL IN c", Forward(None)),
        ("FORWARD c", Forward(Some(1))),
        ("FORWARD 7 FROM c", Forward(Some(7))),
        ("FORWARD -7 FROM c", Backward(Some(7))),
        ("FORWARD ALL FROM c", Forward(None)),
        ("BACKWARD FROM c", Backward(Some(1))),
        ("BACKWARD -2 FROM c", Forward(Some(2))),
        ("BACKWARD 0 FROM c", Relative(0)),
        ("BACKWARD ALL c", Backward(None)),
    ] {
        let name = "c".to_string();
        assert_eq!(
            one(&format!("FETCH {words}")),
            Statement::Fetch(Fetch { name: name.clone(), direction, moves: false, timeout: None }),
            "{words}"
        );
        assert_eq!(one(&format!("MOVE {words}")), Statement::Fetch(Fetch { name, direction, moves: true, timeout: None }), "{words}");
    }
    assert!(matches!(one("FETCH forward"), Statement::Fetch(fetch) if fetch.name == "forward"));
    refuses(&[
        ("FETCH", "42601", "syntax error at end of input", "$"),
        ("FETCH 3000000000 FROM c", "42601", "syntax error at or near \"3000000000\"", "3000000000"),
        ("FETCH ABSOLUTE c", "42601", "syntax error at or near \"c\"", "c"),
        ("FETCH 1 FROM c WHERE", "42601", "syntax error at or near \"WHERE\"", "WHERE"),
    ]);
}
