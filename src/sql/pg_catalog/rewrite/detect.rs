//! Whether a query speaks of the system, and other questions to a syntax tree.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion::execution::SessionStateDefaults;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, FunctionArguments, ObjectName, Query, Select, TableFactor, Value, Visit, Visitor,
};

use super::casts;
use super::syntax::{folded, parts};
use crate::pg_catalog::{expand, functions, relations, subquery};

/// Whether a query speaks of the system, so that it must be rewritten before it is planned.
pub fn needs_rewrite(query: &Query) -> bool {
    query.visit(&mut Finder).is_break()
}

/// Names of functions that look like columns: they have no parentheses.
pub(super) const BARE: [&str; 6] = ["current_catalog", "current_role", "current_schema", "current_user", "session_user", "user"];

struct Finder;

impl Visitor for Finder {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        stop(match parts(relation).as_slice() {
            [name] => relations::find("pg_catalog", name).is_some(),
            [.., schema, _] => is_system_schema(schema),
            [] => false,
        })
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let (name, with_ordinality) = match factor {
            TableFactor::Table { name, args: Some(_), with_ordinality, .. } | TableFactor::Function { name, with_ordinality, .. } => {
                (name, *with_ordinality)
            }
            TableFactor::UNNEST { with_ordinality, .. } => return stop(*with_ordinality),
            _ => return ControlFlow::Continue(()),
        };
        stop(with_ordinality || names_function(name))
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        stop(match expr {
            Expr::Function(function) => {
                names_function(&function.name)
                    || matches!(function.args, FunctionArguments::Subquery(_)) && parts(&function.name) == ["array"]
            }
            Expr::Cast { data_type, .. } => is_system_type(data_type),
            Expr::TypedString(typed) => is_system_type(&typed.data_type),
            Expr::Collate { .. } => true,
            Expr::BinaryOp { op: BinaryOperator::PGCustomBinaryOperator(_), .. } => true,
            Expr::Identifier(name) => name.quote_style.is_none() && BARE.contains(&folded(name).as_str()),
            _ => false,
        })
    }
}

fn stop(found: bool) -> ControlFlow<()> {
    if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Whether a schema is one whose relations this module has.
pub(super) fn is_system_schema(name: &str) -> bool {
    matches!(name, "pg_catalog" | "information_schema")
}

fn names_function(name: &ObjectName) -> bool {
    match parts(name).as_slice() {
        [name] => {
            functions::exists(name) || matches!(name.as_str(), "pg_partition_ancestors" | "pg_options_to_table" | "generate_subscripts")
        }
        [schema, _] => is_system_schema(schema),
        _ => false,
    }
}

fn is_system_type(data_type: &DataType) -> bool {
    casts::target(data_type).is_some()
}

/// Whether DataFusion or this module has a function of this name.
pub(super) fn is_function(name: &str) -> bool {
    static BUILT_IN: LazyLock<HashSet<String>> = LazyLock::new(|| {
        let mut names: HashSet<String> = ["unnest", "array", "generate_subscripts"].iter().map(|name| name.to_string()).collect();
        for function in SessionStateDefaults::default_scalar_functions() {
            names.extend(function.aliases().iter().cloned());
            names.insert(function.name().to_string());
        }
        for function in SessionStateDefaults::default_window_functions() {
            names.insert(function.name().to_string());
        }
        for function in SessionStateDefaults::default_table_functions() {
            names.insert(function.name().to_string());
        }
        names.extend(AGGREGATES.iter().cloned());
        names
    });
    functions::exists(name) || name == subquery::NAME || name == expand::NAME || BUILT_IN.contains(name)
}

static AGGREGATES: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let mut names = HashSet::new();
    for function in SessionStateDefaults::default_aggregate_functions() {
        names.extend(function.aliases().iter().cloned());
        names.insert(function.name().to_string());
    }
    names
});

/// Whether a SELECT has an aggregate, a window or a function that gives several rows, outside of subqueries.
pub(in crate::pg_catalog) fn aggregates(select: &Select) -> bool {
    struct Finder(usize);
    impl Visitor for Finder {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 -= 1;
            ControlFlow::Continue(())
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
            let name = parts(&function.name).pop().unwrap_or_default();
            stop(self.0 == 0 && (function.over.is_some() || name == "unnest" || AGGREGATES.contains(&name)))
        }
    }
    select.visit(&mut Finder(0)).is_break()
}

/// The numbers of the placeholders in a piece of syntax.
pub(in crate::pg_catalog) fn placeholders<T: Visit>(node: &T) -> Vec<usize> {
    struct Finder(Vec<usize>);
    impl Visitor for Finder {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Value(value) = expr
                && let Value::Placeholder(name) = &value.value
            {
                self.0.extend(name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok()));
            }
            ControlFlow::Continue(())
        }
    }
    let mut finder = Finder(Vec::new());
    let _ = node.visit(&mut finder);
    finder.0
}

/// Whether every relation that a query names is the system's own or made inside the query.
pub(super) fn only_system(query: &Query) -> bool {
    #[derive(Default)]
    struct Finder {
        ctes: HashSet<String>,
    }
    impl Visitor for Finder {
        type Break = ();

        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            self.ctes.extend(query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| folded(&cte.alias.name)));
            ControlFlow::Continue(())
        }

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            let TableFactor::Table { name, args: None, .. } = factor else { return ControlFlow::Continue(()) };
            stop(match parts(name).as_slice() {
                [name] => relations::find("pg_catalog", name).is_none() && !self.ctes.contains(name),
                [.., schema, _] => !is_system_schema(schema),
                [] => true,
            })
        }
    }
    query.visit(&mut Finder::default()).is_continue()
}
