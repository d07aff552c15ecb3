//! From the text a user types to plans: dialect, catalog, streaming planner, ad-hoc reads, pg_catalog.

pub mod statement; // what a user said
pub mod parser; // text -> statements
pub mod error; // DataFusion's and sqlparser's errors in Postgres words
pub mod catalog; // names -> objects
pub mod context; // a DataFusion session over a catalog and snapshots
pub mod types; // SQL type names -> Postgres types
pub mod read; // ad-hoc queries: planned, then run at one commit
mod interval; // spellings of interval literals
mod values; // types of columns of VALUES
mod interrupt; // joins that notice that nobody waits for them
mod offload; // queries on threads of their own
pub mod scalar; // single values
mod parameter; // $1: how many, of which types
mod names; // names of output columns
mod rules; // Postgres' typing rules, as an analyzer rule
mod micros; // no nanoseconds
mod shown; // expressions as people write them
mod optimizer; // DataFusion's optimizer, where needed with rules of ours
mod function; // functions with Postgres' results
mod functions_in_from; // generate_series(..) and others as relations
mod window; // TUMBLE in FROM
mod expr; // expressions for operators
pub mod lower; // logical plan -> streaming plan
pub mod dml; // INSERT, UPDATE, DELETE -> rows
pub mod explain; // plans as text
pub mod pg_catalog; // what psql and drivers ask about the system
pub mod system; // the system schemas and session functions for one statement

pub use datafusion::common::ScalarValue;
pub use datafusion::sql::sqlparser::ast;

#[cfg(test)]
mod tests;
