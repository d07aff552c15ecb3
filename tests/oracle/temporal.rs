//! Temporal filters: random conditions on `now()` over random rows, while a hand moves the clock. After each epoch the view must be
//! what its query answers as a batch at the wall clock of that epoch.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use fastrand::Rng;
use tokio::runtime::Runtime;
use weir_common::delta::Delta;
use weir_common::ids::RelationId;
use weir_common::plan::Facts;
use weir_common::types::PgType;
use weir_dataflow::explain::explain;
use weir_dataflow::lower::lower;
use weir_dataflow::simulator::{Integral, Simulator};
use weir_dataflow::times::EpochTimes;
use weir_sql::ScalarValue;
use weir_sql::catalog::{Catalog, ColumnDef, MaterializedViewDef, Relation, RelationKind};
use weir_sql::context::{Context, NoSystem, Settings};
use weir_sql::lower::{WindowClauses, plan_view};

use crate::batch::{self, Stored};
use crate::compare::difference;
use crate::relation::Row;
use crate::restart;
use crate::value::{percent, pick};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// 2024-02-27 00:00:00: near a day that most years do not have.
const START: i64 = 19_780 * DAY;

/// What the runs have met, so that a test can say that it tested something.
#[derive(Debug, Default)]
pub struct Met {
    /// Rows that views showed.
    pub shown: usize,
    /// Rows that came or went in epochs without any input.
    pub by_themselves: usize,
    pub restarts: usize,
}

/// Runs a random view over random rows; the first difference, if there is one.
pub fn run(seed: u64, met: &mut Met, runtime: &Runtime) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let append_only = rng.bool();
    let catalog = catalog(append_only);
    let (sql, keeps_groups) = query(&mut rng);
    let workers = rng.usize(1..=4);
    let planned = plan_view(&catalog, "v", &batch::query(&sql).expect("a query"), &sql, &[], &WindowClauses::default());
    let plan = planned.map_err(|error| format!("WEIR_SEED={seed}: {sql}\ncannot be planned: {error:?}"))?;
    let dataflow = lower(&plan.root, "v", workers).map_err(|error| format!("WEIR_SEED={seed}: {sql}\ncannot be lowered: {error:?}"))?;
    let failed = |epoch: usize, now: i64, message: String| {
        format!("WEIR_SEED={seed}, {workers} workers, after epoch {epoch} at {now}: {message}\nof\n    {sql}\n{}", explain(&dataflow))
    };
    let mut simulator = Simulator::new(&dataflow, workers);
    if rng.bool() {
        simulator = restart::now_and_then(simulator, &plan.root, seed);
        met.restarts += 1;
    }
    let schema = Arc::new(Schema::new(columns().iter().map(ColumnDef::field).collect::<Vec<_>>()));
    let (mut now, mut here, mut shown) = (START + rng.i64(0..3 * DAY), Vec::<Row>::new(), Integral::new());
    let scale = pick(&mut rng, &[10 * SECOND, 3600 * SECOND, DAY, 20 * DAY]);
    let imports: Vec<Vec<usize>> = dataflow.imports.iter().map(|import| import.columns.clone()).collect();
    let epochs = rng.usize(4..16);
    for epoch in 0..epochs {
        now = later(&mut rng, now, scale, &here);
        simulator.at(EpochTimes { wall_micros: now, ..EpochTimes::NONE });
        let mut changes: Vec<(Row, i64)> = (0..rng.usize(0..6) * rng.usize(0..2)).map(|_| (row(&mut rng, now, scale), 1)).collect();
        here.extend(changes.iter().map(|(row, _)| row.clone()));
        if !append_only {
            // In the last epochs all of them go.
            let going = if epoch + 2 >= epochs { here.len() } else { rng.usize(0..3).min(here.len()) };
            changes.extend((0..going).map(|_| (here.swap_remove(rng.usize(..here.len())), -1)));
        }
        push(&mut simulator, &imports, &schema, &changes, &mut rng, append_only);
        let out = simulator.close_epoch();
        if changes.is_empty() {
            met.by_themselves += out.iter().map(Delta::num_rows).sum::<usize>();
        }
        out.iter().for_each(|delta| shown.add(delta));
        let stored = Stored::from([(INPUT, batch::snapshot(batch::batch(&schema, here.iter()), epoch as u64 + 1))]);
        let context = Context::new(catalog.clone(), Arc::new(NoSystem), &Settings { now_micros: now, ..Settings::default() });
        let answer = context.plan_query(&batch::query(&sql).expect("a query"), &sql, &[]);
        let answer =
            answer.and_then(|plan| runtime.block_on(async { context.execute(&plan, &[], Arc::new(stored)).await?.collect().await }));
        let answer = answer.map_err(|error| failed(epoch, now, format!("the batch answer is an error: {error:?}")))?;
        let mut expected = Integral::new();
        answer.into_iter().for_each(|rows| expected.add(&Delta::insert(rows)));
        met.shown += expected.rows().len();
        if let Some(message) = difference(&plan.schema, &shown, &expected) {
            return Err(failed(epoch, now, message));
        }
        if !simulator.take_dead_letters().is_empty() {
            return Err(failed(epoch, now, "there are dead letters".to_string()));
        }
    }
    // When all is over nothing waits.
    simulator.at(EpochTimes { wall_micros: now + 40_000 * DAY, ..EpochTimes::NONE });
    simulator.close_epoch();
    if !keeps_groups && simulator.groups() > 0 {
        return Err(failed(epochs, now, format!("{} rows wait for a moment that is long over", simulator.groups())));
    }
    Ok(())
}

