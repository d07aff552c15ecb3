//! Which columns are in sight.

use weir_common::types::PgType;

use crate::pg_catalog::facts::SessionFacts;
use crate::pg_catalog::relations::{HIDDEN, SystemRelation};

/// A relation in FROM.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The name that columns are qualified with.
    pub alias: String,
    /// Its columns; `None` when nobody knows.
    pub columns: Option<Vec<String>>,
    /// What it is, when it is one of the system's.
    pub system: Option<&'static SystemRelation>,
}

impl Item {
    fn has(&self, column: &str) -> bool {
        let listed = self.columns.as_ref().is_some_and(|columns| columns.iter().any(|name| name == column));
        listed || (self.system.is_some() && HIDDEN.contains(&column))
    }

    fn column_type(&self, column: &str) -> Option<&'static PgType> {
        self.system?.columns.iter().find(|candidate| candidate.name == column).map(|column| &column.ty)
    }
}

/// What FROM brings into sight at one level.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub items: Vec<Item>,
}

impl Scope {
    fn item(&self, alias: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.alias == alias)
    }

    fn has(&self, column: &str) -> bool {
        self.items.iter().any(|item| item.has(column))
    }
}

/// The level that a column belongs to: the innermost that has it. What nobody has is taken to be the innermost's: an output
/// column, or a mistake that the planner will report.
pub(super) fn level(scopes: &[Scope], path: &[String]) -> usize {
    let innermost = scopes.len().saturating_sub(1);
    let found = match path {
        [column] => scopes.iter().rposition(|scope| scope.has(column)),
        [.., relation, _] => scopes.iter().rposition(|scope| scope.item(relation).is_some()),
        [] => None,
    };
    found.unwrap_or(innermost)
}

/// The type of a column of a system relation.
pub(super) fn column_type(scopes: &[Scope], path: &[String]) -> Option<&'static PgType> {
    match path {
        [column] => scopes.iter().rev().find_map(|scope| scope.items.iter().find_map(|item| item.column_type(column))),
        [.., relation, column] => scopes.iter().rev().find_map(|scope| scope.item(relation)?.column_type(column)),
        [] => None,
    }
}

/// The columns of one of the users' relations.
pub(super) fn user_columns(facts: &SessionFacts, schema: Option<&str>, name: &str) -> Option<Vec<String>> {
    let relation = facts.catalog.relations.iter().find(|relation| {
        relation.name == name && schema.map_or_else(|| facts.lookup(name) == Some(relation.oid as i64), |schema| relation.schema == schema)
    })?;
    Some(relation.columns.iter().map(|column| column.name.clone()).collect())
}
