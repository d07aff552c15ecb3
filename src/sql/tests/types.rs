//! Types of literals, operators and aggregates, as Postgres has them.

use super::world;

fn check(cases: &[(&str, &str)]) {
    let world = world();
    for (expr, expected) in cases {
        let sql = format!("SELECT {expr}");
        let actual = match world.query(&sql) {
            Ok(text) => {
                let (header, value) = text.split_once('\n').unwrap_or((&text, ""));
                format!("{} {value}", header.split_once(' ').expect("name type").1)
            }
            Err(error) => format!("[{}] {}", error.sqlstate().0, error.message()),
        };
        assert_eq!(&actual, expected, "{sql}");
    }
}

#[test]
fn literals_have_postgres_types() {
    check(&[
        ("1", "integer 1"),
        ("3000000000", "bigint 3000000000"),
        ("-2147483648", "integer -2147483648"),
        ("1.50", "numeric 1.5"),
        ("1e3", "numeric 1000"),
        ("'x'", "text x"),
        ("NULL", "text -"),
        ("true", "boolean true"),
        ("INTERVAL '1 day 2 hours'", "interval 1 day 02:00:00"),
        ("TIMESTAMP '2024-02-29 10:00:00.5'", "timestamp without time zone 2024-02-29 10:00:00.5"),
        ("TIMESTAMPTZ '2024-02-29 10:00:00+02'", "timestamp with time zone 2024-02-29 08:00:00+00"),
        ("DATE '2024-02-29'", "date 2024-02-29"),
        ("now()", "timestamp with time zone 2024-01-01 12:00:00+00"),
    ]);
}

#[test]
fn arithmetic_is_postgres_arithmetic() {
    check(&[
        ("7 / 2", "integer 3"),
        ("-7 / 2", "integer -3"),
        ("7 % 3", "integer 1"),
        ("2147483647 + 1", "[22003] integer out of range"),
        ("9223372036854775807 * 2", "[22003] bigint out of range"),
        ("1 / 0", "[22012] division by zero"),
        ("1.0 / 0", "[22012] division by zero"),
        ("1::float8 / 0", "[22012] division by zero"),
        ("1.0 / 3", "numeric 0.3333333333333333"),
        ("2.0 / 3", "numeric 0.6666666666666667"),
        ("1.5 * 1.5", "numeric 2.25"),
        ("1.5 + 1", "numeric 2.5"),
        ("1.5 * 2::float8", "double precision 3"),
        ("1::smallint + 1::bigint", "bigint 2"),
        ("1 + '2'", "integer 3"),
        ("DATE '2024-03-01' - DATE '2024-02-01'", "integer 29"),
        ("DATE '2024-02-28' + 2", "date 2024-03-01"),
        ("DATE '2024-02-28' + INTERVAL '1 day'", "timestamp without time zone 2024-02-29 00:00:00"),
        ("TIMESTAMP '2024-01-31 10:00' + INTERVAL '1 month'", "timestamp without time zone 2024-02-29 10:00:00"),
        ("TIMESTAMP '2024-01-03 12:00' - TIMESTAMP '2024-01-01'", "interval 2 days 12:00:00"),
        ("INTERVAL '1 hour' * 1.5", "interval 01:30:00"),
        ("INTERVAL '1 day' / 2", "interval 12:00:00"),
        ("TIME '23:00' + INTERVAL '2 hours'", "time without time zone 01:00:00"),
        ("TIMESTAMP '2024-01-01' + '1 day'", "timestamp without time zone 2024-01-02 00:00:00"),
        ("'a' || 1", "text a1"),
        ("1 || '-' || TIMESTAMP '2024-01-01'", "text 1-2024-01-01 00:00:00"),
        ("true + 1", "[42883] operator does not exist: boolean + integer"),
    ]);
}

