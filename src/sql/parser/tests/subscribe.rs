//! SUBSCRIBE, alone, in COPY and in DECLARE; FETCH with a timeout.

use super::{hint, one, refuses};
use crate::statement::*;

fn subscribe(sql: &str) -> Subscribe {
    match one(sql) {
        Statement::Subscribe(subscribe) => *subscribe,
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn all_clauses() {
    let plain = subscribe("SUBSCRIBE v");
    let SubscribeTarget::Relation { name, position } = &plain.target else { panic!() };
    assert_eq!((name.to_string().as_str(), *position), ("v", 11));
    assert_eq!((plain.snapshot, plain.progress, plain.as_of, plain.up_to, plain.emit_final), (true, false, None, None, None));
    let all = subscribe(
        "subscribe to public.v emit final envelope upsert (key (a, \"B\")) with (snapshot = false, progress = 'true') as of 17 up to '20'",
    );
    assert!(matches!(&all.target, SubscribeTarget::Relation { name, .. } if name.to_string() == "public.v"));
    assert_eq!((all.snapshot, all.progress, all.as_of, all.up_to, all.emit_final), (false, true, Some(17), Some(20), Some(23)));
    assert_eq!(all.upsert.unwrap().key.iter().map(|key| key.value.as_str()).collect::<Vec<_>>(), ["a", "B"]);
    assert!(matches!(subscribe("SUBSCRIBE (SELECT a, count(*) FROM v GROUP BY a) AS OF 3").target, SubscribeTarget::Query(_)));
    // A relation of that name.
    assert!(matches!(&subscribe("SUBSCRIBE to").target, SubscribeTarget::Relation { name, .. } if name.to_string() == "to"));
    refuses(&[
        ("SUBSCRIBE", "42601", "syntax error at end of input", "$"),
        ("SUBSCRIBE SELECT 1", "42601", "syntax error at or near \"1\"", "1"),
        ("SUBSCRIBE (DELETE FROM v)", "42601", "syntax error at or near \"DELETE\"", "DELETE"),
        ("SUBSCRIBE v WITH (fast = true)", "22023", "unknown option \"fast\"", "fast"),
        ("SUBSCRIBE v WITH (progress = 'perhaps')", "22023", "option \"progress\" is true or false, not \"perhaps\"", "progress"),
        ("SUBSCRIBE v AS OF now()", "42601", "syntax error at or near \"now\"", "now"),
        ("SUBSCRIBE v AS OF -1", "42601", "syntax error at or near \"-\"", "-"),
        ("SUBSCRIBE v UP TO 3 AS OF 1", "42601", "syntax error at or near \"AS\"", "AS"),
        ("SUBSCRIBE v ENVELOPE DEBEZIUM (KEY (a))", "0A000", "ENVELOPE DEBEZIUM is not supported yet", "DEBEZIUM"),
        ("SUBSCRIBE v ENVELOPE UPSERT", "42601", "syntax error at end of input", "$"),
    ]);
    assert!(hint("SUBSCRIBE v AS OF now()").contains("number of a commit"));
}

#[test]
fn within_others() {
    let Statement::Copy(copy) = one("COPY (SUBSCRIBE v WITH (progress = true)) TO STDOUT (FORMAT csv)") else { panic!() };
    assert!(matches!(copy.target, CopyTarget::Subscribe(subscribe) if subscribe.progress));
    let Statement::Declare(declare) = one("DECLARE c CURSOR WITH HOLD FOR SUBSCRIBE (SELECT 1) UP TO 5") else { panic!() };
    assert!(declare.hold);
    assert!(matches!(declare.rows, DeclareRows::Subscribe(subscribe) if subscribe.up_to == Some(5)));
    let timeout = |sql: &str| match one(sql) {
        Statement::Fetch(fetch) => (fetch.name, fetch.direction, fetch.timeout.map(|timeout| timeout.millis)),
        other => panic!("{sql}: {other:?}"),
    };
    assert_eq!(timeout("FETCH c WITH (timeout = '1s')"), ("c".into(), FetchDirection::Forward(Some(1)), Some(1000)));
    assert_eq!(timeout("FETCH ALL FROM c WITH (timeout = '2 min')"), ("c".into(), FetchDirection::Forward(None), Some(120_000)));
    assert_eq!(timeout("FETCH 5 c WITH (timeout = 250)"), ("c".into(), FetchDirection::Forward(Some(5)), Some(250)));
    refuses(&[
        ("COPY (SUBSCRIBE v) FROM STDIN", "42601", "syntax error at or near \"FROM\"", "FROM"),
        ("DECLARE c SCROLL CURSOR FOR SUBSCRIBE v", "0A000", "a SCROLL cursor over SUBSCRIBE is not supported", "SUBSCRIBE"),
        ("FETCH c WITH (patience = '1s')", "22023", "unknown option \"patience\"", "patience"),
        ("FETCH c WITH (timeout = 'soon')", "22023", "invalid value for option \"timeout\": \"soon\"", "timeout"),
        (
            "EXPLAIN SUBSCRIBE v",
            "0A000",
            "EXPLAIN is only supported for a query, EXECUTE, DECLARE and CREATE MATERIALIZED VIEW",
            "SUBSCRIBE",
        ),
    ]);
}
