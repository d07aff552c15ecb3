//! One expression: operators, casts, calls and subqueries.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr, FunctionArguments, Ident, ObjectName, Query, Subscript, Value, VisitMut, VisitorMut,
};
use weir_common::error::{Error, Result};
use weir_common::types::PgType;

use super::casts::{self, elements, reg_name};
use super::detect::{BARE, is_function, is_system_schema, only_system};
use super::from::{list_of, missing_function, numbers_of};
use super::scope;
use super::select::Rewriter;
use super::syntax::{call, called, constant, folded, number, parts, string};
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
const OUTER: &str = "weir_outer";

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
        impl datafusion::sql::sqlparser::ast::Visitor for Finder<'_> {
            type Break = ();

            fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
                let path = path(expr);
                let known = !path.is_empty() && (path.len() > 1 || !self.0[self.1].items.is_empty());
                if known && scope::level(self.0, &path) == self.1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
        }
        use datafusion::sql::sqlparser::ast::Visit;
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
    fn subquery(&mut self, query: &mut Query, form: &str, used: Use) -> Result<Option<Expr>> {
        let level = self.scopes.len();
        let system = only_system(query);
        self.query(query, used == Use::Shown)?;
        let mut collect = Collect { level, arguments: Vec::new() };
        let mut replaced = query.clone();
        let _ = replaced.visit(&mut collect);
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
fn path(expr: &Expr) -> Vec<String> {
    match expr {
        Expr::Identifier(ident) => vec![folded(ident)],
        Expr::CompoundIdentifier(idents) => idents.iter().map(folded).collect(),
        _ => Vec::new(),
    }
}

/// The level and the expression of a mark.
fn marked(expr: &Expr) -> Option<(usize, &Expr)> {
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

/// Rewrites from the leaves up, without going into subqueries, which have their own scopes.
struct Walk<'r, 'f> {
    rewriter: &'r mut Rewriter<'f>,
    depth: usize,
    used: Use,
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
            Expr::InSubquery { subquery, .. } => {
                self.rewriter.kept_subquery(subquery)?;
                None
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
        let ty = scope::column_type(&self.rewriter.scopes, &path(beside));
        let is_number = matches!(ty, Some(PgType::Oid | PgType::Int2 | PgType::Int4 | PgType::Int8));
        if is_number && let Ok(value) = text.trim().parse::<i64>() {
            *expr = number(value);
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
    Expr::UnaryOp { op: datafusion::sql::sqlparser::ast::UnaryOperator::Not, expr: Box::new(expr) }
}

/// The elements of an array that is written out; `None` for any other.
fn items(expr: &Expr) -> Result<Option<Vec<Expr>>> {
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
fn operator(words: &[String]) -> Result<BinaryOperator> {
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
        _ => return Err(Error::new(weir_common::error::SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {symbol}"))),
    })
}

/// Columns whose subscripts begin at 0.
const VECTORS: [&str; 5] = ["indkey", "indclass", "indcollation", "indoption", "proargtypes"];

/// What a subscript or a field becomes; `None` leaves it.
fn access(root: &Expr, chain: &mut [AccessExpr]) -> Result<Option<Expr>> {
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
            // `(information_schema._pg_expandarray(list)).n`: the elements, or their numbers.
            Some((name, arguments)) if name == "_pg_expandarray" && arguments.len() == 1 => {
                let list = arguments[0].clone();
                Ok(Some(call("unnest", vec![if folded(field) == "n" { numbers_of(list) } else { list }])))
            }
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}
