//! Relations of schema `weir` as texts, for what no source of the SQL tests has.

use std::sync::Arc;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use weir_common::ids::RelationId;
use weir_engine::status::{PartitionStatus, SourceStatus, Status};
use weir_sql::catalog::{Catalog, Relation, RelationKind, ViewDef};

use super::tables_of;

const SOURCE: RelationId = RelationId(20000);

/// A catalog with a relation "s" of this number.
pub(crate) fn catalog() -> Catalog {
    let kind = RelationKind::View(ViewDef { query: String::new() });
    Catalog::default().with(Relation { id: SOURCE, name: "s".into(), kind, columns: vec![], sql: String::new(), depends_on: vec![] })
}

/// A source of so many partitions, the second of which is idle and the last of which gave nothing yet.
pub(crate) fn status(partitions: u32) -> Status {
    let partition = |partition| PartitionStatus {
        partition,
        watermark: (partition < 2).then_some(1_356_998_400_000_000 + i64::from(partition)),
        idle_since: (partition == 1).then_some(1_795_305_600_000_000),
        holds_back: partition == 2,
    };
    let source = SourceStatus {
        source: SOURCE,
        view: None,
        rows: 3,
        bytes: 4,
        dead_letters: 0,
        position: String::new(),
        at_end: false,
        watermark: Some(1_356_998_300_000_000),
        watermark_moved: Some(1_795_305_500_000_000),
        idle_since: None,
        partitions: if partitions > 1 { (0..partitions).map(partition).collect() } else { vec![] },
        held_up: 1_500_000,
        error: None,
    };
    Status { sources: vec![source], ..Status::default() }
}

fn rows(table: &str, status: Status) -> Vec<String> {
    let tables = tables_of(&catalog(), Some(Arc::new(status)), Default::default());
    let rows = (tables.iter().find(|one| one.name == table).unwrap().rows)().unwrap();
    let options = FormatOptions::default().with_null("-");
    let columns: Vec<_> = rows.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    (0..rows.num_rows()).map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|")).collect()
}

#[test]
fn a_source_with_several_partitions_has_a_line_for_each_and_says_who_holds_it_back() {
    assert_eq!(rows("watermarks", status(1)), ["s|source|-|2012-12-31T23:58:20|-|2026-11-21T23:58:20Z|-"]);
    assert_eq!(
        rows("watermarks", status(3)),
        [
            "s|source|-|2012-12-31T23:58:20|partition 2|2026-11-21T23:58:20Z|-",
            "s|source|0|2013-01-01T00:00:00|-|-|-",
            "s|source|1|2013-01-01T00:00:00.000001|-|-|2026-11-22T00:00:00Z",
            "s|source|2|-|-|-|-",
        ]
    );
}
