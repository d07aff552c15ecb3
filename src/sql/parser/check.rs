//! What a query may hold. sqlparser reads more than DataFusion plans, and DataFusion's planner passes over some of it
//! in silence: that is refused here, or rewritten into what it plans.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, LimitClause, Query, Select, SetExpr, TableFactor, Value, VisitMut, VisitorMut};
use weir_common::error::{Error, Result};

/// Checks a query and every query inside it, and writes `FETCH FIRST` as `LIMIT`.
pub(super) fn query(node: &mut impl VisitMut) -> Result<()> {
    match node.visit(&mut Check) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Check;

impl VisitorMut for Check {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        if let Some(lock) = query.locks.first() {
            return refuse(
                format!("SELECT FOR {}", lock.lock_type),
                "Concurrent updates of a row are serialized without it; leave the clause out.",
            );
        }
        if query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some() {
            return refuse("this clause after a query", "Weir follows Postgres here.");
        }
        fetch_as_limit(query)?;
        match &*query.body {
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => refuse(
                "INSERT, UPDATE or DELETE inside WITH",
                "Write INSERT INTO t WITH ... SELECT ..., or use two statements in a transaction.",
            ),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        if select.into.is_some() {
            return refuse("SELECT INTO", "Use CREATE TABLE name AS SELECT ...");
        }
        let foreign = select.prewhere.is_some()
            || !select.connect_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.sort_by.is_empty()
            || !select.lateral_views.is_empty()
            || select.value_table_mode.is_some()
            || select.select_modifiers.is_some()
            || select.top.is_some();
        if foreign {
            return refuse("this clause of SELECT", "Weir follows Postgres here.");
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
        match factor {
            TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => {
                refuse("TABLESAMPLE", "Use WHERE random() < 0.1.")
            }
            TableFactor::Table { with_ordinality: true, .. } | TableFactor::UNNEST { with_ordinality: true, .. } => {
                refuse("WITH ORDINALITY", "Use row_number() OVER ().")
            }
            TableFactor::Table { version: Some(_), .. } => refuse("FOR SYSTEM_TIME AS OF", "A join reads the newest rows of both sides."),
            TableFactor::Table { with_hints, partitions, index_hints, json_path, .. }
                if !(with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() && json_path.is_none()) =>
            {
                refuse("this clause after a table's name", "Weir follows Postgres here.")
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn fetch_as_limit(query: &mut Query) -> ControlFlow<Error> {
    let Some(fetch) = query.fetch.take() else { return ControlFlow::Continue(()) };
    if fetch.with_ties {
        return refuse("FETCH FIRST ... WITH TIES", "Compare rank() OVER (...) in a subquery instead.");
    }
    if fetch.percent {
        return refuse("FETCH FIRST ... PERCENT", "Give a number of rows.");
    }
    let rows = fetch.quantity.unwrap_or_else(|| Expr::value(Value::Number("1".to_string(), false)));
    match &mut query.limit_clause {
        None => query.limit_clause = Some(LimitClause::LimitOffset { limit: Some(rows), offset: None, limit_by: Vec::new() }),
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(rows),
        Some(_) => {
            return ControlFlow::Break(Error::new(weir_common::error::SqlState::SYNTAX_ERROR, "multiple LIMIT clauses not allowed"));
        }
    }
    ControlFlow::Continue(())
}

fn refuse(what: impl AsRef<str>, hint: &str) -> ControlFlow<Error> {
    ControlFlow::Break(Error::unsupported(format!("{} is not supported yet", what.as_ref())).with_hint(hint))
}