/// The relation that the views read.
const INPUT: RelationId = RelationId::FIRST_USER;

fn columns() -> Vec<ColumnDef> {
    vec![
        ColumnDef::new("ts", PgType::Timestamp),
        ColumnDef::new("tz", PgType::Timestamptz),
        ColumnDef::new("d", PgType::Date),
        ColumnDef::new("k", PgType::Int4),
        ColumnDef::new("v", PgType::Int4),
    ]
}

fn catalog(append_only: bool) -> Catalog {
    let facts = Facts { append_only, ..Facts::default() };
    let kind = RelationKind::MaterializedView(MaterializedViewDef {
        query: String::new(),
        facts,
        late: None,
        late_positions: true,
        admits_late: false,
        life: None,
    });
    let (name, sql) = ("i".to_string(), String::new());
    Catalog::default().with(Relation { id: INPUT, name, kind, columns: columns(), sql, depends_on: Vec::new() })
}

/// A query with conditions on `now()`, and whether something besides the rows that wait is kept of its rows.
fn query(rng: &mut Rng) -> (String, bool) {
    let condition = condition(rng, 3);
    match rng.u8(0..8) {
        0 => (format!("SELECT k, count(*) AS n, sum(v) AS s, max(v) AS x FROM i WHERE {condition} GROUP BY k"), true),
        1 => (format!("SELECT DISTINCT k, d FROM i WHERE {condition}"), true),
        2 => {
            let (now, op) = (now_side(rng), pick(rng, &["<", "<=", ">", ">="]));
            (format!("SELECT k, max(ts) AS last FROM i GROUP BY k HAVING max(ts) {op} {now} OR count(*) > 3"), true)
        }
        3 => (format!("SELECT k, v FROM i WHERE {condition} UNION ALL SELECT v, k FROM i WHERE v = 1 OR {}", comparison(rng)), false),
        4 => (format!("SELECT * FROM (SELECT k, ts, v FROM i WHERE {condition}) x WHERE {}", comparison_of(rng, &["ts"])), false),
        _ => (format!("SELECT ts, k, v FROM i WHERE {condition}"), false),
    }
}

fn condition(rng: &mut Rng, depth: usize) -> String {
    if depth == 0 || percent(rng, 35) {
        return comparison(rng);
    }
    match rng.u8(0..5) {
        0 => format!("NOT ({})", condition(rng, depth - 1)),
        1 | 2 => format!("({} AND {})", condition(rng, depth - 1), either(rng, depth)),
        _ => format!("({} OR {})", condition(rng, depth - 1), either(rng, depth)),
    }
}

