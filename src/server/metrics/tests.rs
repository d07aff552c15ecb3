//! Metrics of what no source of the other tests has.

use crate::metrics::Metrics;
use crate::system::tests::{catalog, status};

fn lines(partitions: u32) -> Vec<String> {
    let text = Metrics::default().text(&catalog(), &status(partitions), None, 0);
    text.lines()
        .filter(|line| line.starts_with("weir_source_watermark") || line.starts_with("weir_source_held"))
        .map(str::to_string)
        .collect()
}

#[test]
fn partitions_have_a_label_where_there_are_several() {
    let held_up = "weir_source_held_up_seconds_total{relation=\"s\"} 1.5";
    let whole = "weir_source_watermark_seconds{relation=\"s\"} 1356998300";
    let mut one = lines(1);
    one.sort();
    assert_eq!(one, [held_up, whole]);
    let mut three = lines(3);
    three.sort();
    let of = |partition| format!("weir_source_watermark_seconds{{relation=\"s\",partition=\"{partition}\"}} 1356998400");
    assert_eq!(three, [held_up.to_string(), of(0), of(1), whole.to_string()]);
}
