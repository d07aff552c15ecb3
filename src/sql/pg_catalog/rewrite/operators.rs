//! Operators, patterns, arrays written out, subscripts and fields.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{AccessExpr, BinaryOperator, Expr, Query, Subscript, Value, ValueWithSpan, VisitMut, VisitorMut};
use weir_common::error::{Error, Result, SqlState};

use super::casts::elements;
use super::expr::path;
use super::from::numbers_of;
use super::syntax::{call, called, constant, folded, number, string};
use crate::pg_catalog::expand;

/// Makes `i.indkey[0]` a subscript of the column `i.indkey`: the parser takes it for one of `i`, with a field between.
pub(super) fn join_paths(query: &mut Query) {
    struct Joiner;
    impl VisitorMut for Joiner {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            let Expr::CompoundFieldAccess { root, access_chain } = expr else { return ControlFlow::Continue(()) };
            let mut path = match root.as_ref() {
                Expr::Identifier(ident) => vec![ident.clone()],
                Expr::CompoundIdentifier(idents) => idents.clone(),
                _ => return ControlFlow::Continue(()),
            };
            let fields = access_chain.iter().map_while(|access| match access {
                AccessExpr::Dot(Expr::Identifier(ident)) => Some(ident.clone()),
                _ => None,
            });
            path.extend(fields);
            let rest = access_chain.split_off((path.len() - path_length(root)).min(access_chain.len()));
            let column = if path.len() == 1 { Expr::Identifier(path.swap_remove(0)) } else { Expr::CompoundIdentifier(path) };
            *expr = if rest.is_empty() { column } else { Expr::CompoundFieldAccess { root: Box::new(column), access_chain: rest } };
            ControlFlow::Continue(())
        }
    }
    let _ = query.visit(&mut Joiner);
}

fn path_length(expr: &Expr) -> usize {
    if let Expr::CompoundIdentifier(idents) = expr { idents.len() } else { 1 }
}

/// `LIKE 'a/_b' ESCAPE '/'` with the backslash as the escape, the only one that DataFusion has.
pub(super) fn escape(pattern: &mut Expr, escape_char: &mut Option<ValueWithSpan>) -> Result<()> {
    let Some(Value::SingleQuotedString(with)) = escape_char.as_ref().map(|value| value.value.clone()) else { return Ok(()) };
    let mut chars = with.chars();
    let (escape, rest) = (chars.next(), chars.next());
    if escape == Some('\\') || rest.is_some() {
        return Ok(());
    }
    let Some(text) = constant_text(pattern) else {
        return Err(Error::unsupported("LIKE with this ESCAPE needs a constant pattern").with_hint("Use the backslash as the escape."));
    };
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if Some(c) == escape => {
                plain.push('\\');
                plain.extend(chars.next());
            }
            '\\' => plain.push_str("\\\\"),
            c => plain.push(c),
        }
    }
    *pattern = string(plain);
    *escape_char = None;
    Ok(())
}

/// The text of a constant, or of constants put together.
fn constant_text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::StringConcat, right } => Some(constant_text(left)? + &constant_text(right)?),
        Expr::Nested(inner) => constant_text(inner),
        other => constant(other).map(str::to_string),
    }
}

/// The elements of an array that is written out; `None` for any other.
pub(super) fn items(expr: &Expr) -> Result<Option<Vec<Expr>>> {
    Ok(match expr {
        Expr::Nested(inner) => items(inner)?,
        Expr::Array(array) if !array.elem.is_empty() => Some(array.elem.clone()),
        other => match constant(other) {
            Some(text) => {
                let items = elements(text)?.into_iter().flatten().map(string).collect::<Vec<_>>();
                (!items.is_empty()).then_some(items)
            }
            None => None,
        },
    })
}

/// The operator that `OPERATOR(pg_catalog.~)` names.
pub(super) fn operator(words: &[String]) -> Result<BinaryOperator> {
    let symbol = words.last().map(String::as_str).unwrap_or_default();
    Ok(match symbol {
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        "||" => BinaryOperator::StringConcat,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "@>" => BinaryOperator::AtArrow,
        "<@" => BinaryOperator::ArrowAt,
        _ => return Err(Error::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {symbol}"))),
    })
}

/// Columns whose subscripts begin at 0.
const VECTORS: [&str; 5] = ["indkey", "indclass", "indcollation", "indoption", "proargtypes"];

/// What a subscript or a field becomes; `None` leaves it.
pub(super) fn access(root: &Expr, chain: &mut [AccessExpr]) -> Result<Option<Expr>> {
    let is_vector = path(root).pop().is_some_and(|column| VECTORS.contains(&column.as_str()));
    let inner = match root {
        Expr::Nested(inner) => inner.as_ref(),
        other => other,
    };
    match chain {
        [AccessExpr::Subscript(Subscript::Index { index })] if is_vector => {
            *index = Expr::BinaryOp { left: Box::new(index.clone()), op: BinaryOperator::Plus, right: Box::new(number(1)) };
            Ok(None)
        }
        [AccessExpr::Dot(Expr::Identifier(field))] => match called(inner) {
            // `(information_schema._pg_expandarray(list)).n`, whose inside is rewritten already: the elements, or their numbers.
            Some((name, arguments)) if name == "unnest" && arguments.len() == 1 => match called(arguments[0]) {
                Some((name, lists)) if name == expand::NAME && lists.len() == 1 => {
                    let list = lists[0].clone();
                    Ok(Some(call("unnest", vec![if folded(field) == "n" { numbers_of(list) } else { list }])))
                }
                _ => Ok(None),
            },
            // A field of a record: `(keys).n`.
            _ if !path(inner).is_empty() => Ok(Some(call("get_field", vec![inner.clone(), string(folded(field))]))),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}
