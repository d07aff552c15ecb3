//! Names of output columns, as Postgres gives them.

use super::world;

fn names(sql: &str) -> String {
    let header = world().prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}")).schema;
    header.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>().join(",")
}

#[test]
fn unnamed_columns_are_named_as_postgres_does() {
    for (sql, expected) in [
        ("SELECT count(*) FROM t", "count"),
        ("SELECT 1", "?column?"),
        ("SELECT 1, 2, 'x'", "?column?,?column?,?column?"),
        ("SELECT n + 1 FROM t", "?column?"),
        ("SELECT upper(name), upper(name) FROM t", "upper,upper"),
        ("SELECT n::text FROM t", "n"),
        ("SELECT '1'::int", "int4"),
        ("SELECT CAST(n + 1 AS bigint) FROM t", "int8"),
        ("SELECT CASE WHEN ok THEN 1 ELSE 2 END FROM t", "case"),
        ("SELECT CASE WHEN ok THEN 1 ELSE n END FROM t", "n"),
        ("SELECT coalesce(n, 0) FROM t", "coalesce"),
        ("SELECT id, id FROM t", "id,id"),
        ("SELECT id, * FROM t", "id,id,name,price,n,x,s,at,ok"),
        ("SELECT a.id, b.id FROM t a JOIN t b ON a.id = b.id", "id,id"),
        ("SELECT n AS id, id FROM t", "id,id"),
        ("SELECT true, NULL", "bool,?column?"),
        ("SELECT extract(year FROM at), date_trunc('day', at) FROM t", "extract,date_trunc"),
        ("SELECT (SELECT max(n) FROM t)", "max"),
        ("SELECT EXISTS (SELECT 1 FROM t)", "exists"),
        ("SELECT INTERVAL '1 day', DATE '2024-01-01'", "interval,date"),
        ("SELECT \"Name\" FROM (SELECT name AS \"Name\" FROM t) x", "Name"),
        ("VALUES (1, 'a')", "column1,column2"),
    ] {
        assert_eq!(names(sql), expected, "{sql}");
    }
}

#[test]
fn names_can_be_used_outside() {
    assert_eq!(world().values("SELECT count FROM (SELECT count(*) FROM t) x"), "3");
    assert_eq!(world().values("SELECT sum(n), sum(n) FROM t"), "30 | 30");
    assert_eq!(world().values("SELECT max(n) FROM t GROUP BY id ORDER BY max DESC NULLS LAST LIMIT 1"), "20");
    assert_eq!(
        world().values("SELECT date_trunc('minute', at), count(*) FROM t GROUP BY 1 ORDER BY 1"),
        "2024-01-01 00:00:00 | 1\n2024-01-01 00:01:00 | 2"
    );
}
