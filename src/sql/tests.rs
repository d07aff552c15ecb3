//! The planner, from SQL text to rows and plans.

mod catalog; // names and dependents
mod explain; // what EXPLAIN shows
mod lower; // the plans of views
mod maintained; // a view computes what its query reads
mod naming; // names of columns
mod read; // results of queries
mod refuse; // what views refuse
mod tumble; // windows
mod types; // types and values
mod write; // INSERT, UPDATE, DELETE

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast;
use weir_common::error::{Error, Result};
use weir_common::ids::RelationId;
use weir_common::snapshot::{Run, Snapshot};
use weir_common::source::{Position, Read, Source, SourceBatch, SourceReader, Watermark};
use weir_common::types::PgType;

use crate::catalog::{Catalog, ColumnDef, MaterializedViewDef, Relation, RelationKind, SourceDef, TableDef, ViewDef};
use crate::context::{Context, NoSystem, Settings, SnapshotSource};
use crate::function::{parse, text};
use crate::lower::{ViewPlan, plan_view};
use crate::parser;
use crate::read::QueryPlan;
use crate::statement::Statement;

/// 2024-01-01 12:00:00 UTC.
const NOW: i64 = 1_704_110_400_000_000;

/// A catalog and the rows of its relations.
#[derive(Clone, Default)]
struct World {
    catalog: Catalog,
    rows: HashMap<RelationId, Snapshot>,
}

/// A finite source over fixed rows.
#[derive(Debug)]
struct FixedSource {
    rows: RecordBatch,
    finite: bool,
}

impl Source for FixedSource {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
    fn finite(&self) -> bool {
        self.finite
    }
    fn open(&self, _from: &Position) -> Result<Box<dyn SourceReader>> {
        Ok(Box::new(FixedReader(Some(self.rows.clone()))))
    }
}

struct FixedReader(Option<RecordBatch>);

impl SourceReader for FixedReader {
    fn next(&mut self) -> Result<Read> {
        Ok(match self.0.take() {
            Some(rows) => {
                Read::Batch(SourceBatch { partition: 0, rows, origins: None, dead: Vec::new(), position: Position::default(), bytes: 0 })
            }
            None => Read::End,
        })
    }
}

/// Columns as `name type`, `name type not null`.
fn columns(spec: &str) -> Vec<ColumnDef> {
    let column = |spec: &str| {
        let (name, ty) = spec.trim().split_once(' ').expect("name type");
        let (ty, default) = ty.split_once(" default ").map_or((ty, None), |(ty, default)| (ty, Some(default.to_string())));
        let (ty, not_null) = ty.strip_suffix(" not null").map_or((ty, false), |ty| (ty, true));
        ColumnDef { not_null, default, ..ColumnDef::new(name, PgType::parse(ty).unwrap_or_else(|| panic!("type {ty}"))) }
    };
    spec.split(';').map(column).collect()
}

/// Rows of text values separated by `|`, one row a line; `-` is NULL.
fn rows(relation: &Relation, text: &str) -> RecordBatch {
    let lines: Vec<Vec<&str>> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| line.split('|').map(str::trim).collect()).collect();
    let arrays = relation.columns.iter().enumerate().map(|(index, column)| -> ArrayRef {
        let values = lines.iter().map(|line| match line[index] {
            "-" => ScalarValue::try_from(&column.data_type).unwrap(),
            text => parse::value(text, &column.ty, &column.data_type, &Default::default()).unwrap(),
        });
        if lines.is_empty() { arrow::array::new_empty_array(&column.data_type) } else { ScalarValue::iter_to_array(values).unwrap() }
    });
    RecordBatch::try_new(relation.schema(), arrays.collect()).unwrap()
}

impl World {
    fn add(&mut self, name: &str, kind: RelationKind, columns: Vec<ColumnDef>, depends_on: Vec<RelationId>) -> Relation {
        let relation = Relation { id: self.catalog.next_id(), name: name.to_string(), kind, columns, sql: String::new(), depends_on };
        self.catalog = self.catalog.with(relation.clone());
        relation
    }

    fn table(mut self, name: &str, spec: &str, key: Option<Vec<usize>>, text: &str) -> World {
        let relation = self.add(name, RelationKind::Table(TableDef { key, ..TableDef::default() }), columns(spec), Vec::new());
        let batch = rows(&relation, text);
        self.rows.insert(relation.id, snapshot(&relation, batch));
        self
    }

    fn source(mut self, name: &str, spec: &str, event_time: Option<usize>, text: &str) -> World {
        let columns = columns(spec);
        let shape = Relation {
            id: RelationId(0),
            name: String::new(),
            kind: RelationKind::Table(TableDef::default()),
            columns: columns.clone(),
            sql: String::new(),
            depends_on: Vec::new(),
        };
        let source = Arc::new(FixedSource { rows: rows(&shape, text), finite: name != "endless" });
        let def = SourceDef {
            source,
            watermark: event_time.map(|column| Watermark::of(column, 5_000_000)),
            connector: "test".to_string(),
            options: Default::default(),
            format: "PLAIN".to_string(),
            encode: "JSON".to_string(),
            format_options: Default::default(),
        };
        self.add(name, RelationKind::Source(def), columns, Vec::new());
        self
    }

