//! Who may connect, and how a connection starts.

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::error::SqlState as Code;

use super::{Raw, code_of, start, within};
use crate::pgwire::startup;

#[tokio::test]
async fn who_may_connect() {
    let server = start(1).await;
    let error = server.try_client("other", "").await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!((error.severity(), error.code()), ("FATAL", &Code::INVALID_CATALOG_NAME));
    assert_eq!(error.message(), "database \"other\" does not exist");
    let client = server.client().await;
    assert_eq!(code_of(server.try_client("weir", "").await.map(|_| ())), "53300");
    drop(client);
    let client = within(async {
        loop {
            if let Ok(client) = server.try_client("weir", "-c statement_timeout=5s --search-path=a\\\\ b").await {
                return client;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let rows = client.query("params", &[]).await.unwrap();
    let parameters: String = rows[0].get(0);
    assert!(parameters.contains(r#""search_path": "a b""#) && parameters.contains(r#""statement_timeout": "5s""#), "{parameters}");
}

#[tokio::test]
async fn the_start_of_a_connection() {
    let server = start(10).await;
    let connect = async |bytes: &[u8]| {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    };
    // Not Postgres: closed without a word.
    let mut stream = connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
    assert_eq!(answer, b"");
    // Encryption is declined, twice; then a version beyond ours with an option nobody knows.
    let mut raw = Raw(connect(&[0, 0, 0, 8, 4, 210, 22, 47]).await);
    let mut byte = [0];
    raw.0.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"N");
    raw.0.write_all(&[0, 0, 0, 8, 4, 210, 22, 48]).await.unwrap();
    raw.0.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"N");
    let body = b"\0\x03\0\x09user\0me\0database\0weir\0_pq_.magic\0on\0\0";
    raw.0.write_all(&[&(body.len() as u32 + 4).to_be_bytes(), body.as_slice()].concat()).await.unwrap();
    let (kind, body) = raw.next().await.unwrap();
    assert_eq!((kind, &body[..]), ('v', b"\0\x03\0\x02\0\0\0\x01_pq_.magic\0".as_slice()));
    assert_eq!(raw.next().await.unwrap().0, 'R');
    assert_eq!(raw.next().await.unwrap().0, 'S');
    let (kind, key) = raw.next().await.unwrap();
    assert_eq!((kind, key.len()), ('K', 4 + 32));
    assert_eq!(raw.until_ready().await, "ZI");
    // Replication and old protocols are refused; broken frames end the connection.
    let body = b"\0\x03\0\0user\0me\0replication\0true\0\0";
    let mut raw = Raw(connect(&[&(body.len() as u32 + 4).to_be_bytes(), body.as_slice()].concat()).await);
    assert_eq!(raw.until_ready().await, "E[0A000]<end>");
    let mut raw = Raw(connect(&[0, 0, 0, 9, 0, 2, 0, 0, 0]).await);
    assert_eq!(raw.until_ready().await, "E[0A000]<end>");
    for broken in [b"Q\0\0\0\x01".as_slice(), b"Q\xff\xff\xff\xff", b"S\0\x01\0\0", b"!\0\0\0\x04"] {
        let mut raw = server.raw().await;
        raw.0.write_all(broken).await.unwrap();
        assert_eq!(raw.until_ready().await, "E[08P01]<end>");
    }
}

#[test]
fn options_of_startup() {
    let parse = |options: &str| startup::parse_options(options);
    let expected: BTreeMap<String, String> =
        [("a", "b c"), ("statement_timeout", "5"), ("x", "")].map(|(k, v)| (k.into(), v.into())).into();
    assert_eq!(parse(r"-c a=b\ c --statement-timeout=5  -cX=").unwrap(), expected);
    assert_eq!(parse("-x").unwrap_err().message(), "invalid command-line argument for server process: -x");
    assert_eq!(parse("-c a").unwrap_err().message(), "-c a requires a value");
    assert!(parse("").unwrap().is_empty());
}
