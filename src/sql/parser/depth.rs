//! How deeply a statement may nest: bounds found on the tokens, before any tree is built.
//!
//! sqlparser bounds its own recursion, but a chain such as `1 + 1 + 1 ..` is a loop to it and a tree as deep as the
//! chain to everybody after it: planner, optimizer, evaluation, even dropping it. And DataFusion 55 takes twice the time
//! for each function call inside another, and for each subquery inside an expression of another.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use weir_common::error::Result;

use crate::parser::cursor::is_word;
use crate::parser::syntax;

/// Stack that a thread needs to plan and run whatever the parser lets through. Measured in a debug build: an operator
/// of a chain takes up to 10 KB, AND and OR 4 KB, a subquery in FROM 100 KB.
pub const STACK_BYTES_MIN: usize = 16 << 20;

/// Weight of a tree's deepest path; a unit stands for 2 KB of stack.
const WEIGHT_MAX: usize = 2000;
const OPERATOR: usize = 5;
const AND_OR: usize = 2;
const JOIN: usize = 10;
const CASE: usize = 10;
const SUBQUERY: usize = 50;

/// Function calls inside one another.
const CALLS_MAX: usize = 16;
/// Subqueries inside expressions of one another.
const EXPRESSION_QUERIES_MAX: usize = 10;

const _: () = assert!(WEIGHT_MAX * 2048 <= STACK_BYTES_MIN / 2);

/// What a parenthesis encloses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Group,
    Call,
    Case,
    Table,
    ExpressionQuery,
}

struct Open {
    kind: Kind,
    /// Weight of the ANDs and ORs so far in the current item.
    logic: usize,
    /// Weight of the operators since the last of them: operands are beside one another.
    chain: usize,
}

/// Refuses a statement whose tree would be too deep. An estimate from above: each operator of a chain counts.
pub(super) fn check(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut open = vec![Open { kind: Kind::Group, logic: 0, chain: 0 }];
    let (mut weight, mut calls, mut queries, mut branches) = (0usize, 0usize, 0usize, 0usize);
    for (index, token) in tokens.iter().enumerate() {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                let kind = kind(tokens, index);
                open.push(Open { kind, logic: 0, chain: 0 });
                weight += cost(kind);
                calls += usize::from(kind == Kind::Call);
                queries += usize::from(kind == Kind::ExpressionQuery);
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                // A CASE that is still open is a syntax error; sqlparser will say so.
                while open.len() > 1
                    && let Some(case) = open.pop_if(|level| level.kind == Kind::Case)
                {
                    weight -= cost(case.kind) + case.logic + case.chain;
                }
                if open.len() > 1
                    && let Some(closed) = open.pop()
                {
                    weight -= cost(closed.kind) + closed.logic + closed.chain;
                    calls -= usize::from(closed.kind == Kind::Call);
                    queries -= usize::from(closed.kind == Kind::ExpressionQuery);
                }
                // What was in parentheses may be the left side of a chain: `((a + b) + c)`, `a[1][2]`.
                add(&mut open, &mut weight, OPERATOR);
            }
            Token::Comma => reset(&mut open, &mut weight),
            Token::Word(word) if word.quote_style.is_none() => match word.value.to_ascii_uppercase().as_str() {
                "CASE" => {
                    open.push(Open { kind: Kind::Case, logic: 0, chain: 0 });
                    weight += cost(Kind::Case);
                }
                "END" => {
                    if let Some(case) = open.pop_if(|level| level.kind == Kind::Case) {
                        weight -= cost(case.kind) + case.logic + case.chain;
                        add(&mut open, &mut weight, OPERATOR);
                    }
                }
                "WHEN" | "THEN" | "ELSE" | "FROM" | "WHERE" | "GROUP" | "HAVING" | "ORDER" | "LIMIT" | "VALUES" | "SET" => {
                    reset(&mut open, &mut weight)
                }
                // The branches of a UNION hang below one another, whatever clauses they have.
                "UNION" | "EXCEPT" | "INTERSECT" => branches += OPERATOR,
                "AND" | "OR" => {
                    if let Some(level) = open.last_mut() {
                        weight = weight + AND_OR - std::mem::take(&mut level.chain);
                        level.logic += AND_OR;
                    }
                }
                "JOIN" => add(&mut open, &mut weight, JOIN),
                "NOT" | "IS" | "LIKE" | "ILIKE" | "SIMILAR" | "BETWEEN" | "IN" | "COLLATE" | "AT" | "OPERATOR" => {
                    add(&mut open, &mut weight, OPERATOR)
                }
                _ => {}
            },
            Token::Word(_) | Token::Number(..) | Token::Placeholder(_) | Token::Period => {}
            Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) | Token::DollarQuotedString(_) => {}
            _ => add(&mut open, &mut weight, OPERATOR),
        }
        if weight + branches > WEIGHT_MAX || calls > CALLS_MAX || queries > EXPRESSION_QUERIES_MAX {
            return Err(syntax::too_deep());
        }
    }
    Ok(())
}

fn kind(tokens: &[TokenWithSpan], index: usize) -> Kind {
    let before = index.checked_sub(1).map(|before| &tokens[before].token);
    let query = tokens.get(index + 1).is_some_and(|next| is_word(&next.token, "SELECT") || is_word(&next.token, "WITH"));
    match before {
        _ if tokens[index].token != Token::LParen => Kind::Group,
        Some(before) if query => {
            let table = ["FROM", "JOIN", "LATERAL", "AS", "MATERIALIZED", "UNION", "EXCEPT", "INTERSECT", "ALL"];
            if table.iter().any(|word| is_word(before, word)) { Kind::Table } else { Kind::ExpressionQuery }
        }
        Some(Token::Word(word)) => {
            let name = word.value.to_ascii_uppercase();
            let other =
                ["AND", "OR", "NOT", "IN", "ANY", "SOME", "ALL", "VALUES", "FROM", "JOIN", "ON", "WHERE", "OVER", "FILTER", "BY", "AS"];
            if word.quote_style.is_none() && other.contains(&name.as_str()) { Kind::Group } else { Kind::Call }
        }
        _ => Kind::Group,
    }
}

fn cost(kind: Kind) -> usize {
    match kind {
        Kind::Group | Kind::Call => OPERATOR,
        Kind::Case => CASE,
        Kind::Table | Kind::ExpressionQuery => SUBQUERY,
    }
}

fn add(open: &mut [Open], weight: &mut usize, cost: usize) {
    if let Some(level) = open.last_mut() {
        level.chain += cost;
        *weight += cost;
    }
}

fn reset(open: &mut [Open], weight: &mut usize) {
    if let Some(level) = open.last_mut() {
        *weight -= std::mem::take(&mut level.chain) + std::mem::take(&mut level.logic);
    }
}
