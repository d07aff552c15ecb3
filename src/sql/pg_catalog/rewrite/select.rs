//! Queries: their relations, their items and the names of these.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, JoinConstraint, JoinOperator, LimitClause, OrderBy, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, TableAlias,
};
use weir_common::error::{Error, Result, SqlState};

use super::expr::Use;
use super::order;
use super::scope::{Item, Scope};
use super::syntax::{column, folded, named, parts, repeated};
use crate::names::column_name;
use crate::pg_catalog::facts::SessionFacts;

/// A query on its way.
pub(super) struct Rewriter<'a> {
    pub facts: &'a Arc<SessionFacts>,
    /// What each SELECT around this place has in sight, the outermost first.
    pub scopes: Vec<Scope>,
    /// The common table expressions in sight, the newest last, with their columns.
    pub ctes: Vec<(String, Option<Vec<String>>)>,
}

impl<'a> Rewriter<'a> {
    pub fn new(facts: &'a Arc<SessionFacts>) -> Self {
        Rewriter { facts, scopes: Vec::new(), ctes: Vec::new() }
    }

    /// Rewrites a query and returns the names that Postgres gives its columns; `None` when nobody knows them. Where the
    /// result is `shown` to somebody, names stand for the numbers behind them.
    pub fn query(&mut self, query: &mut Query, shown: bool) -> Result<Option<Vec<String>>> {
        let outside = self.ctes.len();
        let result = self.query_inside(query, shown);
        self.ctes.truncate(outside);
        result
    }

    fn query_inside(&mut self, query: &mut Query, shown: bool) -> Result<Option<Vec<String>>> {
        if let Some(with) = &mut query.with {
            for cte in &mut with.cte_tables {
                let name = folded(&cte.alias.name);
                if with.recursive {
                    let columns = declared(&cte.alias).or_else(|| output_names(&cte.query.body));
                    self.ctes.push((name.clone(), columns));
                }
                let columns = self.query(&mut cte.query, shown)?;
                let columns = declared(&cte.alias).or(columns);
                self.ctes.push((name, columns));
            }
        }
        if let SetExpr::Select(select) = query.body.as_mut() {
            let names = self.select(select, query.order_by.as_mut(), query.limit_clause.as_mut(), shown)?;
            if let Some(names) = &names {
                order::hoist(query, names);
            }
            return Ok(names);
        }
        self.set_expr(query.body.as_mut(), shown)
    }

