//! Ad-hoc queries: parameters, snapshots, sources, sizes.

use datafusion::common::ScalarValue;
use weir_common::types::PgType;

use super::{parse_query, world};

#[test]
fn tables_views_and_sources_are_read() {
    let world = world();
    assert_eq!(
        world.query("SELECT id, name, price FROM t ORDER BY id").unwrap(),
        "id bigint, name text, price numeric(10,2)\n1 | one | 1.50\n2 | two | 2.25\n3 | - | -"
    );
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
    assert_eq!(
        (error.sqlstate().0, error.message(), error.hint()),
        ("42P01", "relation \"bidz\" does not exist", Some("Perhaps you meant to reference the relation \"bids\"."))
    );
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
    assert_eq!(
        world.values("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r ORDER BY n"),
        "1\n2\n3"
    );
    assert_eq!(world.values("SELECT DISTINCT ok FROM t ORDER BY ok NULLS FIRST"), "-\nfalse\ntrue");
    assert_eq!(world.values("SELECT id FROM t EXCEPT SELECT 1 ORDER BY id"), "2\n3");
    assert_eq!(
        world.values("SELECT a.id, b.price FROM t a LEFT JOIN bids b ON a.id = b.auction ORDER BY 1, 2"),
        "1 | 100\n1 | 300\n2 | 50\n2 | 70\n3 | -"
    );
    assert_eq!(world.values("SELECT id FROM t WHERE n = (SELECT max(n) FROM t)"), "2");
    assert_eq!(world.values("SELECT abs(-1), round(2.567, 2), to_char(at, 'YYYY') FROM t WHERE id = 1"), "1 | 2.57 | 2024");
    assert_eq!(world.values("SELECT * FROM generate_series(1, 3)"), "1\n2\n3");
}

/// More rows than one core is given: partial aggregates are merged, and dead rows stay dead.
#[test]
fn large_snapshots_are_read_in_parallel() {
    use arrow::array::{Decimal128Array, Float64Array, Int32Array, Int64Array};
    use arrow::buffer::BooleanBuffer;
    use arrow::record_batch::RecordBatch;
    use std::sync::Arc;
    use weir_common::snapshot::{Run, Snapshot};

    let mut world = super::World::default().table("big", "k bigint; v integer; d numeric(10,2); x double precision", None, "");
    let relation = world.catalog.require("big").unwrap().clone();
    let (runs, rows) = (10i64, 60_000i64);
    let run = |number: i64| {
        let ids = || number * rows..(number + 1) * rows;
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(ids().map(|id| id % 100).collect::<Int64Array>()),
            Arc::new(ids().map(|id| (id % 7 != 0).then_some(1)).collect::<Int32Array>()),
            Arc::new(ids().map(|_| Some(150)).collect::<Decimal128Array>().with_precision_and_scale(10, 2).unwrap()),
            Arc::new(ids().map(|_| Some(0.5)).collect::<Float64Array>()),
        ];
        let batch = RecordBatch::try_new(relation.schema(), columns).unwrap();
        // The last run has only its first half alive.
        let live = (number == runs - 1).then(|| BooleanBuffer::collect_bool(rows as usize, |row| (row as i64) < rows / 2));
        Run { rows: Arc::new(batch), live }
    };
    let snapshot = Snapshot { schema: relation.schema(), epoch: 1, runs: (0..runs).map(run).collect(), watermarks: vec![] };
    world.rows.insert(relation.id, snapshot);
    assert_eq!(world.values("SELECT count(*) FROM big"), "570000");
    assert_eq!(
        world.values("SELECT count(v), sum(v), sum(k), sum(d), sum(x), avg(d), avg(x) FROM big"),
        "488571 | 488571 | 28215000 | 855000 | 285000 | 1.5 | 0.5"
    );
    assert_eq!(world.values("SELECT count(*), min(n), max(n), sum(s) FROM (SELECT k, count(*) AS n, sum(k) AS s, avg(d) AS a, sum(x) AS f FROM big GROUP BY k) g"), "100 | 5700 | 5700 | 28215000");
    assert_eq!(world.values("SELECT sum(DISTINCT k), avg(DISTINCT d), count(DISTINCT v) FROM big"), "4950 | 1.5 | 1");
    assert_eq!(world.values("SELECT k FROM big ORDER BY k DESC, v LIMIT 2"), "99\n99");
}

/// The deepest statements that the parser lets through are planned and run on threads with the stack that it asks for.
#[test]
fn what_the_parser_allows_does_not_overflow() {
    let calls = |function: &str, depth: usize| format!("{}id{}", format!("{function}(").repeat(depth), ")".repeat(depth));
    for sql in [
        // Up to 398 are let through, and that takes a debug build a minute.
        format!("SELECT {} FROM t WHERE id = 1", vec!["id"; 100].join(" + ")),
        format!("SELECT {} FROM t", vec!["name"; 398].join(" || ")),
        format!("SELECT id FROM t WHERE {}", vec!["ok"; 990].join(" OR ")),
        format!("SELECT {} FROM t", calls("abs", 16)),
        format!("SELECT {}id{} FROM t", "(".repeat(190), ")".repeat(190)),
        format!("SELECT {}id{} FROM t", "CASE WHEN ok THEN ".repeat(130), " END".repeat(130)),
        format!("SELECT * FROM {}(SELECT id FROM t) x{}", "(SELECT * FROM ".repeat(36), ") x".repeat(36)),
        vec!["SELECT id FROM t WHERE id = 1"; 380].join(" UNION ALL "),
    ] {
        let run = std::thread::Builder::new().stack_size(crate::parser::STACK_BYTES_MIN).spawn(move || {
            let (short, world) = (sql.chars().take(60).collect::<String>(), world());
            world.plan(&sql).unwrap_or_else(|error| panic!("{short} {error:?}"));
            world.query(&sql).unwrap_or_else(|error| panic!("{short} {error:?}"));
        });
        run.unwrap().join().expect("no overflow");
    }
}
