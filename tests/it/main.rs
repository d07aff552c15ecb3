//! Integration tests: the real binary, from outside.

mod harness; // servers, clients and data that the tests share
mod server; // a `weir serve` process

mod bad_input; // what users and files get wrong: a clear error or a dead letter, and the server stands
mod bench; // `weir bench`
mod activity; // sessions that look at each other
mod copy; // COPY in binary
mod cursors; // cursors and prepared statements, by SQL and protocol
mod checkpoints; // checkpoints, backups, and what is refused
mod clients; // the extended protocol, as drivers speak it
mod demo; // `weir demo`
mod durable; // a restart after kill -9
mod faults; // a disk that is full, broken, or forgets what was not synced
mod follow; // files that grow, come later, are truncated and rotated
mod flights; // all of the flights, while views come and go
mod grafana; // what Grafana's data source sends
mod http; // health and metrics
mod late; // late rows of a followed file
mod kill; // the plug, pulled at any moment
mod memory; // the memory limit
mod many_views; // views that nothing happens to
mod nexmark; // a made-up market without an end
mod parquet; // Parquet files, as others write them
mod process; // the command line, start and end
mod psql; // what a person types
mod readme; // what the README promises
mod tidy; // the repository itself
mod subscribe; // rows, then changes by commit
mod time; // windows that close, and rows that come too late
mod transfers; // many writers, many readers, one total
mod upgrade; // a data directory of an earlier version
mod watermarks; // sources that give nothing for a while
mod upserts; // ON CONFLICT and RETURNING, as drivers use them
