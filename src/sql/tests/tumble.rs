//! TUMBLE in FROM: spellings, offsets, calendar months, NULL event times.

use super::world;

const BY_MINUTE: &str = "2024-01-01 00:00:00 | 2024-01-01 00:01:00 | 2\n2024-01-01 00:01:00 | 2024-01-01 00:02:00 | 1";

#[test]
fn every_spelling_gives_the_same_windows() {
    for from in [
        "TUMBLE(bids, at, INTERVAL '1 minute')",
        "tumble(public.bids, bids.at, '60 seconds')",
        "TUMBLE((SELECT * FROM bids), at, INTERVAL '1' MINUTE)",
        "TUMBLE(DATA => bids, TIMECOL => at, SIZE => INTERVAL '1 minute')",
        "TABLE(TUMBLE(bids, DESCRIPTOR(at), INTERVAL '1 minute'))",
        "TABLE(TUMBLE(TABLE bids, DESCRIPTOR(at), INTERVAL '1 minute'))",
        "TABLE(TUMBLE(DATA => TABLE bids, TIMECOL => DESCRIPTOR(at), SIZE => INTERVAL '1' MINUTE))",
        "tumble(table public.bids, at, INTERVAL '1 minute')",
        "TUMBLE(TABLE (SELECT * FROM bids), at, INTERVAL '1 minute')",
        "TUMBLE(bids, at, INTERVAL '1 minute', INTERVAL '1 hour')",
    ] {
        let sql = format!("SELECT window_start, window_end, count(*) FROM {from} GROUP BY window_start, window_end ORDER BY 1");
        assert_eq!(world().values(&sql), BY_MINUTE, "{sql}");
    }
}

#[test]
fn windows_have_aliases_offsets_and_months() {
    let world = world();
    assert_eq!(
        world.values("SELECT w.window_start, w.auction FROM TUMBLE(bids, at, INTERVAL '1 minute') w WHERE w.price = 50"),
        "2024-01-01 00:01:00 | 2"
    );
    assert_eq!(
        world.values("SELECT DISTINCT window_start FROM TUMBLE(bids, at, INTERVAL '1 minute', INTERVAL '40 seconds') ORDER BY 1"),
        "2023-12-31 23:59:40\n2024-01-01 00:00:40"
    );
    assert_eq!(
        world.values("SELECT DISTINCT window_start, window_end FROM TUMBLE(bids, at, INTERVAL '1 year')"),
        "2024-01-01 00:00:00 | 2025-01-01 00:00:00"
    );
    assert_eq!(
        world.header("SELECT * FROM TUMBLE(bids, at, INTERVAL '1 minute')"),
        "auction bigint, price bigint, channel text, at timestamp without time zone, window_start timestamp without time zone, window_end timestamp without time zone"
    );
}

#[test]
fn what_is_no_window_is_refused() {
    for (from, sqlstate, message) in [
        ("TUMBLE(bids, at, INTERVAL '0 seconds')", "22023", "the size of a window must be greater than zero"),
        ("TUMBLE(bids, at, INTERVAL '-1 minute')", "22023", "the size of a window must be greater than zero"),
        ("TUMBLE(bids, at, INTERVAL '1 month 1 day')", "0A000", "the size of a window cannot mix months and shorter units"),
        ("TUMBLE(bids, price, INTERVAL '1 minute')", "42804", "column \"price\" is of type bigint, but a window needs a timestamp"),
        ("TUMBLE(bids, at, 5)", "42804", "a window needs a constant interval, not 5"),
        ("TUMBLE(bids, at)", "42601", "TUMBLE takes a relation, a time column and a size"),
        ("TUMBLE(bids, at, INTERVAL '1 minute', STEP => 1)", "42601", "TUMBLE has no argument \"step\""),
        ("TUMBLE(nothing, at, INTERVAL '1 minute')", "42P01", "relation \"nothing\" does not exist"),
        ("HOP(bids, at, INTERVAL '1 minute')", "42601", "HOP takes a relation, a time column, a slide and a size"),
        ("HOP(bids, at, INTERVAL '2 minutes', INTERVAL '1 minute')", "22023", "the slide of a window must not be longer than its size"),
        ("SESSION(bids, at, INTERVAL '0 minutes')", "22023", "the gap of a session must be greater than zero"),
        ("SESSION(bids, at, INTERVAL '1 month')", "0A000", "the gap of a session cannot have months"),
        ("SESSION(bids, at, INTERVAL '1 minute', price)", "42601", "SESSION takes at most 3 arguments"),
        ("SESSION(bids PARTITION BY price + 1, at, INTERVAL '1 minute')", "42601", "sessions are partitioned by columns, not by price + 1"),
        ("CUMULATE(bids, at, INTERVAL '1 minute')", "42601", "CUMULATE takes a relation, a time column, a step and a size"),
        (
            "CUMULATE(bids, at, INTERVAL '2 minutes', INTERVAL '3 minutes')",
            "22023",
            "the size of a cumulating window must be a multiple of its step",
        ),
    ] {
        let error = world().error(&format!("SELECT * FROM {from}"));
        assert_eq!((error.sqlstate().0, error.message()), (sqlstate, message), "{from}");
    }
    let error =
        world().error("SELECT * FROM TUMBLE((SELECT * FROM TUMBLE(bids, at, INTERVAL '1 minute')), window_start, INTERVAL '1 hour')");
    assert_eq!((error.sqlstate().0, error.message()), ("42701", "column \"window_start\" specified more than once"));
    // Leaving TABLE out moves nothing.
    let sql = "SELECT * FROM TABLE(TUMBLE(TABLE bids, DESCRIPTOR(nope), INTERVAL '1 minute'))";
    assert_eq!(world().error(sql).position(), sql.find("nope").map(|at| at + 1));
    let sql = "SELECT * FROM TUMBLE(TABLE nothing, at, INTERVAL '1 minute')";
    assert_eq!((world().error(sql).sqlstate().0, world().error(sql).position()), ("42P01", sql.find("nothing").map(|at| at + 1)));
}

#[test]
fn windows_outside_from_are_refused_with_a_hint() {
    let error = world().error("SELECT TUMBLE(at, INTERVAL '1 minute') FROM bids");
    assert_eq!((error.sqlstate().0, error.message()), ("0A000", "TUMBLE is supported in FROM and GROUP BY only"));
    assert!(error.hint().is_some());
}
