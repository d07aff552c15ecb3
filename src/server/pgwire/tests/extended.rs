//! The extended protocol: typed parameters, binary values, portals, pipelines.

use arrow::array::{Array, AsArray};
use bytes::Buf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::Client;
use weir_common::types::PgType;

use super::{code_of, start, within};
use crate::value::scalar::ScalarParam;
use crate::value::settings::TextSettings;

#[tokio::test]
async fn extended_with_binary_values() {
    let server = start(10).await;
    let client = server.client().await;
    let statement = client.prepare("echo").await.unwrap();
    assert_eq!(statement.params(), [tokio_postgres::types::Type::INT4, tokio_postgres::types::Type::TEXT]);
    let row = client.query_one(&statement, &[&7i32, &"seven"]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (7, "seven"));
    let row = client.query_one(&statement, &[&None::<i32>, &None::<&str>]).await.unwrap();
    assert_eq!((row.get::<_, Option<i32>>("a"), row.get::<_, Option<&str>>("b")), (None, None));
    let rows = client.query("rows 20000 8192", &[]).await.unwrap();
    assert_eq!(rows.len(), 20000);
    assert_eq!((rows[19999].get::<_, i32>(0), rows[19999].get::<_, &str>(1)), (19999, "row 19999"));
    // Pipelined: answers belong to their questions, an error to its own.
    let (a, b, c) = tokio::join!(client.query("rows 3 1", &[]), client.query("fail", &[]), client.query("rows 2 2", &[]));
    assert_eq!((a.unwrap().len(), code_of(b), c.unwrap().len()), (3, "22012".to_string(), 2));
    assert_eq!(client.execute("set", &[]).await.unwrap(), 0);
    assert_eq!(code_of(client.query("rows 1 1; rows 1 1", &[]).await), "42601");
    assert_eq!(client.query("", &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn portals_with_row_limits() {
    let server = start(10).await;
    let mut client = server.client().await;
    let transaction = client.transaction_with_begin("begin").await;
    let portal = transaction.bind("rows 7 3", &[]).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let rows = transaction.query_portal(&portal, 2).await.unwrap();
        seen.push(rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>());
    }
    assert_eq!(seen, [vec![0, 1], vec![2, 3], vec![4, 5], vec![6]]);
    assert_eq!(transaction.query_portal(&portal, 2).await.unwrap().len(), 0);
    transaction.batch_execute("commit").await.unwrap();
    assert_eq!(code_of(transaction.query_portal(&portal, 2).await), "34000");
}

/// tokio-postgres opens transactions with words that the fake does not know: portals are used on the client itself.
trait Begin {
    async fn transaction_with_begin(&mut self, begin: &str) -> tokio_postgres::Transaction<'_>;
}

impl Begin for Client {
    async fn transaction_with_begin(&mut self, begin: &str) -> tokio_postgres::Transaction<'_> {
        let transaction = self.transaction().await.unwrap();
        transaction.batch_execute(begin).await.unwrap();
        transaction
    }
}

#[tokio::test]
async fn messages_of_the_extended_protocol_in_order() {
    let server = start(10).await;
    let mut raw = server.raw().await;
    let parse = |name: &str, sql: &str| format!("{name}\0{sql}\0\0\0").into_bytes();
    let bind = |portal: &str, statement: &str| format!("{portal}\0{statement}\0\0\0\0\0\0\0").into_bytes();
    let execute = |portal: &str, rows: u8| [portal.as_bytes(), &[0, 0, 0, 0, rows]].concat();
    // A limit of exactly the rows there are suspends; asking again tells that there are no more.
    raw.send(&[
        (b'P', &parse("", "rows 2 2")),
        (b'B', &bind("p", "")),
        (b'D', b"Pp\0"),
        (b'E', &execute("p", 2)),
        (b'E', &execute("p", 2)),
        (b'E', &execute("p", 0)),
        (b'S', b""),
    ])
    .await;
    assert_eq!(raw.until_ready().await, "12TDDsCCZI");
    assert_eq!(server.take_log(), ["IMPLICIT", "rows 2 2", "END"]);
    // Outside a block Sync is the end of all portals.
    raw.send(&[(b'E', &execute("p", 0)), (b'P', &parse("", "set")), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "E[34000]ZI");
    raw.send(&[(b'P', &parse("s", "set")), (b'P', &parse("s", "set")), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "1E[42P05]ZI");
    raw.send(&[(b'B', &bind("", "s")), (b'E', &execute("", 0)), (b'E', &execute("", 0)), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "2NSCE[55000]ZI");
    raw.send(&[(b'C', b"Ss\0"), (b'D', b"Ss\0"), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "3E[26000]ZI");
    raw.send(&[(b'P', &parse("", "")), (b'D', b"S\0"), (b'B', &bind("", "")), (b'E', &execute("", 0)), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "1tn2IZI");
    // What is wrong with a bind.
    raw.send(&[(b'P', &parse("", "echo")), (b'B', &bind("", "")), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "1E[08P01]ZI");
    let text = b"\0\0\0\0\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0".as_slice();
    raw.send(&[(b'P', &parse("", "echo")), (b'B', text), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "1E[22P02]ZI");
    raw.send(&[(b'B', b"\0\0\0\x05"), (b'E', b"x"), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "E[08P01]ZI");
    // An error is sent at once, not only at Sync; in a block the unnamed portal outlives its Sync.
    raw.send(&[(b'P', &parse("", "unknown"))]).await;
    assert_eq!(raw.next().await.unwrap().0, 'E');
    raw.send(&[(b'S', b""), (b'Q', b"begin\0")]).await;
    assert_eq!((raw.until_ready().await, raw.until_ready().await), ("ZI".to_string(), "CZT".to_string()));
    raw.send(&[(b'P', &parse("", "rows 3 3")), (b'B', &bind("", "")), (b'E', &execute("", 1)), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "12DsZT");
    raw.send(&[(b'E', &execute("", 0)), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "DDCZT");
    raw.send(&[(b'H', b""), (b'X', b"")]).await;
    assert!(raw.next().await.is_none());
}

#[tokio::test]
async fn messages_sent_while_a_statement_runs_are_not_lost() {
    let server = start(10).await;
    let mut raw = server.raw().await;
    raw.send(&[(b'Q', b"rows 30000 1000\0")]).await;
    let mut sent = Vec::new();
    for _ in 0..2000 {
        sent.push((b'Q', b"rows 1 1\0".as_slice()));
    }
    let (mut reader, mut writer) = raw.0.into_split();
    let writing = tokio::spawn(async move {
        for (kind, body) in sent {
            let bytes = [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat();
            writer.write_all(&bytes).await.unwrap();
        }
        writer
    });
    let mut ready = 0;
    while ready < 2001 {
        let mut head = [0; 5];
        within(reader.read_exact(&mut head)).await.unwrap();
        let mut body = vec![0; (&head[1..]).get_u32() as usize - 4];
        reader.read_exact(&mut body).await.unwrap();
        ready += usize::from(head[0] == b'Z');
    }
    writing.await.unwrap();
}

#[test]
fn parameters_are_one_row_each() {
    let parameter = ScalarParam::decode(&PgType::Int4, crate::value::rows::Format::Text, b"12", &TextSettings::default()).unwrap();
    assert_eq!((parameter.array.len(), parameter.array.as_primitive::<arrow::datatypes::Int32Type>().value(0)), (1, 12));
}