fn either(rng: &mut Rng, depth: usize) -> String {
    match percent(rng, 40) {
        true => pick(rng, &["v > 2", "k = 1", "ts IS NULL", "v <> 3 AND k < 2", "NOT v = 0", "d > DATE '2024-03-01'"]).to_string(),
        false => condition(rng, depth - 1),
    }
}

fn comparison(rng: &mut Rng) -> String {
    comparison_of(rng, &["ts", "tz", "d"])
}

/// A comparison of `now()` with something of these columns, which exist.
fn comparison_of(rng: &mut Rng, columns: &[&str]) -> String {
    let now = now_side(rng);
    let value = |rng: &mut Rng| {
        let column = pick(rng, columns);
        match rng.u8(0..8) {
            0 => format!("({column} + {})", interval(rng)),
            1 => format!("({column} - v * {})", pick(rng, &["INTERVAL '1 minute'", "INTERVAL '1 day'"])),
            2 => format!("date_trunc('hour', {column})"),
            3 => "TIMESTAMP '2024-03-01 00:00:00'".to_string(),
            _ => column.to_string(),
        }
    };
    if percent(rng, 20) {
        return length_compared(rng, columns);
    }
    let one = value(rng);
    let op = pick(rng, &["<", "<=", ">", ">=", "=", "<>"]);
    let not = pick(rng, &["", "NOT "]);
    match rng.u8(0..if columns.contains(&"d") { 8 } else { 7 }) {
        0..3 => format!("{one} {op} {now}"),
        3..5 => format!("{now} {op} {one}"),
        5 => format!("{one} {not}BETWEEN {now} AND {}", now_side(rng)),
        6 => format!("{now} {not}BETWEEN {one} AND {}", value(rng)),
        _ => format!("d {not}IN (CURRENT_DATE, CURRENT_DATE - {}, DATE '2024-03-01')", rng.i32(0..40)),
    }
}

/// A comparison of how long ago a time was, or is still to come, with a length.
fn length_compared(rng: &mut Rng, columns: &[&str]) -> String {
    let column = pick(rng, columns);
    let op = pick(rng, &["<", "<=", ">", ">=", "=", "<>"]);
    if column == "d" && rng.bool() {
        let now = pick(rng, &["CURRENT_DATE", "now()::date", "(now() - INTERVAL '1 month')::date"]);
        return match rng.u8(0..3) {
            0 => format!("{now} - d {op} {}", rng.i32(-3..40)),
            1 => format!("{} {op} d - {now}", rng.i32(-40..3)),
            _ => format!("{now} - d IN ({}, {})", rng.i32(0..3), rng.i32(0..40)),
        };
    }
    let now = match rng.u8(0..5) {
        0 => format!("date_trunc('{}', now())", pick(rng, &["hour", "day", "month"])),
        1 => format!("(now() - {})", interval(rng)),
        2 => "now()::timestamp".to_string(),
        _ => "now()".to_string(),
    };
    let sign = pick(rng, &["", "", "-"]);
    let length = |rng: &mut Rng| match rng.u8(0..4) {
        0 => format!("INTERVAL '{sign}{} seconds'", rng.i32(0..5000)),
        1 => format!("INTERVAL '{sign}{} hours'", rng.i32(0..60)),
        2 => format!("INTERVAL '{} days {} hours'", rng.i32(-2..40), rng.i32(-30..30)),
        _ => format!("'{sign}{} days'", rng.i32(0..40)),
    };
    let length_of = format!("{now} - {column}");
    match rng.u8(0..5) {
        0 => format!("{column} - {now} {op} {}", length(rng)),
        1 => format!("{} {op} {length_of}", length(rng)),
        2 => format!("{length_of} {}BETWEEN {} AND {}", pick(rng, &["", "NOT "]), length(rng), length(rng)),
        _ => format!("{length_of} {op} {}", length(rng)),
    }
}

