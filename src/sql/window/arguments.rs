//! The arguments of a window function, by position or by name.

use datafusion::common::Result;
use datafusion::sql::sqlparser::ast::{self, FunctionArg, FunctionArgExpr, Ident, ObjectName, TableFactor};
use datafusion::sql::sqlparser::tokenizer;
use weir_common::error::{Error, SqlState};

use crate::context::at;
use crate::names::normalized;

/// A window function and its arguments.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    /// Their names, in the order of positions; the last one may be left out.
    slots: &'static [&'static str],
    /// What it must be given, in words.
    takes: &'static str,
    pub(super) usage: &'static str,
}

pub(super) static TUMBLE: Function = Function {
    name: "TUMBLE",
    slots: &["data", "timecol", "size", "offset"],
    takes: "a relation, a time column and a size",
    usage: "Write TUMBLE(relation, time_column, INTERVAL '1 minute' [, offset]).",
};

pub(super) static HOP: Function = Function {
    name: "HOP",
    slots: &["data", "timecol", "slide", "size", "offset"],
    takes: "a relation, a time column, a slide and a size",
    usage: "Write HOP(relation, time_column, INTERVAL '1 minute', INTERVAL '1 hour' [, offset]): an hour, beginning every minute.",
};

/// What a call was given.
pub(super) struct Arguments {
    pub(super) function: &'static Function,
    pub(super) data: ast::Expr,
    pub(super) time: ast::Expr,
    /// Of functions that have one.
    pub(super) slide: Option<ast::Expr>,
    pub(super) size: ast::Expr,
    pub(super) offset: Option<ast::Expr>,
}

impl Arguments {
    pub(super) fn read(function: &'static Function, args: Vec<FunctionArg>, span: tokenizer::Span) -> Result<Arguments> {
        let name = function.name;
        let wrong = |message: String| at(Error::new(SqlState::SYNTAX_ERROR, message).with_hint(function.usage), span);
        let slot = |given: &Ident| {
            let given = normalized(given);
            function.slots.iter().position(|slot| *slot == given).ok_or_else(|| wrong(format!("{name} has no argument \"{given}\"")))
        };
        let mut given: Vec<Option<ast::Expr>> = vec![None; function.slots.len()];
        for (position, arg) in args.into_iter().enumerate() {
            let (slot, arg) = match arg {
                FunctionArg::Unnamed(arg) => (position, arg),
                FunctionArg::Named { name, arg, .. } => (slot(&name)?, arg),
                FunctionArg::ExprNamed { name: ast::Expr::Identifier(name), arg, .. } => (slot(&name)?, arg),
                FunctionArg::ExprNamed { name: other, .. } => return Err(wrong(format!("{name} has no argument {other}"))),
            };
            let FunctionArgExpr::Expr(expr) = arg else {
                return Err(wrong(format!("{name} cannot take {arg} as an argument")));
            };
            match given.get_mut(slot) {
                Some(empty @ None) => *empty = Some(expr),
                Some(Some(_)) => return Err(wrong(format!("{name} got an argument twice"))),
                None => return Err(wrong(format!("{name} takes at most {} arguments", function.slots.len()))),
            }
        }
        let mut take = |slot: &str| function.slots.iter().position(|known| *known == slot).and_then(|at| given[at].take());
        let (data, time, slide, size, offset) = (take("data"), take("timecol"), take("slide"), take("size"), take("offset"));
        match (data, time, size) {
            (Some(data), Some(time), Some(size)) if slide.is_some() || !function.slots.contains(&"slide") => {
                Ok(Arguments { function, data, time, slide, size, offset })
            }
            _ => Err(wrong(format!("{name} takes {}", function.takes))),
        }
    }
}

/// The relation or subquery that is given as an argument, as an item of FROM.
pub(super) fn relation(function: &'static Function, data: ast::Expr, span: tokenizer::Span) -> Result<TableFactor> {
    let named = |parts: Vec<Ident>| TableFactor::Table {
        name: ObjectName::from(parts),
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    };
    match data {
        ast::Expr::Identifier(name) => Ok(named(vec![name])),
        ast::Expr::CompoundIdentifier(parts) => Ok(named(parts)),
        ast::Expr::Subquery(subquery) => Ok(TableFactor::Derived { lateral: false, subquery, alias: None, sample: None }),
        ast::Expr::Nested(inner) => relation(function, *inner, span),
        other => {
            let error = Error::new(SqlState::SYNTAX_ERROR, format!("{} cannot read {other}", function.name)).with_hint(function.usage);
            Err(at(error, span))
        }
    }
}
