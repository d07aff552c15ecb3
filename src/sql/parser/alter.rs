//! ALTER of relations.

use datafusion::sql::sqlparser::tokenizer::Token;
use weir_common::error::Result;

use crate::parser::cursor::Cursor;
use crate::parser::split::Piece;
use crate::parser::{columns, options, unsupported};
use crate::statement::{Alter, AlterAction, AlterLate, Condition, LateAction, ObjectKind, Statement};

/// `ALTER MATERIALIZED VIEW [IF EXISTS] name ADMIT LATE | DISCARD LATE [WHERE condition]`, and what [`actions`] do; what else there is to alter is not there yet.
pub(super) fn alter(cursor: &mut Cursor<'_>, piece: &Piece<'_>) -> Result<Statement> {
    let mut ahead = Cursor::new(piece);
    ahead.expect("ALTER")?;
    let kind = kind(&mut ahead);
    ahead.eat("IF EXISTS");
    let named = kind.filter(|_| ahead.name().is_ok());
    match named {
        Some(ObjectKind::MaterializedView) if ahead.at_one_of(&["ADMIT", "DISCARD"]).is_some() => late(cursor),
        Some(kind @ (ObjectKind::Source | ObjectKind::Table)) if at_action(&ahead) => actions(cursor, kind),
        _ => unsupported::statement("ALTER", cursor),
    }
}

fn kind(cursor: &mut Cursor<'_>) -> Option<ObjectKind> {
    let kinds = [("MATERIALIZED VIEW", ObjectKind::MaterializedView), ("SOURCE", ObjectKind::Source), ("TABLE", ObjectKind::Table)];
    kinds.into_iter().find(|(words, _)| cursor.eat(words)).map(|(_, kind)| kind)
}

fn late(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("ALTER MATERIALIZED VIEW")?;
    let if_exists = cursor.eat("IF EXISTS");
    let name = cursor.name()?;
    let action = if cursor.at("DISCARD") { LateAction::Discard } else { LateAction::Admit };
    cursor.expect(action.words())?;
    let condition = match cursor.eat("WHERE") {
        true => {
            let from = cursor.peek().span.start;
            cursor.expr()?;
            cursor.finish()?;
            let (text, offset) = cursor.text_between(from, None);
            Some(Condition { text: text.to_string(), offset })
        }
        false => None,
    };
    Ok(Statement::AlterLate(AlterLate { name, if_exists, action, condition }))
}

fn at_action(cursor: &Cursor<'_>) -> bool {
    cursor.at("SET WATERMARK") || (cursor.at_one_of(&["SET", "RESET"]).is_some() && *cursor.peek_nth(1) == Token::LParen)
}

/// `ALTER SOURCE | TABLE [IF EXISTS] name SET (option = value, ..) | RESET (option, ..) | SET WATERMARK FOR column AS expr [, ..]`
fn actions(cursor: &mut Cursor<'_>, kind: ObjectKind) -> Result<Statement> {
    cursor.expect("ALTER")?;
    cursor.expect(&kind.noun().to_uppercase())?;
    let if_exists = cursor.eat("IF EXISTS");
    let name = cursor.name()?;
    let actions = cursor.list(action)?;
    Ok(Statement::Alter(Alter { kind, name, if_exists, actions }))
}

fn action(cursor: &mut Cursor<'_>) -> Result<AlterAction> {
    if cursor.eat("RESET") {
        cursor.expect_token(&Token::LParen)?;
        let names = cursor.list(|cursor| {
            let position = cursor.position();
            Ok((options::name(cursor)?, position))
        })?;
        cursor.expect_token(&Token::RParen)?;
        return Ok(AlterAction::Reset(names));
    }
    if !cursor.eat("SET") {
        return Err(cursor.unexpected_for(&["SET", "RESET"]));
    }
    match cursor.at("WATERMARK") {
        true => Ok(AlterAction::Watermark(Box::new(columns::watermark(cursor)?))),
        false => Ok(AlterAction::Set(options::options(cursor)?)),
    }
}