fn now_side(rng: &mut Rng) -> String {
    match rng.u8(0..12) {
        0 => "now()".to_string(),
        1 => "current_timestamp".to_string(),
        2 => "CURRENT_DATE".to_string(),
        3 => format!("CURRENT_DATE - {}", rng.i32(-3..40)),
        4 => format!("date_trunc('{}', now())", pick(rng, &["minute", "hour", "day", "week", "month", "quarter", "year"])),
        5 => format!("date_trunc('month', now() - {}) + {}", interval(rng), interval(rng)),
        6 => format!("{} + now()", interval(rng)),
        7 => format!("now()::timestamp - {}", interval(rng)),
        8 => format!("(now() - {})::date", interval(rng)),
        9 => format!("now() - {} + {}", interval(rng), interval(rng)),
        _ => format!("now() - {}", interval(rng)),
    }
}

fn interval(rng: &mut Rng) -> String {
    let length = match rng.u8(0..6) {
        0 => format!("{} seconds", rng.i32(0..90)),
        1 => format!("{} minutes", rng.i32(1..90)),
        2 => format!("{} days", rng.i32(0..40)),
        3 => format!("{} months", rng.i32(1..14)),
        4 => format!("{} months {} days 01:00:00", rng.i32(-2..3), rng.i32(-2..3)),
        _ => "1 hour".to_string(),
    };
    format!("INTERVAL '{length}'")
}

/// The next wall clock: a while later, or a moment that matters to some row; never an earlier one.
fn later(rng: &mut Rng, now: i64, scale: i64, here: &[Row]) -> i64 {
    if percent(rng, 40) && !here.is_empty() {
        let row = &here[rng.usize(..here.len())];
        if let ScalarValue::TimestampMicrosecond(Some(time), _) = &row[rng.usize(0..2)] {
            let near = time + pick(rng, &[0, 60 * SECOND, 3600 * SECOND, DAY, 30 * DAY, 31 * DAY]) + rng.i64(-1..=1);
            if near > now && near < now + 40 * DAY {
                return near;
            }
        }
    }
    match rng.u8(0..6) {
        0 => now,
        // The next midnight, to the microsecond.
        1 => (now.div_euclid(DAY) + 1) * DAY - rng.i64(0..2),
        _ => now + rng.i64(0..=scale),
    }
}

fn row(rng: &mut Rng, now: i64, scale: i64) -> Row {
    let time = |rng: &mut Rng| {
        let near = now + rng.i64(-2 * scale..=scale);
        let unit = pick(rng, &[1, SECOND, 3600 * SECOND, DAY]);
        (!percent(rng, 8)).then(|| near.div_euclid(unit) * unit)
    };
    let (ts, tz) = (time(rng), time(rng));
    let day = (!percent(rng, 8)).then(|| (now.div_euclid(DAY) + rng.i64(-35..4)) as i32);
    let int = |rng: &mut Rng| (!percent(rng, 5)).then(|| rng.i32(0..4));
    vec![
        ScalarValue::TimestampMicrosecond(ts, None),
        ScalarValue::TimestampMicrosecond(tz, Some("UTC".into())),
        ScalarValue::Date32(day),
        ScalarValue::Int32(int(rng)),
        ScalarValue::Int32(int(rng)),
    ]
}

/// Pushes the rows in random pieces, each to some worker; the delete of a row after it.
fn push(simulator: &mut Simulator, imports: &[Vec<usize>], schema: &SchemaRef, rows: &[(Row, i64)], rng: &mut Rng, append_only: bool) {
    let mut rest = rows;
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(rng.usize(1..=rest.len()));
        rest = later;
        let batch = batch::batch(schema, piece.iter().map(|(row, _)| row));
        let delta = match append_only {
            true => Delta::insert(batch),
            false => Delta::weighted(batch, piece.iter().map(|(_, weight)| *weight).collect()),
        };
        let worker = rng.usize(..4);
        for (import, columns) in imports.iter().enumerate() {
            let rows = delta.rows.project(columns).expect("the relation has the columns");
            simulator.push(import, delta.clone().with_rows(rows), worker);
        }
    }
}
