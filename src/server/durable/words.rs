//! A relation as text: how the epoch log knows what was created. JSON, so that people can read it and later versions can add to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use serde::{Deserialize, Serialize};
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::RelationId;
use weir_common::plan::Facts;
use weir_common::source::Watermark;
use weir_common::types::PgType;
use weir_connectors::SourceFormat;
use weir_sql::catalog::{CheckDef, ColumnDef, MaterializedViewDef, Relation, RelationKind, SourceDef, TableDef, ViewDef};

/// A relation, without what is made of it: readers and plans.
#[derive(Serialize, Deserialize)]
struct Words {
    id: RelationId,
    name: String,
    sql: String,
    depends_on: Vec<RelationId>,
    columns: Vec<Column>,
    kind: Kind,
}

#[derive(Serialize, Deserialize)]
struct Column {
    name: String,
    /// Postgres' spelling.
    r#type: String,
    /// Arrow's spelling.
    stored_as: String,
    #[serde(default)]
    not_null: bool,
    #[serde(default)]
    default: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Table {
        key: Option<Vec<usize>>,
        key_name: Option<String>,
        checks: Vec<Check>,
        #[serde(default)]
        event_time: Option<usize>,
        #[serde(default)]
        delay_micros: i64,
    },
    Source {
        event_time: Option<usize>,
        delay_micros: i64,
        #[serde(default)]
        idle_timeout_micros: Option<i64>,
        #[serde(default)]
        max_future_micros: Option<i64>,
        options: BTreeMap<String, String>,
        format: Option<Format>,
    },
    View {
        query: String,
    },
    MaterializedView {
        query: String,
        #[serde(default)]
        late_positions: bool,
    },
}

#[derive(Serialize, Deserialize)]
struct Check {
    name: String,
    expr: String,
    columns: Vec<usize>,
}

#[derive(Serialize, Deserialize)]
struct Format {
    format: String,
    encode: String,
    options: BTreeMap<String, String>,
}

/// A relation's words.
pub fn of(relation: &Relation) -> Result<Vec<u8>> {
    let columns = relation.columns.iter().map(|column| Column {
        name: column.name.clone(),
        r#type: column.ty.spelling(),
        stored_as: column.data_type.to_string(),
        not_null: column.not_null,
        default: column.default.clone(),
    });
    let kind = match &relation.kind {
        RelationKind::Table(TableDef { key, key_name, checks, watermark }) => {
            let check = |check: &CheckDef| Check { name: check.name.clone(), expr: check.expr.clone(), columns: check.columns.clone() };
            Kind::Table {
                key: key.clone(),
                key_name: key_name.clone(),
                checks: checks.iter().map(check).collect(),
                event_time: watermark.map(|watermark| watermark.column),
                delay_micros: watermark.map_or(0, |watermark| watermark.delay),
            }
        }
        RelationKind::Source(source) => Kind::Source {
            event_time: source.watermark.map(|watermark| watermark.column),
            delay_micros: source.watermark.map_or(0, |watermark| watermark.delay),
            idle_timeout_micros: source.watermark.map(|watermark| watermark.idle_timeout),
            max_future_micros: source.watermark.map(|watermark| watermark.max_future),
            options: source.options.clone(),
            format: (!source.format.is_empty()).then(|| Format {
                format: source.format.clone(),
                encode: source.encode.clone(),
                options: source.format_options.clone(),
            }),
        },
        RelationKind::View(view) => Kind::View { query: view.query.clone() },
        RelationKind::MaterializedView(view) => Kind::MaterializedView { query: view.query.clone(), late_positions: view.late_positions },
        RelationKind::LateRows(_) => return Err(Error::internal("late rows come with their view")),
    };
    let words = Words {
        id: relation.id,
        name: relation.name.clone(),
        sql: relation.sql.clone(),
        depends_on: relation.depends_on.clone(),
        columns: columns.collect(),
        kind,
    };
    serde_json::to_vec(&words).map_err(|error| Error::internal(format!("a definition cannot be written: {error}")))
}

/// The number of the relation that was meant; nothing else of it need be possible any more.
pub fn id(words: &[u8]) -> Result<RelationId> {
    #[derive(Deserialize)]
    struct Number {
        id: RelationId,
    }
    let number: Number = serde_json::from_slice(words).map_err(|error| damaged(&error.to_string()))?;
    Ok(number.id)
}

/// The relation that was meant. A materialized view has no facts yet: its plan says them.
pub fn relation(words: &[u8]) -> Result<Relation> {
    let words: Words = serde_json::from_slice(words).map_err(|error| damaged(&error.to_string()))?;
    let columns = words.columns.into_iter().map(column).collect::<Result<Vec<_>>>()?;
    let kind = match words.kind {
        Kind::Table { key, key_name, checks, event_time, delay_micros } => {
            let check = |Check { name, expr, columns }| CheckDef { name, expr, columns };
            let watermark = event_time.map(|column| Watermark::of(column, delay_micros));
            RelationKind::Table(TableDef { key, key_name, checks: checks.into_iter().map(check).collect(), watermark })
        }
        Kind::Source { event_time, delay_micros, idle_timeout_micros, max_future_micros, options, format } => {
            let schema = Arc::new(Schema::new(columns.iter().map(ColumnDef::field).collect::<Vec<_>>()));
            let said = format.map(|Format { format, encode, options }| SourceFormat { format, encode, options });
            let source = weir_connectors::declared(&words.name, schema, said.as_ref(), &options)?;
            let connector = options.get("connector").cloned().unwrap_or_default();
            let SourceFormat { format, encode, options: format_options } =
                said.unwrap_or_else(|| SourceFormat { format: String::new(), encode: String::new(), options: BTreeMap::new() });
            let watermark = event_time.map(|column| {
                let said = Watermark::of(column, delay_micros);
                let idle_timeout = idle_timeout_micros.unwrap_or(said.idle_timeout);
                Watermark { idle_timeout, max_future: max_future_micros.unwrap_or(said.max_future), ..said }
            });
            RelationKind::Source(SourceDef { source, watermark, connector, options, format, encode, format_options })
        }
        Kind::View { query } => RelationKind::View(ViewDef { query }),
        Kind::MaterializedView { query, late_positions } => {
            let facts = Facts::default();
            let def = MaterializedViewDef { query, facts, late: None, late_positions, admits_late: false, life: None };
            RelationKind::MaterializedView(def)
        }
    };
    Ok(Relation { id: words.id, name: words.name, kind, columns, sql: words.sql, depends_on: words.depends_on })
}

fn column(column: Column) -> Result<ColumnDef> {
    let ty = PgType::parse(&column.r#type).ok_or_else(|| damaged(&format!("there is no type {}", column.r#type)))?;
    let data_type: DataType = column.stored_as.parse().map_err(|error| damaged(&format!("{error}")))?;
    Ok(ColumnDef { name: column.name, ty, data_type, not_null: column.not_null, default: column.default })
}

fn damaged(why: &str) -> Error {
    Error::new(SqlState::DATA_CORRUPTED, format!("a definition in the epoch log cannot be read: {why}"))
}
