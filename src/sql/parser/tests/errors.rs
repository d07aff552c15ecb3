//! Where errors point, what they hint at, and what is not there yet.

use super::{error, hint, one, parse, refuses};
use crate::statement::*;

#[test]
fn errors_point_into_the_whole_text() {
    refuses(&[
        ("SELECT 'ü'; SELEC 1", "42601", "syntax error at or near \"SELEC\"", "SELEC "),
        ("SELECT 1;\n\n  SELECT a FROM WHERE b", "42601", "syntax error at or near \"WHERE\"", "WHERE"),
        ("SELECT (1", "42601", "syntax error at end of input", "$"),
        ("SELECT (1 ; SELECT 2", "42601", "syntax error at or near \";\"", ";"),
        ("SELECT a, FROM t", "42601", "syntax error at or near \"FROM\"", "FROM"),
        ("SELECT a FROM t WHERE GROUP BY a", "42601", "syntax error at or near \"GROUP\"", "GROUP"),
        ("CREATE TABLE t (a int,)", "42601", "syntax error at or near \")\"", ")"),
        ("SELECT 'a\nb", "42601", "unterminated quoted string at or near \"'a\nb\"", "'a"),
        ("SELECT \"ab", "42601", "unterminated quoted identifier at or near \"\"ab\"", "\"ab"),
        ("SELECT 1 /* a", "42601", "unterminated /* comment at or near \"/* a\"", "/*"),
        ("SELECT $x$ a", "42601", "unterminated dollar-quoted string at or near \"$x$ a\"", "$x$"),
        ("SELECT 1;\0", "22021", "invalid byte sequence for encoding \"UTF8\": 0x00", "\0"),
        ("FLURB", "42601", "syntax error at or near \"FLURB\"", "FLURB"),
        ("42", "42601", "syntax error at or near \"42\"", "42"),
        ("FROM t", "42601", "syntax error at or near \"FROM\"", "FROM"),
        ("DESCRIBE t", "42601", "syntax error at or near \"DESCRIBE\"", "DESCRIBE"),
        ("EXPLAIN SELECT a FROM", "42601", "syntax error at end of input", "$"),
        ("EXPLAIN SELECT a b c", "42601", "syntax error at or near \"c\"", "c"),
        ("SELECT * FORM t", "42601", "syntax error at or near \"FORM\"", "FORM"),
        ("SELECT a, * FORM t", "42601", "syntax error at or near \"FORM\"", "FORM"),
        ("SELECT DISTINCT * \"x\" FROM t", "42601", "syntax error at or near \"\"x\"\"", "\"x"),
        ("SELECT * AS x FROM t", "42601", "syntax error at or near \"AS\"", "AS"),
    ]);
    for sql in [
        "SELECT * FROM t",
        "SELECT * FROM t ORDER BY 1",
        "SELECT a * b c, count(*) n, t.* FROM t",
        "SELECT a, b * c d FROM t",
        "SELECT * UNION SELECT 1",
    ] {
        assert!(parse(sql).is_ok(), "{sql}");
    }
    // "1 1" points at the second one.
    assert_eq!(error("SELECT 2 1").position(), Some(10));
}

