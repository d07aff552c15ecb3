//! The server: sessions, statements, Postgres on the wire, HTTP. It introduces `sql`, `engine`, `dataflow` and `connectors`
//! to each other, which do not know one another.

pub mod server; // start, run, stop
pub mod local; // a database in this process without a server around it
mod durable; // definitions across restarts
pub mod database; // what all sessions share
pub mod session; // one client's session
pub mod statement; // what statements do
mod transaction; // reads at one commit, writes that wait for COMMIT
mod subscribe; // subscriptions as clients see them
mod cursors; // rows of a query in portions, by SQL
mod overlay; // a snapshot with a transaction's own writes
mod activity; // who is connected and what they do
mod locks; // write locks on tables
mod variables; // SET and SHOW
mod names; // names as users write them
mod system; // schema `weir`
mod metrics; // counters and gauges
mod http; // health and metrics
pub mod pgwire; // the Postgres protocol: connections, messages, the session loop
pub mod value; // Postgres values as text and bytes, from and to Arrow

pub use durable::backup::restore;
