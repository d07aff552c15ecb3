use datafusion::common::ScalarValue;
use weir_common::types::PgType;

use super::{parse_query, world};

#[test]
fn tables_views_and_sources_are_read() {
    let world = world();
    assert_eq!(world.query("SELECT id, name, price FROM t ORDER BY id").unwrap(), "id bigint, name text, price numeric(10,2)\n1 | one | 1.50\n2 | two | 2.25\n3 | - | -");
    assert_eq!(world.query("SELECT * FROM cheap").unwrap(), "id bigint, twice numeric\n1 | 3");
    assert_eq!(world.values("SELECT c.id FROM public.cheap c"), "1");
    assert_eq!(world.values("SELECT auction, count(*) FROM bids GROUP BY auction ORDER BY auction"), "1 | 2\n2 | 2");
    assert_eq!(world.values("SELECT count(*) FROM bids"), "4");
    let error = world.error("SELECT * FROM endless");
    assert_eq!((error.sqlstate().0, error.message()), ("42809", "cannot read source \"endless\" directly: it has no end"));
}

#[test]
fn relations_are_known_before_data() {
    let world = world();
    let plan = world.prepare("SELECT (SELECT max(id) FROM t), auction FROM bids WHERE auction IN (SELECT id FROM cheap)").unwrap();
    assert_eq!((plan.relations, plan.sources), (vec![world.id("t")], vec![world.id("bids")]));
}

#[test]
fn names_that_do_not_exist_are_told() {
    let error = world().error("SELECT * FROM bidz");
    assert_eq!((error.sqlstate().0, error.message(), error.hint()), ("42P01", "relation \"bidz\" does not exist", Some("Perhaps you meant \"bids\".")));
    let error = world().error("SELECT * FROM weir.nothing");
    assert_eq!((error.sqlstate().0, error.message()), ("42P01", "relation \"weir.nothing\" does not exist"));
    let error = world().error("SELECT * FROM other.public.t");
    assert_eq!(error.sqlstate().0, "0A000");
}

#[test]
fn parameters_are_inferred_and_bound() {
    let world = world();
    let types = |sql: &str| world.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}")).parameters;
    assert_eq!(types("SELECT name FROM t WHERE id = $1 AND price > $2"), [PgType::Int8, PgType::Numeric(None)]);
    assert_eq!(types("SELECT $1"), [PgType::Text]);
    assert_eq!(types("SELECT n + $1 FROM t WHERE $2 - id > 0"), [PgType::Int4, PgType::Int8]);
    assert_eq!(types("SELECT $1::int, $2"), [PgType::Int4, PgType::Text]);
    assert_eq!(types("SELECT id FROM t LIMIT $1 OFFSET $2"), [PgType::Int8, PgType::Int8]);
    assert_eq!(types("SELECT id FROM t WHERE at > $1 AND name LIKE $2"), [PgType::Timestamp, PgType::Text]);
    assert_eq!(world.query_with("SELECT name FROM t WHERE id = $1", &[ScalarValue::Int64(Some(2))]).unwrap(), "name text\ntwo");
    assert_eq!(world.query_with("SELECT $1 || 'b'", &[ScalarValue::Utf8(Some("a".into()))]).unwrap(), "?column? text\nab");
    assert_eq!(world.query_with("SELECT id FROM t ORDER BY id LIMIT $1", &[ScalarValue::Int64(Some(1))]).unwrap(), "id bigint\n1");
    let given = world.context().plan_query(&parse_query("SELECT $1"), "", &[Some(PgType::Int8)]).unwrap();
    assert_eq!(given.parameters, [PgType::Int8]);
    let error = world.query_with("SELECT $1", &[]).unwrap_err();
    assert_eq!(error.sqlstate().0, "08P01");
}

#[test]
fn everything_of_datafusion_is_there() {
    let world = world();
    assert_eq!(world.values("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r ORDER BY n"), "1\n2\n3");
    assert_eq!(world.values("SELECT DISTINCT ok FROM t ORDER BY ok NULLS FIRST"), "-\nfalse\ntrue");
    assert_eq!(world.values("SELECT id FROM t EXCEPT SELECT 1 ORDER BY id"), "2\n3");
    assert_eq!(world.values("SELECT a.id, b.price FROM t a LEFT JOIN bids b ON a.id = b.auction ORDER BY 1, 2"), "1 | 100\n1 | 300\n2 | 50\n2 | 70\n3 | -");
    assert_eq!(world.values("SELECT id FROM t WHERE n = (SELECT max(n) FROM t)"), "2");
    assert_eq!(world.values("SELECT abs(-1), round(2.567, 2), to_char(at, '%Y') FROM t WHERE id = 1"), "1 | 2.57 | 2024");
    assert_eq!(world.values("SELECT * FROM generate_series(1, 3)"), "1\n2\n3");
}
