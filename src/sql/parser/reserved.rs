//! Reserved words where a name or a value must stand. sqlparser takes `WHERE` for a table in `FROM WHERE a = 1`.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// The first reserved word of a statement with queries that cannot stand where it does.
pub(super) fn misplaced(tokens: &[TokenWithSpan]) -> Option<usize> {
    tokens.windows(2).position(|pair| wants_operand(&pair[0].token) && is_reserved(&pair[1].token)).map(|index| index + 1)
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
