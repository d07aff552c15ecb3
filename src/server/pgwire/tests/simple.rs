//! Query strings: several statements, messages in order.

use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::SqlState as Code;

use super::start;

#[tokio::test]
async fn a_query_string_of_several_statements() {
    let server = start(10).await;
    let client = server.client().await;
    let messages = client.simple_query("rows 2 2; set; rows 5 2").await.unwrap();
    let seen: Vec<String> = messages
        .iter()
        .map(|message| match message {
            SimpleQueryMessage::Row(row) => format!("{}:{}", row.get(0).unwrap(), row.get(1).unwrap_or("NULL")),
            SimpleQueryMessage::CommandComplete(rows) => format!("done {rows}"),
            _ => "fields".to_string(),
        })
        .collect();
    let expected =
        ["fields", "0:NULL", "1:row 1", "done 2", "done 0", "fields", "0:NULL", "1:row 1", "2:row 2", "3:NULL", "4:row 4", "done 5"];
    assert_eq!(seen, expected);
    assert_eq!(server.take_log(), ["IMPLICIT", "rows 2 2", "set", "rows 5 2", "END"]);
    // An error: what came before was answered, what comes after is not done, all of it is undone.
    let error = client.simple_query("rows 1 1;  fail; rows 1 1").await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code(), &Code::DIVISION_BY_ZERO);
    assert_eq!(error.hint(), Some("Do not."));
    assert_eq!(error.position(), Some(&tokio_postgres::error::ErrorPosition::Original(13)));
    assert_eq!(server.take_log(), ["IMPLICIT", "rows 1 1", "fail", "FAIL", "UNDO"]);
    // A block that begins inside takes over; after its end a new implicit transaction begins.
    client.simple_query("begin; rows 1 1; commit; rows 1 1").await.unwrap();
    assert_eq!(server.take_log(), ["IMPLICIT", "begin", "rows 1 1", "commit", "IMPLICIT", "rows 1 1", "END"]);
    client.simple_query("rows 1 1").await.unwrap();
    assert_eq!(server.take_log(), ["rows 1 1"]);
}

#[tokio::test]
async fn messages_of_simple_queries_in_order() {
    let server = start(10).await;
    let mut raw = server.raw().await;
    raw.send(&[(b'Q', b"  -- nothing\n;;\0")]).await;
    assert_eq!(raw.until_ready().await, "IZI");
    raw.send(&[(b'Q', b"begin; set; fail\0")]).await;
    assert_eq!(raw.until_ready().await, "CNSCE[22012]ZE");
    raw.send(&[(b'Q', b"rows 1 1\0"), (b'Q', b"commit\0"), (b'Q', b"rows 1 1\0")]).await;
    assert_eq!(raw.until_ready().await, "E[25P02]ZE");
    assert_eq!(raw.until_ready().await, "CZI");
    assert_eq!(raw.until_ready().await, "TDCZI");
    raw.send(&[(b'Q', b"\xff\0"), (b'Q', b"no end"), (b'F', b"\0\0")]).await;
    assert_eq!(raw.until_ready().await, "E[22021]ZI");
    assert_eq!(raw.until_ready().await, "E[08P01]ZI");
    assert_eq!(raw.until_ready().await, "E[0A000]ZI");
}
