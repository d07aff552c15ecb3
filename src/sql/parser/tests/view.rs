//! CREATE VIEW and CREATE MATERIALIZED VIEW.

use super::{one, refuses};
use crate::statement::*;

fn materialized(sql: &str) -> CreateMaterializedView {
    match one(sql) {
        Statement::CreateMaterializedView(view) => view,
        other => panic!("{other:?}"),
    }
}

#[test]
fn create_materialized_view() {
    let sql = "CREATE OR REPLACE MATERIALIZED VIEW v (a, \"B\") WITH (retention = '30 days') AS\n  SELECT window_start, count(*)\n  FROM TUMBLE(bids, date_time, INTERVAL '1 minute') -- why\n  GROUP BY window_start\nALLOW LATENESS INTERVAL '30 seconds'\nEMIT ON WINDOW CLOSE ;";
    let view = materialized(sql);
    assert!(view.or_replace && !view.if_not_exists);
    assert_eq!(view.columns.len(), 2);
    assert_eq!(view.options["retention"].value, "30 days");
    assert_eq!(view.allow_lateness.unwrap().to_string(), "INTERVAL '30 seconds'");
    assert_eq!(view.emit, Some(Emit::WindowClose));
    assert_eq!(view.emit_position, Some(sql.find("EMIT").unwrap() + 1));
    assert!(view.query_text.starts_with("SELECT window_start") && view.query_text.ends_with("GROUP BY window_start"));
    assert_eq!(&sql[view.query_offset..view.query_offset + view.query_text.len()], view.query_text);

    for (clause, emit) in
        [("", None), ("EMIT ON UPDATE", Some(Emit::Update)), ("EMIT CHANGES", Some(Emit::Update)), ("emit final", Some(Emit::Final))]
    {
        let view = materialized(&format!("CREATE MATERIALIZED VIEW IF NOT EXISTS v AS SELECT a FROM t {clause}"));
        assert_eq!((view.emit, view.query.to_string().as_str()), (emit, "SELECT a FROM t"), "{clause}");
        assert!(view.if_not_exists);
    }
    let view = materialized(
        "CREATE MATERIALIZED VIEW v AS WITH x AS (SELECT 1 AS a) SELECT a FROM x EMIT FINAL WITH (retention = '1 day') ALLOW LATENESS INTERVAL '1' MINUTE",
    );
    assert_eq!((view.emit, view.options.len(), view.allow_lateness.is_some()), (Some(Emit::Final), 1, true));
    assert_eq!(materialized("CREATE MATERIALIZED VIEW v AS SELECT 1 WITH DATA").query_text, "SELECT 1");
}

#[test]
fn clause_words_are_names_inside_a_query() {
    for query in [
        "SELECT emit FROM t",
        "SELECT a emit FROM t",
        "SELECT a AS final FROM t AS emit",
        "SELECT * FROM t emit JOIN u ON emit.a = u.a",
        "SELECT * FROM t emit WHERE emit.a = 1 ORDER BY emit DESC",
        "SELECT allow lateness FROM t",
        "SELECT * FROM (SELECT 1 AS x) emit, u",
        "SELECT sum(a) OVER w FROM t WINDOW w AS (ORDER BY b)",
    ] {
        let view = materialized(&format!("CREATE MATERIALIZED VIEW v AS {query}"));
        assert_eq!((view.query_text.as_str(), view.emit), (query, None), "{query}");
        let view = materialized(&format!("CREATE MATERIALIZED VIEW v AS {query} ALLOW LATENESS INTERVAL '1 s' EMIT ON WINDOW CLOSE"));
        assert_eq!((view.query_text.as_str(), view.emit), (query, Some(Emit::WindowClose)), "{query}");
    }
}

#[test]
fn create_views() {
    let sql = "CREATE OR REPLACE VIEW v (x) AS SELECT a /* b */ FROM t -- c";
    let Statement::CreateView(view) = one(sql) else { panic!() };
    assert!(view.or_replace);
    assert_eq!((view.query_text.as_str(), view.columns.len()), ("SELECT a /* b */ FROM t", 1));
    refuses(&[
        ("CREATE VIEW v AS SELECT 1 WITH CHECK OPTION", "0A000", "WITH CHECK OPTION is not supported yet", "WITH"),
        ("CREATE VIEW v AS SELECT 1 WITH LOCAL CHECK OPTION", "0A000", "WITH CHECK OPTION is not supported yet", "WITH"),
        ("CREATE VIEW v WITH (security_barrier) AS SELECT 1", "0A000", "options of a view are not supported yet", "WITH"),
        ("CREATE TEMPORARY VIEW v AS SELECT 1", "0A000", "temporary tables and views are not supported yet", "TEMPORARY"),
        ("CREATE VIEW v (a, a) AS SELECT 1, 2", "42701", "column \"a\" specified more than once", "a) AS"),
        ("CREATE VIEW v", "42601", "syntax error at end of input", "$"),
        ("CREATE VIEW v AS SELECT a FROM t EMIT FINAL", "42601", "syntax error at or near \"FINAL\"", "FINAL"),
        ("CREATE VIEW v AS SELECT a FROM t FOR UPDATE", "0A000", "SELECT FOR UPDATE is not supported yet", ""),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1 WITH NO DATA", "0A000", "WITH NO DATA is not supported yet", "WITH"),
        (
            "CREATE MATERIALIZED VIEW v AS SELECT 1 EMIT CHANGES EMIT FINAL",
            "42601",
            "WITH, ALLOW LATENESS and EMIT may be given only once",
            "EMIT FINAL",
        ),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1 EMIT ON SUNDAY", "42601", "syntax error at or near \"SUNDAY\"", "SUNDAY"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1 EMIT WINDOW CLOSE", "42601", "syntax error at or near \"WINDOW\"", "WINDOW"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1 ALLOW LATENESS EMIT FINAL", "42601", "syntax error at or near \"FINAL\"", "FINAL"),
        ("CREATE MATERIALIZED VIEW v AS SELECT a FROM EMIT FINAL", "42601", "syntax error at or near \"EMIT\"", "EMIT"),
        ("CREATE MATERIALIZED VIEW v AS EMIT FINAL", "42601", "syntax error at or near \"EMIT\"", "EMIT"),
        ("CREATE MATERIALIZED VIEW v USING heap AS SELECT 1", "0A000", "USING is not supported yet", "USING"),
        (
            "CREATE OR REPLACE MATERIALIZED VIEW IF NOT EXISTS v AS SELECT 1",
            "42601",
            "OR REPLACE and IF NOT EXISTS exclude each other",
            "IF",
        ),
        (
            "CREATE MATERIALIZED VIEW v WITH (a = '1') AS SELECT 1 WITH (b = '1')",
            "42601",
            "WITH, ALLOW LATENESS and EMIT may be given only once",
            "WITH (b",
        ),
    ]);
}
