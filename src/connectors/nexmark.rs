//! Connector `nexmark`: the auctions, bids and persons of the Nexmark benchmark, made here and the same in every run.

mod auction; // the columns of an auction
mod bid; // the columns of a bid
mod channel; // the channels that bids come through
mod config; // what the options ask for
mod generator; // event numbers into batches
mod model; // which event makes what: the arithmetic of ids
mod pace; // when an event is due
mod person; // the columns of a person
mod price; // prices between 1 and a million
mod random; // draws that depend on nothing but seed, event and column
mod reader; // batches and positions
mod table; // the three tables and their columns
mod text; // random text
mod time; // event times

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use arrow::datatypes::{Schema, SchemaRef};
use weir_common::error::{Error, Result, SqlState, nearest};
use weir_common::source::{Position, Source, SourceReader, SourceRef};
use weir_common::types::PgType;

use crate::connector::{Connector, Declaration};
use crate::nexmark::config::Config;
use crate::nexmark::generator::Generator;
use crate::nexmark::pace::Schedule;
use crate::nexmark::reader::NexmarkReader;
use crate::nexmark::table::Table;

/// The connector `nexmark`.
pub struct Nexmark;

impl Connector for Nexmark {
    fn name(&self) -> &'static str {
        "nexmark"
    }

    fn options(&self) -> &'static [&'static str] {
        &["table", "events", "rate", "first_event_rate", "out_of_order", "seed"]
    }

    fn knows_columns(&self) -> bool {
        true
    }

    fn source(&self, declaration: &Declaration<'_>) -> Result<SourceRef> {
        if let Some(format) = declaration.format {
            let message = format!("connector \"nexmark\" makes rows, so FORMAT {} does not apply", format.format.to_uppercase());
            return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint("Leave out FORMAT and ENCODE."));
        }
        let config = Config::read(&declaration.options)?;
        let schema = match declaration.schema.fields().is_empty() {
            true => config.table.schema(),
            false => declaration.schema.clone(),
        };
        let columns = wanted(config.table, &schema)?;
        Ok(Arc::new(NexmarkSource { config, columns, schema, schedule: OnceLock::new() }))
    }
}

/// Which of the table's columns were declared; each must be one of them and have its type.
fn wanted(table: Table, schema: &Schema) -> Result<Vec<usize>> {
    let known = table.columns();
    let mut wanted = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let Some(index) = known.iter().position(|(name, _)| name == field.name()) else {
            let message = format!("table \"{}\" of connector \"nexmark\" has no column \"{}\"", table.name(), field.name());
            let hint = match nearest(field.name(), known.iter().map(|(name, _)| *name)) {
                Some(near) => format!("Perhaps you meant the column \"{near}\"."),
                None => format!("Its columns: {}.", known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")),
            };
            return Err(Error::new(SqlState::UNDEFINED_COLUMN, message).with_hint(hint));
        };
        let (declared, made) = (PgType::of_field(field), &known[index].1);
        if declared != *made {
            let message =
                format!("column \"{}\" of connector \"nexmark\" is {}, not {}", field.name(), made.spelling(), declared.spelling());
            return Err(Error::new(SqlState::DATATYPE_MISMATCH, message)
                .with_hint("Declare it so, or declare no columns at all: they come from the generator."));
        }
        wanted.push(index);
    }
    Ok(wanted)
}

/// One table of the benchmark, declared as a source.
#[derive(Debug)]
struct NexmarkSource {
    config: Config,
    /// Which of the table's columns are made.
    columns: Vec<usize>,
    schema: SchemaRef,
    /// When events are due, from the first opening on: who opens later finds what was due by then.
    schedule: OnceLock<Schedule>,
}

impl NexmarkSource {
    /// A reader whose first event is this one or the next of the table's kind.
    fn open_at(&self, event: u64) -> NexmarkReader {
        let generator = Generator::new(&self.config, self.columns.clone(), self.schema.clone());
        let schedule = self.config.rate.map(|rate| *self.schedule.get_or_init(|| Schedule::start(event, rate)));
        NexmarkReader::new(generator, event, self.config.end(), self.config.events.is_some(), schedule)
    }
}

impl Source for NexmarkSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn finite(&self) -> bool {
        self.config.events.is_some()
    }

    fn open(&self, from: &Position) -> Result<Box<dyn SourceReader>> {
        if *from == Position::default() {
            return Ok(Box::new(self.open_at(0)));
        }
        let event = from.0.parse().ok().filter(|event| *event <= self.config.end());
        let event = event.ok_or_else(|| Error::internal(format!("\"{}\" is no event number of connector \"nexmark\"", from.0)))?;
        Ok(Box::new(self.open_at(event)))
    }
}
