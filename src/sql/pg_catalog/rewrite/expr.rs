//! Expressions at one level, and what subqueries take from the levels around them.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Query, Value, Visit, VisitMut, Visitor, VisitorMut};
use weir_common::error::Result;

use super::casts::{self, reg_name};
use super::detect::only_system;
use super::scope;
use super::select::Rewriter;
use super::syntax::{call, called, folded, string};
use super::walk::Walk;
use crate::pg_catalog::{relations, subquery};

/// What becomes of the value of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Somebody reads it: a `regclass` is a name.
    Shown,
    /// It is compared or joined: a `regclass` is a number.
    Computed,
}

/// Marks what a subquery takes from outside: its level, and the expression there.
pub(super) const OUTER: &str = "weir_outer";

impl Rewriter<'_> {
    /// Rewrites an expression at the level of the innermost scope.
    pub fn expr(&mut self, expr: &mut Expr, used: Use) -> Result<()> {
        let mut walk = Walk { rewriter: self, depth: 0, used };
        if let ControlFlow::Break(error) = expr.visit(&mut walk) {
            return Err(error);
        }
        if used == Use::Shown {
            self.show(expr);
        }
        Ok(())
    }

    /// Makes names of numbers where somebody reads them.
    fn show(&self, expr: &mut Expr) {
        match expr {
            Expr::Nested(inner) => self.show(inner),
            Expr::Case { conditions, else_result, .. } => {
                conditions.iter_mut().for_each(|when| self.show(&mut when.result));
                else_result.iter_mut().for_each(|result| self.show(result));
            }
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
                let column = path(expr).pop().unwrap_or_default();
                if relations::is_regproc(&column) && scope::column_type(&self.scopes, &path(expr)).is_some() {
                    *expr = call("weir_regproc", vec![expr.clone()]);
                }
            }
            _ if reg_name(expr).is_some() => *expr = casts::shown(expr.clone()),
            _ => {}
        }
    }

    /// Whether an expression that is not rewritten yet takes something from a level.
    pub fn mentions_level(&self, expr: &Expr, level: usize) -> bool {
        struct Finder<'a>(&'a [scope::Scope], usize);
        impl Visitor for Finder<'_> {
            type Break = ();

            fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
                let path = path(expr);
                let known = !path.is_empty() && (path.len() > 1 || !self.0[self.1].items.is_empty());
                if known && scope::level(self.0, &path) == self.1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
        }
        expr.visit(&mut Finder(&self.scopes, level)).is_break()
    }

    /// A subquery that stays one: what it takes from the level around it is written plainly again.
    pub fn kept_subquery(&mut self, query: &mut Query) -> Result<()> {
        self.query(query, false)?;
        self.restore(query, self.scopes.len());
        Ok(())
    }

    /// Takes the marks off what comes from the level just outside of `level`.
    pub fn restore<T: VisitMut>(&self, node: &mut T, level: usize) {
        let _ = node.visit(&mut Unmark { level });
    }

    /// Rewrites a subquery; when it takes something from outside, or DataFusion has no such form, it becomes a call.
    pub(super) fn subquery(&mut self, query: &mut Query, form: &str, used: Use) -> Result<Option<Expr>> {
        let level = self.scopes.len();
        let system = only_system(query);
        self.query(query, used == Use::Shown)?;
        let mut collect = Collect { level, arguments: Vec::new() };
        let mut replaced = query.clone();
        let _ = VisitMut::visit(&mut replaced, &mut collect);
        let correlated = collect.arguments.iter().any(|argument| !matches!(argument, Expr::Value(_)));
        if !system || (!correlated && form != "array") {
            self.restore(query, level);
            return Ok(None);
        }
        let mut arguments = vec![string(form), string(replaced.to_string())];
        arguments.append(&mut collect.arguments);
        Ok(Some(call(subquery::NAME, arguments)))
    }
}

/// The names of a column reference, folded; empty for anything else.
pub(super) fn path(expr: &Expr) -> Vec<String> {
    match expr {
        Expr::Identifier(ident) => vec![folded(ident)],
        Expr::CompoundIdentifier(idents) => idents.iter().map(folded).collect(),
        _ => Vec::new(),
    }
}

/// The level and the expression of a mark.
pub(super) fn marked(expr: &Expr) -> Option<(usize, &Expr)> {
    let (name, arguments) = called(expr)?;
    let [level, inner] = arguments.as_slice() else { return None };
    match level {
        Expr::Value(value) if name == OUTER => match &value.value {
            Value::Number(level, _) => Some((level.parse().ok()?, inner)),
            _ => None,
        },
        _ => None,
    }
}

/// Takes marks off.
struct Unmark {
    level: usize,
}

impl VisitorMut for Unmark {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some((level, inner)) = marked(expr)
            && level + 1 == self.level
        {
            *expr = inner.clone();
        }
        ControlFlow::Continue(())
    }
}

/// Puts placeholders in the place of marks and of the client's placeholders, and keeps what they stand for.
struct Collect {
    level: usize,
    arguments: Vec<Expr>,
}

impl VisitorMut for Collect {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let argument = match (marked(expr), &expr) {
            (Some((level, inner)), _) if level + 1 == self.level => inner.clone(),
            (Some(_), _) => expr.clone(),
            (None, Expr::Value(value)) if matches!(value.value, Value::Placeholder(_)) => expr.clone(),
            _ => return ControlFlow::Continue(()),
        };
        let at = match self.arguments.iter().position(|known| *known == argument) {
            Some(at) => at,
            None => {
                self.arguments.push(argument);
                self.arguments.len() - 1
            }
        };
        *expr = Expr::Value(Value::Placeholder(format!("${}", at + 1)).into());
        ControlFlow::Continue(())
    }
}
