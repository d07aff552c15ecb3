//! The server: Postgres on the wire.

pub mod value; // Postgres values as text and bytes, from and to Arrow
pub mod pgwire; // the Postgres protocol: connections, messages, the session loop
