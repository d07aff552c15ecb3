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
        ("SELECT id, now() FROM t", "now() is supported in WHERE and HAVING of a materialized view only"),
        ("SELECT CURRENT_DATE - at::date FROM t", "current_date() is supported in WHERE and HAVING of a materialized view only"),
        ("SELECT count(*) FILTER (WHERE at > now()) FROM t", "now() is supported in WHERE and HAVING of a materialized view only"),
        ("SELECT max(at) FROM t GROUP BY at > now()", "now() is supported in WHERE and HAVING of a materialized view only"),
        ("SELECT id FROM t WHERE now() - at < INTERVAL '1 month'", "this use of now() cannot be maintained in a materialized view"),
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
fn uses_of_now_that_cannot_be_followed_are_shown() {
    for (sql, hint, marked) in [
        ("SELECT id FROM t WHERE at > now() AND now() - at < INTERVAL '1 month'", "as if months had 30 days", "now() - at"),
        ("SELECT id FROM t WHERE at < now() - n * INTERVAL '1 hour'", "Put what depends on the row on the other side", "now() - n"),
        ("SELECT id FROM t WHERE now() > now() - INTERVAL '1 hour'", "Leave now() out of one of the two times", "now() > now()"),
        ("SELECT id FROM t WHERE (at > now()) IS TRUE", "Compare with <, <=", "now()) IS"),
        ("SELECT id FROM t WHERE CASE WHEN at > now() THEN ok END", "Compare with <, <=", "now() THEN"),
        ("SELECT id FROM t WHERE extract(hour FROM now()) = n", "date_trunc, and casts", "now()) ="),
        ("SELECT id FROM t WHERE at > (now() AT TIME ZONE 'Europe/Berlin')", "use the zone UTC", "now() AT"),
        ("SELECT n, max(at) FROM t GROUP BY n HAVING n > 1 AND now()::text > 'a'", "date_trunc, and casts", "now()::text"),
        ("SELECT n, now() AS since FROM t WHERE at > now()", "use it in the SELECT that reads the view", "now() AS"),
        (
            "SELECT id FROM t WHERE at > CURRENT_DATE UNION ALL SELECT id FROM t WHERE current_timestamp IS NULL",
            "Compare with <",
            "current_timestamp IS",
        ),
        (
            "SELECT x.id FROM (SELECT id, at FROM t WHERE at > now()) x WHERE now() + (now() - at) > at",
            "date_trunc, and casts",
            "now() + (now",
        ),
    ] {
        let error = world().plan(sql).map(drop).expect_err(sql);
        assert_eq!(error.sqlstate().0, "0A000", "{sql}");
        let told = error.hint().unwrap_or_default();
        assert!(told.contains("WHERE ts > now() - INTERVAL '1 hour'") && told.contains(hint), "{sql}: {told}");
        assert_eq!(error.position(), sql.find(marked).map(|at| at + 1), "{sql}: {error:?}");
    }
    let error = world().plan("SELECT id FROM t WHERE at > now() - INTERVAL '30000 years'").map(drop).expect_err("too long");
    assert_eq!((error.sqlstate().0, error.message()), ("22008", "timestamp out of range"));
}

#[test]
fn other_mistakes_keep_their_own_codes() {
    for (sql, sqlstate) in
        [("SELECT id FROM t WHERE id = $1", "42P02"), ("SELECT id, id FROM t", "42701"), ("SELECT id FROM nothing", "42P01")]
    {
        assert_eq!(world().plan(sql).map(drop).expect_err(sql).sqlstate().0, sqlstate, "{sql}");
    }
}
