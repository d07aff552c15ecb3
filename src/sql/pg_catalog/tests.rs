//! What psql asks, against a small catalog: answers are PostgreSQL 15's for the same schema.
//!
//! `tests/psql15.txt` holds psql's commands (`##### \d`), the queries it sends for them, and after `----` the answer: the
//! names of the columns, then the rows. `{orders}` stands for the relation's OID. Answers were taken from a real server;
//! where Weir has other contents (one database, two access methods), they were changed by hand and say so with `# Weir:`.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use weir_common::error::Error;
use weir_common::types::PgType;

use super::facts::index_oid;
use super::function::text;
use super::rows::{Value, values};
use super::subquery::Inside;
use super::*;
use crate::catalog::Catalog;
use crate::context::{Context, Settings};

const ORDERS: u32 = 16390;

fn column(name: &str, ty: PgType) -> ColumnInfo {
    ColumnInfo { name: name.to_string(), ty, not_null: false, default: None, comment: None }
}

fn relation(oid: u32, name: &str, kind: Kind, columns: Vec<ColumnInfo>) -> RelationInfo {
    RelationInfo {
        oid,
        schema: "public".to_string(),
        name: name.to_string(),
        kind,
        columns,
        primary_key: None,
        checks: Vec::new(),
        definition: None,
        comment: None,
        foreign: None,
        depends_on: Vec::new(),
        bytes: 0,
    }
}

fn facts() -> Arc<SessionFacts> {
    use PgType::*;
    let not_null = |column: ColumnInfo| ColumnInfo { not_null: true, ..column };
    let with_default = |column: ColumnInfo, default: &str| ColumnInfo { default: Some(default.to_string()), ..column };
    let key = |name: &str, columns: &[usize]| Some(PrimaryKey { name: name.to_string(), columns: columns.to_vec() });
    let customers = RelationInfo {
        primary_key: key("customers_pkey", &[0]),
        ..relation(
            16384,
            "customers",
            Kind::Table,
            vec![
                not_null(column("id", Int4)),
                not_null(column("name", Varchar(Some(40)))),
                with_default(column("balance", Numeric(Some((12, 2)))), "0"),
                with_default(column("since", Timestamptz), "now()"),
            ],
        )
    };
    let orders = RelationInfo {
        primary_key: key("orders_pkey", &[1, 0]),
        comment: Some("what was bought".to_string()),
        bytes: 8192,
        ..relation(
            ORDERS,
            "orders",
            Kind::Table,
            vec![
                not_null(column("id", Int8)),
                not_null(column("customer_id", Int4)),
                ColumnInfo { comment: Some("in euro".to_string()), ..column("amount", Numeric(None)) },
                column("ts", Timestamp),
                column("tags", Array(Box::new(Text))),
                column("meta", Jsonb),
            ],
        )
    };
    let flights = RelationInfo {
        foreign: Some(Foreign {
            server: "file".to_string(),
            options: vec![("connector".to_string(), "file".to_string()), ("path".to_string(), "/data/flights.jsonl.gz".to_string())],
        }),
        ..relation(16400, "flights", Kind::Source, vec![column("carrier", Text), column("dep_delay", Float8)])
    };
    let big_orders = RelationInfo {
        definition: Some("SELECT orders.id,\n    orders.amount\n   FROM orders\n  WHERE orders.amount > 100::numeric".to_string()),
        depends_on: vec![ORDERS],
        ..relation(16401, "big_orders", Kind::View, vec![column("id", Int8), column("amount", Numeric(None))])
    };
    let totals = RelationInfo {
        definition: Some(
            "SELECT orders.customer_id,\n    sum(orders.amount) AS total\n   FROM orders\n  GROUP BY orders.customer_id".to_string(),
        ),
        depends_on: vec![ORDERS],
        bytes: 8192,
        ..relation(16402, "totals", Kind::MaterializedView, vec![column("customer_id", Int4), column("total", Numeric(None))])
    };
    let notes = RelationInfo { bytes: 8192, ..relation(16403, "notes", Kind::Table, vec![column("body", Text)]) };
    let setting = |name: &str, value: &str, context: &'static str| Setting {
        name: name.to_string(),
        value: value.to_string(),
        default: value.to_string(),
        context,
        kind: "string",
        ..Setting::default()
    };
    Arc::new(SessionFacts {
        catalog: SystemCatalog { relations: vec![customers, orders, flights, big_orders, totals, notes] },
        user: "weir".to_string(),
        database: "weir".to_string(),
        pid: 42,
        search_path: vec!["public".to_string()],
        settings: vec![
            setting("search_path", "public", "user"),
            setting("server_version", "15.0 (Weir)", "internal"),
            setting("TimeZone", "UTC", "user"),
        ],
        ..SessionFacts::default()
    })
}

