//! Values to text, as Postgres writes them.
