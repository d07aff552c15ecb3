//! Who may cancel what: connections by number, each with a secret.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The connections of a server.
#[derive(Default)]
pub struct Registry {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_pid: i32,
    connections: HashMap<i32, Connection>,
}

struct Connection {
    secret: Vec<u8>,
    requests: watch::Sender<u64>,
    end: CancellationToken,
}

impl Registry {
    /// Gives a connection a number that no other has, and a secret. It is known until the registration is dropped. Returns
    /// besides what cancels its statements and what ends it; shutdown ends it too.
    pub fn register(self: &Arc<Self>, shutdown: &CancellationToken) -> (Registration, watch::Receiver<u64>, CancellationToken) {
        let mut state = self.lock();
        let (requests, receiver) = watch::channel(0);
        let end = shutdown.child_token();
        let secret: Vec<u8> = (0..4).flat_map(|_| random().to_be_bytes()).collect();
        loop {
            state.last_pid = state.last_pid.checked_add(1).unwrap_or(1);
            let pid = state.last_pid;
            if let Entry::Vacant(vacant) = state.connections.entry(pid) {
                vacant.insert(Connection { secret: secret.clone(), requests, end: end.clone() });
                return (Registration { registry: self.clone(), pid, secret }, receiver, end);
            }
        }
    }

    /// Asks a connection to stop what it is doing, if the secret is its own: whole, or as short as protocol 3.0 has it.
    pub fn cancel(&self, pid: i32, secret: &[u8]) -> bool {
        let state = self.lock();
        let Some(connection) = state.connections.get(&pid) else { return false };
        let expected = &connection.secret[..secret.len().min(connection.secret.len())];
        // Compared to the end, so that the time it takes says nothing about where it differs.
        let difference = expected.iter().zip(secret).fold(0, |difference, (a, b)| difference | (a ^ b));
        let known = (secret.len() == SHORT_SECRET_BYTES || secret.len() == connection.secret.len()) && difference == 0;
        if known {
            connection.requests.send_modify(|count| *count += 1);
        }
        known
    }

    /// Asks a connection to stop what it is doing, for another that may; says whether there is one.
    pub fn interrupt(&self, pid: i32) -> bool {
        let state = self.lock();
        let connection = state.connections.get(&pid);
        connection.inspect(|connection| connection.requests.send_modify(|count| *count += 1)).is_some()
    }

    /// Ends a connection, for another that may; says whether there is one.
    pub fn terminate(&self, pid: i32) -> bool {
        let state = self.lock();
        state.connections.get(&pid).inspect(|connection| connection.end.cancel()).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of a secret in protocol 3.0.
pub const SHORT_SECRET_BYTES: usize = 4;

/// A connection's place in the registry.
pub struct Registration {
    registry: Arc<Registry>,
    /// The connection's number.
    pub pid: i32,
    /// What a cancel request must bring; the first four bytes of it in protocol 3.0.
    pub secret: Vec<u8>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.lock().connections.remove(&self.pid);
    }
}

/// Sixty-four bits that nobody can guess: SipHash with keys that the standard library takes from the operating system.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
