//! The generator: the same events whoever asks and wherever he starts, in the proportions of the original.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use weir_common::error::{Error, Result};
use weir_common::limits::BATCH_ROWS_MAX;
use weir_common::source::{Position, Read, SourceBatch, SourceReader, SourceRef};
use weir_common::types::PgType;

use crate::nexmark::config::Config;
use crate::nexmark::{NexmarkSource, OnceLock, wanted};
use crate::options::Options;
use crate::{CONNECTORS, SourceFormat};

fn columns(columns: &[(&str, PgType)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, ty)| ty.field(*name)).collect::<Vec<_>>()))
}

fn options(given: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut options: BTreeMap<_, _> = given.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    options.insert("connector".into(), "nexmark".into());
    options
}

fn declare(schema: SchemaRef, given: &[(&str, &str)]) -> Result<SourceRef> {
    crate::source("s", schema, None, &options(given))
}

fn source(given: &[(&str, &str)]) -> NexmarkSource {
    let given = options(given);
    let connector = CONNECTORS.iter().find(|connector| connector.name() == "nexmark").unwrap();
    let config = Config::read(&Options::new("nexmark", connector.options(), &given).unwrap()).unwrap();
    let schema = config.table.schema();
    NexmarkSource { columns: wanted(config.table, &schema).unwrap(), config, schema, schedule: OnceLock::new() }
}

fn batches(mut reader: impl SourceReader) -> Vec<SourceBatch> {
    let mut batches = vec![];
    while let Read::Batch(batch) = reader.next().unwrap() {
        assert!(batch.rows.num_rows() > 0 && batch.rows.num_rows() <= BATCH_ROWS_MAX && batch.dead.is_empty());
        batches.push(batch);
    }
    assert!(matches!(reader.next(), Ok(Read::End)), "the end stays the end");
    batches
}

/// All rows from an event on.
fn rows(source: &NexmarkSource, from: u64) -> RecordBatch {
    let batches: Vec<RecordBatch> = batches(source.open_at(from)).into_iter().map(|batch| batch.rows).collect();
    concat_batches(&source.schema, &batches).unwrap()
}

fn ints<'a>(rows: &'a RecordBatch, column: &str) -> &'a [i64] {
    rows.column_by_name(column).unwrap().as_primitive::<Int64Type>().values()
}

fn times<'a>(rows: &'a RecordBatch, column: &str) -> &'a [i64] {
    rows.column_by_name(column).unwrap().as_primitive::<TimestampMicrosecondType>().values()
}

fn texts<'a>(rows: &'a RecordBatch, column: &str) -> Vec<&'a str> {
    let array = rows.column_by_name(column).unwrap().as_string::<i32>();
    assert_eq!(array.null_count(), 0);
    array.iter().flatten().collect()
}

fn share(values: impl IntoIterator<Item = bool>) -> f64 {
    let values: Vec<bool> = values.into_iter().collect();
    values.iter().filter(|value| **value).count() as f64 / values.len() as f64
}

fn mean(values: impl IntoIterator<Item = usize>) -> f64 {
    let values: Vec<usize> = values.into_iter().collect();
    values.iter().sum::<usize>() as f64 / values.len() as f64
}

fn near(found: f64, expected: f64, by: f64) {
    assert!((found - expected).abs() <= by, "{found}, not {expected} within {by}");
}

const TABLES: [&str; 3] = ["person", "auction", "bid"];

#[test]
fn a_seed_always_means_the_same() {
    for table in TABLES {
        let given = |seed| [("table", table), ("events", "100000"), ("seed", seed)];
        let (one, same, other) = (source(&given("1")), source(&given("1")), source(&given("2")));
        assert_eq!(rows(&one, 0), rows(&same, 0));
        let (one, other) = (rows(&one, 0), rows(&other, 0));
        for (index, (name, _)) in one.schema().fields().iter().map(|field| (field.name().clone(), ())).enumerate() {
            // Ids and times follow from the event's number alone.
            let fixed = name == "date_time" || name == "id";
            assert_eq!(one.column(index) == other.column(index), fixed, "{table}.{name}");
        }
    }
}

