//! Parquet files, written here as others write them.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int32Array, Int64Array, StringArray, TimestampNanosecondArray};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::harness::{Weir, refused, rows, run, until, until_filled, value};

/// Orders `from..to`: amount is id / 100, one of a hundred has a time that is finer than a microsecond.
fn write(path: &Path, from: i64, to: i64) {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
    let shops: ArrayRef = Arc::new(StringArray::from_iter_values((from..to).map(|id| format!("shop {}", id % 3))));
    let amounts = Decimal128Array::from_iter_values((from..to).map(i128::from)).with_precision_and_scale(9, 2).unwrap();
    let times = (from..to).map(|id| id * 1_000_000_000 + i64::from(id % 100 == 7));
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone("UTC"));
    let unused: ArrayRef = Arc::new(Int32Array::from_iter_values((from..to).map(|id| id as i32)));
    let columns = [("unused", unused), ("amount", Arc::new(amounts) as ArrayRef), ("id", ids), ("shop", shops), ("at", times)];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).set_max_row_group_row_count(Some(1000)).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

const COLUMNS: &str = "id BIGINT, shop TEXT, amount NUMERIC(12, 2), at TIMESTAMP, note TEXT";

#[tokio::test]
async fn files_of_parquet_are_a_source() {
    let weir = Weir::start(2);
    let client = weir.connect().await;
    let marker = weir.file("marker", b"");
    let directory = Path::new(&marker).parent().unwrap().to_path_buf();
    write(&directory.join("1.parquet"), 0, 2500);
    write(&directory.join("2.parquet"), 2500, 3000);
    let with = |follow: bool| {
        format!("WITH (connector = 'file', path = '{}/*.parquet', follow = '{follow}') FORMAT PLAIN ENCODE PARQUET", directory.display())
    };
    run(&client, &format!("CREATE SOURCE orders ({COLUMNS}) {}", with(false))).await;
    run(
        &client,
        "CREATE MATERIALIZED VIEW v AS SELECT shop, count(*) AS n, sum(amount) AS amount, count(note) AS notes FROM orders GROUP BY shop",
    )
    .await;
    until_filled(&client).await;
    let dead: Vec<i64> = (0..3000).filter(|id| id % 100 == 7).collect();
    let sums = vec!["2970".to_string(), format!("{}.{:02}", total(&dead) / 100, total(&dead) % 100)];
    assert_eq!(rows(&client, "SELECT sum(n), sum(amount) FROM v").await, [sums]);
    assert_eq!(value(&client, "SELECT sum(notes) FROM v").await, "0");
    assert_eq!(value(&client, "SELECT count(*) FROM orders WHERE at >= '1970-01-01 00:40:00'").await, "594");
    let letter = rows(
        &client,
        "SELECT error, payload, \"offset\" FROM weir.dead_letters WHERE relation = 'orders' ORDER BY partition, \"offset\" LIMIT 1",
    )
    .await;
    assert_eq!(letter[0][0], "column \"at\": \"1970-01-01T00:00:07.000000001\" is finer than a microsecond");
    assert_eq!(letter[0][1], "amount: 0.07, id: 7, shop: shop 1, at: 1970-01-01T00:00:07.000000001");
    assert_eq!(letter[0][2], "8");

    // Followed, files are read once each, when they are whole.
    run(&client, &format!("CREATE SOURCE more ({COLUMNS}) {}", with(true))).await;
    run(&client, "CREATE MATERIALIZED VIEW w AS SELECT count(*) AS n FROM more").await;
    until(&client, "SELECT n FROM w", "2970").await;
    write(&directory.join("3.writing"), 3000, 3100);
    std::fs::rename(directory.join("3.writing"), directory.join("3.parquet")).unwrap();
    until(&client, "SELECT n FROM w", "3069").await;
    until(&client, "SELECT at_end FROM weir.sources WHERE name = 'more'", "t").await;
    weir.stop();
}

/// Hundredths of the orders that are used.
fn total(dead: &[i64]) -> i64 {
    (0..3000).sum::<i64>() - dead.iter().sum::<i64>()
}

#[tokio::test]
async fn types_are_checked_when_the_source_is_created() {
    let weir = Weir::start(1);
    let client = weir.connect().await;
    let path = weir.file("orders.parquet", b"");
    write(Path::new(&path), 0, 10);
    let create =
        |columns: &str| format!("CREATE SOURCE s ({columns}) WITH (connector = 'file', path = '{path}') FORMAT PLAIN ENCODE PARQUET");
    let (code, message) = refused(&client, &create("id INT")).await;
    assert_eq!(code, "42804");
    assert_eq!(
        message,
        format!("column \"id\" of type integer cannot be read from file \"{path}\": it is Int64 there, and could lose something")
    );
    let (code, message) = refused(&client, &create("idd BIGINT")).await;
    assert_eq!((code.as_str(), message), ("42703", format!("file \"{path}\" has none of the columns")));
    std::fs::write(&path, "id\n1\n").unwrap();
    let (code, message) = refused(&client, &create("id BIGINT")).await;
    assert!(code == "22P04" && message.contains("as Parquet"), "{code} {message}");
    weir.stop();
}
