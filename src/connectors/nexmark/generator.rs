//! Event numbers into batches, column by column.

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use weir_common::error::Result;

use crate::nexmark::auction::Auctions;
use crate::nexmark::bid::Bids;
use crate::nexmark::config::Config;
use crate::nexmark::person::Persons;
use crate::nexmark::table::Table;

/// Makes the wanted columns of one table.
///
/// # Invariants
/// - a row depends on its event number and the options only, never on the rows around it.
pub struct Generator {
    /// The table.
    pub table: Table,
    rows: Rows,
    wanted: Vec<usize>,
    schema: SchemaRef,
}

enum Rows {
    Persons(Persons),
    Auctions(Auctions),
    Bids(Bids),
}

impl Generator {
    /// `wanted` are columns of the table, `schema` is theirs.
    pub fn new(config: &Config, wanted: Vec<usize>, schema: SchemaRef) -> Self {
        let rows = match config.table {
            Table::Person => Rows::Persons(Persons::new(config)),
            Table::Auction => Rows::Auctions(Auctions::new(config)),
            Table::Bid => Rows::Bids(Bids::new(config)),
        };
        Generator { table: config.table, rows, wanted, schema }
    }

    /// The rows of these events, which are all of the table's kind.
    pub fn batch(&self, events: &[u64]) -> Result<RecordBatch> {
        let column = |column: &usize| match &self.rows {
            Rows::Persons(persons) => persons.column(*column, events),
            Rows::Auctions(auctions) => auctions.column(*column, events),
            Rows::Bids(bids) => bids.column(*column, events),
        };
        let columns: Vec<ArrayRef> = self.wanted.iter().map(column).collect::<Result<_>>()?;
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }
}
