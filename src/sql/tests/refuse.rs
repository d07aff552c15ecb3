//! What a view cannot maintain is refused, with a reason and a hint.

use super::world;

#[test]
fn what_cannot_be_maintained_says_so() {
    for (sql, message) in [
        ("SELECT DISTINCT ON (ok) name FROM t", "DISTINCT ON cannot be maintained in a materialized view yet"),
        ("SELECT a.id FROM t a JOIN t b ON a.id = b.n", "a join cannot be maintained in a materialized view yet"),
        ("SELECT id FROM t LIMIT 3", "LIMIT cannot be maintained in a materialized view yet"),
        ("SELECT id FROM t ORDER BY id LIMIT 3", "LIMIT cannot be maintained in a materialized view yet"),
        ("SELECT row_number() OVER (ORDER BY id) FROM t", "a window function (OVER) cannot be maintained in a materialized view yet"),
        (
            "SELECT id FROM t WHERE n = (SELECT max(n) FROM t)",
            "a subquery in an expression cannot be maintained in a materialized view yet",
        ),
        (
            "SELECT id FROM t WHERE id IN (SELECT auction FROM bids)",
            "a subquery in an expression cannot be maintained in a materialized view yet",
        ),
        (
            "SELECT name, count(*) FROM t GROUP BY ROLLUP (name)",
            "GROUPING SETS, CUBE or ROLLUP cannot be maintained in a materialized view yet",
        ),
        ("SELECT count(DISTINCT id, n) FROM t", "count of several arguments cannot be maintained in a materialized view yet"),
        ("SELECT array_agg(name) FROM t", "aggregate array_agg cannot be maintained in a view yet"),
        ("SELECT id, now() FROM t", "now() cannot be used in a materialized view yet"),
        ("SELECT id FROM t WHERE at > now() - INTERVAL '1 hour'", "now() cannot be used in a materialized view yet"),
        ("SELECT id, random() FROM t", "random() cannot be used in a materialized view"),
        ("SELECT 1", "a SELECT without FROM cannot be maintained in a materialized view yet"),
        ("VALUES (1)", "VALUES cannot be maintained in a materialized view yet"),
        ("SELECT * FROM weir.sources", "a materialized view cannot read system relation \"weir.sources\""),
    ] {
        let error = world().plan(sql).map(|plan| format!("{:?}", plan.root.op)).expect_err(sql);
        assert_eq!((error.sqlstate().0, error.message()), ("0A000", message), "{sql}");
        assert!(error.hint().is_some(), "{sql} has no hint");
    }
}

#[test]
fn other_mistakes_keep_their_own_codes() {
    for (sql, sqlstate) in
        [("SELECT id FROM t WHERE id = $1", "42P02"), ("SELECT id, id FROM t", "42701"), ("SELECT id FROM nothing", "42P01")]
    {
        assert_eq!(world().plan(sql).map(drop).expect_err(sql).sqlstate().0, sqlstate, "{sql}");
    }
}
