//! COPY in binary, as drivers write and read it.

use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use futures::{SinkExt, TryStreamExt, pin_mut};
use tokio_postgres::binary_copy::{BinaryCopyInWriter, BinaryCopyOutStream};
use tokio_postgres::types::Type;

use crate::harness::{Weir, describe, rows, run, value};

const TYPES: [Type; 7] = [Type::INT4, Type::INT8, Type::FLOAT8, Type::BOOL, Type::TEXT, Type::BYTEA, Type::TIMESTAMPTZ];

#[tokio::test]
async fn rows_are_copied_in_and_out_in_binary() {
    let weir = Weir::start(2);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY, b BIGINT, d DOUBLE PRECISION, ok BOOLEAN, x TEXT, raw BYTEA, at TIMESTAMPTZ)").await;
    run(&client, "CREATE MATERIALIZED VIEW v AS SELECT ok, count(*) AS n, sum(b) AS total, max(at) AS newest FROM t GROUP BY ok").await;
    let epoch = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let sink = client.copy_in("COPY t FROM STDIN (FORMAT binary)").await.unwrap();
    let writer = BinaryCopyInWriter::new(sink, &TYPES);
    pin_mut!(writer);
    for id in 0..20_000i32 {
        let (b, d, ok) = (id as i64 * 1_000_000_000, id as f64 / 4.0, (id % 3 > 0).then_some(id % 3 == 1));
        let (x, raw) = ((id % 5 > 0).then(|| format!("row\t{id}\n")), id.to_be_bytes());
        writer.as_mut().write(&[&id, &b, &d, &ok, &x, &&raw[..], &epoch(1_700_000_000 + id as u64)]).await.unwrap();
    }
    assert_eq!(writer.finish().await.unwrap(), 20_000);
    assert_eq!(
        rows(&client, "SELECT ok, n, total, newest FROM v ORDER BY ok").await,
        [
            ["f", "6666", "66656667000000000", "2023-11-15 03:46:37+00"],
            ["t", "6667", "66670000000000000", "2023-11-15 03:46:39+00"],
            ["NULL", "6667", "66663333000000000", "2023-11-15 03:46:38+00"],
        ]
    );

    let out = client.copy_out("COPY (SELECT * FROM t ORDER BY id) TO STDOUT (FORMAT binary)").await.unwrap();
    let out = BinaryCopyOutStream::new(out, &TYPES);
    pin_mut!(out);
    let mut count = 0i32;
    while let Some(row) = out.try_next().await.unwrap() {
        let (id, b, d): (i32, i64, f64) = (row.get(0), row.get(1), row.get(2));
        assert_eq!((id, b, d), (count, count as i64 * 1_000_000_000, count as f64 / 4.0));
        assert_eq!(row.get::<Option<bool>>(3), (id % 3 > 0).then_some(id % 3 == 1));
        assert_eq!(row.get::<Option<String>>(4), (id % 5 > 0).then(|| format!("row\t{id}\n")));
        assert_eq!((row.get::<&[u8]>(5), row.get::<SystemTime>(6)), (&id.to_be_bytes()[..], epoch(1_700_000_000 + id as u64)));
        count += 1;
    }
    assert_eq!(count, 20_000);
    weir.stop();
}

/// Every type that has a binary form: out of one table, byte for byte into another, and out again.
#[tokio::test]
async fn what_binary_gives_it_takes() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    for table in ["a", "b"] {
        run(
            &client,
            &format!(
                "CREATE TABLE {table} (id INT PRIMARY KEY, s SMALLINT, r REAL, n NUMERIC(10,2), big NUMERIC, v VARCHAR(5), dt DATE, tm TIME,
                 ts TIMESTAMP, iv INTERVAL, u UUID, j JSON, jb JSONB, ints INT[], words TEXT[])"
            ),
        )
        .await;
    }
    run(
        &client,
        "INSERT INTO a VALUES
         (1, -2, 1.5, 12.34, 12345678901234567890.000001, 'grüße', '2026-05-01', '12:34:56.789', '1999-12-31 23:59:59', '1 mon 2 days 3 s',
          'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{\"a\": [1, null]}', '{\"a\": [1, null]}', ARRAY[1, NULL, 3], ARRAY['x', 'y z']),
         (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
         (3, 0, 'NaN', 0, 0, '', '0001-01-01', '00:00', '0001-01-01 00:00', '-1 day', '00000000-0000-0000-0000-000000000000', '1', '\"x\"',
          ARRAY[]::int[], ARRAY[]::text[])",
    )
    .await;
    let dump = async |table: &str| -> Vec<u8> {
        let sql = format!("COPY (SELECT * FROM {table} ORDER BY id) TO STDOUT (FORMAT binary)");
        let chunks: Vec<_> = client.copy_out(&sql).await.unwrap().try_collect().await.unwrap();
        chunks.concat()
    };
    let data = dump("a").await;
    let sink = client.copy_in("COPY b FROM STDIN WITH (FORMAT binary)").await.unwrap();
    pin_mut!(sink);
    // In pieces that end anywhere.
    for piece in data.chunks(11) {
        sink.send(BytesMut::from(piece).freeze()).await.unwrap();
    }
    assert_eq!(sink.as_mut().finish().await.unwrap_or_else(|error| panic!("{}", describe(&error))), 3);
    assert_eq!(dump("b").await, data);
    assert_eq!(value(&client, "SELECT count(*) FROM (SELECT * FROM a EXCEPT SELECT * FROM b) AS other").await, "0");
    weir.stop();
}

#[tokio::test]
async fn binary_data_that_is_wrong_is_told_by_row_and_column() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    run(&client, "CREATE TABLE t (id INT PRIMARY KEY, x TEXT); CREATE MATERIALIZED VIEW v AS SELECT count(*) AS n FROM t").await;
    let good = [0, 2, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 1, b'a'];
    let short = [0, 2, 0, 0, 0, 3, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
    let none = [0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    for (rows, code, message, context) in [
        ([&good[..], &short].concat(), "22P03", "incorrect binary data format for type integer", "COPY t, line 2, column id"),
        ([&good[..], &[0, 5]].concat(), "22P04", "row field count is 5, expected 2", "COPY t, line 2"),
        ([&good[..], &good[..7]].concat(), "22P04", "unexpected EOF in COPY data", "COPY t, line 2, column id"),
        ([&good[..], &none].concat(), "23502", "null value in column \"id\" of relation \"t\" violates not-null constraint", "COPY t"),
        ([good, good].concat(), "23505", "duplicate key value violates unique constraint \"t_pkey\"", "COPY t"),
    ] {
        let sink = client.copy_in("COPY t FROM STDIN BINARY").await.unwrap();
        pin_mut!(sink);
        let data = [b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", &rows[..]].concat();
        sink.send(BytesMut::from(&data[..]).freeze()).await.unwrap();
        let error = sink.as_mut().finish().await.unwrap_err();
        let db = error.as_db_error().unwrap();
        assert_eq!((db.code().code(), db.message(), db.where_().unwrap_or_default()), (code, message, context));
        assert_eq!(value(&client, "SELECT n FROM v").await, "0");
    }
    weir.stop();
}
