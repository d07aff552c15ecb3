//! Schema `weir`: what the engine knows about sources, views, dead letters and checkpoints, as relations.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use weir_common::ids::{Epoch, RelationId};
use weir_common::interval::Interval;
use weir_common::source::Watermark;
use weir_common::types::PgType;
use weir_engine::status::{PartitionStatus, SourceStatus, Status, ViewStatus};
use weir_sql::catalog::{Catalog, RelationKind};
use weir_sql::system::WeirTable;

#[cfg(test)]
pub(crate) mod tests;

/// The commits that a session's statement reads, as far as it has looked: one, but for tables that its transaction has locked.
pub type Commits = Arc<Mutex<Vec<Epoch>>>;

/// The relations of schema `weir` as a statement sees them; without a status they have columns and no rows.
pub fn tables_of(catalog: &Catalog, status: Option<Arc<Status>>, commits: Commits) -> Vec<WeirTable> {
    let status = status.unwrap_or_default();
    let table = |(table, schema): (&'static Table, &SchemaRef)| {
        let (catalog, status, schema) = (catalog.clone(), status.clone(), schema.clone());
        let of_rows = schema.clone();
        let rows = move || Ok(RecordBatch::try_new(of_rows.clone(), (table.rows)(&catalog, &status))?);
        WeirTable { name: table.name, schema, rows: Arc::new(rows) }
    };
    TABLES.iter().zip(&*SCHEMAS).map(table).chain([snapshot(status.clone(), commits)]).collect()
}

/// `weir.snapshot`: the commit that the statement reads. It is known when the statement runs, not when it is planned.
fn snapshot(status: Arc<Status>, commits: Commits) -> WeirTable {
    let schema = SNAPSHOT.clone();
    let of_rows = schema.clone();
    let rows = move || {
        let commit = match commits.lock().unwrap_or_else(PoisonError::into_inner).as_slice() {
            // It reads nothing that is stored.
            [] => Some(status.committed),
            [commit] => Some(*commit),
            // There is no one number.
            _ => None,
        };
        let commit = Int64Array::from_iter([commit.map(|commit| commit as i64)]);
        Ok(RecordBatch::try_new(of_rows.clone(), vec![Arc::new(commit)])?)
    };
    WeirTable { name: "snapshot", schema, rows: Arc::new(rows) }
}

/// The columns of [`TABLES`]: every statement has them, whether it names them or not.
static SCHEMAS: LazyLock<Vec<SchemaRef>> = LazyLock::new(|| TABLES.iter().map(Table::schema).collect());

/// The column of `weir.snapshot`.
static SNAPSHOT: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(Schema::new(vec![PgType::Int8.field("commit")])));

/// A relation of schema `weir`.
struct Table {
    name: &'static str,
    columns: &'static [(&'static str, PgType)],
    rows: fn(&Catalog, &Status) -> Vec<ArrayRef>,
}

impl Table {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.iter().map(|(name, ty)| ty.field(*name)).collect::<Vec<_>>()))
    }
}

