//! The Postgres protocol: connections, messages, the session loop.
//!
//! [`serve`] accepts connections; each runs in a task of its own that drives a [`backend::Session`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use weir_common::error::{Error, Result, SqlState};
use weir_common::limits::CONNECTIONS_MAX;

use crate::pgwire::backend::{Backend, Session};
use crate::pgwire::cancel::Registry;
use crate::pgwire::connection::Connection;
use crate::pgwire::link::{Link, Stop};
use crate::pgwire::startup::Opening;

pub mod backend; // what the loop needs from the rest of the server
pub mod cancel; // who may cancel what
pub mod connection; // a session's loop over messages
pub mod cursor; // the rows of a statement, batch by batch to the client
pub mod extended; // Parse, Bind, Describe, Execute, Close, Sync
pub mod frontend; // what clients send
pub mod link; // a socket with its buffers, and what interrupts work for it
pub mod respond; // what the server says
pub mod shield; // what cannot be taken back
pub mod simple; // a query string
pub mod startup; // the start of a connection

#[cfg(test)]
mod tests;

/// How long a client may take to say who it is.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(60);
/// How long to wait after an accept that failed, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Sockets that are held at once, those that only ask to cancel or have not said anything yet included.
const SOCKETS_MAX: usize = 2 * CONNECTIONS_MAX;

/// Serves connections until `shutdown`, and makes them known to `registry`; returns when all of them have ended.
pub async fn serve<B: Backend>(listener: TcpListener, backend: Arc<B>, registry: Arc<Registry>, shutdown: CancellationToken) -> Result<()> {
    let server = Arc::new(Server { backend, registry, sessions: AtomicUsize::new(0), sessions_max: CONNECTIONS_MAX });
    accept(listener, server, shutdown).await;
    Ok(())
}

struct Server<B> {
    backend: Arc<B>,
    registry: Arc<Registry>,
    sessions: AtomicUsize,
    sessions_max: usize,
}

async fn accept<B: Backend>(listener: TcpListener, server: Arc<Server<B>>, shutdown: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => report(ended),
            accepted = listener.accept() => match accepted {
                // Nothing is said to those beyond the bound: that would need what they are refused for.
                Ok(_) if connections.len() >= SOCKETS_MAX => warn!(sockets = SOCKETS_MAX, "connection closed: too many sockets"),
                Ok((stream, peer)) => {
                    connections.spawn(connect(stream, peer, server.clone(), shutdown.clone()));
                }
                Err(error) => {
                    warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a connection's task failed");
    }
}

async fn connect<B: Backend>(stream: TcpStream, peer: SocketAddr, server: Arc<Server<B>>, shutdown: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%peer, %error, "could not switch Nagle's algorithm off");
    }
    let mut link = Link::new(stream, shutdown.clone());
    let opening = match tokio::time::timeout(STARTUP_TIMEOUT, startup::open(&mut link, peer)).await {
        Ok(Ok(opening)) => opening,
        Ok(Err(stop)) => return end(link, peer, stop).await,
        Err(_) => return debug!(%peer, "connection closed: no startup packet"),
    };
    let hello = match opening {
        Opening::Session(hello) => hello,
        Opening::Cancel { pid, secret } => {
            let known = server.registry.cancel(pid, &secret);
            return debug!(%peer, pid, known, "cancel request");
        }
        Opening::Unknown(why) => return debug!(%peer, why, "connection closed: not the Postgres protocol"),
    };
    let _place = match Place::take(&server.sessions, server.sessions_max) {
        Some(place) => place,
        None => {
            let error = Error::new(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already");
            return end(link, peer, Stop::Fatal(error)).await;
        }
    };
    let (registration, cancel, ended) = server.registry.register(&shutdown);
    link.listen(cancel, ended);
    let mut startup = hello.startup.clone();
    startup.pid = registration.pid;
    let session = match link.race(server.backend.open(startup)).await {
        Ok(Ok(session)) => session,
        Ok(Err(error)) => return end(link, peer, Stop::Fatal(error)).await,
        Err(stop) => return end(link, peer, stop).await,
    };
    link.protect(session.shield());
    debug!(%peer, pid = registration.pid, user = %hello.startup.user, "connected");
    let (link, stop) = Connection::new(link, session).run(&hello, &registration).await;
    debug!(%peer, pid = registration.pid, "disconnected");
    end(link, peer, stop).await;
}

async fn end(link: Link, peer: SocketAddr, stop: Stop) {
    match stop {
        Stop::Gone => {}
        Stop::Error(error) | Stop::Fatal(error) => {
            debug!(%peer, %error, "connection ended");
            link.goodbye(|out| respond::fatal(&error, out)).await;
        }
    }
}

/// One of the sessions that may be open at once.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(sessions: &'a AtomicUsize, most: usize) -> Option<Place<'a>> {
        let taken = sessions.fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| (open < most).then_some(open + 1));
        taken.ok().map(|_| Place(sessions))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
