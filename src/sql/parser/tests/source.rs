//! CREATE SOURCE.

use super::{hint, one, refuses};
use crate::statement::*;

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
