//! The thread that wakes the leader when a time may have gone on by itself: a watermark, or the wall clock to a moment that a row waits for.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use weir_common::error::{Error, Result};

use crate::leader::Message;

/// Sends the leader a [`Message::Tick`] at the moment that it asked for last; the thread ends when this is dropped.
pub(crate) struct Pacer(Arc<Asked>);

#[derive(Default)]
struct Asked {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// When the next tick is wanted, if it is.
    at: Option<Instant>,
    ended: bool,
}

impl Asked {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pacer {
    /// Starts the thread.
    pub(crate) fn start(leader: UnboundedSender<Message>) -> Result<Pacer> {
        let asked = Arc::<Asked>::default();
        let of_thread = asked.clone();
        let thread = std::thread::Builder::new().name("pacer".into()).spawn(move || run(&of_thread, &leader));
        thread.map_err(|error| Error::internal(format!("no thread to wake the epoch clock: {error}")))?;
        Ok(Pacer(asked))
    }

    /// Asks for one tick at this moment, instead of what was asked before.
    pub(crate) fn ask(&self, at: Instant) {
        self.0.state().at = Some(at);
        self.0.changed.notify_one();
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.0.state().ended = true;
        self.0.changed.notify_one();
    }
}

fn run(asked: &Asked, leader: &UnboundedSender<Message>) {
    let mut state = asked.state();
    while !state.ended {
        let left = state.at.map(|at| at.saturating_duration_since(Instant::now()));
        state = match left {
            None => asked.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(Duration::ZERO) => {
                state.at = None;
                drop(state);
                if leader.send(Message::Tick).is_err() {
                    return;
                }
                asked.state()
            }
            Some(left) => asked.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
        };
    }
}
