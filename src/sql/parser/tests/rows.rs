//! INSERT, UPDATE, DELETE and TRUNCATE.

use super::{one, refuses};
use crate::statement::*;

#[test]
fn changes_of_rows() {
    let Statement::Insert(insert) = one("INSERT INTO t AS x (a, b) VALUES (1, DEFAULT)") else { panic!() };
    assert_eq!(insert.columns.len(), 2);
    assert!(matches!(one("INSERT INTO t DEFAULT VALUES"), Statement::Insert(insert) if insert.source.is_none()));
    assert!(matches!(one("INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x"), Statement::Insert(_)));
    assert!(matches!(one("UPDATE t AS x SET a = b + 1 FROM u WHERE x.id = u.id"), Statement::Update(_)));
    assert!(matches!(one("DELETE FROM t USING u WHERE t.id = u.id"), Statement::Delete(_)));
    for sql in [
        "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING RETURNING *, a + 1 AS b",
        "INSERT INTO t SELECT 1 ON CONFLICT (a, b) DO UPDATE SET a = excluded.a, (b, c) = (1, DEFAULT) WHERE t.a > 1",
        "INSERT INTO t DEFAULT VALUES ON CONFLICT ON CONSTRAINT t_pkey DO UPDATE SET a = 1 RETURNING t.*",
        "INSERT INTO t SELECT a FROM u JOIN v ON conflict = 1",
    ] {
        assert!(matches!(one(sql), Statement::Insert(_)), "{sql}");
    }
    let Statement::Truncate(truncate) = one("TRUNCATE TABLE ONLY t, public.u * CONTINUE IDENTITY CASCADE") else { panic!() };
    assert_eq!(truncate.names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["t", "public.u"]);
    refuses(&[
        ("TRUNCATE t RESTART IDENTITY", "0A000", "RESTART IDENTITY is not supported yet", "RESTART"),
        ("TRUNCATE", "42601", "syntax error at end of input", "$"),
        ("TRUNCATE t WHERE a", "42601", "syntax error at or near \"WHERE\"", "WHERE"),
    ]);
    refuses(&[
        (
            "INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 1",
            "42601",
            "ON CONFLICT DO UPDATE requires inference specification or constraint name",
            "ON CONFLICT",
        ),
        (
            "INSERT INTO t VALUES (1) ON CONFLICT (lower(a)) DO NOTHING",
            "0A000",
            "ON CONFLICT on anything but columns is not supported yet",
            "ON CONFLICT",
        ),
        (
            "SELECT 1; INSERT INTO t VALUES (1) ON CONFLICT (a, b) WHERE a > 0 DO NOTHING",
            "0A000",
            "WHERE after the columns of ON CONFLICT is not supported yet",
            "ON CONFLICT",
        ),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a,) DO NOTHING", "42601", "syntax error at or near \")\"", ") DO"),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO DELETE", "42601", "syntax error at or near \"DELETE\"", "DELETE"),
        ("DELETE FROM t RETURNING", "42601", "syntax error at end of input", "$"),
        ("INSERT OVERWRITE t VALUES (1)", "42601", "INSERT has a clause that Postgres does not know", ""),
        ("DELETE FROM t ORDER BY a LIMIT 1", "42601", "DELETE has a clause that Postgres does not know", ""),
        ("UPDATE t SET a = 1 LIMIT 1", "42601", "UPDATE has a clause that Postgres does not know", ""),
        ("INSERT INTO t VALUES (1) garbage", "42601", "syntax error at or near \"garbage\"", "garbage"),
    ]);
}
