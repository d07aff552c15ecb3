//! Random views over windows, and what they show of the model's groups.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{Schema, SchemaRef};
use fastrand::Rng;
use weir_common::error::Result;
use weir_common::ids::RelationId;
use weir_common::lateness::Emit;
use weir_common::plan::{EventTime, Facts};
use weir_common::types::PgType;
use weir_sql::catalog::{Catalog, ColumnDef, MaterializedViewDef, Relation, RelationKind};
use weir_sql::lower::{ViewPlan, WindowClauses, plan_view};
use weir_sql::parser;
use weir_sql::statement::Statement;

use crate::time::model::{Group, Rules, Values};
use crate::time::sessions::Sessions;
use crate::time::{INPUT, SECOND};
use crate::value::percent;

/// A view, and what is to be expected of it.
pub struct View {
    pub rules: Rules,
    /// How far the watermark stays behind the greatest time: seconds.
    pub delay: i64,
    /// Whether rows of the input never go.
    pub append_only: bool,
    /// Whether it counts each value once.
    distinct: bool,
    /// Whether its late rows can be admitted.
    pub admits: bool,
    pub sql: String,
}

/// Of the input.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(columns().iter().map(ColumnDef::field).collect::<Vec<_>>()))
}

fn columns() -> Vec<ColumnDef> {
    vec![ColumnDef::new("ts", PgType::Timestamp), ColumnDef::new("k", PgType::Int4), ColumnDef::new("v", PgType::Int4)]
}

impl View {
    pub fn random(rng: &mut Rng) -> View {
        let append_only = rng.bool();
        let slide = rng.i64(1..30);
        let size = match rng.u8(0..4) {
            0 | 1 => slide,
            2 => slide * rng.i64(1..5),
            _ => slide * rng.i64(1..4) + rng.i64(0..slide),
        };
        let sessions = percent(rng, 40).then(|| Sessions { gap: rng.i64(1..25), by_key: percent(rng, 70) });
        let cumulates = size % slide == 0 && percent(rng, 50);
        let hop = !cumulates && (size != slide || percent(rng, 20));
        let offset = if percent(rng, 30) { rng.i64(-20..20) } else { 0 };
        let emit = [Emit::Update, Emit::Update, Emit::WindowClose, Emit::WindowClose, Emit::Final][rng.usize(..5)];
        let said = percent(rng, 60).then(|| rng.i64(0..40));
        let retention = percent(rng, 30).then(|| said.unwrap_or(0) + rng.i64(0..60));
        let lateness = said.or(match emit {
            Emit::Update => retention,
            Emit::WindowClose | Emit::Final => Some(0),
        });
        let distinct = percent(rng, 25);
        let closes = lateness.is_some();
        let keep_closed = (closes && percent(rng, 30)).then(|| rng.bool());
        // Distinct values, and the extremes of rows that may go, need all values; sessions need all rows.
        let keeps_values = distinct || !append_only || sessions.is_some();
        let admits = closes && keep_closed.unwrap_or(!keeps_values);
        let rejected = percent(rng, 30).then(|| rng.i32(0..5));
        let interval = |seconds: i64| format!("INTERVAL '{seconds} seconds'");
        let offset_text = if offset == 0 { String::new() } else { format!(", {}", interval(offset)) };
        // Rows that are rejected before they are put into windows hold no session together.
        let accepted = rejected.filter(|_| sessions.is_some()).map(|value| format!("(SELECT * FROM i WHERE v <> {value})"));
        let input = accepted.as_deref().unwrap_or("i");
        let windows = match hop {
            _ if let Some(Sessions { gap, by_key }) = sessions => {
                let partition = if by_key { " PARTITION BY k" } else { "" };
                format!("SESSION({input}{partition}, ts, {})", interval(gap))
            }
            _ if cumulates => format!("CUMULATE(i, ts, {}, {}{offset_text})", interval(slide), interval(size)),
            true => format!("HOP(i, ts, {}, {}{offset_text})", interval(slide), interval(size)),
            false => format!("TUMBLE(i, ts, {}{offset_text})", interval(size)),
        };
        // Cumulating windows are told by their ends.
        let told =
            if cumulates && sessions.is_none() { format!("window_end - {} AS told", interval(size)) } else { "window_start".to_string() };
        let counted = if distinct { "count(DISTINCT v)" } else { "max(v)" };
        let filter = rejected.filter(|_| accepted.is_none()).map_or(String::new(), |value| format!(" WHERE v <> {value}"));
        let mut sql = format!(
            "CREATE MATERIALIZED VIEW v AS SELECT {told}, window_end AS e, k, count(*) AS n, sum(v) AS s, min(v) AS lo, {counted} AS x FROM {windows}{filter} GROUP BY window_start, window_end, k"
        );
        if let Some(said) = said {
            sql += &format!(" ALLOW LATENESS {}", interval(said));
        }
        sql += match emit {
            Emit::Update => "",
            Emit::WindowClose => " EMIT ON WINDOW CLOSE",
            Emit::Final => " EMIT FINAL",
        };
        let options = retention.map(|retention| format!("retention = '{retention} seconds'"));
        let options: Vec<String> = options.into_iter().chain(keep_closed.map(|keep| format!("keep_closed = '{keep}'"))).collect();
        if !options.is_empty() {
            sql += &format!(" WITH ({})", options.join(", "));
        }
        let slide = if hop || cumulates { slide } else { size };
        let keeps_results = append_only || retention.is_some() || keep_closed == Some(true);
        let rules = Rules { size, slide, cumulates, offset, sessions, keeps_results, emit, lateness, retention, rejected };
        View { rules, delay: rng.i64(0..20), append_only, distinct, admits, sql }
    }

