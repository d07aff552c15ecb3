//! The protocol over real sockets, with a backend that is made for it; here is what its tests share.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

use crate::pgwire::{Server, accept};

mod copy; // COPY in and out
mod extended; // typed parameters, binary values, portals
mod fake; // the backend
mod interrupt; // cancellation, timeouts, panics, clients that leave, shutdown
mod simple; // query strings
mod startup; // who may connect, and how

use fake::Fake;

struct Running {
    address: SocketAddr,
    streams_open: Arc<AtomicUsize>,
    log: Arc<std::sync::Mutex<Vec<String>>>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn start(sessions_max: usize) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let backend = Arc::new(Fake::default());
    let (streams_open, log) = (backend.streams_open.clone(), backend.log.clone());
    let shutdown = CancellationToken::new();
    let server = Arc::new(Server { backend, registry: Arc::default(), sessions: AtomicUsize::new(0), sessions_max });
    let task = tokio::spawn(accept(listener, server, shutdown.clone()));
    Running { address, streams_open, log, shutdown, task }
}

impl Running {
    async fn client(&self) -> Client {
        self.try_client("weir", "").await.unwrap()
    }

    async fn try_client(&self, database: &str, options: &str) -> std::result::Result<Client, tokio_postgres::Error> {
        let config = format!("host=127.0.0.1 port={} user=me dbname={database} options='{options}'", self.address.port());
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    async fn raw(&self) -> Raw {
        let mut raw = Raw(TcpStream::connect(self.address).await.unwrap());
        let body = b"\0\x03\0\0user\0me\0database\0weir\0\0";
        raw.0.write_all(&(body.len() as u32 + 4).to_be_bytes()).await.unwrap();
        raw.0.write_all(body).await.unwrap();
        raw.until_ready().await;
        raw
    }

    fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    /// Waits for the streams of statements to be gone.
    async fn until_no_stream(&self) {
        within(async {
            while self.streams_open.load(Ordering::SeqCst) > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

/// A client that says what it is told to.
struct Raw(TcpStream);

impl Raw {
    async fn send(&mut self, messages: &[(u8, &[u8])]) {
        let mut bytes = Vec::new();
        for (kind, body) in messages {
            bytes.push(*kind);
            bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
            bytes.extend_from_slice(body);
        }
        self.0.write_all(&bytes).await.unwrap();
    }

    async fn next(&mut self) -> Option<(char, Bytes)> {
        let mut head = [0; 5];
        within(self.0.read_exact(&mut head)).await.ok()?;
        let mut body = vec![0; (&head[1..]).get_u32() as usize - 4];
        self.0.read_exact(&mut body).await.unwrap();
        Some((head[0] as char, body.into()))
    }

    /// The types of the messages up to ReadyForQuery, and for errors their code.
    async fn until_ready(&mut self) -> String {
        let mut seen = String::new();
        while let Some((kind, body)) = self.next().await {
            seen.push(kind);
            match kind {
                'E' => seen.push_str(&format!("[{}]", code(&body))),
                'Z' => {
                    seen.push(body[0] as char);
                    return seen;
                }
                _ => {}
            }
        }
        seen + "<end>"
    }
}

fn code(body: &[u8]) -> String {
    let fields = body.split(|b| *b == 0);
    let code = fields.into_iter().find_map(|field| field.strip_prefix(b"C"));
    String::from_utf8(code.unwrap().to_vec()).unwrap()
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("it takes too long")
}

fn code_of<T: std::fmt::Debug>(result: std::result::Result<T, tokio_postgres::Error>) -> String {
    result.unwrap_err().code().expect("an error of the server").code().to_string()
}
