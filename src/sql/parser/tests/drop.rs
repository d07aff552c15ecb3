//! DROP.

use super::{one, refuses};
use crate::statement::*;

#[test]
fn drops() {
    for (sql, kind) in [
        ("TABLE", ObjectKind::Table),
        ("SOURCE", ObjectKind::Source),
        ("VIEW", ObjectKind::View),
        ("MATERIALIZED VIEW", ObjectKind::MaterializedView),
        ("INDEX", ObjectKind::Index),
        ("SINK", ObjectKind::Sink),
    ] {
        let Statement::Drop(drop) = one(&format!("DROP {sql} IF EXISTS a, public.b CASCADE")) else { panic!("{sql}") };
        assert_eq!((drop.kind, drop.names.len(), drop.if_exists, drop.cascade), (kind, 2, true, true));
    }
    let Statement::Drop(drop) = one("drop table a restrict") else { panic!() };
    assert!(!drop.cascade && !drop.if_exists);
    assert!(matches!(one("DROP SCHEMA x"), Statement::Unsupported(u) if u.what == "DROP SCHEMA"));
    refuses(&[
        ("DROP", "42601", "syntax error at end of input", "$"),
        ("DROP TABLE", "42601", "syntax error at end of input", "$"),
        ("DROP TABEL t", "42601", "syntax error at or near \"TABEL\"", "TABEL"),
    ]);
}
