//! The walk through one expression, from the leaves up: casts, calls, comparisons.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, UnaryOperator, Value, VisitorMut,
};
use weir_common::error::{Error, Result};
use weir_common::types::PgType;

use super::casts::{self, elements, reg_name};
use super::detect::{BARE, is_function, is_system_schema};
use super::expr::{OUTER, Use, marked, path};
use super::from::{list_of, missing_function};
use super::operators::{access, escape, items, operator};
use super::scope;
use super::select::Rewriter;
use super::syntax::{call, called, constant, number, parts, string};
use crate::pg_catalog::{expand, relations};

/// Rewrites from the leaves up, without going into subqueries, which have their own scopes.
pub(super) struct Walk<'r, 'f> {
    pub rewriter: &'r mut Rewriter<'f>,
    pub depth: usize,
    pub used: Use,
}

impl VisitorMut for Walk<'_, '_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if self.depth == 0 { flow(self.down(expr)) } else { ControlFlow::Continue(()) }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        if self.depth == 0 { flow(self.up(expr)) } else { ControlFlow::Continue(()) }
    }
}

fn flow(result: Result<()>) -> ControlFlow<Error> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl Walk<'_, '_> {
    /// On the way down: subqueries, before their inside is reached.
    fn down(&mut self, expr: &mut Expr) -> Result<()> {
        // `x = ANY (SELECT ..)` is `x IN (SELECT ..)`.
        if let Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } = expr
            && let Some(query) = as_query(right)
        {
            *expr = Expr::InSubquery { expr: left.clone(), subquery: Box::new(query.clone()), negated: false };
        }
        let made = match expr {
            Expr::Subquery(query) => self.rewriter.subquery(query, "scalar", self.used)?,
            Expr::Exists { subquery, negated } => {
                let negated = *negated;
                let made = self.rewriter.subquery(subquery, "exists", Use::Computed)?;
                made.map(|made| if negated { not(made) } else { made })
            }
            // Where no condition requires it, DataFusion has no IN: a list of the subquery's rows, if the system can make it.
            Expr::InSubquery { expr: left, subquery, negated } => {
                let list = self.rewriter.subquery(subquery, "array", Use::Computed)?;
                let is_in = list.map(|list| call("array_has", vec![list, left.as_ref().clone()]));
                is_in.map(|is_in| if *negated { not(is_in) } else { is_in })
            }
            Expr::Function(function) if parts(&function.name) == ["array"] => match &mut function.args {
                FunctionArguments::Subquery(query) => self.rewriter.subquery(query, "array", Use::Shown)?,
                _ => None,
            },
            _ => None,
        };
        if let Some(made) = made {
            *expr = made;
        }
        Ok(())
    }

    /// On the way up: everything whose parts are rewritten already.
    fn up(&mut self, expr: &mut Expr) -> Result<()> {
        match expr {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => self.column(expr),
            Expr::Cast { expr: inner, data_type, .. } => {
                // A column of type regproc is shown by name wherever it becomes text.
                if relations::is_regproc(&path(inner).pop().unwrap_or_default()) {
                    **inner = call("weir_regproc_oid", vec![inner.as_ref().clone()]);
                }
                *expr = casts::cast(inner.as_ref().clone(), data_type.clone())?;
                Ok(())
            }
            Expr::TypedString(typed) if casts::target(&typed.data_type).is_some() => {
                let text = Expr::Value(typed.value.clone());
                *expr = casts::cast(text, typed.data_type.clone())?;
                Ok(())
            }
            Expr::Collate { expr: inner, .. } => {
                *expr = inner.as_ref().clone();
                Ok(())
            }
            Expr::Function(_) => self.function(expr),
            Expr::BinaryOp { left, op, right } => {
                if let BinaryOperator::PGCustomBinaryOperator(words) = op {
                    *op = operator(words)?;
                }
                if matches!(op, BinaryOperator::StringConcat) {
                    for side in [left, right] {
                        **side = casts::shown(side.as_ref().clone());
                    }
                } else {
                    self.align(left, right);
                    self.align(right, left);
                }
                Ok(())
            }
            Expr::InList { expr: inner, list, .. } => {
                for item in list {
                    self.align(inner, item);
                }
                Ok(())
            }
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
                if let Some(mut list) = items(right)? {
                    for item in &mut list {
                        self.align(left, item);
                    }
                    *expr = Expr::InList { expr: left.clone(), list, negated: false };
                }
                Ok(())
            }
            Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => {
                if let Some(mut list) = items(right)? {
                    for item in &mut list {
                        self.align(left, item);
                    }
                    *expr = Expr::InList { expr: left.clone(), list, negated: true };
                }
                Ok(())
            }
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => escape(pattern, escape_char),
            Expr::CompoundFieldAccess { root, access_chain } => {
                if let Some(made) = access(root, access_chain)? {
                    *expr = made;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A column: marked when it belongs to a SELECT further out.
    fn column(&mut self, expr: &mut Expr) -> Result<()> {
        let path = path(expr);
        let scopes = &self.rewriter.scopes;
        if let Expr::Identifier(ident) = expr
            && ident.quote_style.is_none()
            && BARE.contains(&path[0].as_str())
        {
            *expr = call(&path[0], Vec::new());
            return Ok(());
        }
        let level = scope::level(scopes, &path);
        if let Expr::CompoundIdentifier(idents) = expr
            && idents.len() > 2
            && is_system_schema(&path[path.len() - 3])
        {
            *expr = Expr::CompoundIdentifier(idents.split_off(idents.len() - 2));
        }
        if level + 1 < scopes.len() {
            *expr = call(OUTER, vec![number(level), expr.clone()]);
        }
        Ok(())
    }

    fn function(&mut self, expr: &mut Expr) -> Result<()> {
        // A mark inside a mark: the argument of a call that took the place of a subquery has been marked before.
        if let Some((_, inner)) = marked(expr) {
            if marked(inner).is_some() {
                *expr = inner.clone();
            }
            return Ok(());
        }
        let Expr::Function(function) = expr else { return Ok(()) };
        let mut words = parts(&function.name);
        let name = words.pop().unwrap_or_default();
        if words.last().is_some_and(|schema| is_system_schema(schema)) {
            if !is_function(&name) && name != "_pg_expandarray" {
                return Err(missing_function(&words, &name));
            }
            function.name = ObjectName::from(Ident::new(&name));
        }
        if name == "_pg_expandarray"
            && let Some((_, arguments)) = called(expr)
        {
            *expr = call("unnest", vec![call(expand::NAME, arguments.into_iter().cloned().collect())]);
            return Ok(());
        }
        // An empty array beside lists: `coalesce(names, '{}')`.
        if name == "coalesce"
            && let Expr::Function(function) = &mut *expr
            && let FunctionArguments::List(list) = &mut function.args
        {
            for argument in &mut list.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) = argument
                    && constant(argument) == Some("{}")
                {
                    *argument = call("make_array", Vec::new());
                }
            }
            return Ok(());
        }
        if name == "generate_subscripts"
            && let Some((_, arguments)) = called(expr)
        {
            let list = list_of(&name, arguments.into_iter().cloned().collect())?;
            *expr = call("unnest", vec![list]);
        }
        Ok(())
    }

    /// A text constant beside a number is a number, and beside a `regclass` it is a name.
    fn align(&self, beside: &Expr, expr: &mut Expr) {
        let Some(text) = constant(expr) else { return };
        if let Some(shown) = reg_name(beside) {
            *expr = call(&format!("{shown}_oid"), vec![expr.clone()]);
            return;
        }
        let beside = marked(beside).map_or(beside, |(_, inner)| inner);
        if relations::is_regproc(&path(beside).pop().unwrap_or_default()) {
            *expr = call("weir_regproc_oid", vec![expr.clone()]);
            return;
        }
        let ty = scope::column_type(&self.rewriter.scopes, &path(beside));
        let is_number = matches!(ty, Some(PgType::Oid | PgType::Int2 | PgType::Int4 | PgType::Int8));
        if is_number && let Ok(value) = text.trim().parse::<i64>() {
            *expr = number(value);
        } else if let Some(PgType::Array(element)) = ty
            && let Ok(items) = elements(text)
        {
            let is_text = matches!(element.as_ref(), PgType::Text | PgType::Name | PgType::Char);
            let item = |item: Option<String>| match item {
                Some(item) if is_text => string(item),
                Some(item) => number(item),
                None => Expr::Value(Value::Null.into()),
            };
            *expr = call("make_array", items.into_iter().map(item).collect());
        }
    }
}

fn as_query(expr: &Expr) -> Option<&Query> {
    match expr {
        Expr::Subquery(query) => Some(query),
        Expr::Nested(inner) => as_query(inner),
        _ => None,
    }
}

fn not(expr: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(expr) }
}
