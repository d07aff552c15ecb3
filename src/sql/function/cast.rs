//! Casts that Arrow does otherwise than Postgres.