    fn view(mut self, name: &str, query: &str) -> World {
        let plan = self.context().plan_plain_view(&parse_query(query), query, &[]).unwrap();
        self.add(name, RelationKind::View(ViewDef { query: query.to_string() }), plan.columns, plan.depends_on);
        self
    }

    fn materialized(mut self, name: &str, query: &str, text: &str) -> World {
        let plan = self.plan(query).unwrap();
        let (query, facts) = (query.to_string(), plan.root.facts.clone());
        let kind = RelationKind::MaterializedView(MaterializedViewDef {
            query,
            facts,
            late: None,
            late_positions: true,
            admits_late: false,
            life: None,
        });
        let relation = self.add(name, kind, plan.columns, plan.depends_on);
        let batch = rows(&relation, text);
        self.rows.insert(relation.id, snapshot(&relation, batch));
        self
    }

    fn context(&self) -> Context {
        Context::new(self.catalog.clone(), Arc::new(NoSystem), &Settings { now_micros: NOW, ..Settings::default() })
    }

    fn snapshots(&self) -> Arc<dyn SnapshotSource> {
        Arc::new(self.rows.clone())
    }

    fn plan(&self, sql: &str) -> Result<ViewPlan> {
        plan_view(&self.catalog, "v", &parse_query(sql), sql, &[], &crate::lower::WindowClauses::default())
    }

    fn prepare(&self, sql: &str) -> Result<QueryPlan> {
        self.context().plan_query(&parse_query(sql), sql, &[])
    }

    fn id(&self, name: &str) -> RelationId {
        self.catalog.require(name).unwrap().id
    }

    /// The result as text: a line of `name type`, then a line a row.
    fn query(&self, sql: &str) -> Result<String> {
        self.query_with(sql, &[])
    }

    fn query_with(&self, sql: &str, parameters: &[ScalarValue]) -> Result<String> {
        let plan = self.prepare(sql)?;
        let rows = wait(async { self.context().execute(&plan, parameters, self.snapshots()).await?.collect().await })?;
        Ok(format!("{}\n{}", header(&plan.schema), lines(&rows)).trim().to_string())
    }

    /// The rows alone.
    fn values(&self, sql: &str) -> String {
        match self.query(sql) {
            Ok(text) => text.split_once('\n').map_or(String::new(), |(_, rows)| rows.to_string()),
            Err(error) => format!("{error:?}"),
        }
    }

    /// The header alone.
    fn header(&self, sql: &str) -> String {
        match self.prepare(sql) {
            Ok(plan) => header(&plan.schema),
            Err(error) => format!("{error:?}"),
        }
    }

    fn error(&self, sql: &str) -> Error {
        self.query(sql).expect_err(sql)
    }
}

fn snapshot(relation: &Relation, batch: RecordBatch) -> Snapshot {
    Snapshot { schema: relation.schema(), epoch: 1, runs: vec![Run { rows: Arc::new(batch), live: None }], watermarks: vec![] }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().thread_stack_size(parser::STACK_BYTES_MIN).build().unwrap().block_on(future)
}

fn statement(sql: &str) -> Statement {
    parser::parse(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}")).remove(0).statement
}

fn parse_query(sql: &str) -> ast::Query {
    match statement(sql) {
        Statement::Query(query) => *query,
        other => panic!("not a query: {other:?}"),
    }
}

fn header(schema: &SchemaRef) -> String {
    let column = |field: &Arc<arrow::datatypes::Field>| format!("{} {}", field.name(), PgType::of_field(field).spelling());
    schema.fields().iter().map(column).collect::<Vec<_>>().join(", ")
}

fn lines(batches: &[RecordBatch]) -> String {
    let mut lines = Vec::new();
    for batch in batches {
        let schema = batch.schema();
        let columns: Vec<ArrayRef> = batch
            .columns()
            .iter()
            .zip(schema.fields())
            .map(|(column, field)| text::to_text(column, field, &weir_common::timezone::TimeZone::UTC).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let value = |column: &ArrayRef| match column.is_valid(row) {
                true => arrow::array::AsArray::as_string::<i32>(column.as_ref()).value(row).to_string(),
                false => "-".to_string(),
            };
            lines.push(columns.iter().map(value).collect::<Vec<_>>().join(" | "));
        }
    }
    lines.join("\n")
}

/// Bids and a few tables, for most tests.
fn world() -> World {
    World::default()
        .table("t", "id bigint not null; name text; price numeric(10,2); n integer; x double precision; s smallint; at timestamp without time zone; ok boolean", Some(vec![0]), "
            1 | one | 1.50 | 10 | 1.5 | 1 | 2024-01-01 00:00:30 | t
            2 | two | 2.25 | 20 | -  | 2 | 2024-01-01 00:01:10 | f
            3 | -   | -    | -  | 0  | - | 2024-01-01 00:01:50 | -
        ")
        .source("bids", "auction bigint; price bigint; channel text; at timestamp without time zone", Some(3), "
            1 | 100 | web | 2024-01-01 00:00:30
            1 | 300 | app | 2024-01-01 00:00:50
            2 | 50  | web | 2024-01-01 00:01:10
            2 | 70  | web | -
        ")
        .source("endless", "k bigint", None, "1")
        .view("cheap", "SELECT id, price * 2 AS twice FROM t WHERE price < 2")
}
