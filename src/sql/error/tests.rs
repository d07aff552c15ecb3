//! Real SQL, planned and run by DataFusion, and what a user reads when it fails.

use std::sync::Arc;

use datafusion::arrow::array::{Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::sqlparser::ast;
use weir_common::error::{Error, SqlState};

use super::{ErrorContext, from_datafusion, from_datafusion_in};
use crate::statement::Statement;

fn session(spans: bool) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(1);
    config.options_mut().sql_parser.collect_spans = spans;
    let session = SessionContext::new_with_config(config);
    let bids = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Int32, true),
        Field::new("price", DataType::Int64, true),
        Field::new("b", DataType::Utf8, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("f", DataType::Float64, true),
        Field::new("Mixed", DataType::Int32, true),
    ]));
    let batch = RecordBatch::try_new(
        Arc::clone(&bids),
        vec![
            Arc::new(Int32Array::from(vec![i32::MAX])),
            Arc::new(Int64Array::from(vec![0])),
            Arc::new(StringArray::from(vec!["abc"])),
            Arc::new(TimestampMicrosecondArray::from(vec![1])),
            Arc::new(Float64Array::from(vec![1.0])),
            Arc::new(Int32Array::from(vec![1])),
        ],
    )
    .unwrap();
    session.register_table("bids", Arc::new(MemTable::try_new(bids, vec![vec![batch]]).unwrap())).unwrap();
    let auctions = Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true), Field::new("c", DataType::Utf8, true)]));
    session.register_table("auctions", Arc::new(MemTable::try_new(auctions, vec![vec![]]).unwrap())).unwrap();
    session
}

async fn error(session: &SessionContext, sql: &str) -> Option<Error> {
    let result = async { session.sql(sql).await?.collect().await }.await;
    let context = ErrorContext { sql, relations: &["bids", "auctions"], functions: &["count", "sum", "abs", "coalesce"] };
    result.err().map(|error| from_datafusion_in(error, &context))
}