/// Schema `weir`.
static TABLES: &[Table] = &[
    Table {
        name: "sources",
        columns: &[
            ("name", PgType::Text),
            ("reader_of", PgType::Text),
            ("connector", PgType::Text),
            ("rows", PgType::Int8),
            ("bytes", PgType::Int8),
            ("dead_letters", PgType::Int8),
            ("position", PgType::Text),
            ("at_end", PgType::Bool),
            ("watermark", PgType::Timestamp),
            ("error", PgType::Text),
            ("delay", PgType::Interval),
            ("idle_timeout", PgType::Interval),
            ("max_future", PgType::Interval),
        ],
        rows: sources,
    },
    Table {
        name: "views",
        columns: &[
            ("name", PgType::Text),
            ("filling", PgType::Bool),
            ("rows", PgType::Int8),
            ("served_bytes", PgType::Int8),
            ("state_bytes", PgType::Int8),
            ("groups", PgType::Int8),
            ("watermark", PgType::Timestamp),
            ("error", PgType::Text),
            ("late_dropped", PgType::Int8),
        ],
        rows: views,
    },
    Table { name: "tables", columns: &[("name", PgType::Text), ("rows", PgType::Int8)], rows: tables },
    Table {
        name: "watermarks",
        columns: &[
            ("relation", PgType::Text),
            ("kind", PgType::Text),
            ("partition", PgType::Text),
            ("watermark", PgType::Timestamp),
            ("held_back_by", PgType::Text),
            ("held_back_since", PgType::Timestamptz),
            ("idle_since", PgType::Timestamptz),
        ],
        rows: watermarks,
    },
    Table {
        name: "lag",
        columns: &[("view", PgType::Text), ("event_time_lag_seconds", PgType::Float8), ("processing_lag_seconds", PgType::Float8)],
        rows: lag,
    },
    Table {
        name: "dead_letters",
        columns: &[
            ("relation", PgType::Text),
            ("reason", PgType::Text),
            ("error", PgType::Text),
            ("payload", PgType::Text),
            ("partition", PgType::Text),
            ("offset", PgType::Int8),
            ("time", PgType::Timestamptz),
        ],
        rows: dead_letters,
    },
    Table {
        name: "dependencies",
        columns: &[("relation", PgType::Text), ("kind", PgType::Text), ("depends_on", PgType::Text)],
        rows: dependencies,
    },
    Table {
        name: "checkpoints",
        columns: &[
            ("epoch", PgType::Int8),
            ("started", PgType::Timestamptz),
            ("why", PgType::Text),
            ("duration_ms", PgType::Float8),
            ("pause_ms", PgType::Float8),
            ("keys", PgType::Int8),
            ("bytes", PgType::Int8),
        ],
        rows: checkpoints,
    },
    Table {
        name: "operators",
        columns: &[
            ("view", PgType::Text),
            ("fragment", PgType::Int4),
            ("operator", PgType::Text),
            ("groups", PgType::Int8),
            ("bytes", PgType::Int8),
            ("unsaved_bytes", PgType::Int8),
        ],
        rows: operators,
    },
    Table {
        name: "subscriptions",
        columns: &[("relation", PgType::Text), ("commit", PgType::Int8), ("commits_behind", PgType::Int8), ("rows_behind", PgType::Int8)],
        rows: subscriptions,
    },
];

fn name_of(catalog: &Catalog, id: RelationId) -> String {
    catalog.by_id(id).map_or_else(|| id.to_string(), |relation| relation.name.clone())
}

fn text<T: Into<Option<String>>>(values: impl Iterator<Item = T>) -> ArrayRef {
    Arc::new(values.map(Into::into).collect::<StringArray>())
}

fn ints(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values.map(|value| value as i64)))
}

fn sources(catalog: &Catalog, status: &Status) -> Vec<ArrayRef> {
    // A source that nothing reads yet is a source all the same.
    let mut found = vec![];
    for relation in catalog.relations() {
        if let RelationKind::Source(source) = &relation.kind {
            let mut readers = status.sources.iter().filter(|reader| reader.source == relation.id).peekable();
            if readers.peek().is_none() {
                found.push((relation.name.clone(), source, None));
            }
            found.extend(readers.map(|reader| (relation.name.clone(), source, Some(reader))));
        }
    }
    let lengths = |of: fn(&Watermark) -> i64| -> ArrayRef {
        let micros = found.iter().map(|(_, source, _)| source.watermark.as_ref().map(of));
        Arc::new(micros.map(|micros| Interval::of_micros(micros?).to_arrow()).collect::<IntervalMonthDayNanoArray>())
    };
    vec![
        text(found.iter().map(|(name, ..)| name.clone())),
        text(found.iter().map(|(_, _, reader)| reader.and_then(|reader| reader.view).map(|view| name_of(catalog, view)))),
        text(found.iter().map(|(_, source, _)| source.connector.clone())),
        ints(found.iter().map(|(.., reader)| reader.map_or(0, |reader| reader.rows))),
        ints(found.iter().map(|(.., reader)| reader.map_or(0, |reader| reader.bytes))),
        ints(found.iter().map(|(.., reader)| reader.map_or(0, |reader| reader.dead_letters))),
        text(found.iter().map(|(.., reader)| reader.map(|reader| reader.position.clone()).filter(|position| !position.is_empty()))),
        Arc::new(found.iter().map(|(.., reader)| Some(reader.is_some_and(|reader| reader.at_end))).collect::<BooleanArray>()),
        Arc::new(found.iter().map(|(.., reader)| reader.and_then(|reader| reader.watermark)).collect::<TimestampMicrosecondArray>()),
        text(found.iter().map(|(.., reader)| reader.and_then(|reader| reader.error.clone()))),
        lengths(|watermark| watermark.delay),
        lengths(|watermark| watermark.idle_timeout),
        lengths(|watermark| watermark.max_future),
    ]
}

