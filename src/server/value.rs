//! Postgres values as text and bytes, from and to Arrow.
//!
//! Out: [`rows::RowEncoder`] writes the rows of a batch, each column by an encoder that was chosen once.
//! In: [`column::ColumnParser`] reads values of one type into an Arrow array; [`scalar::ScalarParam`] is one parameter.
//! COPY: [`copy::CopyFormat`] and what reads and writes it.

pub mod settings; // what a session says about text: time zone, float digits, styles
pub mod number; // integers and floats as text
pub mod numeric; // decimals as text and bytes
pub mod datetime; // dates and times as text
pub mod interval; // intervals as text, and back
pub mod bytea; // bytes as text
pub mod list; // the text of arrays and records
pub mod times; // Arrow's times of all units as microseconds
pub mod text; // a column as text
pub mod binary; // a column as bytes
pub mod rows; // rows of a batch as DataRow messages
pub mod parse; // one value from text
pub mod column; // many values of one type into an Arrow array
pub mod scalar; // one decoded parameter
pub mod copy; // the formats of COPY

#[cfg(test)]
mod tests;
