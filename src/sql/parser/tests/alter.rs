//! ALTER, and the text of a CREATE that is altered.

use super::{one, refuses};
use crate::parser::{with_option, with_watermark};
use crate::statement::*;

fn altered(sql: &str) -> Alter {
    let Statement::Alter(alter) = one(sql) else { panic!("{sql}") };
    alter
}

#[test]
fn alter() {
    let all = altered("ALTER SOURCE IF EXISTS public.s SET (idle_timeout = '1 s'), RESET (max_future, \"Odd\"), SET WATERMARK FOR t AS t");
    assert_eq!((all.kind, all.if_exists, all.name.to_string().as_str()), (ObjectKind::Source, true, "public.s"));
    let [AlterAction::Set(options), AlterAction::Reset(names), AlterAction::Watermark(watermark)] = all.actions.as_slice() else {
        panic!()
    };
    assert_eq!(options["idle_timeout"].value, "1 s");
    assert_eq!(names, &[("max_future".to_string(), 68), ("Odd".to_string(), 80)]);
    assert_eq!(watermark.expr.to_string(), "t");
    assert_eq!(altered("ALTER TABLE t SET WATERMARK FOR a AS a - INTERVAL '1 s'").kind, ObjectKind::Table);
    // A relation may be called as the words that follow.
    assert_eq!(altered("ALTER SOURCE \"set\" RESET (a)").name.to_string(), "\"set\"");
}

#[test]
fn late_rows() {
    let Statement::AlterLate(admit) = one("ALTER MATERIALIZED VIEW IF EXISTS v ADMIT LATE") else { panic!() };
    assert_eq!((admit.if_exists, admit.action, admit.condition), (true, LateAction::Admit, None));
    let Statement::AlterLate(discard) = one("ALTER MATERIALIZED VIEW v DISCARD LATE WHERE a") else { panic!() };
    assert_eq!((discard.if_exists, discard.action), (false, LateAction::Discard));
    assert_eq!(discard.condition, Some(Condition { text: "a".into(), offset: 45 }));
    let sql = "ALTER MATERIALIZED VIEW v ADMIT LATE WHERE é = 'x' /* y */ AND (b > 1)  ";
    let Statement::AlterLate(admit) = one(sql) else { panic!() };
    assert_eq!(admit.condition, Some(Condition { text: "é = 'x' /* y */ AND (b > 1)".into(), offset: 43 }));
}

#[test]
fn alter_refuses() {
    refuses(&[
        ("ALTER SOURCE s SET ()", "42601", "syntax error at or near \")\"", ")"),
        ("ALTER SOURCE s SET WATERMARK ts", "42601", "syntax error at or near \"ts\"", "ts"),
        ("ALTER SOURCE s SET (a = '1') SET (b = '1')", "42601", "syntax error at or near \"SET\"", "SET (b"),
        ("ALTER SOURCE s SET (a = '1'), ADD COLUMN b int", "42601", "syntax error at or near \"ADD\"", "ADD"),
        ("ALTER MATERIALIZED VIEW v DISCARD ALL", "42601", "syntax error at or near \"ALL\"", "ALL"),
        ("ALTER MATERIALIZED VIEW v DISCARD LATE 1", "42601", "syntax error at or near \"1\"", "1"),
        ("ALTER TABLE t SET WATERMARK FOR a", "42601", "syntax error at end of input", "$"),
    ]);
    for other in ["ALTER TABLE t ADD COLUMN a int", "ALTER VIEW v RENAME TO w", "ALTER TABLE t SET SCHEMA other", "ALTER SOURCE s"] {
        assert!(matches!(one(other), Statement::Unsupported(_)), "{other}");
    }
}

#[test]
fn a_create_is_told_again() {
    let sql = "CREATE SOURCE s (é timestamp, /* WATERMARK FOR */ \"WITH\" timestamp,\n  WATERMARK FOR é AS é - INTERVAL '1 day', b text) -- with (\nWITH (idle_timeout = '1 s', max_future = '2 s', connector = 'file', properties.idle_timeout = 'x')\nFORMAT PLAIN ENCODE JSON (strict = 'true')";
    let Statement::Alter(Alter { actions, .. }) = one("ALTER SOURCE s SET WATERMARK FOR é AS é - INTERVAL '(1, 2)'") else { panic!() };
    let [AlterAction::Watermark(watermark)] = actions.as_slice() else { panic!() };
    let other = with_watermark(sql, watermark).unwrap();
    assert_eq!(other, sql.replace("INTERVAL '1 day'", "INTERVAL '(1, 2)'"));
    assert_eq!(with_watermark(&other, watermark).unwrap(), other);
    let long = with_option(&other, "idle_timeout", Some("it's")).unwrap();
    assert_eq!(long, other.replace("(idle_timeout = '1 s'", "(idle_timeout = 'it''s'"));
    let without = with_option(&long, "idle_timeout", None).unwrap();
    assert_eq!(without, other.replace("idle_timeout = '1 s', m", "m"));
    let without = with_option(&without, "max_future", None).unwrap();
    assert_eq!(without, other.replace("idle_timeout = '1 s', max_future = '2 s', ", ""));
    assert_eq!(with_option(&without, "max_future", None).unwrap(), without);
    let back = with_option(&without, "max_future", Some("3 s")).unwrap();
    assert_eq!(back, without.replace("idle_timeout = 'x')", "idle_timeout = 'x', max_future = '3 s')"));
    assert_eq!(with_option(&back, "max_future", None).unwrap(), without);
    assert!(matches!(one(&back), Statement::CreateSource(_)));
}
