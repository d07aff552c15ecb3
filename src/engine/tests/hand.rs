//! A wall clock that the test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use weir_common::clock::Clock;

/// Stands until it is moved.
#[derive(Clone)]
pub(crate) struct Hand(Arc<AtomicI64>);

impl Hand {
    pub(crate) fn at(micros: i64) -> Self {
        Hand(Arc::new(AtomicI64::new(micros)))
    }

    pub(crate) fn set(&self, micros: i64) {
        self.0.store(micros, Ordering::SeqCst);
    }

    pub(crate) fn forward(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn wall_micros(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}
