//! The fragments of a view, planned from SQL, without timely between them: filters, expressions, groups found and changed.

use std::collections::BTreeMap;

use criterion::{BatchSize, Criterion, Throughput};
use weir_common::delta::Delta;
use weir_common::ids::RelationId;
use weir_common::source::Watermark;
use weir_dataflow::lower::{DataflowPlan, lower};
use weir_dataflow::simulator::Simulator;
use weir_sql::catalog::{Catalog, ColumnDef, Relation, RelationKind, SourceDef};
use weir_sql::lower::{WindowClauses, plan_view};
use weir_sql::parser;
use weir_sql::statement::Statement;

use crate::sources;

/// Batches that a view takes in before its cost is measured, so that its groups are there.
const BEFORE: usize = 32;
/// Batches in an epoch, as the engine has under load.
const EPOCH: usize = 8;

const VIEWS: &[(&str, &str)] = &[
    ("filter", "SELECT auction, price FROM bids WHERE mod(auction, 123) = 0"),
    ("project", "SELECT auction, bidder, 0.908 * price AS price, date_time, extra FROM bids"),
    ("group by bigint", "SELECT auction, count(*) AS n, sum(price) AS total, max(price) AS top FROM bids GROUP BY auction"),
    ("group by text", "SELECT channel, count(*) AS n, sum(price) AS total FROM bids GROUP BY channel"),
    (
        "tumble",
        "SELECT window_start, auction, count(*) AS n FROM TUMBLE(bids, date_time, INTERVAL '10 seconds') GROUP BY window_start, auction",
    ),
    (
        "hop",
        "SELECT window_start, auction, count(*) AS n
         FROM HOP(bids, date_time, INTERVAL '2 seconds', INTERVAL '10 seconds') GROUP BY window_start, auction",
    ),
];

/// Each view over bids, on one worker: the cost of a row in a full epoch.
pub fn views(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("view");
    let batches = sources::bids(BEFORE + EPOCH);
    let rows: usize = batches[BEFORE..].iter().map(|batch| batch.num_rows()).sum();
    group.throughput(Throughput::Elements(rows as u64)).sample_size(20);
    for (name, sql) in VIEWS {
        let plan = plan(sql);
        let columns = &plan.imports[0].columns;
        let inputs: Vec<Delta> = batches.iter().map(|batch| Delta::insert(batch.project(columns).expect("columns"))).collect();
        let filled = || {
            let mut view = Simulator::new(&plan, 1);
            inputs[..BEFORE].iter().for_each(|delta| view.push(0, delta.clone(), 0));
            view.close_epoch();
            view
        };
        let epoch = |mut view: Simulator| {
            inputs[BEFORE..].iter().for_each(|delta| view.push(0, delta.clone(), 0));
            let out = view.close_epoch();
            // Handed back, so that freeing it is not measured.
            (view, out)
        };
        group.bench_function(*name, |bencher| bencher.iter_batched(filled, epoch, BatchSize::LargeInput));
    }
}

/// What CREATE MATERIALIZED VIEW would run.
fn plan(sql: &str) -> DataflowPlan {
    let source = sources::table("bid");
    let columns: Vec<ColumnDef> = source.schema().fields().iter().map(|field| ColumnDef::of_field(field)).collect();
    let event_time = columns.iter().position(|column| column.name == "date_time");
    let of_source = SourceDef {
        source,
        watermark: event_time.map(|column| Watermark::of(column, 4_000_000)),
        connector: "nexmark".into(),
        options: BTreeMap::new(),
        format: String::new(),
        encode: String::new(),
        format_options: Default::default(),
    };
    let bids = Relation {
        id: RelationId::FIRST_USER,
        name: "bids".into(),
        kind: RelationKind::Source(of_source),
        columns,
        sql: String::new(),
        depends_on: vec![],
    };
    let parsed = parser::parse(sql).expect("SQL").remove(0);
    let Statement::Query(query) = &parsed.statement else { panic!("{sql} is no query") };
    let view =
        plan_view(&Catalog::default().with(bids), "v", query, sql, &[], &WindowClauses::default()).expect("a view that can be maintained");
    lower(&view.root, "v", 1).expect("a plan that can be cut")
}
