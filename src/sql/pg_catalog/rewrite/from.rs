//! Relations and functions in FROM.

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, Select, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins,
};
use weir_common::error::{Error, Result, SqlState};

use super::detect::{is_function, is_system_schema};
use super::expr::Use;
use super::scope::{Item, Scope, user_columns};
use super::select::{Rewriter, declared};
use super::syntax::{call, called, derived, derived_query, folded, named, number, parts, quoted, template, unnamed};
use crate::pg_catalog::identifier::keywords;
use crate::pg_catalog::{functions, relations};

impl Rewriter<'_> {
    /// Rewrites what stands in FROM, and adds it to what is in sight.
    pub fn factor(&mut self, factor: &mut TableFactor, scope: &mut Scope) -> Result<()> {
        match factor {
            TableFactor::Table { name, args: None, alias, .. } => {
                let item = self.relation(name, alias)?;
                scope.items.push(item);
            }
            TableFactor::Table { name, args: Some(args), alias, with_ordinality, .. } => {
                let made = self.function(parts(name), &args.args, alias.as_ref(), *with_ordinality, scope)?;
                if let Some(made) = made {
                    *factor = made;
                }
            }
            TableFactor::Function { name, args, alias, with_ordinality, .. } => {
                let made = self.function(parts(name), args, alias.as_ref(), *with_ordinality, scope)?;
                if let Some(made) = made {
                    *factor = made;
                }
            }
            TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } => {
                let args: Vec<FunctionArg> =
                    array_exprs.iter().map(|list| FunctionArg::Unnamed(FunctionArgExpr::Expr(list.clone()))).collect();
                let made = self.function(vec!["unnest".to_string()], &args, alias.as_ref(), *with_ordinality, scope)?;
                if let Some(made) = made {
                    *factor = made;
                }
            }
            TableFactor::Derived { lateral, subquery, alias, .. } => {
                let names = if *lateral {
                    self.scopes.push(scope.clone());
                    let names = self.query(subquery, true);
                    self.scopes.pop();
                    let names = names?;
                    self.restore(subquery.as_mut(), self.scopes.len());
                    names
                } else {
                    self.query(subquery, true)?
                };
                let (alias, names) = match alias {
                    Some(alias) => (folded(&alias.name), declared(alias).or(names)),
                    None => (String::new(), names),
                };
                scope.items.push(Item { alias, columns: names, system: None });
            }
            TableFactor::NestedJoin { table_with_joins, .. } => {
                let TableWithJoins { relation, joins } = table_with_joins.as_mut();
                self.factor(relation, scope)?;
                for join in joins {
                    self.factor(&mut join.relation, scope)?;
                }
            }
            _ => scope.items.push(Item { alias: String::new(), columns: None, system: None }),
        }
        Ok(())
    }

    fn relation(&mut self, name: &mut ObjectName, alias: &mut Option<TableAlias>) -> Result<Item> {
        let words = parts(name);
        let known_as = |alias: &Option<TableAlias>| alias.as_ref().map(|alias| folded(&alias.name));
        if let [word] = words.as_slice()
            && let Some((_, columns)) = self.ctes.iter().rev().find(|(cte, _)| cte == word)
        {
            let columns = alias.as_ref().and_then(declared).or_else(|| columns.clone());
            return Ok(Item { alias: known_as(alias).unwrap_or_else(|| word.clone()), columns, system: None });
        }
        let (schema, last) = match words.as_slice() {
            [last] => (None, last.clone()),
            [schema, last] => (Some(schema.clone()), last.clone()),
            [database, schema, last] if *database == self.facts.database => (Some(schema.clone()), last.clone()),
            _ => return Err(Error::unsupported(format!("cross-database references are not implemented: {name}"))),
        };
        let system = match &schema {
            None => relations::find("pg_catalog", &last),
            Some(schema) => relations::find(schema, &last),
        };
        let Some(system) = system else {
            if let Some(schema) = schema.as_deref().filter(|schema| is_system_schema(schema)) {
                return Err(Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{schema}.{last}\" does not exist")));
            }
            let columns = alias.as_ref().and_then(declared).or_else(|| user_columns(self.facts, schema.as_deref(), &last));
            return Ok(Item { alias: known_as(alias).unwrap_or(last), columns, system: None });
        };
        *name = ObjectName::from(vec![Ident::new(system.schema), Ident::new(system.name)]);
        if alias.is_none() {
            *alias = Some(TableAlias { explicit: true, name: quoted(&last), columns: Vec::new(), at: None });
        }
        let columns = system.columns.iter().map(|column| column.name.to_string()).collect();
        let columns = alias.as_ref().and_then(declared).unwrap_or(columns);
        Ok(Item { alias: known_as(alias).unwrap_or(last), columns: Some(columns), system: Some(system) })
    }

    /// A function in FROM as a derived table; `None` leaves it to the planner.
    fn function(
        &mut self,
        mut words: Vec<String>,
        args: &[FunctionArg],
        alias: Option<&TableAlias>,
        with_ordinality: bool,
        scope: &mut Scope,
    ) -> Result<Option<TableFactor>> {
        let name = words.pop().unwrap_or_default();
        let known_as = alias.map_or_else(|| name.clone(), |alias| folded(&alias.name));
        let arguments: Option<Vec<Expr>> = unnamed(args).map(|arguments| arguments.into_iter().cloned().collect());
        let Some(mut arguments) = arguments else {
            scope.items.push(Item { alias: known_as, columns: None, system: None });
            return Ok(None);
        };
        // Arguments see what stands before them; that would be a lateral join, which DataFusion has not for functions.
        let level = self.scopes.len();
        self.scopes.push(scope.clone());
        let mut lateral = false;
        for argument in &mut arguments {
            lateral |= self.mentions_level(argument, level);
            self.expr(argument, Use::Computed)?;
        }
        self.scopes.pop();
        if lateral {
            return Err(Error::unsupported(format!("{name}() in FROM cannot take columns of the tables beside it"))
                .with_hint("Call it in the SELECT list of a subquery on that table."));
        }
        let own_name = declared_name(alias, 0).unwrap_or_else(|| known_as.clone());
        let (factor, columns) = match name.as_str() {
            "unnest" | "generate_series" | "generate_subscripts" | "_pg_expandarray" => {
                let list = list_of(&name, arguments)?;
                let mut columns = vec![own_name];
                let mut items = vec![named(call("unnest", vec![list.clone()]), &columns[0])];
                if with_ordinality || name == "_pg_expandarray" {
                    let at = if name == "_pg_expandarray" { "n" } else { "ordinality" };
                    if name == "_pg_expandarray" && declared_name(alias, 0).is_none() {
                        columns[0] = "x".to_string();
                        items = vec![named(call("unnest", vec![list.clone()]), "x")];
                    }
                    columns.push(declared_name(alias, 1).unwrap_or_else(|| at.to_string()));
                    items.push(named(call("unnest", vec![numbers_of(list)]), &columns[1]));
                }
                (derived(items, &known_as), columns)
            }
            "pg_partition_ancestors" => {
                let mut columns = vec![declared_name(alias, 0).unwrap_or_else(|| "relid".to_string())];
                if with_ordinality {
                    columns.push(declared_name(alias, 1).unwrap_or_else(|| "ordinality".to_string()));
                }
                (empty(&columns, &known_as), columns)
            }
            "pg_get_keywords" => {
                let query = template(&format!(
                    "SELECT unnest(string_to_array('{}', ' ')) AS word, 'R' AS catcode, true AS barelabel, 'reserved' AS catdesc, \
                     'requires AS' AS baredesc",
                    keywords()
                ));
                let columns = ["word", "catcode", "barelabel", "catdesc", "baredesc"];
                (derived_query(query, &known_as), columns.map(str::to_string).into())
            }
            "pg_options_to_table" => {
                let mut inner = template("SELECT weir_option_name(o) AS option_name, weir_option_value(o) AS option_value FROM t");
                let option = named(call("unnest", arguments), "o");
                if let SetExpr::Select(select) = inner.body.as_mut() {
                    select.from[0].relation = derived(vec![option], "weir_options");
                }
                (derived_query(inner, &known_as), vec!["option_name".to_string(), "option_value".to_string()])
            }
            _ if functions::exists(&name) => {
                let items = vec![named(call(&name, arguments), &own_name)];
                (derived(items, &known_as), vec![own_name])
            }
            _ => {
                if words.first().is_some_and(|schema| is_system_schema(schema)) && !is_function(&name) {
                    return Err(missing_function(&words, &name));
                }
                scope.items.push(Item { alias: known_as, columns: None, system: None });
                return Ok(None);
            }
        };
        scope.items.push(Item { alias: known_as, columns: Some(columns), system: None });
        Ok(Some(factor))
    }

    /// `SELECT pg_partition_ancestors(x)` has no rows: nothing is partitioned.
    pub fn drop_empty_sets(&self, select: &mut Select) {
        let is_empty_set = |item: &SelectItem| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                called(expr).is_some_and(|(name, _)| name == "pg_partition_ancestors")
            }
            _ => false,
        };
        if !select.projection.iter().any(is_empty_set) {
            return;
        }
        for item in &mut select.projection {
            if is_empty_set(item) {
                *item = named(call("weir_oid", vec![number(0)]), "pg_partition_ancestors");
            }
        }
        select.selection = Some(Expr::Value(datafusion::sql::sqlparser::ast::Value::Boolean(false).into()));
    }
}

