//! Statements, one file for each kind of object: what they do to the session, the catalog and the engine.

pub mod query; // SELECT, VALUES, WITH
pub mod subscribe; // SUBSCRIBE
pub mod cursor; // DECLARE, FETCH, MOVE, CLOSE
pub mod prepared; // PREPARE, EXECUTE, DEALLOCATE
pub mod dml; // INSERT, UPDATE, DELETE
pub mod truncate; // TRUNCATE
pub mod copy; // COPY
pub mod table; // CREATE TABLE
pub mod source; // CREATE SOURCE
pub mod watermark; // WATERMARK FOR, and the options that go with it
pub mod view; // CREATE VIEW, CREATE MATERIALIZED VIEW
pub mod alter; // ALTER SOURCE, ALTER TABLE
pub mod alter_late; // ALTER MATERIALIZED VIEW .. ADMIT LATE and DISCARD LATE
pub mod drop; // DROP
pub mod explain; // EXPLAIN
pub mod show; // SHOW
pub mod variable; // SET, RESET, DISCARD
pub mod transaction; // BEGIN, COMMIT, ROLLBACK, savepoints
mod define; // what definitions of relations have in common
