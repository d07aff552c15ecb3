//! ALTER of relations.

use weir_common::error::Result;

use crate::parser::cursor::Cursor;
use crate::parser::split::Piece;
use crate::parser::unsupported;
use crate::statement::{AdmitLate, Statement};

/// `ALTER MATERIALIZED VIEW [IF EXISTS] name ADMIT LATE`; what else there is to alter is not there yet.
pub(super) fn alter(cursor: &mut Cursor<'_>, piece: &Piece<'_>) -> Result<Statement> {
    let mut ahead = Cursor::new(piece);
    let admits = ahead.eat("ALTER MATERIALIZED VIEW") && {
        ahead.eat("IF EXISTS");
        ahead.name().is_ok() && ahead.at("ADMIT")
    };
    if !admits {
        return unsupported::statement("ALTER", cursor);
    }
    cursor.expect("ALTER MATERIALIZED VIEW")?;
    let if_exists = cursor.eat("IF EXISTS");
    let name = cursor.name()?;
    cursor.expect("ADMIT LATE")?;
    if cursor.at("WHERE") {
        return Err(cursor
            .unsupported(cursor.position(), "ADMIT LATE of some rows only is not supported yet")
            .with_hint("Leave WHERE out: all late rows of the view are admitted."));
    }
    Ok(Statement::AdmitLate(AdmitLate { name, if_exists }))
}