/// Each row: statement, SQLSTATE, message, the text that the position points at (empty for nowhere), and the hint.
async fn check(spans: bool, table: &[(&str, &str, &str, &str, &str)]) {
    let session = session(spans);
    let mut wrong = Vec::new();
    for (sql, sqlstate, message, at, hint) in table {
        let Some(error) = error(&session, sql).await else {
            wrong.push(format!("{sql}\n   succeeded"));
            continue;
        };
        let position = if at.is_empty() { None } else { Some(sql[..sql.find(at).expect("the text is there")].chars().count() + 1) };
        let got = (error.sqlstate().0, error.message(), error.position(), error.hint().unwrap_or_default());
        if got != (*sqlstate, *message, position, *hint) {
            wrong.push(format!("{sql}\n   got {got:?}\n   not {:?}", (sqlstate, message, position, hint)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const OPERATOR: &str = "No operator matches the given name and argument types. You might need to add explicit type casts.";
const FUNCTION: &str = "No function matches the given name and argument types. You might need to add explicit type casts.";

const NAMES: &[(&str, &str, &str, &str, &str)] = &[
    (
        "SELECT prices FROM bids",
        "42703",
        "column \"prices\" does not exist",
        "prices",
        "Perhaps you meant to reference the column \"bids.price\".",
    ),
    (
        "SELECT 'prices', 'ü' AS ü,\n bids.prices FROM bids",
        "42703",
        "column bids.prices does not exist",
        "bids.prices",
        "Perhaps you meant to reference the column \"bids.price\".",
    ),
    ("SELECT zzzzzzzzz FROM bids", "42703", "column \"zzzzzzzzz\" does not exist", "zzzzzzzzz", ""),
    (
        "SELECT Mixed FROM bids",
        "42703",
        "column \"mixed\" does not exist",
        "Mixed",
        "Perhaps you meant to reference the column \"bids.Mixed\": write \"Mixed\" in double quotes to keep its case.",
    ),
    (
        "SELECT bid.price FROM bids",
        "42P01",
        "missing FROM-clause entry for table \"bid\"",
        "bid.price",
        "Perhaps you meant to reference the table \"bids\".",
    ),
    ("SELECT nosuch.* FROM bids", "42P01", "missing FROM-clause entry for table \"nosuch\"", "nosuch", ""),
    ("SELECT a FROM bids, auctions", "42702", "column reference \"a\" is ambiguous", "a FROM", "It could be bids.a or auctions.a."),
    ("SELECT * FROM bid", "42P01", "relation \"bid\" does not exist", "bid", "Perhaps you meant to reference the relation \"bids\"."),
    (
        "SELECT * FROM nosuch.bidss x",
        "42P01",
        "relation \"nosuch.bidss\" does not exist",
        "nosuch",
        "Perhaps you meant to reference the relation \"bids\".",
    ),
    ("SELECT * FROM whatever", "42P01", "relation \"whatever\" does not exist", "whatever", ""),
    ("SELECT cont(a) FROM bids", "42883", "function cont(...) does not exist", "cont", "Perhaps you meant the function \"count\"."),
    ("SELECT quux()", "42883", "function quux() does not exist", "quux", ""),
    ("SELECT * FROM tableless(1)", "42883", "function tableless(...) does not exist", "tableless", ""),
    ("SELECT row_number() FROM bids", "42809", "window function row_number requires an OVER clause", "row_number", ""),
    ("SELECT a::nosuchtype FROM bids", "42704", "type \"nosuchtype\" does not exist", "nosuchtype", ""),
    ("SELECT a::intege FROM bids", "42704", "type \"intege\" does not exist", "intege", "Perhaps you meant the type integer."),
    ("SELECT a::money FROM bids", "0A000", "type money is not supported yet", "money", ""),
    ("SELECT sum(a) OVER w FROM bids", "42704", "window \"w\" does not exist", "w FROM", ""),
    (
        "WITH x AS (SELECT 1), x AS (SELECT 2) SELECT * FROM y",
        "42712",
        "WITH query name \"x\" specified more than once",
        "x AS (SELECT 2",
        "",
    ),
    (
        "SELECT * FROM bids b JOIN auctions b ON true",
        "42712",
        "table name \"b\" specified more than once",
        "b ON",
        "Give one of them another name with AS.",
    ),
    ("SELECT $1 + 1", "42P02", "there is no parameter $1", "", ""),
];

#[tokio::test]
async fn names_that_are_not_there() {
    check(true, NAMES).await;
}

/// Without spans, positions come from the text.
#[tokio::test]
async fn names_are_found_without_spans() {
    check(false, NAMES).await;
}

#[tokio::test]
async fn types_that_do_not_match() {
    check(
        true,
        &[
            ("SELECT b + a FROM bids", "42883", "operator does not exist: text + integer", "b + a", OPERATOR),
            (
                "SELECT ts + f FROM bids",
                "42883",
                "operator does not exist: timestamp without time zone + double precision",
                "ts + f",
                OPERATOR,
            ),
            ("SELECT a = ARRAY[1] FROM bids", "42883", "operator does not exist: integer = bigint[]", "a = ", OPERATOR),
            ("SELECT a ~ b FROM bids", "42883", "operator does not exist: integer ~ text", "a ~ b", OPERATOR),
            ("SELECT a LIKE b FROM bids", "42883", "operator does not exist: integer ~~ text", "", OPERATOR),
            ("SELECT - b FROM bids", "42883", "operator does not exist: - text", "b FROM", OPERATOR),
            ("SELECT ts = 5 FROM bids", "42883", "operator does not exist: timestamp without time zone = bigint", "ts", OPERATOR),
            ("SELECT NOT a FROM bids", "42804", "argument of NOT must be type boolean, not type integer", "a FROM", ""),
            ("SELECT b AND a = 1 FROM bids", "42804", "argument of AND must be type boolean, not type text", "b AND", ""),
            ("SELECT 1 FROM bids WHERE a", "42804", "argument of WHERE must be type boolean, not type integer", "a", ""),
            ("SELECT abs(b) FROM bids", "42883", "function abs(text) does not exist", "abs", FUNCTION),
            ("SELECT abs() FROM bids", "42883", "function abs() does not exist", "abs", FUNCTION),
            ("SELECT sum(b) FROM bids", "42883", "function sum(text) does not exist", "sum", FUNCTION),
            ("SELECT sum(a, b) FROM bids", "42883", "function sum(integer, text) does not exist", "sum", FUNCTION),
            ("SELECT avg(ts) FROM bids", "42883", "function avg(timestamp without time zone) does not exist", "avg", FUNCTION),
            ("SELECT a[1] FROM bids", "42804", "cannot subscript type integer because it does not support subscripting", "", ""),
            ("SELECT a.x FROM bids", "42809", "column notation applied to type integer, which is not a composite type", "", ""),
            (
                "SELECT CASE WHEN true THEN 1 ELSE ts END FROM bids",
                "42804",
                "CASE types bigint and timestamp without time zone cannot be matched",
                "",
                "",
            ),
            (
                "SELECT a FROM bids UNION SELECT ts FROM bids",
                "42804",
                "UNION types integer and timestamp without time zone cannot be matched",
                "",
                "",
            ),
            ("SELECT a FROM bids LIMIT 'x'", "42804", "argument of LIMIT must be type bigint, not type text", "", ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn grouping() {
    let must = |column: &str| format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function");
    check(
        true,
        &[
            ("SELECT a FROM bids GROUP BY b", "42803", &must("bids.a"), "a FROM", ""),
            ("SELECT a, count(*) FROM bids", "42803", &must("bids.a"), "a,", ""),
            ("SELECT b, a FROM bids GROUP BY b HAVING price > 1", "42803", &must("bids.a"), "a FROM", ""),
            ("SELECT a FROM bids GROUP BY a HAVING price > 1", "42803", &must("bids.price"), "price", ""),
            ("SELECT a FROM bids GROUP BY a ORDER BY price", "42803", &must("bids.price"), "price", ""),
            (
                "SELECT a FROM bids WHERE count(*) > 1",
                "42803",
                "aggregate functions are not allowed in WHERE",
                "",
                "Write the condition in HAVING.",
            ),
            ("SELECT sum(sum(a)) FROM bids", "42803", "aggregate function calls cannot be nested", "a))", ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn shapes_of_queries() {
    check(
        true,
        &[
            ("SELECT 1 UNION SELECT 1, 2", "42601", "each UNION query must have the same number of columns", "SELECT 1 UNION", ""),
            ("SELECT a FROM bids EXCEPT SELECT 1, 2", "42601", "each EXCEPT query must have the same number of columns", "SELECT a", ""),
            ("VALUES (1), (1, 2)", "42601", "VALUES lists must all be the same length", "", ""),
            ("SELECT a FROM bids WHERE a IN (SELECT a, c FROM auctions)", "42601", "subquery must return only one column", "a, c", ""),
            ("SELECT a FROM bids ORDER BY 3", "42P10", "ORDER BY position 3 is not in select list", "", ""),
            ("SELECT a FROM bids GROUP BY 3", "42P10", "GROUP BY position 3 is not in select list", "", ""),
            (
                "SELECT DISTINCT a FROM bids ORDER BY b",
                "42P10",
                "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
                "",
                "",
            ),
            ("SELECT a FROM bids LIMIT -1", "2201W", "LIMIT must not be negative", "", ""),
            ("SELECT *", "42601", "SELECT * with no tables specified is not valid", "", ""),
            (
                "SELECT a AS x, b AS x FROM bids",
                "42701",
                "column \"x\" specified more than once",
                "",
                "Give one of them another name with AS.",
            ),
            ("SELECT count(DISTINCT a, b) FROM bids", "0A000", "COUNT DISTINCT with multiple arguments", "", ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn values_that_do_not_fit() {
    check(
        true,
        &[
            ("SELECT 'abc'::int", "22P02", "invalid input syntax for type integer: \"abc\"", "'abc'", ""),
            ("SELECT b::int FROM bids", "22P02", "invalid input syntax for type integer: \"abc\"", "", ""),
            ("SELECT b::double precision FROM bids", "22P02", "invalid input syntax for type double precision: \"abc\"", "", ""),
            ("SELECT b::numeric FROM bids", "22P02", "invalid input syntax for type numeric: \"abc\"", "", ""),
            ("SELECT b::boolean FROM bids", "22P02", "invalid input syntax for type boolean: \"abc\"", "", ""),
            ("SELECT a FROM bids WHERE a = 'x'", "22P02", "invalid input syntax for type integer: \"x\"", "'x'", ""),
            ("SELECT '99999999999'::int", "22003", "value \"99999999999\" is out of range for type integer", "'9", ""),
            ("SELECT 99999999999::int", "22003", "integer out of range", "9", ""),
            ("SELECT a::smallint FROM bids", "22003", "smallint out of range", "", ""),
            ("SELECT TIMESTAMP 'abc'", "22007", "invalid input syntax for type timestamp: \"abc\"", "'abc'", ""),
            ("SELECT DATE '2024-02-31'", "22008", "date/time field value out of range: \"2024-02-31\"", "'2024", ""),
            ("SELECT '2024-13-01 00:00'::timestamp", "22008", "date/time field value out of range: \"2024-13-01 00:00\"", "'2024", ""),
            ("SELECT TIME '25:00'", "22008", "date/time field value out of range: \"25:00\"", "'25", ""),
            ("SELECT b::date FROM bids", "22007", "invalid input syntax for type date: \"abc\"", "", ""),
            ("SELECT INTERVAL 'abc'", "22007", "invalid input syntax for type interval: \"abc\"", "'abc'", ""),
            ("SELECT a / price FROM bids", "22012", "division by zero", "", ""),
            ("SELECT 1 % 0", "22012", "division by zero", "", ""),
            (
                "SELECT (SELECT a FROM bids UNION ALL SELECT a FROM bids)",
                "21000",
                "more than one row returned by a subquery used as an expression",
                "",
                "",
            ),
            (
                "SELECT date_trunc('nope', ts) FROM bids",
                "22023",
                "unit \"nope\" not recognized",
                "'nope'",
                "Units are microseconds, milliseconds, second, minute, hour, day, week, month, quarter and year.",
            ),
            ("SELECT substr(b, -1, -5) FROM bids", "22011", "negative substring length not allowed", "", ""),
            ("SELECT sqrt(-1)", "2201F", "cannot take square root of a negative number", "", ""),
            ("SELECT b ~ '(' FROM bids", "2201B", "invalid regular expression", "", ""),
        ],
    )
    .await;
}

#[test]
fn our_own_errors_come_out_as_they_went_in() {
    let ours =
        || Error::new(SqlState::UNIQUE_VIOLATION, "duplicate key").with_detail("d").with_hint("h").with_position(7).with_context("c");
    let wrapped: Vec<DataFusionError> = vec![
        DataFusionError::External(Box::new(ours())),
        DataFusionError::External(Box::new(ours())).context("somewhere"),
        DataFusionError::Shared(Arc::new(DataFusionError::External(Box::new(ours())))),
        DataFusionError::ArrowError(Box::new(ArrowError::ExternalError(Box::new(ours()))), None),
        DataFusionError::External(Box::new(DataFusionError::External(Box::new(ours())))),
        DataFusionError::External(Box::new(ArrowError::ExternalError(Box::new(DataFusionError::External(Box::new(ours())))))),
        DataFusionError::Collection(vec![DataFusionError::External(Box::new(ours()))]),
    ];
    for error in wrapped {
        assert_eq!(from_datafusion(error, "SELECT something else"), ours());
    }
}

#[test]
fn kinds_of_errors_have_their_sqlstate() {
    for (error, sqlstate) in [
        (DataFusionError::NotImplemented("Frobnication".to_string()), "0A000"),
        (DataFusionError::ResourcesExhausted("Failed to allocate".to_string()), "53200"),
        (DataFusionError::Internal("Oh no".to_string()), "XX000"),
        (DataFusionError::Plan("Something new".to_string()), "42601"),
        (DataFusionError::Execution("Something new".to_string()), "22000"),
        (DataFusionError::IoError(std::io::Error::other("disk")), "58030"),
        (DataFusionError::from(ArrowError::ArithmeticOverflow("Overflow happened on: 1 + 2".to_string())), "22003"),
        (DataFusionError::from(ArrowError::DivideByZero), "22012"),
        (DataFusionError::Configuration("no such option".to_string()), "22023"),
    ] {
        let error = from_datafusion(error, "");
        assert_eq!((error.sqlstate().0, error.position()), (sqlstate, None), "{error:?}");
        assert!(!error.message().starts_with("Something"), "{error:?}");
    }
}

/// The deepest statements that the parser lets through are planned and run on a thread with the stack that it asks for.
#[test]
fn what_the_parser_allows_can_be_run() {
    let from = "FROM (VALUES (1, true)) t(a, b)";
    let deepest = [
        (format!("SELECT {} {from}", vec!["a"; 398].join(" + ")), true),
        (format!("SELECT {} {from}", vec!["a"; 402].join(" + ")), false),
        (format!("SELECT a {from} WHERE {}", vec!["b"; 990].join(" OR ")), true),
        (format!("SELECT {}a{} {from}", "abs(".repeat(12), ")".repeat(12)), true),
        (format!("SELECT {}a{} {from}", "abs(".repeat(17), ")".repeat(17)), false),
        (format!("SELECT * FROM {}(SELECT 1 AS a) x{}", "(SELECT * FROM ".repeat(38), ") x".repeat(38)), true),
        (format!("SELECT {}1{}", "(SELECT ".repeat(8), ")".repeat(8)), true),
        (format!("SELECT {}1{}", "(SELECT ".repeat(11), ")".repeat(11)), false),
        (format!("SELECT {}a{} {from}", "(".repeat(190), ")".repeat(190)), true),
        (format!("SELECT {}a{} {from}", "CASE WHEN b THEN ".repeat(150), " END".repeat(150)), true),
    ];
    for (sql, allowed) in deepest {
        let short: String = sql.chars().take(40).collect();
        let parsed = crate::parser::parse(&sql);
        if !allowed {
            assert_eq!(parsed.unwrap_err().sqlstate().0, "54001", "{short}");
            continue;
        }
        let Statement::Query(query) = parsed.unwrap_or_else(|error| panic!("{short} {error:?}")).remove(0).statement else {
            panic!("{short}")
        };
        let thread = std::thread::Builder::new().stack_size(crate::parser::STACK_BYTES_MIN).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let session = session(true);
                let state = session.state();
                let statement = datafusion::sql::parser::Statement::Statement(Box::new(ast::Statement::Query(query)));
                let plan = state.statement_to_plan(statement).await?;
                session.execute_logical_plan(plan).await?.collect().await
            })
        });
        let result = thread.unwrap().join().expect("no overflow");
        assert!(result.is_ok(), "{short} {result:?}");
    }
}
