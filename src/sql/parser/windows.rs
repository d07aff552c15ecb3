//! `TUMBLE(TABLE t, ..)` and `SESSION(t PARTITION BY k, ..)`, as Flink and standard SQL write them: sqlparser reads neither in an
//! argument. So before it reads the tokens, `TABLE` is left out, and `PARTITION BY` becomes an argument with that name. The other
//! tokens keep their places.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use datafusion::sql::sqlparser::keywords::Keyword;

use crate::parser::cursor::is_word;
use crate::parser::split::Piece;

const FUNCTIONS: [&str; 4] = ["TUMBLE", "HOP", "SESSION", "CUMULATE"];

/// The name of the argument that `PARTITION BY` becomes: no user writes it.
pub(crate) const PARTITION_BY: &str = "partition by";

/// What becomes of a word in the arguments of a window function.
#[derive(Clone, Copy, PartialEq)]
enum Change {
    /// `TABLE` before a relation or a query goes.
    Leave,
    /// `PARTITION` becomes `, "partition by"`.
    Name,
    /// `BY` becomes `=>`.
    Arrow,
}

/// The statement with the arguments of window functions as sqlparser reads them.
pub(super) fn readable(mut piece: Piece<'_>) -> Piece<'_> {
    let changes = changes(&piece.tokens);
    if changes.is_empty() {
        return piece;
    }
    let mut changes = changes.into_iter().peekable();
    let tokens = std::mem::take(&mut piece.tokens);
    for (index, TokenWithSpan { token, span }) in tokens.into_iter().enumerate() {
        let name = Word { value: PARTITION_BY.to_string(), quote_style: Some('"'), keyword: Keyword::NoKeyword };
        let instead = match changes.next_if(|(at, _)| *at == index) {
            None => vec![token],
            Some((_, Change::Leave)) => vec![],
            Some((_, Change::Name)) => vec![Token::Comma, Token::Word(name)],
            Some((_, Change::Arrow)) => vec![Token::RArrow],
        };
        piece.tokens.extend(instead.into_iter().map(|token| TokenWithSpan { token, span }));
    }
    piece
}

/// Where those words are, ascending, and what becomes of them.
fn changes(tokens: &[TokenWithSpan]) -> Vec<(usize, Change)> {
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
                    words.push((index, Change::Leave));
                }
            }
            token
                if is_word(token, "PARTITION")
                    && open.last() == Some(&true)
                    && tokens.get(index + 1).is_some_and(|next| is_word(&next.token, "BY")) =>
            {
                words.extend([(index, Change::Name), (index + 1, Change::Arrow)]);
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
