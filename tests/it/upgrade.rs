//! A data directory that an earlier version of Weir has made.

use std::fs;
use std::path::Path;

use crate::harness::{refused, run, value};
use crate::server::{Server, Setup, connect};

/// What is asked, and the answers of the version that made `fixtures/format1.hex`.
const ANSWERS: [(&str, &str); 11] = [
    (
        "SELECT string_agg(concat_ws('|', id::text, name, owner, balance::text, opened::text, score::text, active::text, tags::text, extra::text, born::text, big::text), ' ; ' ORDER BY id) FROM accounts",
        "1|anna|it's|11.75|2025-12-31 22:00:00+00|1.5|true|{x,NULL}|{\"a\": [null], \"b\": 1}|1999-12-31|9223372036854775807 ; 2|berta ; 3|nobody|größe ☃|0.00|1969-07-20 20:17:40.123456+00|-0.25|false|{}|[]|0001-01-01|-1 ; 4|anna|101.24 ; 6|nobody|six",
    ),
    (
        "SELECT string_agg(concat_ws('|', name, n::text, total::text, least::text, latest::text, mean::text, owners::text), ' ; ' ORDER BY name) FROM by_name",
        "anna|2|112.99|11.75|2025-12-31 22:00:00+00|1.5|1 ; berta|1|0 ; nobody|2|0|0|1969-07-20 20:17:40.123456+00|-0.25|2",
    ),
    ("SELECT concat_ws('|', n::text, total::text, latest::text) FROM total", "5|112.99|2025-12-31 22:00:00+00"),
    ("SELECT string_agg(concat_ws('|', id::text, balance::text), ' ; ' ORDER BY id) FROM doubled", "1|23.5 ; 2 ; 3|0 ; 4|202.48 ; 6"),
    ("SELECT string_agg(concat_ws('|', id::text, balance::text), ' ; ' ORDER BY id) FROM rich", "1|23.5 ; 4|202.48"),
    (
        "SELECT string_agg(concat_ws('|', account::text, n::text, amount::text, last::text), ' ; ' ORDER BY account) FROM moved",
        "1|8|108|2026-02-02 08:00:00+00 ; 2|9|900|2026-02-02 09:00:00+00 ; 3|8|96|2026-02-02 06:00:00+00 ; 4|8|102|2026-02-02 07:00:00+00",
    ),
    ("SELECT string_agg(day::text, ' ; ' ORDER BY day) FROM days", "2026-02-01 00:00:00+00 ; 2026-02-02 00:00:00+00"),
    (
        "SELECT concat_ws('|', count(*)::text, sum(amount)::text, min(at)::text, max(at)::text) FROM log",
        "33|1206|2026-02-01 01:00:00+00|2026-02-02 09:00:00+00",
    ),
    ("SELECT string_agg(concat_ws('|', id::text, balance::text), ' ; ' ORDER BY id) FROM copied", "7|7.7"),
    (
        "SELECT string_agg(table_name || ' ' || table_type, ', ' ORDER BY table_name) FROM information_schema.tables WHERE table_schema = 'public'",
        "accounts BASE TABLE, by_name VIEW, copied BASE TABLE, days VIEW, doubled VIEW, log BASE TABLE, moved VIEW, rich VIEW, total VIEW",
    ),
    (
        "SELECT string_agg(concat_ws(' ', column_name, data_type, is_nullable, column_default), ', ' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_name = 'accounts'",
        "id integer NO, name character varying NO 'nobody', owner text YES, balance numeric YES, opened timestamp with time zone YES, score double precision YES, active boolean YES, tags ARRAY YES, extra jsonb YES, born date YES, big bigint YES",
    ),
];

/// Writes out the files of `fixtures/format1.hex`.
fn format1(data: &Path) {
    unpack(data, include_str!("fixtures/format1.hex"));
}

/// Writes out the three files of a fixture.
fn unpack(data: &Path, text: &str) {
    let (mut path, mut files) = (String::new(), 0);
    let mut bytes: Vec<u8> = vec![];
    let mut end = |path: &str, bytes: &mut Vec<u8>| {
        if !path.is_empty() {
            let path = data.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, std::mem::take(bytes)).unwrap();
            files += 1;
        }
    };
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let digit = |digit: u8| char::from(digit).to_digit(16).filter(|_| !digit.is_ascii_uppercase());
        match line.bytes().map(digit).collect::<Option<Vec<u32>>>() {
            Some(digits) => bytes.extend(digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8)),
            None => {
                end(&path, &mut bytes);
                path = line.to_string();
            }
        }
    }
    end(&path, &mut bytes);
    assert_eq!(files, 3);
}

fn format_of(data: &Path) -> String {
    fs::read_to_string(data.join("FORMAT")).unwrap()
}

