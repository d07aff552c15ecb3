//! EXPLAIN.

use super::{one, parse, refuses};
use crate::statement::*;

#[test]
fn explain() {
    let sql = "SELECT 1; EXPLAIN (ANALYZE, VERBOSE off, COSTS false, FORMAT text) SELECT a FROM t";
    let parsed = parse(sql).unwrap().remove(1);
    let Statement::Explain(explain) = &parsed.statement else { panic!() };
    assert_eq!((explain.analyze, explain.verbose), (true, false));
    assert_eq!(explain.statement.text, "SELECT a FROM t");
    assert_eq!(explain.statement.offset, sql.rfind("SELECT").unwrap());
    let Statement::Explain(explain) = one("EXPLAIN ANALYZE VERBOSE (SELECT 1)") else { panic!() };
    assert!(explain.analyze && explain.verbose);
    assert!(matches!(one("EXPLAIN (SELECT 1)"), Statement::Explain(e) if !e.analyze));
    assert!(matches!(one("EXPLAIN CREATE MATERIALIZED VIEW v AS SELECT 1 EMIT FINAL"), Statement::Explain(e)
        if matches!(&e.statement.statement, Statement::CreateMaterializedView(v) if v.emit == Some(Emit::Final))));
    refuses(&[
        ("EXPLAIN (FORMAT json) SELECT 1", "0A000", "EXPLAIN (FORMAT JSON) is not supported yet", "FORMAT"),
        ("EXPLAIN (BUFFERS) SELECT 1", "0A000", "EXPLAIN option BUFFERS is not supported yet", "BUFFERS"),
        ("EXPLAIN (ANALYS) SELECT 1", "42601", "unrecognized EXPLAIN option \"analys\"", "ANALYS"),
        ("EXPLAIN (ANALYZE maybe) SELECT 1", "42601", "analyze requires a Boolean value", "ANALYZE"),
        ("EXPLAIN DROP TABLE t", "0A000", "EXPLAIN is only supported for a query, EXECUTE, DECLARE and CREATE MATERIALIZED VIEW", "DROP"),
        ("EXPLAIN", "42601", "syntax error at end of input", "$"),
        (" EXPLAIN  SELECT 1 +", "42601", "syntax error at end of input", "$"),
        (
            "EXPLAIN ANALYZE CREATE MATERIALIZED VIEW v AS SELECT 1",
            "0A000",
            "EXPLAIN ANALYZE of CREATE MATERIALIZED VIEW is not supported yet",
            "CREATE",
        ),
    ]);
}
