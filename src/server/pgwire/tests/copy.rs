//! COPY in and out.

use bytes::Bytes;
use futures::{SinkExt, TryStreamExt};

use super::{code_of, start};

#[tokio::test]
async fn copies() {
    let server = start(10).await;
    let client = server.client().await;
    let sink = client.copy_in("copy in").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    sink.send(Bytes::from("a\tb\n")).await.unwrap();
    sink.send(Bytes::from("c\td\n")).await.unwrap();
    assert_eq!(sink.finish().await.unwrap(), 2);
    let out: Vec<Bytes> = client.copy_out("copy out").await.unwrap().try_collect().await.unwrap();
    assert_eq!(out, ["a\tb\n", "c\td\n"]);
    // An error in the middle, in both protocols, and giving up.
    let sink = client.copy_in("copy in").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    sink.send(Bytes::from("bad\n")).await.unwrap();
    assert_eq!(code_of(sink.finish().await), "22P04");
    let mut raw = server.raw().await;
    raw.send(&[(b'Q', b"copy in\0"), (b'd', b"bad"), (b'd', b"more"), (b'c', b""), (b'Q', b"rows 1 1\0")]).await;
    assert_eq!(raw.until_ready().await, "GE[22P04]ZI");
    assert_eq!(raw.until_ready().await, "TDCZI");
    raw.send(&[(b'Q', b"copy in; rows 1 1\0"), (b'd', b"x\n"), (b'H', b""), (b'S', b""), (b'c', b"")]).await;
    assert_eq!(raw.until_ready().await, "GCTDCZI");
    raw.send(&[(b'Q', b"copy in\0"), (b'f', b"changed my mind\0")]).await;
    assert_eq!(raw.until_ready().await, "GE[57014]ZI");
    assert!(server.take_log().contains(&"copy_fail changed my mind".to_string()));
    raw.send(&[(b'Q', b"copy in\0"), (b'Q', b"rows 1 1\0")]).await;
    assert_eq!(raw.until_ready().await, "GE[08P01]ZI");
    raw.send(&[(b'Q', b"copy out\0")]).await;
    assert_eq!(raw.until_ready().await, "HddcCZI");
}
