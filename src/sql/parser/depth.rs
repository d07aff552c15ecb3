//! How deeply a statement may nest: a bound found on the tokens, before any tree is built.
//!
//! sqlparser bounds its own recursion, but a chain such as `1 + 1 + 1 ..` is a loop to it and a tree as deep as the
//! chain to everybody after it: planner, optimizer, evaluation, even dropping it.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use weir_common::error::Result;

use crate::parser::syntax;

/// Levels of an expression tree, chains included.
const DEPTH_MAX: usize = 1000;

/// Refuses a statement whose tree would be too deep. An estimate from above: each operator of a chain counts.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<()> {
    // Operators seen so far in the current item of each open parenthesis, outermost first.
    let mut open: Vec<usize> = vec![0];
    let mut depth = 0usize;
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                open.push(0);
                depth += 1;
            }
            Token::RParen | Token::RBracket | Token::RBrace if open.len() > 1 => {
                depth -= 1 + open.pop().unwrap_or_default();
                add(&mut open, &mut depth);
            }
            Token::Comma => {
                if let Some(chain) = open.last_mut() {
                    depth -= std::mem::take(chain);
                }
            }
            Token::Word(word) if word.quote_style.is_none() => match word.value.to_ascii_uppercase().as_str() {
                "SELECT" | "FROM" | "WHERE" | "GROUP" | "HAVING" | "ORDER" | "LIMIT" | "VALUES" | "SET" => {
                    if let Some(chain) = open.last_mut() {
                        depth -= std::mem::take(chain);
                    }
                }
                "AND" | "OR" | "NOT" | "IS" | "LIKE" | "ILIKE" | "SIMILAR" | "BETWEEN" | "IN" | "CASE" | "COLLATE" | "AT" | "OPERATOR" => {
                    add(&mut open, &mut depth)
                }
                _ => {}
            },
            Token::Word(_) | Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_) | Token::Period => {}
            Token::EscapedStringLiteral(_) | Token::DollarQuotedString(_) | Token::RParen | Token::RBracket | Token::RBrace => {}
            _ => add(&mut open, &mut depth),
        }
        if depth > DEPTH_MAX {
            return Err(syntax::too_deep());
        }
    }
    Ok(())
}

fn add(open: &mut [usize], depth: &mut usize) {
    if let Some(chain) = open.last_mut() {
        *chain += 1;
        *depth += 1;
    }
}
