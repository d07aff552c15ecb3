//! A connection's socket with its buffers, and what can interrupt work for it.

use std::future::Future;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use weir_common::error::{Error, SqlState};

use crate::pgwire::frontend::Frame;
use crate::pgwire::shield::Shield;

/// Bytes that are read ahead of a statement that runs; beyond them the client waits.
const READ_AHEAD_BYTES_MAX: usize = 1 << 20;
/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;
/// Bytes that are read at once of a message that is known to be long.
const READ_LONG_BYTES: usize = 1 << 20;
/// A Sync on the wire.
const SYNC: [u8; 5] = [b'S', 0, 0, 0, 4];
/// Bytes of answers that are kept before they are written.
pub const WRITE_BYTES: usize = 64 * 1024;
/// How long a client that is told goodbye has to take it.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a statement ended without its answer.
#[derive(Debug)]
pub enum Stop {
    /// It failed; the connection goes on.
    Error(Error),
    /// The connection ends, and the client is told why.
    Fatal(Error),
    /// There is nobody to tell.
    Gone,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Error(error)
    }
}

/// A socket, what was read of it and not used, what is to be written to it.
pub struct Link {
    incoming: Incoming,
    writer: OwnedWriteHalf,
    /// Answers that were not written yet.
    pub out: BytesMut,
    /// How much of `out` are whole messages; what follows is being written by an encoder.
    sealed: usize,
}

struct Incoming {
    reader: OwnedReadHalf,
    input: BytesMut,
    shutdown: CancellationToken,
    /// Requests to cancel; none before there is a registration.
    cancel: Option<watch::Receiver<u64>>,
    /// Whether a statement runs, which a request can cancel.
    armed: bool,
    /// Whether the client was waited for since the last statement: requests until then came too late.
    waited: bool,
    deadline: Option<Instant>,
    /// While it is up, nothing is interrupted.
    shield: Shield,
}

impl Link {
    /// Over a socket.
    pub fn new(stream: TcpStream, shutdown: CancellationToken) -> Link {
        let (reader, writer) = stream.into_split();
        let incoming = Incoming {
            reader,
            input: BytesMut::new(),
            shutdown,
            cancel: None,
            armed: false,
            waited: false,
            deadline: None,
            shield: Shield::default(),
        };
        Link { incoming, writer, out: BytesMut::new(), sealed: 0 }
    }

    /// From now on these requests cancel statements, and this token ends the connection; shutdown must cancel it too.
    pub fn listen(&mut self, cancel: watch::Receiver<u64>, end: CancellationToken) {
        self.incoming.cancel = Some(cancel);
        self.incoming.shutdown = end;
    }

    /// From now on nothing is interrupted while this shield is up.
    pub fn protect(&mut self, shield: Shield) {
        self.incoming.shield = shield;
    }

    /// A statement begins: requests to cancel from before the client sent it were for another one. Messages that came
    /// together are cancelled together.
    pub fn arm(&mut self, timeout: Option<Duration>) {
        let waited = std::mem::take(&mut self.incoming.waited);
        if let (Some(cancel), true) = (&mut self.incoming.cancel, waited) {
            cancel.mark_unchanged();
        }
        self.incoming.armed = true;
        self.incoming.deadline = timeout.map(|timeout| Instant::now() + timeout);
    }

    /// The statement ended.
    pub fn disarm(&mut self) {
        self.incoming.armed = false;
        self.incoming.deadline = None;
    }

    /// Does a piece of a statement's work, unless it is interrupted first. What the client sends meanwhile is kept.
    pub async fn race<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stop> {
        self.incoming.race(work).await
    }

    /// Whether the statement should stop, without waiting for it.
    pub fn check(&mut self) -> Result<(), Stop> {
        self.incoming.check()
    }

    /// All of `out` is whole messages.
    pub fn seal(&mut self) {
        self.sealed = self.out.len();
    }

    /// Takes back what an encoder had begun to write.
    pub fn rewind(&mut self) {
        self.out.truncate(self.sealed);
    }

    /// Writes all answers.
    pub async fn flush(&mut self) -> Result<(), Stop> {
        let Link { incoming, writer, out, .. } = self;
        let written = match out.is_empty() {
            true => Ok(Ok(())),
            false => incoming.race(writer.write_all_buf(out)).await,
        };
        // Whatever of it was written, the rest are the ends of whole messages.
        self.sealed = self.out.len();
        written?.map_err(|_| Stop::Gone)
    }

