//! What ends a statement or a session: cancellation, timeouts, panics, clients that leave, shutdown.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::TryStreamExt;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState as Code;
use tokio_util::sync::CancellationToken;

use super::{code_of, start, within};

#[tokio::test]
async fn rows_are_not_held_back_and_can_be_cancelled() {
    let server = start(10).await;
    let client = server.client().await;
    let rows = client.query_raw("wait", &[] as &[&str]).await.unwrap();
    let mut rows = std::pin::pin!(rows);
    let first = within(rows.try_next()).await.unwrap().unwrap();
    assert_eq!(first.get::<_, i32>(0), 1);
    client.cancel_token().cancel_query(NoTls).await.unwrap();
    let error = within(rows.try_next()).await.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().message(), "canceling statement due to user request");
    assert_eq!(error.code(), Some(&Code::QUERY_CANCELED));
    server.until_no_stream().await;
    // A stream that always has rows, and a statement that never answers; the connection goes on after both.
    for statement in ["forever", "sleep"] {
        let (result, ()) = tokio::join!(client.query(statement, &[]), async {
            within(async {
                while !server.log.lock().unwrap().iter().any(|said| said == statement) {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            client.cancel_token().cancel_query(NoTls).await.unwrap();
        });
        assert_eq!(code_of(result), "57014");
    }
    assert_eq!(client.query("rows 2 2", &[]).await.unwrap().len(), 2);
    client.simple_query("timeout").await.unwrap();
    // What cannot be taken back is not said to have been canceled.
    client.simple_query("cannot be taken back").await.unwrap();
    let error = within(client.simple_query("sleep")).await.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().message(), "canceling statement due to statement timeout");
}

#[tokio::test]
async fn a_client_that_leaves_stops_its_stream() {
    let server = start(10).await;
    for query in [b"wait\0".as_slice(), b"forever\0", b"sleep\0"] {
        let mut raw = server.raw().await;
        raw.send(&[(b'Q', query)]).await;
        within(async {
            while server.streams_open.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        drop(raw);
        server.until_no_stream().await;
    }
}

#[tokio::test]
async fn a_panic_is_an_error_of_its_statement() {
    let server = start(10).await;
    let client = server.client().await;
    assert_eq!(code_of(client.simple_query("panic").await), "XX000");
    assert_eq!(code_of(client.query("panic", &[]).await), "XX000");
    assert_eq!(client.query("rows 2 2", &[]).await.unwrap().len(), 2);
}

#[test]
fn secrets_are_checked() {
    let registry = Arc::new(crate::pgwire::cancel::Registry::default());
    let shutdown = CancellationToken::new();
    let (registration, receiver, end) = registry.register(&shutdown);
    assert!(!registry.cancel(registration.pid, &[]));
    assert!(!registry.cancel(registration.pid, &registration.secret[..8]));
    assert!(!registry.cancel(registration.pid + 1, &registration.secret));
    assert!(!receiver.has_changed().unwrap());
    assert!(registry.cancel(registration.pid, &registration.secret[..4]));
    assert!(registry.cancel(registration.pid, &registration.secret));
    assert!(receiver.has_changed().unwrap());
    let (other, _receiver, other_end) = registry.register(&shutdown);
    assert!(registry.interrupt(registration.pid) && registry.terminate(registration.pid));
    assert!(end.is_cancelled() && !other_end.is_cancelled());
    shutdown.cancel();
    assert!(other_end.is_cancelled());
    assert_ne!((registration.pid, &registration.secret), (other.pid, &other.secret));
    let pid = registration.pid;
    drop(registration);
    assert!(!registry.cancel(pid, &[0; 4]) && !registry.interrupt(pid) && !registry.terminate(pid));
}

#[tokio::test]
async fn shutdown_says_goodbye() {
    let server = start(10).await;
    let (mut idle, mut busy, mut stuck) = (server.raw().await, server.raw().await, server.raw().await);
    busy.send(&[(b'Q', b"wait\0")]).await;
    assert_eq!(busy.next().await.unwrap().0, 'T');
    assert_eq!(busy.next().await.unwrap().0, 'D');
    stuck.send(&[(b'Q', b"forever\0")]).await;
    server.shutdown.cancel();
    assert_eq!(idle.until_ready().await, "E[57P01]<end>");
    assert_eq!(busy.until_ready().await, "E[57P01]<end>");
    within(server.task).await.unwrap();
}
