//! The relations of a case: tables with and without a key, and sources that only grow.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use fastrand::Rng;
use weir_common::error::Result;
use weir_common::source::{Position, Read, Source, SourceBatch, SourceReader, Watermark};
use weir_sql::ScalarValue;
use weir_sql::catalog::{Catalog, ColumnDef, Relation, RelationKind, SourceDef, TableDef};

use crate::value::{Kind, percent, pick};

/// A row of a relation.
pub type Row = Vec<ScalarValue>;

/// What a case reads.
#[derive(Clone, Debug)]
pub struct Input {
    pub name: String,
    pub columns: Vec<(String, Kind)>,
    pub shape: Shape,
}

/// How its rows come and go.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A table with these columns as its primary key.
    Keyed(Vec<usize>),
    /// A table whose rows may be there several times.
    Heap,
    /// A source: rows are only added; this column is their event time.
    Source { event_time: usize },
}

impl Input {
    pub fn random(index: usize, rng: &mut Rng) -> Input {
        let shape = rng.u8(0..3);
        let mut kinds: Vec<Kind> = (0..rng.usize(2..7)).map(|_| pick(rng, &Kind::ALL)).collect();
        let (name, shape) = match shape {
            0 => {
                kinds[0] = pick(rng, &[Kind::Int, Kind::Big, Kind::Text]);
                let two = kinds.len() > 2 && percent(rng, 30);
                if two {
                    kinds[1] = pick(rng, &[Kind::Small, Kind::Date, Kind::Text]);
                }
                (format!("keyed{index}"), Shape::Keyed(if two { vec![0, 1] } else { vec![0] }))
            }
            1 => (format!("heap{index}"), Shape::Heap),
            _ => {
                let event_time = rng.usize(..kinds.len());
                kinds[event_time] = Kind::Time;
                (format!("source{index}"), Shape::Source { event_time })
            }
        };
        // Most aggregates want a number.
        if !kinds.iter().any(|kind| kind.is_number()) {
            kinds.push(pick(rng, &[Kind::Int, Kind::Big, Kind::Numeric, Kind::Double]));
        }
        let columns = kinds.into_iter().enumerate().map(|(column, kind)| (format!("c{index}{column}"), kind)).collect();
        Input { name, columns, shape }
    }

    /// A row that the relation may hold beside any other; the columns of a primary key are not NULL.
    pub fn row(&self, rng: &mut Rng) -> Row {
        let mut row: Row = self.columns.iter().map(|(_, kind)| kind.value(rng)).collect();
        if let Shape::Keyed(key) = &self.shape {
            for column in key {
                while row[*column].is_null() {
                    row[*column] = self.columns[*column].1.value(rng);
                }
            }
        }
        row
    }

    /// The relation in the catalog. `rows` is where a source is read from.
    pub fn relation(&self, catalog: &Catalog, rows: &SourceRows) -> Relation {
        let column = |(column, (name, kind)): (usize, &(String, Kind))| {
            let not_null = matches!(&self.shape, Shape::Keyed(key) if key.contains(&column));
            ColumnDef { not_null, ..ColumnDef::new(name, kind.column_type()) }
        };
        let columns: Vec<ColumnDef> = self.columns.iter().enumerate().map(column).collect();
        let kind = match &self.shape {
            Shape::Keyed(key) => RelationKind::Table(TableDef { key: Some(key.clone()), ..TableDef::default() }),
            Shape::Heap => RelationKind::Table(TableDef::default()),
            Shape::Source { event_time } => RelationKind::Source(SourceDef {
                source: Arc::new(rows.clone()),
                watermark: Some(Watermark::of(*event_time, 5_000_000)),
                connector: "test".to_string(),
                options: BTreeMap::new(),
                format: "PLAIN".to_string(),
                encode: "JSON".to_string(),
                format_options: Default::default(),
            }),
        };
        Relation { id: catalog.next_id(), name: self.name.clone(), kind, columns, sql: String::new(), depends_on: Vec::new() }
    }

    /// The statement that would make it, for a person who repeats a failure by hand.
    pub fn describe(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|(name, kind)| format!("{name} {}", spelling(*kind))).collect();
        let names = |key: &[usize]| key.iter().map(|column| self.columns[*column].0.clone()).collect::<Vec<_>>().join(", ");
        match &self.shape {
            Shape::Keyed(key) => format!("CREATE TABLE {} ({}, PRIMARY KEY ({}))", self.name, columns.join(", "), names(key)),
            Shape::Heap => format!("CREATE TABLE {} ({})", self.name, columns.join(", ")),
            Shape::Source { event_time } => {
                let time = names(&[*event_time]);
                format!("CREATE SOURCE {} ({}, WATERMARK FOR {time} AS {time} - INTERVAL '5 seconds')", self.name, columns.join(", "))
            }
        }
    }
}

fn spelling(kind: Kind) -> String {
    match kind {
        Kind::Numeric => "numeric(10,2)".to_string(),
        other => other.column_type().spelling(),
    }
}

/// What a source holds at the moment, read from its start.
#[derive(Clone, Debug)]
pub struct SourceRows {
    pub schema: SchemaRef,
    pub rows: Arc<Mutex<RecordBatch>>,
}

impl Source for SourceRows {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
    fn finite(&self) -> bool {
        true
    }
    fn open(&self, _from: &Position) -> Result<Box<dyn SourceReader>> {
        let rows = self.rows.lock().expect("no reader panics").clone();
        Ok(Box::new(Once(Some(rows))))
    }
}

struct Once(Option<RecordBatch>);

impl SourceReader for Once {
    fn next(&mut self) -> Result<Read> {
        Ok(match self.0.take() {
            Some(rows) => {
                Read::Batch(SourceBatch { partition: 0, rows, origins: None, dead: Vec::new(), position: Position::default(), bytes: 0 })
            }
            None => Read::End,
        })
    }
}