/// The text with OIDs in the place of names in braces.
fn fill(text: &str, facts: &SessionFacts) -> String {
    let mut filled = text.to_string();
    for relation in &facts.catalog.relations {
        filled = filled.replace(&format!("{{{}}}", relation.name), &relation.oid.to_string());
        if let Some(key) = &relation.primary_key {
            filled = filled.replace(&format!("{{{}}}", key.name), &index_oid(relation.oid).to_string());
        }
    }
    filled
}

async fn run(sql: &str, facts: &Arc<SessionFacts>) -> Result<RecordBatch, Error> {
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).map_err(|error| Error::internal(error.to_string()))?;
    let Some(ast::Statement::Query(query)) = statements.pop() else { return Err(Error::internal("no query")) };
    if !needs_rewrite(&query) {
        return Err(Error::internal("nothing of the system was found"));
    }
    let context = Context::new(Catalog::default(), Arc::new(Inside::new(facts.clone(), None)), &Settings::default());
    let plan = context.plan_query(&query, sql, &[])?;
    let rows = context.execute(&plan, &[], Arc::new(HashMap::new())).await?;
    let schema = rows.schema.clone();
    let batches = rows.collect().await?;
    // What leaves must be what was announced, or the client reads wrong bytes.
    for batch in &batches {
        let types = |schema: &SchemaRef| schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        assert_eq!(types(&batch.schema()), types(&schema), "{sql}");
    }
    let columns: Result<Vec<RecordBatch>, _> =
        batches.iter().map(|batch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec())).collect();
    Ok(concat_batches(&schema, &columns.expect("types were compared"))?)
}

/// The names of the columns, then the rows, with `|` between values.
async fn answer(sql: &str, facts: &Arc<SessionFacts>) -> Result<Vec<String>, Error> {
    let batch = run(sql, facts).await?;
    let columns: Vec<Vec<Value>> = batch.columns().iter().map(|column| values(column).expect("every type can be shown")).collect();
    let mut lines = vec![batch.schema().fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join("|")];
    for row in 0..batch.num_rows() {
        let shown = columns.iter().map(|column| match &column[row] {
            Value::Null => "NULL".to_string(),
            value => text(value).replace('\n', "\\n"),
        });
        lines.push(shown.collect::<Vec<_>>().join("|"));
    }
    Ok(lines)
}

struct Case {
    command: String,
    query: String,
    answer: Vec<String>,
}

fn cases(file: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let (mut command, mut query, mut in_answer) = (String::new(), String::new(), false);
    for line in file.lines() {
        if let Some(next) = line.strip_prefix("##### ") {
            command = next.to_string();
        } else if line == "--" {
            (query, in_answer) = (String::new(), false);
        } else if line == "----" {
            cases.push(Case { command: command.clone(), query: std::mem::take(&mut query), answer: Vec::new() });
            in_answer = true;
        } else if in_answer && !line.is_empty() && !line.starts_with("# ") {
            cases.last_mut().expect("an answer follows a query").answer.push(line.to_string());
        } else if !in_answer {
            query.push_str(line);
            query.push('\n');
        }
    }
    cases
}

fn sorted(lines: &[String]) -> Vec<&String> {
    let mut lines: Vec<&String> = lines.iter().collect();
    lines[1..].sort();
    lines
}