#[test]
fn a_restart_at_any_event_goes_on_with_the_same_rows() {
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("WEIR_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for table in TABLES {
        let events = random.u64(1..60_000);
        let (events_text, out_of_order) = (events.to_string(), if random.bool() { "0.1" } else { "0" });
        let source = source(&[("table", table), ("events", &events_text), ("out_of_order", out_of_order)]);
        let all = rows(&source, 0);
        // From anywhere, also from events of another kind and from behind the end.
        for from in (0..20).map(|_| random.u64(0..events + 100)) {
            let tail = rows(&source, from);
            assert_eq!(all.slice(all.num_rows() - tail.num_rows(), tail.num_rows()), tail, "{table} from {from} of {events}");
        }
        // And from every position that was handed out, to the row.
        let mut read = 0;
        for batch in batches(source.open_at(0)) {
            read += batch.rows.num_rows();
            // Each row has the number of its event.
            let origins = batch.origins.as_ref().unwrap();
            let last = origins.get(origins.len() - 1);
            assert_eq!(
                (origins.len(), last.partition, last.offset.unwrap() + 1),
                (batch.rows.num_rows(), None, batch.position.0.parse().unwrap())
            );
            let tail = rows(&source, batch.position.0.parse().unwrap());
            assert_eq!(all.slice(read, all.num_rows() - read), tail, "{table} from {:?} of {events}", batch.position);
        }
    }
}

#[test]
fn one_person_three_auctions_and_46_bids() {
    for (events, expected) in
        [(1, [1, 0, 0]), (4, [1, 3, 0]), (5, [1, 3, 1]), (50, [1, 3, 46]), (51, [2, 3, 46]), (500_003, [10_001, 30_002, 460_000])]
    {
        let events = events.to_string();
        let count = |table| rows(&source(&[("table", table), ("events", &events)]), 0).num_rows();
        assert_eq!(TABLES.map(count), expected, "of {events} events");
    }
}

#[test]
fn bids_have_the_shape_of_the_original() {
    let bids = rows(&source(&[("table", "bid"), ("events", "1000000")]), 0);
    // The number of the last auction and person before each bid.
    let before = |row: usize| (row as i64 / 46 * 3 + 2, row as i64 / 46);
    let (auctions, bidders) = (ints(&bids, "auction"), ints(&bids, "bidder"));
    for row in 0..bids.num_rows() {
        let (auction, person) = before(row);
        assert!((1000..=auction + 1010).contains(&auctions[row]), "bid {row} is for auction {}", auctions[row]);
        assert!(auctions[row] >= 1000 + (auction - 100).min(auction / 100 * 100), "bid {row} is for auction {}", auctions[row]);
        assert!((1000..=person + 1010).contains(&bidders[row]), "bid {row} is by person {}", bidders[row]);
    }
    // Half of the bids are for the hot auction, and one of 111 others by chance; three quarters by the hot bidder.
    near(share((0..auctions.len()).map(|row| auctions[row] == 1000 + before(row).0 / 100 * 100)), 0.5045, 0.002);
    near(share((0..bidders.len()).map(|row| bidders[row] == 1001 + before(row).1 / 100 * 100)), 0.7502, 0.002);
    // A sixth of the prices in each power of ten.
    let prices = ints(&bids, "price");
    assert!(prices.iter().all(|price| (100..=100_000_000).contains(price)));
    for power in 2..8 {
        near(share(prices.iter().map(|price| price.ilog10() == power)), 1.0 / 6.0, 0.002);
    }
    let (channels, urls) = (texts(&bids, "channel"), texts(&bids, "url"));
    near(share(channels.iter().map(|channel| *channel == "Apple")), 0.125, 0.002);
    near(share(channels.iter().map(|channel| channel.starts_with("channel-"))), 0.5, 0.002);
    near(share(urls.iter().map(|url| url.contains("&channel_id="))), 0.45, 0.01);
    let mut url_of = BTreeMap::new();
    for (channel, url) in channels.iter().zip(&urls) {
        assert_eq!(url_of.entry(*channel).or_insert(url), &url, "a channel has one URL");
        let path = url.strip_prefix("https://www.nexmark.com/").unwrap();
        let (directories, query) = path.split_at(path.find("item.htm?query=1").unwrap());
        assert!(directories.split_terminator('/').count() == 3 && query.len() <= 40, "{url}");
    }
    assert_eq!(url_of.len(), 10_004);
    // 54 to 81 bytes, so that a bid has 100 with its numbers.
    let extra = texts(&bids, "extra");
    assert_eq!((extra.iter().map(|text| text.len()).min(), extra.iter().map(|text| text.len()).max()), (Some(54), Some(81)));
    near(mean(extra.iter().map(|text| text.len())), 67.5, 0.1);
    assert!(extra.iter().all(|text| text.bytes().all(|byte| byte.is_ascii_lowercase())));
}