/// The name that an alias gives to one column.
fn declared_name(alias: Option<&TableAlias>, at: usize) -> Option<String> {
    alias?.columns.get(at).map(|column| folded(&column.name))
}

/// The error for a function that does not exist.
pub(super) fn missing_function(schema: &[String], name: &str) -> Error {
    let qualified = schema.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".");
    Error::new(SqlState::UNDEFINED_FUNCTION, format!("function {qualified} does not exist"))
        .with_hint("No function matches the given name and argument types. You might need to add explicit type casts.")
}

/// The list whose elements are the rows of a function that gives several.
pub(super) fn list_of(name: &str, mut arguments: Vec<Expr>) -> Result<Expr> {
    match name {
        "generate_series" => Ok(call("generate_series", arguments)),
        "generate_subscripts" if !arguments.is_empty() => Ok(numbers_of(arguments.swap_remove(0))),
        _ if arguments.len() == 1 => Ok(arguments.swap_remove(0)),
        _ => Err(Error::unsupported(format!("{name}() with several arguments is not supported here"))),
    }
}

/// `{1,2,..}`, as long as a list.
pub(super) fn numbers_of(list: Expr) -> Expr {
    call("generate_series", vec![number(1), call("cardinality", vec![list])])
}

/// A derived table with these columns and no rows.
fn empty(columns: &[String], alias: &str) -> TableFactor {
    let items = columns.iter().map(|column| named(call("weir_oid", vec![number(0)]), column)).collect();
    let mut factor = derived(items, alias);
    if let TableFactor::Derived { subquery, .. } = &mut factor
        && let SetExpr::Select(select) = subquery.body.as_mut()
    {
        select.selection = Some(Expr::Value(datafusion::sql::sqlparser::ast::Value::Boolean(false).into()));
    }
    factor
}
