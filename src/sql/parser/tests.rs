//! Tests of the parser: splitting, each clause, each refusal, and where errors point.

use datafusion::sql::sqlparser::ast;
use weir_common::error::Error;

use super::parse;
use crate::statement::*;

mod cursors; // prepared statements and cursors

/// The one statement of a text.
fn one(sql: &str) -> Statement {
    match parse(sql) {
        Ok(mut all) if all.len() == 1 => all.remove(0).statement,
        other => panic!("{sql}\n{other:?}"),
    }
}

fn error(sql: &str) -> Error {
    match parse(sql) {
        Ok(parsed) => panic!("{sql}\nparsed: {parsed:?}"),
        Err(error) => error,
    }
}

/// Each row: statement, SQLSTATE, message, and the text that the position points at (`$` for the end, empty for nowhere).
fn refuses(table: &[(&str, &str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (sql, sqlstate, message, at) in table {
        let error = match parse(sql) {
            Err(error) => error,
            Ok(parsed) => {
                wrong.push(format!("{sql}\n   parsed: {:?}", parsed.into_iter().map(|p| p.statement).collect::<Vec<_>>()));
                continue;
            }
        };
        let position = match *at {
            "" => None,
            "$" => Some(sql.chars().count() + 1),
            at => Some(sql[..sql.find(at).expect("the text is there")].chars().count() + 1),
        };
        if (error.sqlstate().0, error.message(), error.position()) != (*sqlstate, *message, position) {
            wrong.push(format!("{sql}\n   got {error:?} at {:?}, expected [{sqlstate}] {message} at {position:?}", error.position()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn hint(sql: &str) -> String {
    error(sql).hint().unwrap_or_default().to_string()
}

#[test]
fn splits_at_semicolons_outside_quotes_and_comments() {
    let sql = "  SELECT ';' ; -- a ; b\n /* ; /* ; */ */ SELECT $$;$$, $a$;$a$, \"a;b\" ;; ;SELECT 'ü;', E'\\';' -- end;\n";
    let parsed = parse(sql).unwrap();
    let texts: Vec<(&str, usize)> = parsed.iter().map(|p| (p.text.as_str(), p.offset)).collect();
    assert_eq!(texts.len(), 3);
    assert_eq!(texts[0], ("SELECT ';'", 2));
    assert_eq!(texts[1].0, "SELECT $$;$$, $a$;$a$, \"a;b\"");
    assert_eq!(texts[2].0, "SELECT 'ü;', E'\\';'");
    for (text, offset) in texts {
        assert_eq!(sql.chars().skip(offset).take(text.chars().count()).collect::<String>(), text);
    }
}

#[test]
fn nothing_is_no_statement() {
    for sql in ["", "  \n\t", ";", " ; ;; ", "-- ping", "/* a; */", "-- ping\n;--"] {
        assert_eq!(parse(sql), Ok(vec![]), "{sql:?}");
    }
}

#[test]
fn many_statements_on_one_line_stay_linear() {
    let sql = "INSERT INTO t VALUES (1, 'ä');".repeat(20_000);
    assert_eq!(parse(&sql).unwrap().len(), 20_000);
}

#[test]
fn errors_point_into_the_whole_text() {
    refuses(&[
        ("SELECT 'ü'; SELEC 1", "42601", "syntax error at or near \"SELEC\"", "SELEC "),
        ("SELECT 1;\n\n  SELECT a FROM WHERE b", "42601", "syntax error at or near \"WHERE\"", "WHERE"),
        ("SELECT (1", "42601", "syntax error at end of input", "$"),
        ("SELECT (1 ; SELECT 2", "42601", "syntax error at or near \";\"", ";"),
        ("SELECT a, FROM t", "42601", "syntax error at or near \"FROM\"", "FROM"),
        ("SELECT a FROM t WHERE GROUP BY a", "42601", "syntax error at or near \"GROUP\"", "GROUP"),
        ("CREATE TABLE t (a int,)", "42601", "syntax error at or near \")\"", ")"),
        ("SELECT 'a\nb", "42601", "unterminated quoted string at or near \"'a\nb\"", "'a"),
        ("SELECT \"ab", "42601", "unterminated quoted identifier at or near \"\"ab\"", "\"ab"),
        ("SELECT 1 /* a", "42601", "unterminated /* comment at or near \"/* a\"", "/*"),
        ("SELECT $x$ a", "42601", "unterminated dollar-quoted string at or near \"$x$ a\"", "$x$"),
        ("SELECT 1;\0", "22021", "invalid byte sequence for encoding \"UTF8\": 0x00", "\0"),
        ("FLURB", "42601", "syntax error at or near \"FLURB\"", "FLURB"),
        ("42", "42601", "syntax error at or near \"42\"", "42"),
        ("FROM t", "42601", "syntax error at or near \"FROM\"", "FROM"),
        ("DESCRIBE t", "42601", "syntax error at or near \"DESCRIBE\"", "DESCRIBE"),
        ("EXPLAIN SELECT a FROM", "42601", "syntax error at end of input", "$"),
        ("EXPLAIN SELECT a b c", "42601", "syntax error at or near \"c\"", "c"),
        ("SELECT * FORM t", "42601", "syntax error at or near \"FORM\"", "FORM"),
        ("SELECT a, * FORM t", "42601", "syntax error at or near \"FORM\"", "FORM"),
        ("SELECT DISTINCT * \"x\" FROM t", "42601", "syntax error at or near \"\"x\"\"", "\"x"),
        ("SELECT * AS x FROM t", "42601", "syntax error at or near \"AS\"", "AS"),
    ]);
    for sql in [
        "SELECT * FROM t",
        "SELECT * FROM t ORDER BY 1",
        "SELECT a * b c, count(*) n, t.* FROM t",
        "SELECT a, b * c d FROM t",
        "SELECT * UNION SELECT 1",
    ] {
        assert!(parse(sql).is_ok(), "{sql}");
    }
    // "1 1" points at the second one.
    assert_eq!(error("SELECT 2 1").position(), Some(10));
}

#[test]
fn misspelt_words_get_a_hint() {
    for (sql, word) in [
        ("CREATE SORCE s (a int)", "SOURCE"),
        ("CREATE MATERIALISED VIEW v AS SELECT 1", "MATERIALIZED"),
        ("CREATE MATERALIZED VIEW v AS SELECT 1", "MATERIALIZED"),
        ("SELCT 1", "SELECT"),
        ("SELECT * FORM t", "FROM"),
        ("SELECT a FROM t GRUOP BY a", "GROUP"),
        ("CREATE TABEL t (a int)", "TABLE"),
        ("DROP MATERIALZED VIEW v", "MATERIALIZED"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1 ALLOW LATENES INTERVAL '1 s'", "LATENESS"),
        ("BEGIN ISOLATION LEVEL SERIALISABLE", "SERIALIZABLE"),
        ("COPY t FROM STDINN", "STDIN"),
    ] {
        assert_eq!(hint(sql), format!("Perhaps you meant \"{word}\"."), "{sql}");
    }
    assert!(hint("SELECT a FROM t EMIT FINAL").contains("CREATE MATERIALIZED VIEW"));
    assert!(hint("CREATE MATERIALIZED VIEW v AS SELECT 1 EMIT ON CLOSE").contains("EMIT ON WINDOW CLOSE"));
    assert_eq!(hint("SELECT a FROM t WHERE"), "");
}

#[test]
fn deep_statements_are_errors_and_not_overflows() {
    let deep = [
        format!("SELECT {}1{}", "(".repeat(100_000), ")".repeat(100_000)),
        format!("SELECT {}", vec!["1"; 100_000].join(" + ")),
        format!("SELECT {}", vec!["a"; 100_000].join(" OR ")),
        format!("SELECT {} 1", "- ".repeat(100_000)),
        format!("SELECT {} true", "NOT ".repeat(100_000)),
        format!("SELECT 1{}", "::int".repeat(100_000)),
        format!("SELECT {}1{}", "(SELECT ".repeat(50_000), ")".repeat(50_000)),
        format!("SELECT {}", vec!["SELECT 1"; 50_000].join(" UNION ALL ")),
        format!("SELECT {}1{}", "abs(".repeat(50_000), ")".repeat(50_000)),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(50_000), " END".repeat(50_000)),
        format!("SELECT 1{}", "[1]".repeat(50_000)),
        format!("CREATE TABLE t (a int{})", "[]".repeat(50_000)),
        format!("{}SELECT 1", "EXPLAIN ".repeat(50_000)),
        format!("SELECT * FROM {}t{}", "(".repeat(50_000), ")".repeat(50_000)),
        format!("SELECT a{}", ".a".repeat(50_000)),
    ];
    for sql in &deep {
        let short: String = sql.chars().take(60).collect();
        // A small stack, as in a thread of a test or a server.
        let result = std::thread::scope(|scope| scope.spawn(|| parse(sql).map(|_| ())).join()).expect("no panic");
        if let Err(error) = result {
            assert!(["54001", "42601", "0A000"].contains(&error.sqlstate().0), "{short} {error:?}");
        } else {
            assert!(short.starts_with("SELECT a.a"), "{short}");
        }
    }
    // What people write is well within.
    let wide = format!("SELECT a FROM t WHERE {}", vec!["a = 1"; 300].join(" OR "));
    assert!(parse(&wide).is_ok());
    let list = format!("SELECT a FROM t WHERE a IN ({})", vec!["-1 + 2"; 20_000].join(", "));
    assert!(parse(&list).is_ok());
    let values = format!("INSERT INTO t VALUES {}", vec!["(1, -2, 'x')"; 20_000].join(", "));
    assert!(parse(&values).is_ok());
    let nested = format!("SELECT {}1{}", "(".repeat(40), ")".repeat(40));
    assert!(parse(&nested).is_ok());
}

#[test]
fn queries_keep_their_tree() {
    for sql in [
        "SELECT a, count(*) FILTER (WHERE b > 1) FROM t GROUP BY a HAVING count(*) > 1 ORDER BY a LIMIT 3 OFFSET 1",
        "WITH x AS (SELECT 1 AS a) SELECT * FROM x",
        "VALUES (1, 'a'), (2, 'b')",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "SELECT * FROM TUMBLE(bids, date_time, INTERVAL '1 minute')",
        "SELECT $1::int + $2",
        "SELECT a -> 'b' ->> 'c' FROM t",
        "SELECT 'a' OPERATOR(pg_catalog.~) 'b' COLLATE pg_catalog.default",
    ] {
        let Statement::Query(query) = one(sql) else { panic!("{sql}") };
        let again = one(&query.to_string());
        assert_eq!(Statement::Query(query).to_string_of_query(), again.to_string_of_query(), "{sql}");
    }
    let Statement::Query(query) = one("TABLE t") else { panic!() };
    assert_eq!(query.to_string(), "SELECT * FROM t");
    let Statement::Query(query) = one("SELECT a FROM t OFFSET 2 FETCH FIRST 5 ROWS ONLY") else { panic!() };
    assert_eq!(query.to_string(), "SELECT a FROM t LIMIT 5 OFFSET 2");
    let Statement::Query(query) = one("SELECT 'a'\n 'b'") else { panic!() };
    assert_eq!(query.to_string(), "SELECT 'ab'");
}

impl Statement {
    fn to_string_of_query(&self) -> String {
        match self {
            Statement::Query(query) => query.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn spans_count_from_the_statement() {
    let parsed = parse("SELECT 1;\n  SELECT\n  foo FROM t").unwrap();
    let Statement::Query(query) = &parsed[1].statement else { panic!() };
    let ast::SetExpr::Select(select) = &*query.body else { panic!() };
    let ast::SelectItem::UnnamedExpr(ast::Expr::Identifier(ident)) = &select.projection[0] else { panic!() };
    assert_eq!(super::offsets(&parsed[1].text, ident.span.start).map(|at| at.chars), Some(9));
    let placed = parsed[1].place(Error::internal("x").with_position(10));
    assert_eq!(placed.position(), Some(22));
}

#[test]
fn queries_refuse_what_would_be_ignored() {
    refuses(&[
        ("SELECT a FROM t FOR UPDATE", "0A000", "SELECT FOR UPDATE is not supported yet", ""),
        ("SELECT * FROM (SELECT a FROM t FOR SHARE) x", "0A000", "SELECT FOR SHARE is not supported yet", ""),
        ("SELECT a INTO b FROM t", "0A000", "SELECT INTO is not supported yet", ""),
        ("SELECT a FROM t TABLESAMPLE SYSTEM (10)", "0A000", "TABLESAMPLE is not supported yet", ""),
        ("SELECT a FROM t ORDER BY a FETCH FIRST 3 ROWS WITH TIES", "0A000", "FETCH FIRST ... WITH TIES is not supported yet", ""),
        ("WITH x AS (DELETE FROM t) SELECT 1", "0A000", "INSERT, UPDATE or DELETE inside WITH is not supported yet", ""),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "0A000", "INSERT, UPDATE or DELETE inside WITH is not supported yet", ""),
        ("SELECT * FROM unnest(ARRAY[1]) WITH ORDINALITY", "0A000", "WITH ORDINALITY is not supported yet", ""),
    ]);
}

#[test]
fn changes_of_rows() {
    let Statement::Insert(insert) = one("INSERT INTO t AS x (a, b) VALUES (1, DEFAULT)") else { panic!() };
    assert_eq!(insert.columns.len(), 2);
    assert!(matches!(one("INSERT INTO t DEFAULT VALUES"), Statement::Insert(insert) if insert.source.is_none()));
    assert!(matches!(one("INSERT INTO t WITH x AS (SELECT 1) SELECT * FROM x"), Statement::Insert(_)));
    assert!(matches!(one("UPDATE t AS x SET a = b + 1 FROM u WHERE x.id = u.id"), Statement::Update(_)));
    assert!(matches!(one("DELETE FROM t USING u WHERE t.id = u.id"), Statement::Delete(_)));
    for sql in [
        "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING RETURNING *, a + 1 AS b",
        "INSERT INTO t SELECT 1 ON CONFLICT (a, b) DO UPDATE SET a = excluded.a, (b, c) = (1, DEFAULT) WHERE t.a > 1",
        "INSERT INTO t DEFAULT VALUES ON CONFLICT ON CONSTRAINT t_pkey DO UPDATE SET a = 1 RETURNING t.*",
        "INSERT INTO t SELECT a FROM u JOIN v ON conflict = 1",
    ] {
        assert!(matches!(one(sql), Statement::Insert(_)), "{sql}");
    }
    let Statement::Truncate(truncate) = one("TRUNCATE TABLE ONLY t, public.u * CONTINUE IDENTITY CASCADE") else { panic!() };
    assert_eq!(truncate.names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["t", "public.u"]);
    refuses(&[
        ("TRUNCATE t RESTART IDENTITY", "0A000", "RESTART IDENTITY is not supported yet", "RESTART"),
        ("TRUNCATE", "42601", "syntax error at end of input", "$"),
        ("TRUNCATE t WHERE a", "42601", "syntax error at or near \"WHERE\"", "WHERE"),
    ]);
    refuses(&[
        (
            "INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = 1",
            "42601",
            "ON CONFLICT DO UPDATE requires inference specification or constraint name",
            "ON CONFLICT",
        ),
        (
            "INSERT INTO t VALUES (1) ON CONFLICT (lower(a)) DO NOTHING",
            "0A000",
            "ON CONFLICT on anything but columns is not supported yet",
            "ON CONFLICT",
        ),
        (
            "SELECT 1; INSERT INTO t VALUES (1) ON CONFLICT (a, b) WHERE a > 0 DO NOTHING",
            "0A000",
            "WHERE after the columns of ON CONFLICT is not supported yet",
            "ON CONFLICT",
        ),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a,) DO NOTHING", "42601", "syntax error at or near \")\"", ") DO"),
        ("INSERT INTO t VALUES (1) ON CONFLICT (a) DO DELETE", "42601", "syntax error at or near \"DELETE\"", "DELETE"),
        ("DELETE FROM t RETURNING", "42601", "syntax error at end of input", "$"),
        ("INSERT OVERWRITE t VALUES (1)", "42601", "INSERT has a clause that Postgres does not know", ""),
        ("DELETE FROM t ORDER BY a LIMIT 1", "42601", "DELETE has a clause that Postgres does not know", ""),
        ("UPDATE t SET a = 1 LIMIT 1", "42601", "UPDATE has a clause that Postgres does not know", ""),
        ("INSERT INTO t VALUES (1) garbage", "42601", "syntax error at or near \"garbage\"", "garbage"),
    ]);
}

#[test]
fn create_table() {
    let Statement::CreateTable(table) = one(
        "CREATE TABLE IF NOT EXISTS public.t (id BIGINT PRIMARY KEY, name TEXT NOT NULL DEFAULT 'x' || 'y', \"Price\" NUMERIC(12,2) DEFAULT 0 NOT NULL)",
    ) else {
        panic!()
    };
    assert!(table.if_not_exists);
    assert_eq!(table.name.to_string(), "public.t");
    assert_eq!(table.primary_key, Some(vec![table.columns[0].name.clone()]));
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|c| format!("{} {} {} {:?} {}", c.name, c.data_type, c.not_null, c.default.as_ref().map(|d| d.to_string()), c.primary_key))
        .collect();
    assert_eq!(
        columns,
        ["id BIGINT false None true", "name TEXT true Some(\"'x' || 'y'\") false", "\"Price\" NUMERIC(12,2) true Some(\"0\") false"]
    );
    assert_eq!(table.columns[1].position, 61);

    let Statement::CreateTable(table) =
        one("CREATE TABLE t (a int, b text, ts timestamp, CONSTRAINT pk PRIMARY KEY (b, a), WATERMARK FOR ts AS ts - INTERVAL '1 day')")
    else {
        panic!()
    };
    assert_eq!(table.primary_key.unwrap().iter().map(|i| i.value.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(table.primary_key_name.unwrap().value, "pk");
    assert_eq!(table.watermark.unwrap().column.value, "ts");

    let Statement::CreateTable(table) = one(
        "CREATE TABLE t (a int CHECK (a > 0) DEFAULT 1 CONSTRAINT small CHECK (a < 9) NOT NULL, b int, CHECK (a < b), CONSTRAINT c CHECK (b <> 7))",
    ) else {
        panic!()
    };
    let checks: Vec<String> = table
        .checks
        .iter()
        .map(|c| format!("{} {} {}", c.name.as_ref().map_or("-", |name| name.value.as_str()), c.expr, c.position))
        .collect();
    assert_eq!(checks, ["- a > 0 23", "small a < 9 64", "- a < b 95", "c b <> 7 123"]);
    assert!(table.columns[0].not_null && table.columns[0].default.is_some());

    let Statement::CreateTable(table) = one("CREATE TABLE t AS SELECT 1 AS a WITH DATA") else { panic!() };
    assert_eq!(table.query.unwrap().query.to_string(), "SELECT 1 AS a");
    let Statement::CreateTable(table) = one("CREATE TABLE t (x, y) AS VALUES (1, 2)") else { panic!() };
    assert_eq!(table.query.unwrap().columns.len(), 2);
}

#[test]
fn create_table_refuses_what_would_not_be_enforced() {
    refuses(&[
        ("CREATE TABLE t (a int UNIQUE)", "0A000", "UNIQUE constraints are not supported yet", "UNIQUE"),
        ("CREATE TABLE t (a int, UNIQUE (a))", "0A000", "UNIQUE constraints are not supported yet", "UNIQUE"),
        ("CREATE TABLE t (a int CHECK (a > 0) NO INHERIT)", "0A000", "NO INHERIT is not supported", "NO INHERIT"),
        ("CREATE TABLE t (a int, CHECK (a > 0) DEFERRABLE)", "0A000", "DEFERRABLE constraints are not supported yet", "DEFERRABLE"),
        ("CREATE TABLE t (a int CHECK a > 0)", "42601", "syntax error at or near \"a\"", "a > 0"),
        ("CREATE TABLE t (a int REFERENCES u)", "0A000", "foreign keys are not supported yet", "REFERENCES"),
        ("CREATE TABLE t (a int, FOREIGN KEY (a) REFERENCES u (b))", "0A000", "foreign keys are not supported yet", "FOREIGN"),
        ("CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY)", "0A000", "GENERATED columns are not supported yet", "GENERATED"),
        ("CREATE TABLE t (a text COLLATE \"de_DE\")", "0A000", "COLLATE is not supported yet", "COLLATE"),
        ("CREATE TABLE t (a int PRIMARY KEY DEFERRABLE)", "0A000", "DEFERRABLE constraints are not supported yet", "PRIMARY"),
        ("CREATE TABLE t (a int, EXCLUDE USING gist (a WITH =))", "0A000", "EXCLUDE constraints are not supported yet", "EXCLUDE"),
        ("CREATE TABLE t (LIKE u)", "0A000", "LIKE in CREATE TABLE is not supported yet", "LIKE"),
        ("CREATE TABLE t ()", "0A000", "tables without columns are not supported yet", "()"),
        ("CREATE TEMP TABLE t (a int)", "0A000", "temporary tables and views are not supported yet", "TEMP"),
        ("CREATE UNLOGGED TABLE t (a int)", "0A000", "UNLOGGED tables are not supported yet", "UNLOGGED"),
        ("CREATE OR REPLACE TABLE t (a int)", "0A000", "OR REPLACE is only supported for views", "OR"),
        ("CREATE TABLE t (a int) INHERITS (u)", "0A000", "INHERITS is not supported yet", "INHERITS"),
        ("CREATE TABLE t (a int) PARTITION BY RANGE (a)", "0A000", "PARTITION BY is not supported yet", "PARTITION"),
        ("CREATE TABLE t PARTITION OF u FOR VALUES IN (1)", "0A000", "PARTITION OF is not supported yet", "PARTITION"),
        ("CREATE TABLE t (a int) WITH (connector = 'file')", "0A000", "WITH options of a table are not supported yet", "WITH"),
        ("CREATE TABLE t (a int) TABLESPACE x", "0A000", "TABLESPACE is not supported yet", "TABLESPACE"),
        ("CREATE TABLE t AS SELECT 1 WITH NO DATA", "0A000", "WITH NO DATA is not supported yet", "WITH"),
        ("CREATE TABLE t (a int, A text)", "42701", "column \"a\" specified more than once", "A text"),
        (
            "CREATE TABLE t (a int PRIMARY KEY, PRIMARY KEY (a))",
            "42P16",
            "multiple primary keys for table \"t\" are not allowed",
            "PRIMARY KEY (a)",
        ),
        ("CREATE TABLE t (a int, PRIMARY KEY (b))", "42703", "column \"b\" named in key does not exist", "b)"),
        ("CREATE TABLE t (a int, PRIMARY KEY (a, a))", "42701", "column \"a\" appears twice in primary key constraint", "a))"),
        (
            "CREATE TABLE t (a int DEFAULT 1 DEFAULT 2)",
            "42601",
            "multiple default values specified for column \"a\" of table \"t\"",
            "DEFAULT 2",
        ),
        (
            "CREATE TABLE t (a int NOT NULL NULL)",
            "42601",
            "conflicting NULL/NOT NULL declarations for column \"a\" of table \"t\"",
            "NULL)",
        ),
        ("CREATE TABLE t (a int, b)", "42601", "syntax error at or near \")\"", ")"),
        ("CREATE TABLE t (a int) garbage", "42601", "syntax error at or near \"garbage\"", "garbage"),
        ("CREATE TABLE t", "42601", "syntax error at end of input", "$"),
    ]);
}

const SOURCE: &str = "CREATE SOURCE IF NOT EXISTS bids (
  auction BIGINT, channel TEXT NOT NULL, \"Time\" TIMESTAMP,
  WATERMARK FOR \"Time\" AS \"Time\" - INTERVAL '5 seconds'
) INCLUDE KEY AS k, PARTITION, OFFSET INCLUDE TIMESTAMP, HEADERS
WITH (connector = 'kafka', Topic = 'bids', properties.bootstrap.server = 'localhost:9092', rate = -1.5, follow = TRUE, \"Odd.Key\" = 'x', 'other' = 'y')
FORMAT plain ENCODE json (strict = true)";

#[test]
fn create_source() {
    let Statement::CreateSource(source) = one(SOURCE) else { panic!() };
    assert!(source.if_not_exists);
    assert_eq!(source.name.to_string(), "bids");
    assert_eq!(source.columns.len(), 3);
    assert!(source.columns[1].not_null);
    let watermark = source.watermark.unwrap();
    assert_eq!((watermark.column.value.as_str(), watermark.expr.to_string().as_str()), ("Time", "\"Time\" - INTERVAL '5 seconds'"));
    let include: Vec<_> = source.include.iter().map(|i| (i.kind, i.name.as_ref().map(|n| n.value.as_str()))).collect();
    use IncludeKind::*;
    assert_eq!(include, [(Key, Some("k")), (Partition, None), (Offset, None), (Timestamp, None), (Headers, None)]);
    let options: Vec<_> = source.options.iter().map(|(k, v)| (k.as_str(), v.value.as_str())).collect();
    assert_eq!(
        options,
        [
            ("Odd.Key", "x"),
            ("connector", "kafka"),
            ("follow", "true"),
            ("other", "y"),
            ("properties.bootstrap.server", "localhost:9092"),
            ("rate", "-1.5"),
            ("topic", "bids")
        ]
    );
    assert_eq!(source.options["topic"].position, SOURCE.find("Topic").unwrap() + 1);
    let format = source.format.unwrap();
    assert_eq!((format.format.as_str(), format.encode.as_str(), format.options["strict"].value.as_str()), ("PLAIN", "JSON", "true"));

    let Statement::CreateSource(source) = one("CREATE SOURCE a FORMAT PLAIN ENCODE CSV WITH (connector = 'nexmark')") else { panic!() };
    assert!(source.columns.is_empty() && source.watermark.is_none() && !source.if_not_exists);
}

#[test]
fn create_source_refuses() {
    refuses(&[
        ("CREATE SOURCE s (a int)", "42601", "syntax error at end of input", "$"),
        ("CREATE SOURCE s (a int PRIMARY KEY) WITH (connector = 'file')", "0A000", "PRIMARY KEY of a source is not supported yet", "a int"),
        ("CREATE SOURCE s (a int DEFAULT 1) WITH (connector = 'file')", "0A000", "DEFAULT in a source is not supported yet", "a int"),
        (
            "CREATE SOURCE s (a int CHECK (a > 0)) WITH (connector = 'file')",
            "0A000",
            "CHECK constraints of a source are not supported yet",
            "CHECK",
        ),
        (
            "CREATE SOURCE s (a int, WATERMARK FOR b AS b) WITH (connector = 'file')",
            "42703",
            "column \"b\" named in WATERMARK FOR does not exist",
            "b AS",
        ),
        (
            "CREATE SOURCE s (a int, WATERMARK FOR a AS a, WATERMARK FOR a AS a) WITH (c = '')",
            "42601",
            "a relation has one watermark",
            "WATERMARK FOR a AS a)",
        ),
        ("CREATE SOURCE s WITH (a = '1', b = '2', A = '3')", "42601", "option \"a\" is given more than once", "A = '3'"),
        ("CREATE SOURCE s WITH (a = '1') WITH (b = '2')", "42601", "WITH and FORMAT may be given only once", "WITH (b"),
        ("CREATE SOURCE s WITH ()", "42601", "syntax error at or near \")\"", ")"),
        ("CREATE SOURCE s WITH (a = kafka)", "42601", "syntax error at or near \"kafka\"", "kafka"),
        ("CREATE SOURCE s WITH (a '1')", "42601", "syntax error at or near \"'1'\"", "'1'"),
        ("CREATE SOURCE s INCLUDE KEYS WITH (a = '1')", "42601", "syntax error at or near \"KEYS\"", "KEYS"),
        ("CREATE SOURCE s WITH (a = '1') FORMAT PLAIN", "42601", "syntax error at end of input", "$"),
        ("CREATE SOURCE s WITH (a = '1') ROWS", "42601", "syntax error at or near \"ROWS\"", "ROWS"),
        ("CREATE OR REPLACE SOURCE s WITH (a = '1')", "0A000", "OR REPLACE is only supported for views", "OR"),
    ]);
    assert_eq!(hint("CREATE SOURCE s WITH (a = kafka)"), "Write the value of an option in quotes: a = 'kafka'.");
    assert!(hint("CREATE SOURCE s (a int)").contains("connector"));
}

fn materialized(sql: &str) -> CreateMaterializedView {
    match one(sql) {
        Statement::CreateMaterializedView(view) => view,
        other => panic!("{other:?}"),
    }
}

#[test]
fn create_materialized_view() {
    let sql = "CREATE OR REPLACE MATERIALIZED VIEW v (a, \"B\") WITH (retention = '30 days') AS\n  SELECT window_start, count(*)\n  FROM TUMBLE(bids, date_time, INTERVAL '1 minute') -- why\n  GROUP BY window_start\nALLOW LATENESS INTERVAL '30 seconds'\nEMIT ON WINDOW CLOSE ;";
    let view = materialized(sql);
    assert!(view.or_replace && !view.if_not_exists);
    assert_eq!(view.columns.len(), 2);
    assert_eq!(view.options["retention"].value, "30 days");
    assert_eq!(view.allow_lateness.unwrap().to_string(), "INTERVAL '30 seconds'");
    assert_eq!(view.emit, Some(Emit::WindowClose));
    assert_eq!(view.emit_position, Some(sql.find("EMIT").unwrap() + 1));
    assert!(view.query_text.starts_with("SELECT window_start") && view.query_text.ends_with("GROUP BY window_start"));
    assert_eq!(&sql[view.query_offset..view.query_offset + view.query_text.len()], view.query_text);

    for (clause, emit) in
        [("", None), ("EMIT ON UPDATE", Some(Emit::Update)), ("EMIT CHANGES", Some(Emit::Update)), ("emit final", Some(Emit::Final))]
    {
        let view = materialized(&format!("CREATE MATERIALIZED VIEW IF NOT EXISTS v AS SELECT a FROM t {clause}"));
        assert_eq!((view.emit, view.query.to_string().as_str()), (emit, "SELECT a FROM t"), "{clause}");
        assert!(view.if_not_exists);
    }
    let view = materialized(
        "CREATE MATERIALIZED VIEW v AS WITH x AS (SELECT 1 AS a) SELECT a FROM x EMIT FINAL WITH (retention = '1 day') ALLOW LATENESS INTERVAL '1' MINUTE",
    );
    assert_eq!((view.emit, view.options.len(), view.allow_lateness.is_some()), (Some(Emit::Final), 1, true));
    assert_eq!(materialized("CREATE MATERIALIZED VIEW v AS SELECT 1 WITH DATA").query_text, "SELECT 1");
}

#[test]
fn clause_words_are_names_inside_a_query() {
    for query in [
        "SELECT emit FROM t",
        "SELECT a emit FROM t",
        "SELECT a AS final FROM t AS emit",
        "SELECT * FROM t emit JOIN u ON emit.a = u.a",
        "SELECT * FROM t emit WHERE emit.a = 1 ORDER BY emit DESC",
        "SELECT allow lateness FROM t",
        "SELECT * FROM (SELECT 1 AS x) emit, u",
        "SELECT sum(a) OVER w FROM t WINDOW w AS (ORDER BY b)",
    ] {
        let view = materialized(&format!("CREATE MATERIALIZED VIEW v AS {query}"));
        assert_eq!((view.query_text.as_str(), view.emit), (query, None), "{query}");
        let view = materialized(&format!("CREATE MATERIALIZED VIEW v AS {query} ALLOW LATENESS INTERVAL '1 s' EMIT ON WINDOW CLOSE"));
        assert_eq!((view.query_text.as_str(), view.emit), (query, Some(Emit::WindowClose)), "{query}");
    }
}

#[test]
fn create_views() {
    let sql = "CREATE OR REPLACE VIEW v (x) AS SELECT a /* b */ FROM t -- c";
    let Statement::CreateView(view) = one(sql) else { panic!() };
    assert!(view.or_replace);
    assert_eq!((view.query_text.as_str(), view.columns.len()), ("SELECT a /* b */ FROM t", 1));
    refuses(&[
        ("CREATE VIEW v AS SELECT 1 WITH CHECK OPTION", "0A000", "WITH CHECK OPTION is not supported yet", "WITH"),
        ("CREATE VIEW v AS SELECT 1 WITH LOCAL CHECK OPTION", "0A000", "WITH CHECK OPTION is not supported yet", "WITH"),
        ("CREATE VIEW v WITH (security_barrier) AS SELECT 1", "0A000", "options of a view are not supported yet", "WITH"),
        ("CREATE TEMPORARY VIEW v AS SELECT 1", "0A000", "temporary tables and views are not supported yet", "TEMPORARY"),
        ("CREATE VIEW v (a, a) AS SELECT 1, 2", "42701", "column \"a\" specified more than once", "a) AS"),
        ("CREATE VIEW v", "42601", "syntax error at end of input", "$"),
        ("CREATE VIEW v AS SELECT a FROM t EMIT FINAL", "42601", "syntax error at or near \"FINAL\"", "FINAL"),
        ("CREATE VIEW v AS SELECT a FROM t FOR UPDATE", "0A000", "SELECT FOR UPDATE is not supported yet", ""),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1 WITH NO DATA", "0A000", "WITH NO DATA is not supported yet", "WITH"),
        (
            "CREATE MATERIALIZED VIEW v AS SELECT 1 EMIT CHANGES EMIT FINAL",
            "42601",
            "WITH, ALLOW LATENESS and EMIT may be given only once",
            "EMIT FINAL",
        ),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1 EMIT ON SUNDAY", "42601", "syntax error at or near \"SUNDAY\"", "SUNDAY"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1 EMIT WINDOW CLOSE", "42601", "syntax error at or near \"WINDOW\"", "WINDOW"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1 ALLOW LATENESS EMIT FINAL", "42601", "syntax error at or near \"FINAL\"", "FINAL"),
        ("CREATE MATERIALIZED VIEW v AS SELECT a FROM EMIT FINAL", "42601", "syntax error at or near \"EMIT\"", "EMIT"),
        ("CREATE MATERIALIZED VIEW v AS EMIT FINAL", "42601", "syntax error at or near \"EMIT\"", "EMIT"),
        ("CREATE MATERIALIZED VIEW v USING heap AS SELECT 1", "0A000", "USING is not supported yet", "USING"),
        (
            "CREATE OR REPLACE MATERIALIZED VIEW IF NOT EXISTS v AS SELECT 1",
            "42601",
            "OR REPLACE and IF NOT EXISTS exclude each other",
            "IF",
        ),
        (
            "CREATE MATERIALIZED VIEW v WITH (a = '1') AS SELECT 1 WITH (b = '1')",
            "42601",
            "WITH, ALLOW LATENESS and EMIT may be given only once",
            "WITH (b",
        ),
    ]);
}

#[test]
fn drops() {
    for (sql, kind) in [
        ("TABLE", ObjectKind::Table),
        ("SOURCE", ObjectKind::Source),
        ("VIEW", ObjectKind::View),
        ("MATERIALIZED VIEW", ObjectKind::MaterializedView),
        ("INDEX", ObjectKind::Index),
        ("SINK", ObjectKind::Sink),
    ] {
        let Statement::Drop(drop) = one(&format!("DROP {sql} IF EXISTS a, public.b CASCADE")) else { panic!("{sql}") };
        assert_eq!((drop.kind, drop.names.len(), drop.if_exists, drop.cascade), (kind, 2, true, true));
    }
    let Statement::Drop(drop) = one("drop table a restrict") else { panic!() };
    assert!(!drop.cascade && !drop.if_exists);
    assert!(matches!(one("DROP SCHEMA x"), Statement::Unsupported(u) if u.what == "DROP SCHEMA"));
    refuses(&[
        ("DROP", "42601", "syntax error at end of input", "$"),
        ("DROP TABLE", "42601", "syntax error at end of input", "$"),
        ("DROP TABEL t", "42601", "syntax error at or near \"TABEL\"", "TABEL"),
    ]);
}

#[test]
fn explain() {
    let sql = "SELECT 1; EXPLAIN (ANALYZE, VERBOSE off, COSTS false, FORMAT text) SELECT a FROM t";
    let parsed = parse(sql).unwrap().remove(1);
    let Statement::Explain(explain) = &parsed.statement else { panic!() };
    assert_eq!((explain.analyze, explain.verbose), (true, false));
    assert_eq!(explain.statement.text, "SELECT a FROM t");
    assert_eq!(explain.statement.offset, sql.rfind("SELECT").unwrap());
    let Statement::Explain(explain) = one("EXPLAIN ANALYZE VERBOSE (SELECT 1)") else { panic!() };
    assert!(explain.analyze && explain.verbose);
    assert!(matches!(one("EXPLAIN (SELECT 1)"), Statement::Explain(e) if !e.analyze));
    assert!(matches!(one("EXPLAIN CREATE MATERIALIZED VIEW v AS SELECT 1 EMIT FINAL"), Statement::Explain(e)
        if matches!(&e.statement.statement, Statement::CreateMaterializedView(v) if v.emit == Some(Emit::Final))));
    refuses(&[
        ("EXPLAIN (FORMAT json) SELECT 1", "0A000", "EXPLAIN (FORMAT JSON) is not supported yet", "FORMAT"),
        ("EXPLAIN (BUFFERS) SELECT 1", "0A000", "EXPLAIN option BUFFERS is not supported yet", "BUFFERS"),
        ("EXPLAIN (ANALYS) SELECT 1", "42601", "unrecognized EXPLAIN option \"analys\"", "ANALYS"),
        ("EXPLAIN (ANALYZE maybe) SELECT 1", "42601", "analyze requires a Boolean value", "ANALYZE"),
        ("EXPLAIN DROP TABLE t", "0A000", "EXPLAIN is only supported for a query, EXECUTE, DECLARE and CREATE MATERIALIZED VIEW", "DROP"),
        ("EXPLAIN", "42601", "syntax error at end of input", "$"),
        (" EXPLAIN  SELECT 1 +", "42601", "syntax error at end of input", "$"),
        (
            "EXPLAIN ANALYZE CREATE MATERIALIZED VIEW v AS SELECT 1",
            "0A000",
            "EXPLAIN ANALYZE of CREATE MATERIALIZED VIEW is not supported yet",
            "CREATE",
        ),
    ]);
}

#[test]
fn set_show_reset() {
    let set = |sql: &str| match one(sql) {
        Statement::Set(set) => {
            let value = match set.value {
                SetValue::Default => "DEFAULT".to_string(),
                SetValue::Values(values) => values.join("|"),
            };
            format!("{:?} {} {value}", set.scope, set.name)
        }
        other => panic!("{other:?}"),
    };
    for (sql, expected) in [
        ("SET extra_float_digits = 3", "Session extra_float_digits 3"),
        ("SET SESSION DateStyle TO ISO, MDY", "Session datestyle iso|mdy"),
        ("SET LOCAL statement_timeout = '5s'", "Local statement_timeout 5s"),
        ("SET search_path TO \"$user\", Public", "Session search_path $user|public"),
        ("SET TIME ZONE 'Europe/Paris'", "Session timezone Europe/Paris"),
        ("SET SESSION TIME ZONE UTC", "Session timezone utc"),
        ("SET TIME ZONE LOCAL", "Session timezone DEFAULT"),
        ("SET TIME ZONE DEFAULT", "Session timezone DEFAULT"),
        ("SET TIME ZONE -8", "Session timezone -8"),
        ("SET TimeZone = 'UTC'", "Session timezone UTC"),
        ("SET NAMES 'utf8'", "Session client_encoding utf8"),
        ("SET NAMES", "Session client_encoding DEFAULT"),
        ("SET role = 'x'", "Session role x"),
        ("SET ROLE NONE", "Session role none"),
        ("SET SESSION AUTHORIZATION DEFAULT", "Session session_authorization DEFAULT"),
        ("SET SCHEMA 'public'", "Session search_path public"),
        ("SET my.var = off", "Session my.var off"),
        ("SET jit TO DEFAULT", "Session jit DEFAULT"),
        ("set seed to -0.5", "Session seed -0.5"),
    ] {
        assert_eq!(set(sql), expected, "{sql}");
    }
    let modes = TransactionModes { isolation: Some(IsolationLevel::RepeatableRead), read_only: Some(true), deferrable: None };
    assert_eq!(
        one("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"),
        Statement::SetTransaction(SetTransaction { session: false, modes })
    );
    assert_eq!(
        one("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"),
        Statement::SetTransaction(SetTransaction { session: true, modes })
    );
    let variable = |name: &str| Statement::Show(Show::Variable(name.to_string()));
    assert_eq!(one("SHOW server_version"), variable("server_version"));
    assert_eq!(one("show time zone"), variable("timezone"));
    assert_eq!(one("SHOW TimeZone"), variable("timezone"));
    assert_eq!(one("SHOW TRANSACTION ISOLATION LEVEL"), variable("transaction_isolation"));
    assert_eq!(one("SHOW weir.x"), variable("weir.x"));
    assert_eq!(one("SHOW ALL"), Statement::Show(Show::All));
    assert_eq!(one("SHOW TABLES"), Statement::Show(Show::Objects(ObjectKind::Table)));
    assert_eq!(one("SHOW SOURCES"), Statement::Show(Show::Objects(ObjectKind::Source)));
    assert_eq!(one("SHOW VIEWS"), Statement::Show(Show::Objects(ObjectKind::View)));
    assert_eq!(one("SHOW MATERIALIZED VIEWS"), Statement::Show(Show::Objects(ObjectKind::MaterializedView)));
    assert!(matches!(one("SHOW CREATE MATERIALIZED VIEW v"), Statement::Show(Show::Create { kind: ObjectKind::MaterializedView, .. })));
    assert_eq!(one("RESET ALL"), Statement::Reset(Reset::All));
    assert_eq!(one("RESET TIME ZONE"), Statement::Reset(Reset::Variable("timezone".to_string())));
    assert_eq!(one("RESET Search_Path"), Statement::Reset(Reset::Variable("search_path".to_string())));
    for (word, discard) in [
        ("ALL", Discard::All),
        ("PLANS", Discard::Plans),
        ("SEQUENCES", Discard::Sequences),
        ("TEMP", Discard::Temp),
        ("TEMPORARY", Discard::Temp),
    ] {
        assert_eq!(one(&format!("DISCARD {word}")), Statement::Discard(discard));
    }
    refuses(&[
        ("SET", "42601", "syntax error at end of input", "$"),
        ("SET a", "42601", "syntax error at end of input", "$"),
        ("SET a = ", "42601", "syntax error at end of input", "$"),
        ("SET a = 1 2", "42601", "syntax error at or near \"2\"", "2"),
        ("SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE", "0A000", "an interval as a setting is not supported yet", "INTERVAL"),
        ("SHOW", "42601", "syntax error at end of input", "$"),
        ("DISCARD", "42601", "syntax error at end of input", "$"),
    ]);
}

#[test]
fn what_drivers_send_on_reset() {
    let all = parse("SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL; DEALLOCATE ALL; DISCARD TEMP;").unwrap();
    let statements: Vec<Statement> = all.into_iter().skip(1).map(|p| p.statement).collect();
    assert_eq!(
        statements,
        [
            Statement::Close(None),
            Statement::Unlisten(None),
            Statement::Reset(Reset::All),
            Statement::Deallocate(None),
            Statement::Discard(Discard::Temp)
        ]
    );
    assert_eq!(one("DEALLOCATE \"_pg3_0\""), Statement::Deallocate(Some("_pg3_0".to_string())));
    assert_eq!(one("DEALLOCATE PREPARE S1"), Statement::Deallocate(Some("s1".to_string())));
    assert_eq!(one("CLOSE C"), Statement::Close(Some("c".to_string())));
}

#[test]
fn transactions() {
    let begin = |modes, start| Statement::Transaction(Transaction::Begin { modes, start });
    assert_eq!(one("BEGIN"), begin(TransactionModes::default(), false));
    let modes = TransactionModes { isolation: Some(IsolationLevel::Serializable), read_only: Some(false), deferrable: Some(true) };
    assert_eq!(one("BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE, DEFERRABLE"), begin(modes, false));
    assert_eq!(one("START TRANSACTION ISOLATION LEVEL SERIALIZABLE READ WRITE DEFERRABLE"), begin(modes, true));
    for sql in ["COMMIT", "COMMIT WORK", "END", "END TRANSACTION", "COMMIT AND NO CHAIN"] {
        assert_eq!(one(sql), Statement::Transaction(Transaction::Commit), "{sql}");
    }
    for sql in ["ROLLBACK", "ABORT", "ROLLBACK WORK", "ABORT TRANSACTION AND NO CHAIN"] {
        assert_eq!(one(sql), Statement::Transaction(Transaction::Rollback), "{sql}");
    }
    let name = |statement| match statement {
        Statement::Transaction(Transaction::Savepoint(name)) => format!("savepoint {name}"),
        Statement::Transaction(Transaction::Release(name)) => format!("release {name}"),
        Statement::Transaction(Transaction::RollbackTo(name)) => format!("rollback to {name}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(name(one("SAVEPOINT a")), "savepoint a");
    assert_eq!(name(one("RELEASE SAVEPOINT a")), "release a");
    assert_eq!(name(one("RELEASE a")), "release a");
    assert_eq!(name(one("ROLLBACK TO SAVEPOINT a")), "rollback to a");
    assert_eq!(name(one("ROLLBACK WORK TO a")), "rollback to a");
    assert!(matches!(one("COMMIT PREPARED 'x'"), Statement::Unsupported(_)));
    refuses(&[
        ("COMMIT AND CHAIN", "0A000", "AND CHAIN is not supported yet", "AND"),
        ("BEGIN READ ONLY READ WRITE", "42601", "conflicting or redundant options", "READ WRITE"),
        ("BEGIN READ ONLY,", "42601", "syntax error at end of input", "$"),
        ("BEGIN ISOLATION LEVEL NONE", "42601", "syntax error at or near \"NONE\"", "NONE"),
        ("START", "42601", "syntax error at end of input", "$"),
        ("BEGIN SELECT 1", "42601", "syntax error at or near \"SELECT\"", "SELECT"),
    ]);
}

fn copied(sql: &str) -> Copy {
    match one(sql) {
        Statement::Copy(copy) => copy,
        other => panic!("{other:?}"),
    }
}

#[test]
fn copy_in_both_spellings() {
    let none = || ForceColumns::Columns(vec![]);
    let text = CopyOptions {
        format: CopyFormat::Text,
        delimiter: b'\t',
        null: "\\N".to_string(),
        header: CopyHeader::Absent,
        quote: b'"',
        escape: b'"',
        force_quote: none(),
        force_not_null: none(),
        force_null: none(),
    };
    let csv = CopyOptions { format: CopyFormat::Csv, delimiter: b',', null: String::new(), header: CopyHeader::Present, ..text.clone() };
    let copy = copied("COPY public.t (a, \"B\") FROM STDIN");
    assert_eq!((copy.direction, &copy.options), (CopyDirection::FromStdin, &text));
    assert!(matches!(copy.target, CopyTarget::Table { columns, .. } if columns.len() == 2));
    for sql in [
        "COPY t FROM STDIN WITH (FORMAT csv, HEADER true)",
        "COPY t FROM STDIN (FORMAT 'CSV', HEADER)",
        "COPY t FROM STDIN WITH CSV HEADER DELIMITER ','",
        "COPY t FROM STDIN CSV HEADER",
        "COPY t FROM stdin DELIMITER AS ',' CSV HEADER QUOTE AS '\"'",
        "COPY t FROM STDIN WITH (format csv, header on, delimiter ',', null '', quote '\"', encoding 'UTF8', freeze false)",
    ] {
        assert_eq!(copied(sql).options, csv, "{sql}");
    }
    assert_eq!(copied("COPY t FROM STDIN BINARY").options.format, CopyFormat::Binary);
    assert_eq!(copied("COPY BINARY t TO STDOUT").options.format, CopyFormat::Binary);
    assert_eq!(copied("COPY t FROM STDIN WITH (FORMAT csv, HEADER match)").options.header, CopyHeader::Match);
    assert_eq!(copied("COPY t FROM STDIN WITH DELIMITER E'|' NULL 'x'").options.delimiter, b'|');
    assert_eq!(copied("COPY t FROM STDIN USING DELIMITERS ';'").options.delimiter, b';');
    assert_eq!(copied("COPY t TO STDOUT WITH (FORMAT csv, FORCE_QUOTE *)").options.force_quote, ForceColumns::All);
    assert!(matches!(copied("COPY t FROM STDIN CSV FORCE NOT NULL a, b").options.force_not_null, ForceColumns::Columns(c) if c.len() == 2));
    assert!(
        matches!(copied("COPY t FROM STDIN (FORMAT csv, FORCE_NULL (a))").options.force_null, ForceColumns::Columns(c) if c.len() == 1)
    );
    let copy = copied("COPY (SELECT a FROM t WHERE b = ')') TO STDOUT (FORMAT binary)");
    assert!(matches!(copy.target, CopyTarget::Query(query) if query.to_string() == "SELECT a FROM t WHERE b = ')'"));
    assert_eq!(copy.direction, CopyDirection::ToStdout);
}

#[test]
fn copy_refuses() {
    refuses(&[
        ("COPY t FROM '/tmp/x'", "0A000", "COPY with a file of the server is not supported yet", "'/tmp/x'"),
        ("COPY t TO PROGRAM 'cat'", "0A000", "COPY with a program is not supported yet", "PROGRAM"),
        ("COPY (SELECT 1) FROM STDIN", "42601", "syntax error at or near \"FROM\"", "FROM"),
        ("COPY (INSERT INTO t VALUES (1) RETURNING a) TO STDOUT", "0A000", "COPY of INSERT, UPDATE or DELETE is not supported yet", "("),
        ("COPY t FROM STDIN WHERE a > 1", "0A000", "COPY ... WHERE is not supported yet", "WHERE"),
        ("COPY t FROM STDIN (FORMAT xml)", "22023", "COPY format \"xml\" not recognized", "FORMAT"),
        ("COPY t FROM STDIN (DELIMITR ',')", "42601", "option \"delimitr\" not recognized", "DELIMITR"),
        ("COPY t FROM STDIN (HEADER, HEADER)", "42601", "conflicting or redundant options", "HEADER)"),
        ("COPY t FROM STDIN (DELIMITER ',,')", "0A000", "COPY delimiter must be a single one-byte character", "DELIMITER"),
        ("COPY t FROM STDIN (DELIMITER 'é')", "0A000", "COPY delimiter must be a single one-byte character", "DELIMITER"),
        ("COPY t FROM STDIN (DELIMITER 'a')", "22023", "COPY delimiter cannot be \"a\"", "DELIMITER"),
        ("COPY t FROM STDIN (DELIMITER E'\\n')", "22023", "COPY delimiter cannot be newline or carriage return", "DELIMITER"),
        ("COPY t FROM STDIN (NULL E'\\n')", "22023", "COPY null representation cannot use newline or carriage return", "NULL"),
        (
            "COPY t FROM STDIN (DELIMITER '|', NULL 'a|b')",
            "0A000",
            "COPY delimiter character must not appear in the NULL specification",
            "DELIMITER",
        ),
        ("COPY t FROM STDIN (QUOTE 'x')", "0A000", "COPY quote available only in CSV mode", "QUOTE"),
        ("COPY t FROM STDIN (FORMAT csv, QUOTE ',')", "22023", "COPY delimiter and quote must be different", "QUOTE"),
        ("COPY t FROM STDIN (FORMAT csv, FORCE_QUOTE *)", "0A000", "COPY force quote only available using COPY TO", "FORCE_QUOTE"),
        ("COPY t TO STDOUT (FORMAT csv, FORCE_NULL (a))", "0A000", "COPY force null only available using COPY FROM", "FORCE_NULL"),
        ("COPY t TO STDOUT (FORMAT csv, HEADER match)", "0A000", "cannot use \"match\" with HEADER in COPY TO", "HEADER"),
        ("COPY t FROM STDIN (FORMAT binary, HEADER)", "42601", "cannot specify HEADER in BINARY mode", "HEADER"),
        ("COPY t FROM STDIN (FORMAT binary, DELIMITER ',')", "42601", "cannot specify DELIMITER in BINARY mode", "DELIMITER"),
        ("COPY t FROM STDIN (ENCODING 'latin1')", "0A000", "COPY encoding \"latin1\" is not supported yet", "ENCODING"),
        ("COPY t FROM STDIN (FREEZE)", "0A000", "COPY FREEZE is not supported yet", "FREEZE"),
        ("COPY t FROM STDIN (ON_ERROR ignore)", "0A000", "COPY option ON_ERROR is not supported yet", "ON_ERROR"),
        ("COPY t FROM STDIN (FORCE_NULL a)", "22023", "argument to option \"force_null\" must be a list of column names", "a)"),
        ("COPY t FROM STDIN CSV WOBBLE", "42601", "syntax error at or near \"WOBBLE\"", "WOBBLE"),
        ("COPY t", "42601", "syntax error at end of input", "$"),
    ]);
    assert!(hint("COPY t FROM '/tmp/x'").contains("\\copy"));
    assert_eq!(hint("COPY t FROM STDIN (DELIMITR ',')"), "Perhaps you meant \"delimiter\".");
}

#[test]
fn what_is_not_there_yet_says_so() {
    for (sql, what) in [
        ("LISTEN a", "LISTEN"),
        ("NOTIFY a, 'b'", "NOTIFY"),
        ("COMMENT ON TABLE t IS 'x'", "COMMENT"),
        ("CREATE INDEX i ON v (a)", "CREATE INDEX"),
        ("CREATE UNIQUE INDEX i ON v (a)", "CREATE UNIQUE INDEX"),
        ("CREATE SINK s FROM v WITH (connector = 'kafka')", "CREATE SINK"),
        ("CREATE SCHEMA x", "CREATE SCHEMA"),
        ("ALTER SOURCE s SET (idle_timeout = '10 s')", "ALTER SOURCE"),
        ("ALTER MATERIALIZED VIEW v ADMIT LATE", "ALTER MATERIALIZED VIEW"),
        ("CHECKPOINT", "CHECKPOINT"),
        ("SUBSCRIBE TO v", "SUBSCRIBE"),
        ("COPY (SUBSCRIBE v) TO STDOUT", "COPY of SUBSCRIBE"),
        ("EXPLAIN WATERMARK FOR bids", "EXPLAIN WATERMARK"),
        ("GRANT SELECT ON t TO x", "GRANT"),
        ("VACUUM", "VACUUM"),
        ("LOCK TABLE t", "LOCK"),
        ("SHOW SINKS", "SHOW SINKS"),
        ("SET CONSTRAINTS ALL DEFERRED", "SET CONSTRAINTS"),
        ("REFRESH MATERIALIZED VIEW v", "REFRESH"),
        ("MERGE INTO t USING u ON a = b WHEN MATCHED THEN DELETE", "MERGE"),
    ] {
        let Statement::Unsupported(unsupported) = one(sql) else { panic!("{sql}") };
        assert_eq!(unsupported.what, what);
        let error = unsupported.error();
        assert_eq!((error.sqlstate().0, error.message()), ("0A000", format!("{what} is not supported yet").as_str()));
        assert!(error.hint().is_some(), "{sql}");
    }
}