#[test]
fn misspelt_words_get_a_hint() {
    for (sql, word) in [
        ("CREATE SORCE s (a int)", "SOURCE"),
        ("CREATE MATERIALISED VIEW v AS SELECT 1", "MATERIALIZED"),
        ("CREATE MATERALIZED VIEW v AS SELECT 1", "MATERIALIZED"),
        ("SELCT 1", "SELECT"),
        ("SELECT * FORM t", "FROM"),
        ("SELECT a FROM t GRUOP BY a", "GROUP"),
        ("CREATE TABEL t (a int)", "TABLE"),
        ("DROP MATERIALZED VIEW v", "MATERIALIZED"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1 ALLOW LATENES INTERVAL '1 s'", "LATENESS"),
        ("BEGIN ISOLATION LEVEL SERIALISABLE", "SERIALIZABLE"),
        ("COPY t FROM STDINN", "STDIN"),
    ] {
        assert_eq!(hint(sql), format!("Perhaps you meant \"{word}\"."), "{sql}");
    }
    assert!(hint("SELECT a FROM t EMIT FINAL").contains("CREATE MATERIALIZED VIEW"));
    assert!(hint("CREATE MATERIALIZED VIEW v AS SELECT 1 EMIT ON CLOSE").contains("EMIT ON WINDOW CLOSE"));
    assert_eq!(hint("SELECT a FROM t WHERE"), "");
}

#[test]
fn deep_statements_are_errors_and_not_overflows() {
    let deep = [
        format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("SELECT {}", vec!["1"; 100_000].join(" + ")),
        format!("SELECT {}", vec!["a"; 100_000].join(" OR ")),
        format!("SELECT {} 1", "- ".repeat(100_000)),
        format!("SELECT {} true", "NOT ".repeat(100_000)),
        format!("SELECT 1{}", "::int".repeat(100_000)),
        format!("SELECT {}1{}", "(SELECT ".repeat(50_000), ")".repeat(50_000)),
        format!("SELECT {}", vec!["SELECT 1"; 50_000].join(" UNION ALL ")),
        format!("SELECT {}1{}", "abs(".repeat(50_000), ")".repeat(50_000)),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(50_000), " END".repeat(50_000)),
        format!("SELECT 1{}", "[1]".repeat(50_000)),
        format!("CREATE TABLE t (a int{})", "[]".repeat(50_000)),
        format!("{}SELECT 1", "EXPLAIN ".repeat(50_000)),
        format!("SELECT * FROM {}t{}", "(".repeat(50_000), ")".repeat(50_000)),
        format!("SELECT a{}", ".a".repeat(50_000)),
    ];
    for sql in &deep {
        let short: String = sql.chars().take(60).collect();
        // A small stack, as in a thread of a test or a server.
        let result = std::thread::scope(|scope| scope.spawn(|| parse(sql).map(|_| ())).join()).expect("no panic");
        if let Err(error) = result {
            assert!(["54001", "42601", "0A000"].contains(&error.sqlstate().0), "{short} {error:?}");
        } else {
            assert!(short.starts_with("SELECT a.a"), "{short}");
        }
    }
    // What people write is well within.
    let wide = format!("SELECT a FROM t WHERE {}", vec!["a = 1"; 300].join(" OR "));
    assert!(parse(&wide).is_ok());
    let list = format!("SELECT a FROM t WHERE a IN ({})", vec!["-1 + 2"; 20_000].join(", "));
    assert!(parse(&list).is_ok());
    let values = format!("INSERT INTO t VALUES {}", vec!["(1, -2, 'x')"; 20_000].join(", "));
    assert!(parse(&values).is_ok());
    let nested = format!("SELECT {}1{}", "(".repeat(40), ")".repeat(40));
    assert!(parse(&nested).is_ok());
}

#[test]
fn what_is_not_there_yet_says_so() {
    for (sql, what) in [
        ("LISTEN a", "LISTEN"),
        ("NOTIFY a, 'b'", "NOTIFY"),
        ("COMMENT ON TABLE t IS 'x'", "COMMENT"),
        ("CREATE INDEX i ON v (a)", "CREATE INDEX"),
        ("CREATE UNIQUE INDEX i ON v (a)", "CREATE UNIQUE INDEX"),
        ("CREATE SINK s FROM v WITH (connector = 'kafka')", "CREATE SINK"),
        ("CREATE SCHEMA x", "CREATE SCHEMA"),
        ("ALTER SOURCE s RENAME TO r", "ALTER SOURCE"),
        ("ALTER MATERIALIZED VIEW v RENAME TO w", "ALTER MATERIALIZED VIEW"),
        ("EXPLAIN WATERMARK FOR bids", "EXPLAIN WATERMARK"),
        ("GRANT SELECT ON t TO x", "GRANT"),
        ("VACUUM", "VACUUM"),
        ("LOCK TABLE t", "LOCK"),
        ("SHOW SINKS", "SHOW SINKS"),
        ("SET CONSTRAINTS ALL DEFERRED", "SET CONSTRAINTS"),
        ("REFRESH MATERIALIZED VIEW v", "REFRESH"),
        ("MERGE INTO t USING u ON a = b WHEN MATCHED THEN DELETE", "MERGE"),
    ] {
        let Statement::Unsupported(unsupported) = one(sql) else { panic!("{sql}") };
        assert_eq!(unsupported.what, what);
        let error = unsupported.error();
        assert_eq!((error.sqlstate().0, error.message()), ("0A000", format!("{what} is not supported yet").as_str()));
        assert!(error.hint().is_some(), "{sql}");
    }
}
