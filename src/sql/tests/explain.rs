//! EXPLAIN of queries, and the text of plans.

use super::{wait, world};
use crate::explain::describe;

#[test]
fn a_query_shows_its_physical_plan() {
    let world = world();
    let plan = world.prepare("SELECT name FROM t WHERE id = 2").unwrap();
    let lines = wait(world.context().explain(&plan, &[], world.snapshots())).unwrap();
    assert!(lines.last().unwrap().trim().starts_with("SnapshotExec: t, columns=[id, name], rows=3"), "{lines:?}");
}

#[test]
fn a_view_shows_its_steps() {
    let world = world();
    let lines = describe(&world.plan("SELECT name, count(*) FROM t WHERE ok GROUP BY name").unwrap().root);
    assert_eq!(lines[0], "Aggregate by (name): count(*)  [key (name)]");
    assert!(lines.last().unwrap().trim().starts_with("Import t ("), "{lines:?}");
}
