//! A text into statements.

use super::parse;

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
