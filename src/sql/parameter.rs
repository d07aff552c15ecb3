//! Parameters (`$1`): which there are, and what their place says about their type.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use arrow::datatypes::{DataType, Field};
use datafusion::sql::sqlparser::ast::{self, Value, Visit, Visitor};
use weir_common::types::PgType;

use crate::types::pg_type;

/// How many parameters a statement has: the highest number that it names.
pub(crate) fn count(statement: &impl Visit) -> usize {
    indexes(statement).last().map_or(0, |last| last + 1)
}

/// The numbers of the parameters that a statement names, from 0.
pub(crate) fn indexes(statement: &impl Visit) -> BTreeSet<usize> {
    struct Named(BTreeSet<usize>);
    impl Visitor for Named {
        type Break = ();
        fn pre_visit_value(&mut self, value: &ast::ValueWithSpan) -> ControlFlow<()> {
            self.0.extend(index_of_value(&value.value));
            ControlFlow::Continue(())
        }
    }
    let mut named = Named(BTreeSet::new());
    let _ = statement.visit(&mut named);
    named.0
}

/// What is known of the types of a statement's parameters while its parts are planned one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Types(Vec<Option<PgType>>);

impl Types {
    /// With what the client said, which counts most.
    pub(crate) fn new(statement: &impl Visit, given: &[Option<PgType>]) -> Types {
        let mut types = given.to_vec();
        types.resize(count(statement).max(given.len()), None);
        Types(types)
    }

    /// Notes the type that a place gives to a parameter, unless there is one already.
    pub(crate) fn note(&mut self, index: usize, ty: PgType) {
        if let Some(known @ None) = self.0.get_mut(index) {
            *known = Some(ty);
        }
    }

    /// Notes what the planner found for the parameters of a part.
    pub(crate) fn learn(&mut self, part: &impl Visit, found: &[PgType]) {
        for index in indexes(part) {
            if let Some(ty) = found.get(index) {
                self.note(index, ty.clone());
            }
        }
    }

    /// What is known; one entry a parameter.
    pub(crate) fn known(&self) -> &[Option<PgType>] {
        &self.0
    }

    /// All types: text, as in Postgres, where nothing says anything.
    pub(crate) fn all(&self) -> Vec<PgType> {
        self.0.iter().map(|ty| ty.clone().unwrap_or(PgType::Text)).collect()
    }
}

/// Types that syntax alone gives: `$1::int`, `CAST($1 AS int)`, `LIMIT $1`. Keys count from 0.
pub(crate) fn types_from_syntax(statement: &impl Visit) -> HashMap<usize, PgType> {
    struct Types(HashMap<usize, PgType>);
    impl Types {
        fn note(&mut self, expr: &ast::Expr, ty: PgType) {
            if let Some(index) = index(expr) {
                self.0.entry(index).or_insert(ty);
            }
        }
    }
    impl Visitor for Types {
        type Break = ();
        fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
            if let Some(ast::LimitClause::LimitOffset { limit, offset, .. }) = &query.limit_clause {
                for expr in limit.iter().chain(offset.iter().map(|offset| &offset.value)) {
                    self.note(expr, PgType::Int8);
                }
            }
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
            if let ast::Expr::Cast { expr, data_type, .. } = expr
                && let Ok(ty) = pg_type(data_type)
            {
                self.note(expr, ty);
            }
            ControlFlow::Continue(())
        }
    }
    let mut types = Types(HashMap::new());
    let _ = statement.visit(&mut types);
    types.0
}

/// The number of a parameter, from 0, if that is what the expression is.
pub(crate) fn index(expr: &ast::Expr) -> Option<usize> {
    match expr {
        ast::Expr::Value(value) => index_of_value(&value.value),
        ast::Expr::Nested(inner) => index(inner),
        _ => None,
    }
}

fn index_of_value(value: &Value) -> Option<usize> {
    match value {
        Value::Placeholder(name) => name.strip_prefix('$')?.parse::<usize>().ok()?.checked_sub(1),
        _ => None,
    }
}

/// The Postgres type of a parameter whose field the planner inferred.
pub(crate) fn type_of(field: &Field) -> PgType {
    match field.data_type() {
        DataType::Null => PgType::Text,
        // A literal's own precision says nothing about the values to come.
        DataType::Decimal128(..) | DataType::Decimal256(..) => PgType::Numeric(None),
        _ => PgType::of_field(field),
    }
}
