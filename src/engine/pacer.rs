//! The thread that wakes the leader when a watermark may have gone on by itself.

use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use tokio::sync::mpsc::UnboundedSender;
use weir_common::error::{Error, Result};
use weir_common::limits::WATERMARK_TICK_MILLIS;

use crate::leader::Message;

/// Starts the thread. It sends one [`Message::Tick`] for each word that it gets, a while later, and ends when nobody can send it words
/// any more.
pub(crate) fn start(leader: UnboundedSender<Message>) -> Result<Sender<()>> {
    let (asked, inbox) = bounded(1);
    let run = move || {
        while inbox.recv().is_ok() {
            // Nobody asks again before the answer: what comes meanwhile is the end.
            let waited = inbox.recv_timeout(Duration::from_millis(WATERMARK_TICK_MILLIS));
            if waited == Err(RecvTimeoutError::Disconnected) || leader.send(Message::Tick).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("pacer".into()).spawn(run);
    thread.map_err(|error| Error::internal(format!("no thread to wake the epoch clock: {error}")))?;
    Ok(asked)
}
