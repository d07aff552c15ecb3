//! What cannot be taken back: while its shield is up, a statement is not interrupted, for the client would be told that
//! nothing happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A session's shield. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Shield(Arc<AtomicBool>);

/// The shield is up until this is dropped.
#[must_use]
pub struct Raised(Shield);

impl Shield {
    /// From here on the statement ends with its own answer: requests to cancel and timeouts come too late.
    pub fn raise(&self) -> Raised {
        self.0.store(true, Ordering::Relaxed);
        Raised(self.clone())
    }

    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}
