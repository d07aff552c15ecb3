//! `TUMBLE(TABLE t, ..)`, as Flink and standard SQL write it: sqlparser does not read `TABLE` in an argument, so the word is
//! left out of the tokens before it reads them. The other tokens keep their places.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::parser::cursor::is_word;
use crate::parser::split::Piece;

const FUNCTIONS: [&str; 4] = ["TUMBLE", "HOP", "SESSION", "CUMULATE"];

/// The statement without `TABLE` before the relations and queries that window functions take.
pub(super) fn without_table_words(mut piece: Piece<'_>) -> Piece<'_> {
    let extra = table_words(&piece.tokens);
    if !extra.is_empty() {
        let mut index = 0;
        piece.tokens.retain(|_| {
            index += 1;
            extra.binary_search(&(index - 1)).is_err()
        });
    }
    piece
}

/// Where those words are, ascending.
fn table_words(tokens: &[TokenWithSpan]) -> Vec<usize> {
    let mut words = Vec::new();
    // For each open parenthesis, whether it holds the arguments of a window function.
    let mut open = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match &token.token {
            Token::LParen => open.push(is_window_call(&tokens[..index])),
            Token::RParen => {
                open.pop();
            }
            token if is_word(token, "TABLE") && open.last() == Some(&true) => {
                let begins = matches!(tokens[index - 1].token, Token::LParen | Token::Comma | Token::RArrow | Token::Assignment);
                if begins && is_relation(&tokens[index + 1..]) {
                    words.push(index);
                }
            }
            _ => {}
        }
    }
    words
}

/// Whether these tokens end in the name of a window function that is called in FROM: `CREATE TABLE hop (..` does not.
fn is_window_call(tokens: &[TokenWithSpan]) -> bool {
    let [.., before, name] = tokens else { return false };
    FUNCTIONS.iter().any(|function| is_word(&name.token, function))
        && (matches!(before.token, Token::Comma | Token::LParen)
            || ["FROM", "JOIN", "LATERAL"].iter().any(|word| is_word(&before.token, word)))
}

/// Whether a relation's name or a query begins here.
fn is_relation(tokens: &[TokenWithSpan]) -> bool {
    match tokens {
        [TokenWithSpan { token: Token::Word(_), .. }, ..] => true,
        [TokenWithSpan { token: Token::LParen, .. }, next, ..] => is_word(&next.token, "SELECT") || is_word(&next.token, "WITH"),
        _ => false,
    }
}
