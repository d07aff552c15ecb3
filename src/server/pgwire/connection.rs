//! A session's loop over messages.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tracing::error;
use weir_common::error::{Error, Result};

use crate::pgwire::backend::{Named, Session, TransactionStatus};
use crate::pgwire::cancel::Registration;
use crate::pgwire::extended::Portal;
use crate::pgwire::frontend::Message;
use crate::pgwire::link::{Link, Stop};
use crate::pgwire::respond;
use crate::pgwire::startup::Hello;

/// A client's connection after startup.
///
/// # Invariants
/// - `implicit`: the session has an implicit transaction that this loop must end.
/// - `skipping`: an extended sequence failed; nothing is done before its Sync.
pub struct Connection<S: Session> {
    pub(crate) link: Link,
    pub(crate) session: S,
    /// The statement without a name; those with one are the session's.
    pub(crate) unnamed: Option<Named<S::Prepared>>,
    pub(crate) portals: HashMap<String, Portal<S>>,
    pub(crate) implicit: bool,
    skipping: bool,
}

impl<S: Session> Connection<S> {
    /// Over a session that was opened.
    pub fn new(link: Link, session: S) -> Self {
        Connection { link, session, unnamed: None, portals: HashMap::new(), implicit: false, skipping: false }
    }

    /// Greets the client and serves it to the end; says how it ended.
    pub async fn run(mut self, hello: &Hello, registration: &Registration) -> (Link, Stop) {
        let stop = match self.greet(hello, registration).await {
            Ok(()) => self.serve().await,
            Err(stop) => stop,
        };
        // The session goes first: a client that sees the connection closed may count on what it held being free.
        let Connection { link, session, portals, unnamed, .. } = self;
        drop((portals, unnamed, session));
        (link, stop)
    }

    async fn greet(&mut self, hello: &Hello, registration: &Registration) -> Result<(), Stop> {
        let out = &mut self.link.out;
        if hello.negotiated {
            respond::negotiate(hello.minor, hello.unknown_options.clone(), out);
        }
        respond::authentication_ok(out);
        for (name, value) in self.session.parameter_statuses() {
            respond::parameter_status(&name, &value, out);
        }
        respond::key_data(registration.pid, &registration.secret[..hello.secret_bytes(registration.secret.len())], out);
        self.ready().await
    }

    async fn serve(&mut self) -> Stop {
        loop {
            let frame = match self.link.frame().await {
                Ok(frame) => frame,
                Err(stop) => return stop,
            };
            let stands_alone = frame.stands_alone();
            let answered = match frame.decode() {
                Ok(message) => self.answer(message).await,
                Err(error) => self.malformed(error, stands_alone).await,
            };
            if let Err(stop) = answered {
                return stop;
            }
        }
    }

    async fn answer(&mut self, message: Message) -> Result<(), Stop> {
        match message {
            Message::Sync => {
                self.skipping = false;
                let committed = self.commit_implicit().await;
                self.settle(committed).await?;
                self.ready().await
            }
            Message::Terminate => Err(Stop::Gone),
            _ if self.skipping => Ok(()),
            Message::Query(sql) => {
                let done = caught(self.simple(&sql)).await;
                self.settle(done).await?;
                self.ready().await
            }
            Message::FunctionCall => {
                self.settle(Err(Error::unsupported("function calls are not supported").with_hint("Use SELECT.").into())).await?;
                self.ready().await
            }
            Message::Flush => self.link.flush().await,
            // Sent before the client saw that its COPY had failed.
            Message::CopyData(_) | Message::CopyDone | Message::CopyFail(_) => Ok(()),
            extended => {
                let done = caught(self.extended(extended)).await;
                self.skipping = matches!(done, Err(Stop::Error(_)));
                self.settle(done).await?;
                // Postgres flushes errors: a client may wait for one without having sent its Sync.
                if self.skipping { self.link.flush().await } else { self.link.flush_if_full().await }
            }
        }
    }

    /// A message whose body makes no sense is a statement that failed.
    async fn malformed(&mut self, error: Error, stands_alone: bool) -> Result<(), Stop> {
        if self.skipping {
            return Ok(());
        }
        self.settle(Err(error.into())).await?;
        if stands_alone {
            return self.ready().await;
        }
        self.skipping = true;
        self.link.flush().await
    }

    /// After a statement or message: what failed is undone and reported.
    async fn settle(&mut self, done: Result<(), Stop>) -> Result<(), Stop> {
        self.link.disarm();
        let error = match done {
            Ok(()) => return Ok(()),
            Err(Stop::Error(error)) => error,
            Err(stop) => return Err(stop),
        };
        self.link.rewind();
        self.session.fail();
        self.portals.clear();
        if std::mem::take(&mut self.implicit) {
            // Undoing cannot fail in a way that the client could do something about.
            if let Err(undo) = self.link.race(self.session.end_implicit(false)).await? {
                error!(error = %undo, "an implicit transaction could not be undone");
            }
        }
        self.tell();
        respond::error(&error, &mut self.link.out);
        self.link.seal();
        Ok(())
    }

    /// Commits the implicit transaction, if there is one.
    pub(crate) async fn commit_implicit(&mut self) -> Result<(), Stop> {
        if !self.implicit {
            return Ok(());
        }
        self.link.arm(self.session.statement_timeout());
        let committed = self.link.race(self.session.end_implicit(true)).await?;
        self.implicit = false;
        Ok(committed?)
    }

    /// Opens an implicit transaction unless there is one, or a block.
    pub(crate) async fn begin_implicit(&mut self) -> Result<(), Stop> {
        // Also where there was one: a COMMIT or ROLLBACK in the middle of a message has ended it.
        if self.session.transaction_status() == TransactionStatus::Idle {
            // Before it is known to have begun: if it is interrupted, it must be ended all the same.
            self.implicit = true;
            self.link.race(self.session.begin_implicit()).await?;
        }
        Ok(())
    }

    /// After a statement that was begun in `before`: portals of a transaction that ended are gone, and a BEGIN has taken
    /// the implicit transaction over.
    pub(crate) fn follow_transaction(&mut self, before: TransactionStatus) {
        match (before, self.session.transaction_status()) {
            (TransactionStatus::Idle, TransactionStatus::InBlock | TransactionStatus::Failed) => self.implicit = false,
            (TransactionStatus::InBlock | TransactionStatus::Failed, TransactionStatus::Idle) => self.portals.clear(),
            _ => {}
        }
    }

    /// Passes on what the session has to say besides answers.
    pub(crate) fn tell(&mut self) {
        for notice in self.session.take_notices() {
            respond::notice(&notice, &mut self.link.out);
        }
        for (name, value) in self.session.take_parameter_changes() {
            respond::parameter_status(&name, &value, &mut self.link.out);
        }
        self.link.seal();
    }

    async fn ready(&mut self) -> Result<(), Stop> {
        self.link.disarm();
        let status = self.session.transaction_status();
        if status == TransactionStatus::Idle {
            self.portals.clear();
        }
        self.tell();
        self.session.wait();
        respond::ready(status, &mut self.link.out);
        self.link.seal();
        self.link.flush().await
    }
}

/// A panic is that statement's error: the connection, and all others, go on.
async fn caught(work: impl Future<Output = Result<(), Stop>>) -> Result<(), Stop> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let message = panic_message(panic.as_ref());
        error!(panic = message, "a statement panicked");
        Err(Error::internal(format!("internal error: {message}")).into())
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic")
}
