//! What psql and drivers ask about the system: the tables of `pg_catalog` and `information_schema`, their functions, and a
//! rewriter for the SQL they are asked with.
//!
//! Everything is made for one statement, from [`SessionFacts`]: the catalog as it was when the statement began and what the
//! session knows. Tables are built when they are scanned, so a statement pays for those that it names.
//!
//! - [`schema`] gives `pg_catalog` and `information_schema` as DataFusion schemas, [`table`] one relation;
//! - [`functions`] gives the scalar functions;
//! - [`rewrite`] makes of a query that [`needs_rewrite`] one that DataFusion plans.

mod facts; // what a statement is told about catalog and session
mod sessions; // what a statement is told of sessions
mod identifier; // quoting and taking apart names
mod lookup; // objects by OID and by name
mod relations; // the columns of every system relation
mod types; // pg_type, format_type and regtype
mod rows; // values to record batches
mod content; // the rows of each system relation
mod information_schema; // the rows of the standard's views
mod provider; // system relations as DataFusion tables

mod function; // a row-wise scalar function as a UDF
mod sleep; // pg_sleep
mod expand; // a list as records of element and number
mod functions; // every function that has a name
mod subquery; // correlated subqueries, evaluated for the rows that ask
mod rewrite; // catalog SQL to what DataFusion plans
#[cfg(test)]
mod tests;

pub use facts::{
    ColumnInfo, Foreign, Kind, PrimaryKey, RelationInfo, SessionFacts, SetConfig, SetConfigFn, Setting, SystemCatalog, index_oid,
};
pub use functions::functions;
pub use provider::{schema, table};
pub use rewrite::{needs_rewrite, rewrite};
pub use sessions::{CursorInfo, PreparedInfo, SendSignal, SendSignalFn, SessionInfo, Signal};