async fn check(file: &str) {
    let facts = facts();
    let mut failures = Vec::new();
    let cases = cases(file);
    assert!(!cases.is_empty(), "the file has cases");
    for case in &cases {
        let expected: Vec<String> = case.answer.iter().map(|line| fill(line, &facts)).collect();
        match answer(&fill(&case.query, &facts), &facts).await {
            Ok(found) if found == expected => {}
            // Without an ORDER BY of its own, a query's rows come in any order.
            Ok(found) if case.query.rfind("ORDER BY") <= case.query.rfind(')') && sorted(&found) == sorted(&expected) => {}
            Ok(found) => failures.push(format!(
                "##### {}\n{}expected:\n{}\nfound:\n{}",
                case.command,
                case.query,
                expected.join("\n"),
                found.join("\n")
            )),
            Err(error) => failures.push(format!("##### {}\n{}error: {error:?}", case.command, case.query)),
        }
    }
    assert!(failures.is_empty(), "{} of {} failed\n\n{}", failures.len(), cases.len(), failures.join("\n\n"));
}

#[tokio::test]
async fn psql_15() {
    check(include_str!("tests/psql15.txt")).await;
}

/// What psql 16 asks otherwise than psql 15.
#[tokio::test]
async fn psql_16() {
    check(include_str!("tests/psql16.txt")).await;
}

/// What psql asks to complete words, and what drivers and tools ask when they start and list tables.
#[tokio::test]
async fn drivers() {
    check(include_str!("tests/drivers.txt")).await;
}

fn rewritten(sql: &str) -> Result<String, Error> {
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).expect("the test is SQL");
    let Some(ast::Statement::Query(mut query)) = statements.pop() else { panic!("the test is a query") };
    rewrite(&mut query, &facts())?;
    Ok(query.to_string())
}

#[test]
fn what_does_not_exist_is_refused_by_name() {
    for (sql, sqlstate, message) in [
        ("SELECT 1 FROM pg_catalog.pg_nothing", "42P01", "relation \"pg_catalog.pg_nothing\" does not exist"),
        ("SELECT 1 FROM information_schema.nothing", "42P01", "relation \"information_schema.nothing\" does not exist"),
        ("SELECT pg_catalog.nothing(1)", "42883", "function pg_catalog.nothing does not exist"),
        ("SELECT x.* FROM pg_class c", "42P01", "missing FROM-clause entry for table \"x\""),
        ("SELECT 1 FROM pg_class WHERE relkind = ANY('r,v')", "22P02", "malformed array literal: \"r,v\""),
    ] {
        let error = rewritten(sql).expect_err(sql);
        assert_eq!((error.sqlstate().0, error.message()), (sqlstate, message), "{sql}");
    }
    let error = facts().require_regclass("ordrs").expect_err("there is no such relation");
    assert_eq!((error.sqlstate().0, error.message()), ("42P01", "relation \"ordrs\" does not exist"));
    assert_eq!(error.hint(), Some("Perhaps you meant to reference the relation \"orders\"."));
}

#[test]
fn a_query_on_user_tables_alone_is_left_alone() {
    for sql in [
        "SELECT id, (SELECT max(amount) FROM orders o WHERE o.customer_id = c.id) FROM customers c",
        "SELECT * FROM orders WHERE id = 1::BIGINT AND tags @> ARRAY['a']",
        "SELECT count(*) FROM flights GROUP BY carrier",
    ] {
        assert_eq!(rewritten(sql).expect(sql), sql);
    }
}

