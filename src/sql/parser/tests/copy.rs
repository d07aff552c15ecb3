//! COPY and its options.

use super::{hint, one, refuses};
use crate::statement::*;

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
        ("COPY t FROM 'x.csv'", "0A000", "COPY with a file of the server is not supported yet", "'x.csv'"),
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
    assert!(hint("COPY t FROM 'x.csv'").contains("\\copy"));
    assert_eq!(hint("COPY t FROM STDIN (DELIMITR ',')"), "Perhaps you meant \"delimiter\".");
}
