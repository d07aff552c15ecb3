//! The shape and the facts of the plans that views become.

use arrow::datatypes::DataType;
use weir_common::plan::{AggregateFunction, Closing, EventTime, Op, TimeStep, WindowEnd};

use super::{World, world};
use crate::explain::describe;

const MINUTE: i64 = 60_000_000;

fn plan(sql: &str) -> String {
    plan_in(&world(), sql)
}

fn plan_in(world: &World, sql: &str) -> String {
    // Numbers of relations differ between worlds; their names do not.
    let lines = describe(&world.plan(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}")).root);
    let mut text = lines.join("\n");
    for relation in world.catalog.relations() {
        text = text.replace(&relation.id.to_string(), &relation.name);
    }
    text
}

#[test]
fn projections_and_filters_keep_keys() {
    assert_eq!(plan("SELECT id, name FROM t"), "Import t (id, name)  [key (id)]");
    assert_eq!(
        plan("SELECT name, id FROM t WHERE n > 5"),
        "Project name, id  [key (id)]\n  Filter t.n > 5  [key (id)]\n    Import t (id, name, n)  [key (id)]"
    );
    assert_eq!(plan("SELECT name FROM t"), "Import t (name)");
    assert_eq!(plan("SELECT twice FROM cheap").lines().last().unwrap().trim(), "Import t (price)");
}

#[test]
fn conditions_on_now_are_a_step_of_their_own() {
    assert_eq!(
        plan("SELECT id FROM t WHERE n > 5 AND at > now() - INTERVAL '1 hour'"),
        "Project id  [key (id)]\n  TemporalFilter now() - 01:00:00 < at  [key (id)]\n    Filter t.n > 5  [key (id)]\n      Import t (id, n, at)  [key (id)]"
    );
    assert_eq!(
        plan("SELECT price FROM bids WHERE NOT (at BETWEEN CURRENT_DATE - 1 AND now() - INTERVAL '1 month 1 hour') OR price > 7"),
        "Project price\n  TemporalFilter date(now()) - 24:00:00 > at OR now() - 1 months - 01:00:00 < at OR bids.price > 7\n    Import bids (price, at)  [append-only; at follows the watermark of bids]"
    );
    // As the row's, such conditions go towards the rows.
    assert_eq!(
        plan("SELECT later FROM (SELECT at + INTERVAL '1 day' AS later FROM t) x WHERE later > now()").lines().nth(1).unwrap().trim(),
        "TemporalFilter now() < (t.at + INTERVAL '1 day')"
    );
}

#[test]
fn sources_carry_their_time() {
    let world = world();
    let source = world.id("bids");
    let facts = world.plan("SELECT at + INTERVAL '1 hour' AS later, price, at FROM bids WHERE price > 10").unwrap().root.facts;
    assert!(facts.append_only);
    assert_eq!(facts.key, None);
    assert_eq!(
        facts.event_times,
        [EventTime { column: 0, source, steps: vec![TimeStep::Shift(60 * MINUTE)] }, EventTime { column: 2, source, steps: vec![] }]
    );
}

#[test]
fn a_window_is_a_floor_that_closes() {
    let world = world();
    let sql = "SELECT window_start, window_end, auction, count(*) AS bids, max(price) FILTER (WHERE channel = 'web') AS top, sum(price), avg(price)
               FROM TUMBLE(bids, at, INTERVAL '1 minute') WHERE price > 10 GROUP BY window_start, window_end, auction HAVING count(*) > 0";
    let plan = world.plan(sql).unwrap();
    let source = world.id("bids");
    let floor = TimeStep::Floor { size: MINUTE, offset: 0 };
    let facts = &plan.root.facts;
    assert!(!facts.append_only);
    // The end of a window follows from its start.
    assert_eq!(facts.key, Some(vec![0, 2]));
    assert_eq!(
        facts.event_times,
        [EventTime { column: 0, source, steps: vec![floor] }, EventTime { column: 1, source, steps: vec![floor, TimeStep::Shift(MINUTE)] }]
    );
    assert_eq!(facts.closes, Some(Closing { source, steps: vec![], column: 0, end: WindowEnd::After(MINUTE) }));
    let Op::Filter { .. } = &plan.root.op else { panic!("HAVING is a filter: {:?}", plan.root.op) };
    let Op::Project { .. } = &plan.root.inputs[0].op else { panic!("{:?}", plan.root.inputs[0].op) };
    let groups = &plan.root.inputs[0].inputs[0];
    let Op::Aggregate { keys: 2, calls, .. } = &groups.op else { panic!("{:?}", groups.op) };
    let functions: Vec<_> =
        calls.iter().map(|call| (call.function, call.argument.is_some(), call.filter.is_some(), call.output.clone())).collect();
    assert!(functions.contains(&(AggregateFunction::Count, false, false, DataType::Int64)));
    assert!(functions.contains(&(AggregateFunction::Max, true, true, DataType::Int64)));
    assert!(functions.contains(&(AggregateFunction::Sum, true, false, DataType::Decimal128(38, 0))));
    assert!(functions.contains(&(AggregateFunction::Avg, true, false, DataType::Decimal128(38, 16))));
    let text = describe(&plan.root).join("\n");
    let (required, filter) = (text.find("RequireEventTime").unwrap(), text.rfind("Filter").unwrap());
    assert!(required < filter, "WHERE comes before the demand for an event time:\n{text}");
}

#[test]
fn aggregates_are_keyed_by_their_groups() {
    assert_eq!(
        plan("SELECT channel, count(*) FROM bids GROUP BY channel"),
        "Aggregate by (channel): count(*)  [key (channel)]\n  Import bids (channel)  [append-only]"
    );
    assert_eq!(plan("SELECT sum(price) FROM bids").lines().next().unwrap(), "Aggregate by (): sum(bids.price)  [one row]");
    assert_eq!(
        plan("SELECT count(*), channel FROM bids GROUP BY channel").lines().next().unwrap(),
        "Project count(*), channel  [key (channel)]"
    );
    assert_eq!(plan("SELECT channel FROM bids GROUP BY channel").lines().next().unwrap(), "Aggregate by (channel):   [key (channel)]");
}

#[test]
fn unions_keep_what_all_inputs_have() {
    let world = world();
    let both = world.plan("SELECT at, price FROM bids WHERE price > 1 UNION ALL SELECT at, auction FROM bids").unwrap().root;
    assert!(both.facts.append_only && both.facts.key.is_none());
    assert_eq!(both.facts.event_times.len(), 1);
    let mixed = world.plan("SELECT at FROM bids UNION ALL SELECT at FROM t").unwrap().root;
    assert!(!mixed.facts.append_only && mixed.facts.event_times.is_empty());
    let cast = world.plan("SELECT n FROM t UNION ALL SELECT price FROM bids").unwrap();
    assert_eq!(cast.schema.field(0).data_type(), &DataType::Int64);
}

#[test]
fn a_view_on_a_view_builds_on_its_facts() {
    let world = world().materialized(
        "by_minute",
        "SELECT window_start, channel, count(*) AS bids FROM TUMBLE(bids, at, INTERVAL '1 minute') GROUP BY window_start, channel",
        "",
    );
    let plan = world.plan("SELECT window_start, max(bids) AS most FROM by_minute GROUP BY window_start").unwrap();
    assert_eq!(plan.root.facts.closes, Some(Closing { source: world.id("bids"), steps: vec![], column: 0, end: WindowEnd::After(MINUTE) }));
    assert_eq!(plan.depends_on, [world.id("by_minute")]);
    let imported = world.plan("SELECT bids, window_start, channel FROM by_minute").unwrap().root;
    assert_eq!(imported.facts.key, Some(vec![1, 2]));
    assert_eq!(imported.facts.closes.map(|closes| closes.column), Some(1));
}

#[test]
fn names_types_and_dependencies_of_a_view() {
    let world = world();
    let plan = world.plan("SELECT id, sum(twice), count(*) FROM cheap GROUP BY id ORDER BY id").unwrap();
    let columns: Vec<String> = plan.columns.iter().map(|column| format!("{} {}", column.name, column.ty.spelling())).collect();
    assert_eq!(columns, ["id bigint", "sum numeric", "count bigint"]);
    assert_eq!((plan.depends_on, plan.reads), (vec![world.id("cheap")], vec![world.id("t")]));
    assert_eq!(plan.notices.len(), 1);
    let named = crate::lower::plan_view(
        &world.catalog,
        "v",
        &super::parse_query("SELECT id, name FROM t"),
        "",
        &["a".to_string()],
        &crate::lower::WindowClauses::default(),
    )
    .unwrap();
    assert_eq!(named.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["a", "name"]);
}

#[test]
fn a_computed_time_is_looked_at_beside_the_columns() {
    let sql = "SELECT count(*) FROM TUMBLE((SELECT at + INTERVAL '1 hour' AS later FROM bids), later, INTERVAL '1 minute')";
    let text = plan(sql);
    assert!(text.contains("RequireEventTime"), "{text}");
}