#[tokio::test]
async fn a_directory_of_format_1_becomes_one_of_format_2() {
    let mut weir = Server::prepare("127.0.0.1:0", Setup { checkpoint_interval: Some("1h"), ..Setup::default() }).unwrap();
    weir.setup.environment = vec![("WEIR_LOG", "info,weir_engine=debug".into())];
    format1(&weir.data());
    assert_eq!(format_of(&weir.data()), "Weir data directory\nformat 1\n");
    // A checkpoint of a server to which nothing happens is of a commit of its own.
    let mut commit = "29";
    // The first start reads the log of the earlier version, the next one a checkpoint.
    for workers in [2, 3, 1] {
        weir.restart(workers).unwrap();
        let client = connect(weir.url()).await.unwrap();
        for (sql, answer) in ANSWERS {
            assert_eq!(value(&client, sql).await, answer, "{sql}");
        }
        assert_eq!(format_of(&weir.data()), "Weir data directory\nformat 2\n");
        assert_eq!(value(&client, "SELECT commit::text FROM weir.snapshot").await, commit);
        if commit == "29" {
            run(&client, "CHECKPOINT").await;
            commit = "30";
        }
        weir.kill();
    }
    let log = weir.log();
    let recovered: Vec<&str> = log.lines().filter_map(|line| line.split_once("epochs since ")).map(|(_, how)| how).collect();
    assert_eq!(recovered.len(), 3, "{log}");
    assert!(recovered[0].starts_with("committed=29 checkpoint=0 ") && recovered[0].contains(" epochs=29 "), "{recovered:?}");
    assert!(recovered[1..].iter().all(|how| how.starts_with("committed=30 checkpoint=30 ") && how.contains(" epochs=0 ")), "{recovered:?}");

    // Constraints are still there, views go on, and no number is given twice.
    weir.restart(2).unwrap();
    let client = connect(weir.url()).await.unwrap();
    assert_eq!(refused(&client, "INSERT INTO accounts (id, balance) VALUES (7, -1)").await.0, "23514");
    assert_eq!(refused(&client, "INSERT INTO accounts (id) VALUES (3)").await.0, "23505");
    assert_eq!(refused(&client, "INSERT INTO accounts (id, name) VALUES (7, NULL)").await.0, "23502");
    run(&client, "INSERT INTO accounts (id, name, balance) VALUES (7, 'berta', 20.25); DELETE FROM log WHERE account = 2").await;
    run(&client, "CREATE TABLE gone (other TEXT); INSERT INTO gone VALUES ('anew')").await;
    assert_eq!(value(&client, "SELECT n || ' ' || total FROM by_name WHERE name = 'berta'").await, "2 20.25");
    assert_eq!(value(&client, "SELECT n || ' ' || total FROM total").await, "6 133.24");
    assert_eq!(value(&client, "SELECT string_agg(id || ' ' || balance, ', ' ORDER BY id) FROM rich").await, "1 23.5, 4 202.48, 7 40.5");
    assert_eq!(value(&client, "SELECT string_agg(account::text, ' ' ORDER BY account) FROM moved").await, "1 3 4");
    assert_eq!(value(&client, "SELECT other FROM gone").await, "anew");
    weir.stop().unwrap();
}

#[test]
fn a_damaged_directory_of_format_1_is_refused() {
    let mut weir = Server::prepare("127.0.0.1:0", Setup::default()).unwrap();
    format1(&weir.data());
    let log = weir.data().join("log/00000000000000000001.log");
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, &bytes).unwrap();
    assert!(weir.restart(2).is_err());
    // The log's own words for what has SQLSTATE XX001, which a message on the terminal does not show.
    let said = weir.log();
    assert!(said.contains(&format!("log file \"{}\" is damaged at offset", log.display())), "{said}");
    assert!(!weir.ended().unwrap().success() && !said.contains("panicked"), "{said}");
    assert_eq!(fs::read(&log).unwrap(), bytes, "it was left alone");
    assert_eq!(format_of(&weir.data()), "Weir data directory\nformat 1\n", "the version that made it can open it");
    assert!(!weir.data().join("state").exists());
}

#[tokio::test]
async fn late_rows_without_positions_stay_what_they_were() {
    let mut weir = Server::prepare("127.0.0.1:0", Setup { checkpoint_interval: Some("1h"), ..Setup::default() }).unwrap();
    unpack(&weir.data(), include_str!("fixtures/late_format4.hex"));
    // The log of the earlier version, then a checkpoint.
    for workers in [1, 3] {
        weir.restart(workers).unwrap();
        let client = connect(weir.url()).await.unwrap();
        let columns = "SELECT string_agg(column_name, ' ' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_name = ";
        for relation in ["v$late", "late_rows", "plain"] {
            let expected = "ts partition input event_time window_start window_end watermark weight";
            assert_eq!(value(&client, &format!("{columns} '{relation}'")).await, expected);
            assert_eq!(value(&client, &format!("SELECT string_agg(partition || ' ' || weight, ',') FROM {relation}")).await, "y 1");
        }
        assert_eq!(value(&client, "SELECT string_agg(partition || ' ' || n, ',') FROM of_partition").await, "y 1");
        assert_eq!(value(&client, "SELECT sum(n)::text FROM v").await, "2");
        run(&client, "CHECKPOINT").await;
        weir.kill();
    }
    // They go on, and a view that is made now tells.
    weir.restart(2).unwrap();
    let client = connect(weir.url()).await.unwrap();
    run(&client, "INSERT INTO t VALUES (6, '2024-01-01 00:00:50', 'z')").await;
    run(&client, "DELETE FROM t WHERE id = 4").await;
    for relation in ["v$late", "late_rows", "plain", "of_partition"] {
        assert_eq!(value(&client, &format!("SELECT string_agg(partition, ',') FROM {relation}")).await, "z");
    }
    run(&client, "ALTER MATERIALIZED VIEW v ADMIT LATE WHERE partition = 'z'").await;
    assert_eq!(value(&client, "SELECT sum(n)::text FROM v").await, "3");
    run(
        &client,
        "CREATE MATERIALIZED VIEW w AS SELECT window_start, count(partition) AS n FROM TUMBLE(t, ts, INTERVAL '1 minute') GROUP BY window_start \
         EMIT ON WINDOW CLOSE",
    )
    .await;
    run(&client, "INSERT INTO t VALUES (7, '2024-01-01 00:00:50', 'z')").await;
    assert_eq!(
        value(&client, "SELECT concat_ws(' ', partition_of_row, partition, \"offset\"::text, weight::text) FROM w$late").await,
        "z 1"
    );
    weir.stop().unwrap();
}
