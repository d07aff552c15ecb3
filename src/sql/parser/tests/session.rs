//! SET, SHOW, RESET and what drivers send when they reset a session.

use super::{one, parse, refuses};
use crate::statement::*;

#[test]
fn set_show_reset() {
    let set = |sql: &str| match one(sql) {
        Statement::Set(set) => {
            let value = match set.value {
                SetValue::Default => "DEFAULT".to_string(),
                SetValue::Values(values) => values.join("|"),
            };
            format!("{:?} {} {value}", set.scope, set.name)
        }
        other => panic!("{other:?}"),
    };
    for (sql, expected) in [
        ("SET extra_float_digits = 3", "Session extra_float_digits 3"),
        ("SET SESSION DateStyle TO ISO, MDY", "Session datestyle iso|mdy"),
        ("SET LOCAL statement_timeout = '5s'", "Local statement_timeout 5s"),
        ("SET search_path TO \"$user\", Public", "Session search_path $user|public"),
        ("SET TIME ZONE 'Europe/Paris'", "Session timezone Europe/Paris"),
        ("SET SESSION TIME ZONE UTC", "Session timezone utc"),
        ("SET TIME ZONE LOCAL", "Session timezone DEFAULT"),
        ("SET TIME ZONE DEFAULT", "Session timezone DEFAULT"),
        ("SET TIME ZONE -8", "Session timezone -8"),
        ("SET TimeZone = 'UTC'", "Session timezone UTC"),
        ("SET NAMES 'utf8'", "Session client_encoding utf8"),
        ("SET NAMES", "Session client_encoding DEFAULT"),
        ("SET role = 'x'", "Session role x"),
        ("SET ROLE NONE", "Session role none"),
        ("SET SESSION AUTHORIZATION DEFAULT", "Session session_authorization DEFAULT"),
        ("SET SCHEMA 'public'", "Session search_path public"),
        ("SET my.var = off", "Session my.var off"),
        ("SET jit TO DEFAULT", "Session jit DEFAULT"),
        ("set seed to -0.5", "Session seed -0.5"),
    ] {
        assert_eq!(set(sql), expected, "{sql}");
    }
    let modes = TransactionModes { isolation: Some(IsolationLevel::RepeatableRead), read_only: Some(true), deferrable: None };
    assert_eq!(
        one("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"),
        Statement::SetTransaction(SetTransaction { session: false, modes })
    );
    assert_eq!(
        one("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        Statement::SetTransaction(SetTransaction { session: true, modes })
    );
    let variable = |name: &str| Statement::Show(Show::Variable(name.to_string()));
    assert_eq!(one("SHOW server_version"), variable("server_version"));
    assert_eq!(one("show time zone"), variable("timezone"));
    assert_eq!(one("SHOW TimeZone"), variable("timezone"));
    assert_eq!(one("SHOW TRANSACTION ISOLATION LEVEL"), variable("transaction_isolation"));
    assert_eq!(one("SHOW weir.x"), variable("weir.x"));
    assert_eq!(one("SHOW ALL"), Statement::Show(Show::All));
    assert_eq!(one("SHOW TABLES"), Statement::Show(Show::Objects(ObjectKind::Table)));
    assert_eq!(one("SHOW SOURCES"), Statement::Show(Show::Objects(ObjectKind::Source)));
    assert_eq!(one("SHOW VIEWS"), Statement::Show(Show::Objects(ObjectKind::View)));
    assert_eq!(one("SHOW MATERIALIZED VIEWS"), Statement::Show(Show::Objects(ObjectKind::MaterializedView)));
    assert!(matches!(one("SHOW CREATE MATERIALIZED VIEW v"), Statement::Show(Show::Create { kind: ObjectKind::MaterializedView, .. })));
    assert_eq!(one("RESET ALL"), Statement::Reset(Reset::All));
    assert_eq!(one("RESET TIME ZONE"), Statement::Reset(Reset::Variable("timezone".to_string())));
    assert_eq!(one("RESET Search_Path"), Statement::Reset(Reset::Variable("search_path".to_string())));
    for (word, discard) in [
        ("ALL", Discard::All),
        ("PLANS", Discard::Plans),
        ("SEQUENCES", Discard::Sequences),
        ("TEMP", Discard::Temp),
        ("TEMPORARY", Discard::Temp),
    ] {
        assert_eq!(one(&format!("DISCARD {word}")), Statement::Discard(discard));
    }
    refuses(&[
        ("SET", "42601", "syntax error at end of input", "$"),
        ("SET a", "42601", "syntax error at end of input", "$"),
        ("SET a = ", "42601", "syntax error at end of input", "$"),
        ("SET a = 1 2", "42601", "syntax error at or near \"2\"", "2"),
        ("SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE", "0A000", "an interval as a setting is not supported yet", "INTERVAL"),
        ("SHOW", "42601", "syntax error at end of input", "$"),
        ("DISCARD", "42601", "syntax error at end of input", "$"),
    ]);
}

#[test]
fn what_drivers_send_on_reset() {
    let all = parse("SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL; DEALLOCATE ALL; DISCARD TEMP;").unwrap();
    let statements: Vec<Statement> = all.into_iter().skip(1).map(|p| p.statement).collect();
    assert_eq!(
        statements,
        [
            Statement::Close(None),
            Statement::Unlisten(None),
            Statement::Reset(Reset::All),
            Statement::Deallocate(None),
            Statement::Discard(Discard::Temp)
        ]
    );
    assert_eq!(one("DEALLOCATE \"_pg3_0\""), Statement::Deallocate(Some("_pg3_0".to_string())));
    assert_eq!(one("DEALLOCATE PREPARE S1"), Statement::Deallocate(Some("s1".to_string())));
    assert_eq!(one("CLOSE C"), Statement::Close(Some("c".to_string())));
}

#[test]
fn a_backup_takes_a_directory() {
    for sql in ["BACKUP TO '/var/b'", "backup to '/var/b' ;"] {
        assert_eq!(one(sql), Statement::Backup("/var/b".to_string()), "{sql}");
    }
    refuses(&[
        ("BACKUP", "42601", "syntax error at end of input", "$"),
        ("BACKUP DATABASE weir", "42601", "syntax error at or near \"DATABASE\"", "DATABASE"),
    ]);
}

#[test]
fn a_checkpoint_takes_nothing() {
    for sql in ["CHECKPOINT", "checkpoint;", " /* now */ Checkpoint ; "] {
        assert_eq!(one(sql), Statement::Checkpoint, "{sql}");
    }
    refuses(&[
        ("CHECKPOINT now", "42601", "syntax error at or near \"now\"", "now"),
        ("CHECKPOINT (fast)", "42601", "syntax error at or near \"(\"", "("),
        ("\"checkpoint\"", "42601", "syntax error at or near \"\"checkpoint\"\"", "\"checkpoint\""),
    ]);
}