#[test]
fn auctions_have_the_shape_of_the_original() {
    let auctions = rows(&source(&[("table", "auction"), ("events", "1000000")]), 0);
    let ids = ints(&auctions, "id");
    assert!(ids.iter().enumerate().all(|(row, id)| *id == 1000 + row as i64), "one after the other");
    let (sellers, categories) = (ints(&auctions, "seller"), ints(&auctions, "category"));
    near(share(sellers.iter().enumerate().map(|(row, seller)| *seller == 1000 + row as i64 / 3 / 100 * 100)), 0.75, 0.01);
    for category in 10..15 {
        near(share(categories.iter().map(|found| *found == category)), 0.2, 0.01);
    }
    assert!(ints(&auctions, "initial_bid").iter().zip(ints(&auctions, "reserve")).all(|(first, reserve)| *first >= 100 && reserve > first));
    // 1,666 events of 100 us: on average an auction is open until a hundred more have begun.
    let open: Vec<i64> =
        times(&auctions, "expires").iter().zip(times(&auctions, "date_time")).map(|(end, start)| (end - start) / 1000).collect();
    assert!(open.iter().all(|millis| (1..=334).contains(millis)));
    near(mean(open.iter().map(|millis| *millis as usize)), 167.0, 2.0);
    let (names, descriptions, extra) = (texts(&auctions, "item_name"), texts(&auctions, "description"), texts(&auctions, "extra"));
    assert!(names.iter().chain(&descriptions).all(|text| text.trim() == *text));
    assert!(names.iter().all(|name| name.len() < 20) && descriptions.iter().all(|text| text.len() < 100));
    near(mean(descriptions.iter().map(|text| text.len())), 50.9, 1.0);
    near(mean((0..ids.len()).map(|row| 48 + names[row].len() + descriptions[row].len() + extra[row].len())), 500.0, 2.0);
}

#[test]
fn persons_have_the_shape_of_the_original() {
    let persons = rows(&source(&[("table", "person"), ("events", "1000000")]), 0);
    assert!(ints(&persons, "id").iter().enumerate().all(|(row, id)| *id == 1000 + row as i64), "one after the other");
    let column = |name| texts(&persons, name);
    let distinct = |name| column(name).into_iter().collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!((distinct("name"), distinct("city"), distinct("state")), (99, 10, 6));
    for (email, card) in column("email_address").iter().zip(column("credit_card")) {
        let (user, host) = email.split_once('@').unwrap();
        assert!(user.len() <= 6 && host.len() <= 8 && host.ends_with(".com"), "{email}");
        let groups: Vec<&str> = card.split(' ').collect();
        assert!(groups.len() == 4 && groups.iter().all(|group| group.len() == 4 && group.parse::<u16>().is_ok()), "{card}");
    }
    let parts = ["name", "email_address", "credit_card", "city", "state", "extra"].map(column);
    near(mean((0..persons.num_rows()).map(|row| 8 + parts.iter().map(|part| part[row].len()).sum::<usize>())), 200.0, 1.0);
}

#[test]
fn event_times_rise_evenly_unless_events_come_late() {
    let start = 1_436_918_400_000_000;
    let event = |row: usize| (row / 46 * 50 + 4 + row % 46) as i64;
    let bids = rows(&source(&[("table", "bid"), ("events", "200000")]), 0);
    for (row, time) in times(&bids, "date_time").iter().enumerate() {
        assert_eq!(*time, start + event(row) * 100 / 1000 * 1000, "10,000 a second, in whole milliseconds");
    }
    let slow = rows(&source(&[("table", "bid"), ("events", "2000"), ("first_event_rate", "7")]), 0);
    assert_eq!(*times(&slow, "date_time").last().unwrap(), start + 1999 * 1000 / 7 * 1000);

    let late = rows(&source(&[("table", "bid"), ("events", "1000000"), ("out_of_order", "0.01")]), 0);
    let on_time = |row: usize| start + event(row) * 100 / 1000 * 1000;
    let delays: Vec<i64> = times(&late, "date_time").iter().enumerate().map(|(row, time)| on_time(row) - time).collect();
    near(share(delays.iter().map(|delay| *delay != 0)), 0.01, 0.0005);
    assert!(delays.iter().all(|delay| (0..=3_000_000).contains(delay)), "3 seconds at most");
    near(mean(delays.iter().filter(|delay| **delay != 0).map(|delay| *delay as usize / 1000)), 1500.0, 40.0);
    // Nothing else changes.
    let (late, bids) = (late.slice(0, bids.num_rows()), bids);
    for column in [0, 1, 2, 3, 4, 6] {
        assert_eq!(late.column(column), bids.column(column));
    }
}

