//! TRUNCATE.

use datafusion::sql::sqlparser::tokenizer::Token;
use weir_common::error::Result;

use crate::parser::cursor::Cursor;
use crate::statement::{Statement, Truncate};

/// `TRUNCATE [TABLE] [ONLY] name [*] [, ..] [CONTINUE IDENTITY] [CASCADE | RESTRICT]`
pub(super) fn truncate(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect("TRUNCATE")?;
    cursor.eat("TABLE");
    let names = cursor.list(|cursor| {
        // No table inherits from another: alone or with its children, it is the same.
        cursor.eat("ONLY");
        let name = cursor.name()?;
        cursor.eat_token(&Token::Mul);
        Ok(name)
    })?;
    if cursor.at("RESTART IDENTITY") {
        return Err(cursor
            .unsupported(cursor.position(), "RESTART IDENTITY is not supported yet")
            .with_hint("No column takes its values from a sequence; leave it out."));
    }
    cursor.eat("CONTINUE IDENTITY");
    cursor.eat_one_of(&["CASCADE", "RESTRICT"]);
    Ok(Statement::Truncate(Truncate { names }))
}
