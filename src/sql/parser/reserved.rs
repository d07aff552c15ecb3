//! Words that sqlparser takes for names and Postgres does not: `WHERE` for a table in `FROM WHERE a = 1`, `FORM` for the
//! alias of all columns in `SELECT * FORM t`.

use datafusion::sql::sqlparser::keywords::{Keyword, RESERVED_FOR_COLUMN_ALIAS};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::parser::cursor::is_word;

/// The first word of a statement with queries that cannot stand where it does.
pub(super) fn misplaced(tokens: &[TokenWithSpan]) -> Option<usize> {
    (1..tokens.len()).find(|&index| {
        let (before, token) = (&tokens[index - 1].token, &tokens[index].token);
        wants_operand(before) && is_reserved(token)
            || index >= 2 && is_all_columns(&tokens[index - 2].token, before) && names_columns(token)
    })
}

/// Whether a `*` is an item of a SELECT list and not a multiplication; `t.*` is not meant, which may have an alias.
fn is_all_columns(before: &Token, star: &Token) -> bool {
    *star == Token::Mul && (*before == Token::Comma || ["SELECT", "ALL", "DISTINCT"].iter().any(|word| is_word(before, word)))
}

/// Whether sqlparser would read an alias.
fn names_columns(token: &Token) -> bool {
    let Token::Word(word) = token else { return false };
    word.quote_style.is_some() || word.keyword == Keyword::AS || !RESERVED_FOR_COLUMN_ALIAS.contains(&word.keyword)
}

/// Tokens after which an expression, a table or a name begins.
fn wants_operand(token: &Token) -> bool {
    use Keyword::*;
    match token {
        Token::Comma
        | Token::Eq
        | Token::Neq
        | Token::Lt
        | Token::Gt
        | Token::LtEq
        | Token::GtEq
        | Token::Plus
        | Token::Minus
        | Token::Div => true,
        Token::Word(word) if word.quote_style.is_none() => matches!(word.keyword, FROM | JOIN | WHERE | AND | OR | ON | BY | HAVING | INTO),
        _ => false,
    }
}

/// Words that Postgres reserves and that begin neither an expression nor a table.
fn is_reserved(token: &Token) -> bool {
    use Keyword::*;
    let Token::Word(word) = token else { return false };
    word.quote_style.is_none()
        && matches!(
            word.keyword,
            FROM | WHERE
                | GROUP
                | ORDER
                | HAVING
                | LIMIT
                | OFFSET
                | UNION
                | EXCEPT
                | INTERSECT
                | JOIN
                | ON
                | AS
                | THEN
                | WHEN
                | END
                | AND
                | OR
                | INTO
        )
}