#[test]
fn declared_columns_are_those_that_are_made() {
    let all = rows(&source(&[("table", "bid"), ("events", "1000")]), 0);
    let declared = columns(&[("date_time", PgType::Timestamp), ("auction", PgType::Int8)]);
    let few = declare(declared.clone(), &[("table", "bid"), ("events", "1000")]).unwrap();
    assert_eq!(few.schema(), declared);
    let Read::Batch(batch) = few.open(&Position::default()).unwrap().next().unwrap() else { panic!("rows") };
    assert_eq!(batch.rows.columns(), [all.column(5).clone(), all.column(0).clone()]);

    let none = declare(columns(&[]), &[("table", "auction"), ("events", "1000")]).unwrap();
    assert_eq!(none.schema().fields().len(), 10);
    assert!(none.finite() && !declare(columns(&[]), &[("table", "auction")]).unwrap().finite());
}

#[test]
fn a_paced_source_has_the_same_rows_in_ticks() {
    let paced = source(&[("table", "bid"), ("events", "6025"), ("rate", "100000"), ("first_event_rate", "10000")]);
    let batches = batches(paced.open_at(0));
    // Whatever the machine was busy with, pieces end where a tick does (all of them together fit one batch).
    for batch in &batches[..batches.len() - 1] {
        assert_eq!(batch.position.0.parse::<u64>().unwrap() % 2000, 0, "{:?}", batch.position);
    }
    let whole = rows(&source(&[("table", "bid"), ("events", "6025")]), 0);
    let rows = |reader| concat_batches(&paced.schema, &self::batches(reader).into_iter().map(|batch| batch.rows).collect::<Vec<_>>());
    // A second reader finds what was due before it came.
    assert_eq!(rows(paced.open_at(0)).unwrap(), whole);
    // Without a rate of its own, event time goes with the pace.
    assert_eq!(source(&[("table", "bid"), ("rate", "500")]).config.first_event_rate, 500);
}

#[test]
fn options_are_checked() {
    let refused = |given: &[(&str, &str)]| declare(columns(&[]), given).unwrap_err();
    let check = |error: Error, sqlstate: &str, message: &str, hint: &str| {
        assert_eq!((error.sqlstate().0, error.message()), (sqlstate, message));
        assert!(error.hint().unwrap_or_default().contains(hint), "{error:?}");
    };
    let bid = ("table", "bid");
    check(refused(&[]), "22023", "option \"table\" is required for connector \"nexmark\"", "table = '..'");
    check(refused(&[("table", "bids")]), "22023", "connector \"nexmark\" has no table \"bids\"", "table = 'bid'");
    check(refused(&[bid, ("event", "5")]), "22023", "unknown option \"event\" for connector \"nexmark\"", "\"events\"");
    check(refused(&[bid, ("events", "0")]), "22023", "option \"events\" must be between 1 and 1000000000000000, not 0", "without an end");
    check(refused(&[bid, ("rate", "fast")]), "22023", "invalid value for option \"rate\": \"fast\" is not a whole number", "as fast as");
    check(refused(&[bid, ("rate", "1.5")]), "22023", "invalid value for option \"rate\": \"1.5\" is not a whole number", "as fast as");
    check(refused(&[bid, ("out_of_order", "2")]), "22023", "option \"out_of_order\" must be between 0 and 1, not 2", "one in a hundred");
    check(refused(&[bid, ("out_of_order", "NaN")]), "22023", "option \"out_of_order\" must be between 0 and 1, not NaN", "");
    check(refused(&[bid, ("seed", "-1")]), "22023", "invalid value for option \"seed\": \"-1\" is not a whole number", "");
    let long = refused(&[bid, ("events", "1000000000000000"), ("first_event_rate", "1")]);
    check(long, "22023", "1000000000000000 events at 1 a second do not fit the range of timestamps", "first_event_rate");

    let declared = |name: &str, ty: PgType| declare(columns(&[(name, ty)]), &[bid]).unwrap_err();
    check(declared("auctoin", PgType::Int8), "42703", "table \"bid\" of connector \"nexmark\" has no column \"auctoin\"", "\"auction\"");
    check(
        declared("price", PgType::Int4),
        "42804",
        "column \"price\" of connector \"nexmark\" is bigint, not integer",
        "no columns at all",
    );
    let json = SourceFormat { format: "PLAIN".into(), encode: "JSON".into(), options: options(&[]) };
    let formatted = crate::source("s", columns(&[]), &json, &options(&[bid])).unwrap_err();
    check(formatted, "22023", "connector \"nexmark\" makes rows, so FORMAT PLAIN does not apply", "Leave out");
}

#[test]
fn the_last_events_that_have_a_time_are_made() {
    let source = source(&[("table", "person"), ("first_event_rate", "1")]);
    let mut reader = source.open_at(source.config.end() - 100);
    assert!(matches!(reader.next(), Ok(Read::Batch(_))));
    assert_eq!(reader.next().unwrap_err().sqlstate().0, "54000");
}