    fn set_expr(&mut self, body: &mut SetExpr, shown: bool) -> Result<Option<Vec<String>>> {
        match body {
            SetExpr::Select(select) => self.select(select, None, None, shown),
            SetExpr::Query(query) => self.query(query, shown),
            SetExpr::SetOperation { left, right, .. } => {
                let names = self.set_expr(left, shown)?;
                self.set_expr(right, shown)?;
                Ok(names)
            }
            SetExpr::Values(values) => {
                let width = values.rows.first().map_or(0, |row| row.content.len());
                self.scopes.push(Scope::default());
                for value in values.rows.iter_mut().flat_map(|row| &mut row.content) {
                    self.expr(value, if shown { Use::Shown } else { Use::Computed })?;
                }
                self.scopes.pop();
                Ok(Some((1..=width).map(|at| format!("column{at}")).collect()))
            }
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) | SetExpr::Table(_) => Ok(None),
        }
    }

    fn select(
        &mut self,
        select: &mut Select,
        order_by: Option<&mut OrderBy>,
        limit: Option<&mut LimitClause>,
        shown: bool,
    ) -> Result<Option<Vec<String>>> {
        let mut scope = Scope::default();
        for table in &mut select.from {
            self.factor(&mut table.relation, &mut scope)?;
            for join in &mut table.joins {
                self.factor(&mut join.relation, &mut scope)?;
            }
        }
        self.scopes.push(scope);
        let result = self.clauses(select, order_by, limit, shown);
        self.scopes.pop();
        result
    }

    fn clauses(
        &mut self,
        select: &mut Select,
        order_by: Option<&mut OrderBy>,
        limit: Option<&mut LimitClause>,
        shown: bool,
    ) -> Result<Option<Vec<String>>> {
        for join in select.from.iter_mut().flat_map(|table| &mut table.joins) {
            if let Some(JoinConstraint::On(on)) = constraint(&mut join.join_operator) {
                self.condition(on)?;
            }
        }
        self.expand_stars(select)?;
        self.drop_empty_sets(select);
        let names = self.items(select, shown)?;
        if let Some(selection) = &mut select.selection {
            self.condition(selection)?;
        }
        if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
            for key in keys {
                self.expr(key, Use::Computed)?;
            }
        }
        if let Some(having) = &mut select.having {
            self.condition(having)?;
        }
        if let Some(Distinct::On(keys)) = &mut select.distinct {
            for key in keys {
                self.expr(key, Use::Computed)?;
            }
        }
        if let Some(OrderBy { kind: OrderByKind::Expressions(keys), .. }) = order_by {
            for key in keys {
                // By the name, as the items are shown: an order by numbers would look random.
                self.expr(&mut key.expr, Use::Shown)?;
            }
        }
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = limit {
            for expr in limit.iter_mut().chain(offset.iter_mut().map(|offset| &mut offset.value)) {
                self.expr(expr, Use::Computed)?;
            }
        }
        Ok(names)
    }

    /// Stars become the columns they stand for, as far as these are known.
    fn expand_stars(&mut self, select: &mut Select) -> Result<()> {
        let scope = self.scopes.last().expect("a SELECT has a scope");
        let using: HashSet<String> = select
            .from
            .iter_mut()
            .flat_map(|table| &mut table.joins)
            .filter_map(|join| match constraint(&mut join.join_operator) {
                Some(JoinConstraint::Using(columns)) => Some(columns.iter().filter_map(|name| parts(name).pop()).collect::<Vec<_>>()),
                _ => None,
            })
            .flatten()
            .collect();
        let mut items = Vec::with_capacity(select.projection.len());
        for item in std::mem::take(&mut select.projection) {
            let wanted: Vec<&Item> = match &item {
                SelectItem::Wildcard(_) => scope.items.iter().collect(),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    let alias = parts(name).pop().unwrap_or_default();
                    let found = scope.items.iter().find(|item| item.alias == alias);
                    let missing = || Error::new(SqlState::UNDEFINED_TABLE, format!("missing FROM-clause entry for table \"{alias}\""));
                    vec![found.ok_or_else(missing)?]
                }
                _ => Vec::new(),
            };
            if wanted.is_empty() || wanted.iter().any(|item| item.columns.is_none()) {
                items.push(item);
                continue;
            }
            // A column of USING is there once, before the others.
            let all = matches!(item, SelectItem::Wildcard(_));
            let mut merged: HashSet<&String> = HashSet::new();
            for item in &wanted {
                for name in item.columns.iter().flatten() {
                    if all && using.contains(name) && !merged.insert(name) {
                        continue;
                    }
                    items.push(SelectItem::UnnamedExpr(column(&item.alias, name)));
                }
            }
        }
        select.projection = items;
        Ok(())
    }

    /// Rewrites the items; one that changes keeps its name. Returns the names, unless there is a star.
    fn items(&mut self, select: &mut Select, shown: bool) -> Result<Option<Vec<String>>> {
        let mut names = Some(Vec::with_capacity(select.projection.len()));
        let mut taken: HashSet<String> = HashSet::new();
        for (at, item) in select.projection.iter_mut().enumerate() {
            let Some(name) = item_name(item) else {
                names = None;
                continue;
            };
            if let Some(names) = &mut names {
                names.push(name.clone());
            }
            let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
            let before = expr.clone();
            self.expr(expr, if shown { Use::Shown } else { Use::Computed })?;
            if !taken.insert(name.clone()) {
                *item = named(expr.clone(), &repeated(&name, at));
            } else if *expr != before {
                *item = named(expr.clone(), &name);
            }
        }
        Ok(names)
    }

    /// A condition: an EXISTS or IN that it requires as such is left to the planner, which makes a join of it.
    fn condition(&mut self, expr: &mut Expr) -> Result<()> {
        match expr {
            Expr::BinaryOp { left, op: datafusion::sql::sqlparser::ast::BinaryOperator::And, right } => {
                self.condition(left)?;
                self.condition(right)
            }
            Expr::Nested(inner) => self.condition(inner),
            Expr::UnaryOp { op: datafusion::sql::sqlparser::ast::UnaryOperator::Not, expr: inner }
                if matches!(inner.as_ref(), Expr::Exists { .. }) =>
            {
                self.condition(inner)
            }
            Expr::Exists { subquery, .. } => self.kept_subquery(subquery),
            Expr::InSubquery { expr, subquery, .. } => {
                self.expr(expr, Use::Computed)?;
                self.kept_subquery(subquery)
            }
            other => self.expr(other, Use::Computed),
        }
    }
}

fn constraint(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint) => Some(constraint),
        _ => None,
    }
}

/// The columns that an alias names.
pub(super) fn declared(alias: &TableAlias) -> Option<Vec<String>> {
    (!alias.columns.is_empty()).then(|| alias.columns.iter().map(|column| folded(&column.name)).collect())
}

/// The name of a select item; `None` for a star.
fn item_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        SelectItem::UnnamedExpr(expr) => Some(column_name(expr)),
        SelectItem::ExprWithAliases { aliases, .. } => aliases.first().map(folded),
        SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => None,
    }
}

fn output_names(body: &SetExpr) -> Option<Vec<String>> {
    match body {
        SetExpr::Select(select) => select.projection.iter().map(item_name).collect(),
        SetExpr::Query(query) => output_names(&query.body),
        SetExpr::SetOperation { left, .. } => output_names(left),
        _ => None,
    }
}
