//! A market without an end: views follow it, come and go, and the server ends in good order.

use crate::harness::{Weir, run, until, value};

#[tokio::test]
async fn views_follow_a_market_without_an_end() {
    let weir = Weir::start(2);
    let client = weir.connect().await;
    run(
        &client,
        "CREATE SOURCE bids (WATERMARK FOR date_time AS date_time - INTERVAL '3 seconds')
         WITH (connector = 'nexmark', table = 'bid', rate = '20000', out_of_order = '0.01')",
    )
    .await;
    run(&client, "CREATE MATERIALIZED VIEW total AS SELECT count(*) AS bids, sum(price) AS price FROM bids").await;
    until(&client, "SELECT bids > 20000 FROM total", "t").await;
    // A view that comes later finds what was due before, and then reads what the other one reads.
    run(&client, "CREATE MATERIALIZED VIEW later AS SELECT count(*) AS bids, sum(price) AS price FROM bids").await;
    until(&client, "SELECT count(*) FROM weir.sources WHERE reader_of IS NOT NULL", "0").await;
    until(&client, "SELECT bids > 40000 FROM later", "t").await;
    assert_eq!(
        value(&client, "SELECT total.bids = later.bids AND total.price = later.price FROM total, later").await,
        "t",
        "one commit shows both at one place"
    );
    assert_eq!(value(&client, "SELECT error IS NULL AND NOT at_end FROM weir.sources").await, "t");
    run(&client, "DROP MATERIALIZED VIEW total").await;
    run(&client, "DROP SOURCE bids CASCADE").await;
    assert_eq!(value(&client, "SELECT count(*) FROM weir.sources").await, "0");
    weir.stop();
}
