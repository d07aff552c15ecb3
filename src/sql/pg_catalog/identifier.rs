//! Identifiers: when they need quotes, and the parts of a qualified one.

use weir_common::error::{Error, Result, SqlState};

/// An identifier as SQL needs it written: in quotes unless it is a plain lower-case word.
pub(super) fn quote_ident(name: &str) -> String {
    let plain = name.chars().next().is_some_and(|first| first.is_ascii_lowercase() || first == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !RESERVED.contains(&format!(" {name} "));
    if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Keywords that are no name of a column, a table or a function without quotes.
const RESERVED: &str = " \
     all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case \
     cast char character check coalesce collate collation column concurrently constraint create cross \
     current_catalog current_date current_role current_schema current_time current_timestamp current_user dec \
     decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign \
     freeze from full grant greatest group grouping having ilike in initially inner inout int integer intersect \
     interval into is isnull join lateral leading least left like limit localtime localtimestamp national natural \
     nchar none normalize not notnull null nullif numeric offset on only or order out outer overlaps overlay \
     placing position precision primary real references returning right row select session_user setof similar \
     smallint some substring symmetric table tablesample then time timestamp to trailing treat trim true union \
     unique user using values varchar variadic verbose when where window with xmlattributes xmlconcat xmlelement \
     xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable \
     ";

/// Those keywords, with a space between two.
pub(super) fn keywords() -> &'static str {
    RESERVED.trim()
}

/// The parts of a possibly qualified, possibly quoted name, folded as Postgres folds them.
pub(super) fn identifiers(text: &str) -> Result<Vec<String>> {
    let invalid = || Error::new(SqlState("42602"), "invalid name syntax");
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let (part, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let mut part = String::new();
            let mut chars = quoted.char_indices().peekable();
            let end = loop {
                match chars.next() {
                    Some((_, '"')) if chars.peek().is_some_and(|(_, next)| *next == '"') => {
                        chars.next();
                        part.push('"');
                    }
                    Some((at, '"')) => break at + 1,
                    Some((_, c)) => part.push(c),
                    None => return Err(invalid()),
                }
            };
            (part, quoted[end..].trim_start())
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            (rest[..end].trim().to_lowercase(), &rest[end..])
        };
        if part.is_empty() {
            return Err(invalid());
        }
        parts.push(part);
        match after.strip_prefix('.') {
            Some(next) => rest = next.trim_start(),
            None if after.is_empty() => return Ok(parts),
            None => return Err(invalid()),
        }
    }
}
