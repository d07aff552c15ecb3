//! CREATE SOURCE.

use datafusion::sql::sqlparser::tokenizer::Token;
use weir_common::error::{Error, Result, SqlState};

use crate::parser::columns::{self, Columns};
use crate::parser::cursor::Cursor;
use crate::parser::options;
use crate::statement::{CreateSource, Format, IncludeColumn, IncludeKind, Options, Statement};

/// After `CREATE SOURCE`. The clauses after the columns may come in any order, each once; `INCLUDE` more often.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let if_not_exists = cursor.eat("IF NOT EXISTS");
    let name = cursor.name()?;
    let mut all = Columns::default();
    if cursor.peek().token == Token::LParen {
        all = columns::columns(cursor, &name.to_string())?;
        all.check(cursor)?;
        refuse_stored(cursor, &all)?;
    }
    let mut source = CreateSource {
        name,
        if_not_exists,
        columns: all.columns,
        watermark: all.watermark,
        include: Vec::new(),
        options: Options::new(),
        format: None,
    };
    let mut with = false;
    while !cursor.done() {
        let position = cursor.position();
        let again = if cursor.eat("INCLUDE") {
            let more = cursor.list(include)?;
            source.include.extend(more);
            false
        } else if cursor.eat("WITH") {
            source.options = options::options(cursor)?;
            std::mem::replace(&mut with, true)
        } else if cursor.eat("FORMAT") {
            source.format.replace(format(cursor, position)?).is_some()
        } else {
            return Err(cursor.unexpected_for(&["INCLUDE", "WITH", "FORMAT"]));
        };
        if again {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "WITH and FORMAT may be given only once").with_position(position));
        }
    }
    if !with {
        return Err(cursor.unexpected().with_hint("A source names its connector: WITH (connector = 'file', path = '...')."));
    }
    Ok(Statement::CreateSource(source))
}

/// A source keeps no rows: it has nothing to enforce a key on, and a connector knows no defaults.
fn refuse_stored(cursor: &Cursor<'_>, all: &Columns) -> Result<()> {
    if let Some(key) = all.primary_key.as_ref().and_then(|key| key.first()) {
        let position = cursor.position_of(key.span.start).unwrap_or(1);
        return Err(cursor
            .unsupported(position, "PRIMARY KEY of a source is not supported yet")
            .with_hint("A source keeps no rows to check a key against; leave it out."));
    }
    if let Some(check) = all.checks.first() {
        return Err(cursor
            .unsupported(check.position, "CHECK constraints of a source are not supported yet")
            .with_hint("Test the condition in the views over it."));
    }
    if let Some(column) = all.columns.iter().find(|column| column.default.is_some()) {
        return Err(cursor
            .unsupported(column.position, "DEFAULT in a source is not supported yet")
            .with_hint("Use coalesce(column, value) in the views over it."));
    }
    Ok(())
}

fn include(cursor: &mut Cursor<'_>) -> Result<IncludeColumn> {
    let position = cursor.position();
    let Some((_, kind)) = IncludeKind::ALL.into_iter().find(|(word, _)| cursor.eat(word)) else {
        let words: Vec<&str> = IncludeKind::ALL.iter().map(|(word, _)| *word).collect();
        return Err(cursor.unexpected_for(&words).with_detail(format!("INCLUDE knows {}.", words.join(", "))));
    };
    let name = if cursor.eat("AS") { Some(cursor.ident()?) } else { None };
    Ok(IncludeColumn { kind, name, position })
}

/// After `FORMAT`.
fn format(cursor: &mut Cursor<'_>, position: usize) -> Result<Format> {
    let format = word(cursor)?;
    cursor.expect("ENCODE")?;
    let encode = word(cursor)?;
    let options = if cursor.peek().token == Token::LParen { options::options(cursor)? } else { Options::new() };
    Ok(Format { format, encode, options, position })
}

fn word(cursor: &mut Cursor<'_>) -> Result<String> {
    match &cursor.peek().token {
        Token::Word(word) if word.quote_style.is_none() => {
            let word = word.value.to_uppercase();
            cursor.next();
            Ok(word)
        }
        _ => Err(cursor.unexpected()),
    }
}