    /// Writes answers if there are many.
    pub async fn flush_if_full(&mut self) -> Result<(), Stop> {
        if self.out.len() < WRITE_BYTES {
            return Ok(());
        }
        self.flush().await
    }

    /// Waits for the next message; what it says is not looked at yet.
    pub async fn frame(&mut self) -> Result<Frame, Stop> {
        loop {
            if let Some(frame) = Frame::take(&mut self.incoming.input).map_err(Stop::Fatal)? {
                return Ok(frame);
            }
            self.incoming.waited |= !self.incoming.armed;
            self.incoming.fill().await?;
        }
    }

    /// Whether the next message is a Sync, as far as is known already.
    pub fn sync_follows(&self) -> bool {
        self.incoming.input.starts_with(&SYNC)
    }

    /// Waits until this many bytes were read, and shows all there are.
    pub async fn peek(&mut self, count: usize) -> Result<&[u8], Stop> {
        while self.incoming.input.len() < count {
            self.incoming.fill().await?;
        }
        Ok(&self.incoming.input)
    }

    /// Takes bytes that [`Link::peek`] showed.
    pub fn take(&mut self, count: usize) -> BytesMut {
        self.incoming.input.split_to(count)
    }

    /// Says why the connection ends, and ends it.
    pub async fn goodbye(mut self, farewell: impl FnOnce(&mut BytesMut)) {
        self.rewind();
        farewell(&mut self.out);
        let last_words = async {
            self.writer.write_all_buf(&mut self.out).await?;
            self.writer.shutdown().await?;
            // A socket that is closed with bytes unread is reset, and the client would not see why.
            loop {
                self.incoming.input.clear();
                self.incoming.input.reserve(READ_BYTES);
                if self.incoming.reader.read_buf(&mut self.incoming.input).await? == 0 {
                    return std::io::Result::Ok(());
                }
            }
        };
        let _ = tokio::time::timeout(GOODBYE, last_words).await;
    }
}

impl Incoming {
    async fn race<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stop> {
        let mut work = std::pin::pin!(work);
        let mut shielded = false;
        loop {
            tokio::select! {
                biased;
                stop = interrupted(&self.shutdown, &mut self.cancel, self.armed, self.deadline), if !shielded => {
                    if !self.shield.is_up() {
                        return Err(stop);
                    }
                    // Too late: the work is about to end by itself.
                    shielded = true;
                }
                value = &mut work => return Ok(value),
                read = read_some(&mut self.reader, &mut self.input), if self.input.len() < READ_AHEAD_BYTES_MAX => read?,
            }
        }
    }

    async fn fill(&mut self) -> Result<(), Stop> {
        tokio::select! {
            biased;
            stop = interrupted(&self.shutdown, &mut self.cancel, self.armed, self.deadline) => Err(stop),
            read = read_some(&mut self.reader, &mut self.input) => read,
        }
    }

    fn check(&mut self) -> Result<(), Stop> {
        if self.shutdown.is_cancelled() {
            return Err(shut_down());
        }
        if self.armed && self.cancel.as_mut().is_some_and(|cancel| cancel.has_changed().unwrap_or(false)) {
            return Err(canceled("user request"));
        }
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(canceled("statement timeout"));
        }
        Ok(())
    }
}

async fn read_some(reader: &mut OwnedReadHalf, input: &mut BytesMut) -> Result<(), Stop> {
    input.reserve(Frame::missing(input).clamp(READ_BYTES, READ_LONG_BYTES));
    match reader.read_buf(input).await {
        Ok(0) | Err(_) => Err(Stop::Gone),
        Ok(_) => Ok(()),
    }
}

async fn interrupted(
    shutdown: &CancellationToken,
    cancel: &mut Option<watch::Receiver<u64>>,
    armed: bool,
    deadline: Option<Instant>,
) -> Stop {
    let canceling = async {
        // A registry that is gone cancels nothing any more.
        let asked = match cancel {
            Some(cancel) if armed => cancel.changed().await.is_ok(),
            _ => false,
        };
        if !asked {
            std::future::pending().await
        }
    };
    let timeout = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = shutdown.cancelled() => shut_down(),
        () = canceling => canceled("user request"),
        () = timeout => canceled("statement timeout"),
    }
}

fn canceled(why: &str) -> Stop {
    Stop::Error(Error::new(SqlState::QUERY_CANCELED, format!("canceling statement due to {why}")))
}

fn shut_down() -> Stop {
    Stop::Fatal(Error::new(SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command"))
}
