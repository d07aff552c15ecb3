//! The catalog: names, versions, dependents, and what stands in the way of a DROP.

use super::{World, world};
use crate::catalog::{Catalog, told};

fn names(catalog: &Catalog, ids: &[weir_common::ids::RelationId]) -> Vec<String> {
    ids.iter().map(|id| catalog.by_id(*id).unwrap().name.clone()).collect()
}

#[test]
fn versions_do_not_change_and_numbers_are_not_used_twice() {
    let world = World::default().table("a", "x bigint", None, "").table("b", "x bigint", None, "");
    let (before, b) = (world.catalog.clone(), world.id("b"));
    let after = before.without(b);
    assert!(before.by_name("b").is_some() && after.by_name("b").is_none());
    assert_eq!(after.next_id(), before.next_id());
    assert_eq!(after.check_free("a").unwrap_err().sqlstate().0, "42P07");
    assert_eq!(after.require("aa").unwrap_err().hint(), Some("Perhaps you meant to reference the relation \"a\"."));
}

#[test]
fn dependents_are_found_through_views() {
    let world =
        world().materialized("totals", "SELECT id, count(*) AS n FROM cheap GROUP BY id", "").view("top", "SELECT max(n) FROM totals");
    let catalog = &world.catalog;
    assert_eq!(names(catalog, &catalog.dependents(world.id("t"))), ["cheap", "totals", "top"]);
    let error = catalog.dependents_error(&[world.id("t")]).unwrap();
    assert_eq!((error.sqlstate().0, error.message()), ("2BP01", "cannot drop table t because other objects depend on it"));
    assert_eq!(
        error.detail(),
        Some("view cheap depends on table t\nmaterialized view totals depends on view cheap\nview top depends on materialized view totals")
    );
    assert!(catalog.dependents_error(&[world.id("top")]).is_none());
    let all = ["t", "cheap", "totals", "top"].map(|name| world.id(name));
    assert!(catalog.dependents_error(&all).is_none());
    assert_eq!(
        catalog.dependents_error(&all[..2]).unwrap().message(),
        "cannot drop desired object(s) because other objects depend on them"
    );
}

#[test]
fn only_so_many_dependents_are_told() {
    let lines = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!(told(&lines(2)), "0\n1");
    assert!(told(&lines(100)).ends_with("\n98\n99"));
    assert!(told(&lines(101)).ends_with("\n99\nand 1 other object"));
    assert!(told(&lines(203)).ends_with("\n99\nand 103 other objects"));
}