fn views(catalog: &Catalog, status: &Status) -> Vec<ArrayRef> {
    let views: Vec<_> = status.views.iter().filter(|view| catalog.by_id(view.view).is_some()).collect();
    vec![
        text(views.iter().map(|view| name_of(catalog, view.view))),
        Arc::new(views.iter().map(|view| Some(view.filling)).collect::<BooleanArray>()),
        ints(views.iter().map(|view| view.rows)),
        ints(views.iter().map(|view| view.served_bytes)),
        ints(views.iter().map(|view| view.state_bytes)),
        ints(views.iter().map(|view| view.groups)),
        Arc::new(views.iter().map(|view| view.watermark).collect::<TimestampMicrosecondArray>()),
        text(views.iter().map(|view| view.error.clone())),
        ints(views.iter().map(|view| view.late_dropped)),
    ]
}

fn tables(catalog: &Catalog, status: &Status) -> Vec<ArrayRef> {
    let tables: Vec<_> = status.tables.iter().filter(|table| catalog.by_id(table.table).is_some()).collect();
    vec![text(tables.iter().map(|table| name_of(catalog, table.table))), ints(tables.iter().map(|table| table.rows))]
}

/// A line of `weir.watermarks`.
#[derive(Default)]
struct Mark {
    relation: String,
    kind: &'static str,
    partition: Option<String>,
    watermark: Option<i64>,
    held_back_by: Option<String>,
    held_back_since: Option<i64>,
    idle_since: Option<i64>,
}