#[test]
fn casts_read_and_write_as_postgres() {
    check(&[
        ("'12'::int", "integer 12"),
        ("' 12 '::bigint", "bigint 12"),
        ("'abc'::int", "[22P02] invalid input syntax for type integer: \"abc\""),
        ("'3000000000'::int", "[22003] value \"3000000000\" is out of range for type integer"),
        ("3000000000::int", "[22003] integer out of range"),
        ("2.5::int", "integer 3"),
        ("2.5::float8::int", "integer 2"),
        ("'1.005'::numeric(10,2)", "numeric(10,2) 1.01"),
        ("123.456::numeric(4,2)", "[22003] numeric field overflow"),
        ("'yes'::boolean", "boolean true"),
        ("'2024-02-29'::date", "date 2024-02-29"),
        ("'2024-02-30'::date", "[22008] date/time field value out of range: \"2024-02-30\""),
        ("'2024-13-01'::date", "[22008] date/time field value out of range: \"2024-13-01\""),
        ("'0000-01-01'::date", "[22008] date/time field value out of range: \"0000-01-01\""),
        ("'2024-01'::date", "[22007] invalid input syntax for type date: \"2024-01\""),
        ("'2024-02-30 x'::date", "[22007] invalid input syntax for type date: \"2024-02-30 x\""),
        ("'2023-02-29 10:00'::timestamp", "[22008] date/time field value out of range: \"2023-02-29 10:00\""),
        ("'2024-01-01 24:00:01'::timestamp", "[22008] date/time field value out of range: \"2024-01-01 24:00:01\""),
        ("'2024-01-01 10:60'::timestamptz", "[22008] date/time field value out of range: \"2024-01-01 10:60\""),
        ("'2024-01-01 10:00+99'::timestamptz", "[22009] time zone displacement out of range: \"2024-01-01 10:00+99\""),
        (
            "'2024-01-01 10:00 nowhere'::timestamptz",
            "[22007] invalid input syntax for type timestamp with time zone: \"2024-01-01 10:00 nowhere\"",
        ),
        ("'25:00'::time", "[22008] date/time field value out of range: \"25:00\""),
        ("'noon'::time", "[22007] invalid input syntax for type time: \"noon\""),
        ("'hello'::varchar(3)", "character varying(3) hel"),
        ("1.5::text", "text 1.5"),
        ("1e20::float8::text", "text 1e+20"),
        ("0.1::float8::text", "text 0.1"),
        ("true::text", "text true"),
        ("'00000000-0000-0000-0000-00000000002A'::uuid", "uuid 00000000-0000-0000-0000-00000000002a"),
        ("'1 day'::interval", "interval 1 day"),
        ("1::nonsense", "[42704] type \"nonsense\" does not exist"),
    ]);
}

#[test]
fn comparisons_take_untyped_literals() {
    let world = world();
    assert_eq!(world.values("SELECT id FROM t WHERE id = '2'"), "2");
    assert_eq!(world.values("SELECT id FROM t WHERE price = '2.25'"), "2");
    assert_eq!(world.values("SELECT id FROM t WHERE x = 1.5"), "1");
    assert_eq!(world.values("SELECT id FROM t WHERE at >= '2024-01-01 00:01:00' ORDER BY id"), "2\n3");
    assert_eq!(world.values("SELECT id FROM t WHERE id IN ('1', '3') ORDER BY 1"), "1\n3");
    assert_eq!(world.values("SELECT id FROM t WHERE id BETWEEN '2' AND '3' ORDER BY 1"), "2\n3");
    assert_eq!(world.values("SELECT id FROM t WHERE name ILIKE 'O%'"), "1");
    assert_eq!(world.values("SELECT id FROM t WHERE name ~ '^t'"), "2");
    assert_eq!(world.error("SELECT id FROM t WHERE id = 'x'").sqlstate().0, "22P02");
}

#[test]
fn aggregates_have_postgres_types() {
    assert_eq!(
        world().header(
            "SELECT count(*), sum(id), sum(n), sum(s), sum(price), sum(x), avg(id), avg(s), avg(price), avg(x), min(n), max(name) FROM t"
        ),
        "count bigint, sum numeric, sum bigint, sum bigint, sum numeric, sum double precision, avg numeric, avg numeric, avg numeric, \
         avg double precision, min integer, max text"
    );
    assert_eq!(world().values("SELECT sum(id), avg(n), avg(price), sum(x), avg(x) FROM t"), "6 | 15 | 1.875 | 1.5 | 0.75");
    assert_eq!(world().values("SELECT sum(n), avg(n), count(n) FROM t WHERE false"), "- | - | 0");
    assert_eq!(world().values("SELECT sum(DISTINCT s), count(DISTINCT ok), avg(DISTINCT n) FROM t"), "3 | 2 | 15");
    assert_eq!(world().values("SELECT sum(v) FROM (VALUES (9223372036854775807), (9223372036854775807)) x(v)"), "18446744073709551614");
    assert_eq!(world().values("SELECT id, sum(n) OVER (ORDER BY id) FROM t ORDER BY id"), "1 | 10\n2 | 30\n3 | 30");
    assert_eq!(world().query("SELECT row_number() OVER (ORDER BY id) FROM t LIMIT 1").unwrap(), "row_number bigint\n1");
    assert_eq!(world().error("SELECT sum(name) FROM t").sqlstate().0, "42883");
}