#[tokio::test]
async fn answers_that_no_client_was_caught_asking_for() {
    for (sql, expected) in [
        ("SELECT 'orders'::regclass, 'orders'::regclass::oid, {customers}::regclass::text", "regclass|oid|text\norders|{orders}|customers"),
        ("SELECT relname FROM pg_class WHERE oid = 'public.orders'::regclass", "relname\norders"),
        ("SELECT c.oid, n.oid, c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relname = 'notes'",
         "oid|oid|oid\n{notes}|2200|notes"),
        ("SELECT typinput, typelem::regtype FROM pg_type WHERE typname = '_int4'", "typinput|typelem\narray_in|integer"),
        ("SELECT count(*) FROM pg_type WHERE typinput = 'array_in'::regproc AND typname = '_text'", "count\n1"),
        ("SELECT to_regclass('nothing') IS NULL, to_regclass('orders'), to_regtype('int')", "?column?|to_regclass|to_regtype\nt|orders|integer"),
        ("SELECT current_user, current_schema, current_schemas(true), current_database()",
         "current_user|current_schema|current_schemas|current_database\nweir|public|{pg_catalog,public}|weir"),
        ("SELECT format('%I.%s %2$L %%', 'Ab', 'c''d'), quote_ident('select'), quote_literal(E'a\\\\b')",
         "format|quote_ident|quote_literal\n\"Ab\".c'd 'c''d' %|\"select\"|E'a\\\\b'"),
        ("SELECT n, x FROM information_schema._pg_expandarray(ARRAY['a','b'])", "n|x\n1|a\n2|b"),
        ("SELECT i.indkey[0], i.indkey[1] FROM pg_index i WHERE indrelid = {orders}",
         "indkey|indkey\n2|1"),
        ("SELECT relname, ARRAY(SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid AND attnum > 0 ORDER BY attnum LIMIT 2) AS two
          FROM pg_class c WHERE relname IN ('orders', 'notes') ORDER BY 1", "relname|two\nnotes|{body}\norders|{id,customer_id}"),
        ("SELECT relname, (SELECT count(*) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0) FROM pg_class c WHERE relkind = 'm'",
         "relname|count\ntotals|2"),
        ("SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1",
         "table_name|table_type\nbig_orders|VIEW\ncustomers|BASE TABLE\nflights|FOREIGN\nnotes|BASE TABLE\norders|BASE TABLE\ntotals|VIEW"),
        ("SELECT column_name, data_type, udt_name, numeric_precision, numeric_scale, is_nullable, column_default
          FROM information_schema.columns WHERE table_name = 'customers' ORDER BY ordinal_position",
         "column_name|data_type|udt_name|numeric_precision|numeric_scale|is_nullable|column_default\nid|integer|int4|32|0|NO|NULL\n\
          name|character varying|varchar|NULL|NULL|NO|NULL\nbalance|numeric|numeric|12|2|YES|0\n\
          since|timestamp with time zone|timestamptz|NULL|NULL|YES|now()"),
    ] {
        let facts = facts();
        let found = answer(&fill(sql, &facts), &facts).await.unwrap_or_else(|error| panic!("{sql}\n{error:?}"));
        assert_eq!(found.join("\n"), fill(expected, &facts), "{sql}");
    }
}

#[tokio::test]
async fn a_scalar_subquery_with_two_rows_is_an_error() {
    let sql = "SELECT (SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid) FROM pg_class c WHERE relname = 'orders'";
    let error = answer(sql, &facts()).await.expect_err("orders has several columns");
    assert!(error.message().contains("more than one row returned by a subquery used as an expression"), "{error:?}");
}

#[test]
fn every_relation_has_the_columns_that_its_rows_name() {
    for relation in relations::all() {
        assert!(content::rows(relation, &facts()).strangers(relation).is_empty(), "{}.{}", relation.schema, relation.name);
    }
}

#[tokio::test]
async fn every_relation_can_be_read() {
    let facts = facts();
    for relation in relations::all() {
        let sql = format!("SELECT * FROM {}.{}", relation.schema, relation.name);
        let found = run(&sql, &facts).await.unwrap_or_else(|error| panic!("{sql}\n{error:?}"));
        assert_eq!(found.num_columns(), relation.columns.len(), "{sql}");
    }
}

#[test]
fn types_are_spelled_as_in_postgres() {
    for (oid, modifier, spelling) in [
        (23, None, "integer"),
        (1007, Some(-1), "integer[]"),
        (1043, Some(44), "character varying(40)"),
        (1700, Some(786438), "numeric(12,2)"),
        (1231, Some(786438), "numeric(12,2)[]"),
        (1184, Some(3), "timestamp(3) with time zone"),
        (18, None, "\"char\""),
        (0, None, "-"),
        (99, None, "???"),
    ] {
        assert_eq!(types::format_type(oid, modifier), spelling);
    }
    for (text, oid) in [
        ("int", Some(23)),
        ("pg_catalog.int4", Some(23)),
        ("INT8[]", Some(1016)),
        ("numeric(10,2)", Some(1700)),
        ("timestamp with time zone", Some(1184)),
        ("character varying(3)", Some(1043)),
        ("\"char\"", Some(18)),
        ("2950", Some(2950)),
        ("hstore", None),
    ] {
        assert_eq!(types::regtype(text).expect(text), oid, "{text}");
    }
}