fn watermarks(catalog: &Catalog, status: &Status) -> Vec<ArrayRef> {
    let mut found: Vec<Mark> = vec![];
    for reader in status.sources.iter().filter(|reader| reader.view.is_none()) {
        let SourceStatus { watermark, idle_since, watermark_moved: held_back_since, .. } = *reader;
        let (relation, kind) = (name_of(catalog, reader.source), "source");
        let held_back_by = reader.partitions.iter().find(|partition| partition.holds_back).map(|of| format!("partition {}", of.partition));
        found.push(Mark { relation: relation.clone(), kind, watermark, held_back_by, held_back_since, idle_since, ..Mark::default() });
        for PartitionStatus { partition, watermark, idle_since, .. } in &reader.partitions {
            let (relation, partition) = (relation.clone(), Some(partition.to_string()));
            found.push(Mark { relation, kind, partition, watermark: *watermark, idle_since: *idle_since, ..Mark::default() });
        }
    }
    for table in status.tables.iter().filter(|table| catalog.by_id(table.table).is_some()) {
        let Some(watermark) = table.watermark else { continue };
        let (relation, held_back_since) = (name_of(catalog, table.table), table.watermark_moved);
        found.push(Mark { relation, kind: "table", watermark, held_back_since, ..Mark::default() });
    }
    for view in status.views.iter().filter(|view| catalog.by_id(view.view).is_some()) {
        found.push(Mark {
            relation: name_of(catalog, view.view),
            kind: "materialized view",
            watermark: view.watermark,
            held_back_by: view.held_back_by.map(|(relation, _)| name_of(catalog, relation)),
            held_back_since: view.held_back_by.and_then(|(_, since)| since),
            ..Mark::default()
        });
    }
    let wall = |times: &mut dyn Iterator<Item = Option<i64>>| -> ArrayRef {
        Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    vec![
        text(found.iter().map(|mark| mark.relation.clone())),
        text(found.iter().map(|mark| mark.kind.to_string())),
        text(found.iter().map(|mark| mark.partition.clone())),
        Arc::new(found.iter().map(|mark| mark.watermark).collect::<TimestampMicrosecondArray>()),
        text(found.iter().map(|mark| mark.held_back_by.clone())),
        wall(&mut found.iter().map(|mark| mark.held_back_since)),
        wall(&mut found.iter().map(|mark| mark.idle_since)),
    ]
}

/// How far views are behind: NULL where there is no watermark, or where its sources have ended.
fn lag(catalog: &Catalog, status: &Status) -> Vec<ArrayRef> {
    let views: Vec<_> = status.views.iter().filter(|view| catalog.by_id(view.view).is_some()).collect();
    let processing = status.processing_lag.as_secs_f64();
    vec![
        text(views.iter().map(|view| name_of(catalog, view.view))),
        Arc::new(views.iter().map(|view| event_time_lag_seconds(view, status.wall_micros)).collect::<Float64Array>()),
        // What a view that fills has still to take in is not known as a time.
        Arc::new(views.iter().map(|view| (!view.filling).then_some(processing)).collect::<Float64Array>()),
    ]
}

/// How far a view's watermark is behind the wall clock.
pub fn event_time_lag_seconds(view: &ViewStatus, wall_micros: i64) -> Option<f64> {
    let watermark = view.watermark.filter(|watermark| *watermark != i64::MAX)?;
    Some(wall_micros.saturating_sub(watermark) as f64 / 1e6)
}

fn dead_letters(_: &Catalog, status: &Status) -> Vec<ArrayRef> {
    let letters = &status.dead_letters;
    vec![
        text(letters.iter().map(|letter| letter.relation.clone())),
        text(letters.iter().map(|letter| letter.reason.as_str().to_string())),
        text(letters.iter().map(|letter| letter.error.clone())),
        text(letters.iter().map(|letter| letter.payload.clone())),
        text(letters.iter().map(|letter| letter.partition.clone())),
        Arc::new(letters.iter().map(|letter| letter.offset).collect::<Int64Array>()),
        Arc::new(letters.iter().map(|letter| Some(letter.time_micros)).collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
    ]
}

fn dependencies(catalog: &Catalog, _: &Status) -> Vec<ArrayRef> {
    let mut found = vec![];
    for relation in catalog.relations() {
        for on in &relation.depends_on {
            found.push((relation.name.clone(), relation.kind.word().to_string(), name_of(catalog, *on)));
        }
    }
    vec![
        text(found.iter().map(|(name, ..)| name.clone())),
        text(found.iter().map(|(_, kind, _)| kind.clone())),
        text(found.iter().map(|(.., on)| on.clone())),
    ]
}

fn checkpoints(_: &Catalog, status: &Status) -> Vec<ArrayRef> {
    let all = &status.checkpoints;
    let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
    vec![
        ints(all.iter().map(|checkpoint| checkpoint.epoch)),
        Arc::new(TimestampMicrosecondArray::from_iter_values(all.iter().map(|checkpoint| checkpoint.wall_micros)).with_timezone("UTC")),
        text(all.iter().map(|checkpoint| checkpoint.why.as_str().to_string())),
        Arc::new(Float64Array::from_iter_values(all.iter().map(|checkpoint| millis(checkpoint.duration)))),
        Arc::new(Float64Array::from_iter_values(all.iter().map(|checkpoint| millis(checkpoint.pause)))),
        ints(all.iter().map(|checkpoint| checkpoint.keys)),
        ints(all.iter().map(|checkpoint| checkpoint.bytes)),
    ]
}

fn subscriptions(catalog: &Catalog, status: &Status) -> Vec<ArrayRef> {
    let all = &status.subscriptions;
    vec![
        text(all.iter().map(|one| catalog.by_id(one.relation).map(|relation| relation.name.clone()))),
        Arc::new(all.iter().map(|one| one.commit.map(|commit| commit as i64)).collect::<Int64Array>()),
        ints(all.iter().map(|one| one.commits_behind)),
        ints(all.iter().map(|one| one.rows_behind)),
    ]
}

fn operators(catalog: &Catalog, status: &Status) -> Vec<ArrayRef> {
    let all: Vec<_> = status.operators.iter().filter(|operator| catalog.by_id(operator.relation).is_some()).collect();
    let fragments = all.iter().map(|operator| operator.fragment.map(|fragment| fragment as i32));
    vec![
        text(all.iter().map(|operator| name_of(catalog, operator.relation))),
        Arc::new(fragments.collect::<Int32Array>()),
        text(all.iter().map(|operator| operator.operator.to_string())),
        ints(all.iter().map(|operator| operator.size.groups as u64)),
        ints(all.iter().map(|operator| operator.size.bytes as u64)),
        ints(all.iter().map(|operator| operator.size.dirty_bytes as u64)),
    ]
}
