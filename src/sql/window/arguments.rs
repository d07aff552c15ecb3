//! The arguments of a window function, by position or by name.

use datafusion::common::Result;
use datafusion::sql::sqlparser::ast::{self, FunctionArg, FunctionArgExpr, Ident, ObjectName, TableFactor};
use datafusion::sql::sqlparser::tokenizer;
use weir_common::error::{Error, SqlState};

use crate::context::at;
use crate::names::normalized;
use crate::parser::PARTITION_BY;
use crate::window::time::ASKED;

/// A window function and its arguments.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    /// Their names, in the order of positions; the last one may be left out.
    slots: &'static [&'static str],
    /// The one that says how long a window is, or a session without rows.
    length: &'static str,
    /// The one that says how far it is from one window to the next; empty where none does.
    pub(super) every: &'static str,
    /// What it must be given, in words.
    takes: &'static str,
    pub(super) usage: &'static str,
}

pub(super) static TUMBLE: Function = Function {
    name: "TUMBLE",
    slots: &["data", "timecol", "size", "offset"],
    length: "size",
    every: "",
    takes: "a relation, a time column and a size",
    usage: "Write TUMBLE(relation, time_column, INTERVAL '1 minute' [, offset]).",
};

pub(super) static HOP: Function = Function {
    name: "HOP",
    slots: &["data", "timecol", "slide", "size", "offset"],
    length: "size",
    every: "slide",
    takes: "a relation, a time column, a slide and a size",
    usage: "Write HOP(relation, time_column, INTERVAL '1 minute', INTERVAL '1 hour' [, offset]): an hour, beginning every minute.",
};

pub(super) static CUMULATE: Function = Function {
    name: "CUMULATE",
    slots: &["data", "timecol", "step", "size", "offset"],
    length: "size",
    every: "step",
    takes: "a relation, a time column, a step and a size",
    usage: "Write CUMULATE(relation, time_column, INTERVAL '1 minute', INTERVAL '1 hour' [, offset]): an hour, as it is after each minute.",
};

pub(super) static SESSION: Function = Function {
    name: "SESSION",
    slots: &["data", "timecol", "gap", PARTITION_BY],
    length: "gap",
    every: "",
    takes: "a relation, a time column and a gap",
    usage: "Write SESSION(relation [PARTITION BY column], time_column, INTERVAL '10 minutes').",
};

/// What a call was given.
pub(super) struct Arguments {
    pub(super) function: &'static Function,
    pub(super) data: ast::Expr,
    pub(super) time: ast::Expr,
    /// From one window to the next, of functions that have it.
    pub(super) every: Option<ast::Expr>,
    /// Its size, or its gap.
    pub(super) length: ast::Expr,
    /// The columns of PARTITION BY.
    pub(super) partition: Vec<ast::Expr>,
    /// Whether the query names `window_time`.
    pub(super) time_asked: bool,
    pub(super) offset: Option<ast::Expr>,
}

impl Function {
    /// How many arguments it takes.
    fn positions(&self) -> usize {
        self.slots.iter().filter(|slot| **slot != PARTITION_BY).count()
    }
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
        // PARTITION BY stands among the arguments by position, and has none.
        let mut after_partition = 0;
        let mut time_asked = false;
        for (position, arg) in args.into_iter().enumerate() {
            let by_name = !matches!(arg, FunctionArg::Unnamed(_));
            let (slot, arg) = match arg {
                FunctionArg::Named { name, .. } if name.value == ASKED => {
                    time_asked = true;
                    continue;
                }
                FunctionArg::Unnamed(arg) => (position - after_partition, arg),
                FunctionArg::Named { name, arg, .. } => (slot(&name)?, arg),
                FunctionArg::ExprNamed { name: ast::Expr::Identifier(name), arg, .. } => (slot(&name)?, arg),
                FunctionArg::ExprNamed { name: other, .. } => return Err(wrong(format!("{name} has no argument {other}"))),
            };
            if by_name && function.slots.get(slot) == Some(&PARTITION_BY) {
                after_partition = 1;
            }
            let FunctionArgExpr::Expr(expr) = arg else {
                return Err(wrong(format!("{name} cannot take {arg} as an argument")));
            };
            match given.get_mut(slot).filter(|_| by_name || slot < function.positions()) {
                Some(empty @ None) => *empty = Some(expr),
                Some(Some(_)) => return Err(wrong(format!("{name} got an argument twice"))),
                None => return Err(wrong(format!("{name} takes at most {} arguments", function.positions()))),
            }
        }
        let mut take = |slot: &str| function.slots.iter().position(|known| *known == slot).and_then(|at| given[at].take());
        let (data, time, every, length, offset) =
            (take("data"), take("timecol"), take(function.every), take(function.length), take("offset"));
        let partition = take(PARTITION_BY).map_or_else(Vec::new, |columns| match columns {
            ast::Expr::Tuple(columns) => columns,
            ast::Expr::Nested(column) => vec![*column],
            column => vec![column],
        });
        match (data, time, length) {
            (Some(data), Some(time), Some(length)) if every.is_some() || function.every.is_empty() => {
                Ok(Arguments { function, data, time, every, length, partition, time_asked, offset })
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