    /// Whether no result is ever taken back.
    pub fn is_final_for_good(&self) -> bool {
        self.rules.emit == Emit::Final && self.rules.retention.is_none() && !self.admits
    }

    /// A catalog with the input, and the source whose watermark it has.
    pub fn catalog(&self) -> (Catalog, RelationId) {
        let event_times = vec![EventTime { column: 0, source: INPUT, steps: Vec::new() }];
        let facts = Facts { append_only: self.append_only, event_times, ..Facts::default() };
        let def = MaterializedViewDef { query: String::new(), facts, late: None, late_positions: true, admits_late: false, life: None };
        let (name, sql) = ("i".to_string(), String::new());
        let kind = RelationKind::MaterializedView(def);
        (Catalog::default().with(Relation { id: INPUT, name, kind, columns: columns(), sql, depends_on: Vec::new() }), INPUT)
    }

    pub fn plan(&self, catalog: &Catalog) -> Result<ViewPlan> {
        let Statement::CreateMaterializedView(create) = parser::parse(&self.sql)?.remove(0).statement else {
            panic!("not a materialized view: {}", self.sql)
        };
        let option = |name: &str| create.options.get(name).map(|option| (option.value.clone(), option.position));
        let clauses = WindowClauses {
            emit: create.emit.zip(create.emit_position),
            lateness: create.allow_lateness.clone(),
            retention: option("retention"),
            keep_closed: option("keep_closed").map(|(value, position)| (value == "true", position)),
            late_entries: None,
            late_positions: true,
        };
        plan_view(catalog, "v", &create.query, &self.sql, &[], &clauses)
    }

    /// The rows of groups, as the view has them.
    pub fn rows(&self, groups: &[(Group, Values)], schema: &SchemaRef) -> RecordBatch {
        let each = || groups.iter();
        let last: ArrayRef = match self.distinct {
            true => Arc::new(Int64Array::from_iter_values(each().map(|(_, rows)| rows.len() as i64))),
            false => Arc::new(Int32Array::from_iter_values(each().filter_map(|(_, rows)| rows.keys().next_back().copied()))),
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMicrosecondArray::from_iter_values(each().map(|((start, ..), _)| start * SECOND))),
            Arc::new(TimestampMicrosecondArray::from_iter_values(each().map(|((_, end, _), _)| end * SECOND))),
            Arc::new(Int32Array::from_iter_values(each().map(|((.., key), _)| *key))),
            Arc::new(Int64Array::from_iter_values(each().map(|(_, rows)| rows.values().sum::<i64>()))),
            Arc::new(Int64Array::from_iter_values(
                each().map(|(_, rows)| rows.iter().map(|(value, count)| i64::from(*value) * count).sum()),
            )),
            Arc::new(Int32Array::from_iter_values(each().filter_map(|(_, rows)| rows.keys().next().copied()))),
            last,
        ];
        RecordBatch::try_new(schema.clone(), columns).expect("the view's columns")
    }
}
