//! Random queries: a grammar of what views can maintain.

use fastrand::Rng;

use crate::case::View;
use crate::expression::{Column, Scope, column_expr, condition, expr};
use crate::relation::Input;
use crate::value::{Kind, percent, pick};

/// A relation that a query may name.
struct Relation {
    name: String,
    columns: Vec<Column>,
}

/// A query and what it gives.
struct Query {
    sql: String,
    columns: Vec<Column>,
}

struct Grammar<'a> {
    rng: &'a mut Rng,
    relations: Vec<Relation>,
    /// Names given out so far: every output column has one of its own.
    names: usize,
    /// What the sessions are partitioned by that were read last.
    partition: Vec<String>,
}

/// One view, or a few where a later one reads an earlier one. The last is maintained.
pub fn views(inputs: &[Input], rng: &mut Rng) -> Vec<View> {
    let of_input = |input: &Input| Relation {
        name: input.name.clone(),
        columns: input.columns.iter().map(|(name, kind)| Column::new(name, *kind)).collect(),
    };
    let relations = inputs.iter().map(of_input).collect();
    let mut grammar = Grammar { rng, relations, names: 0, partition: Vec::new() };
    let count = pick(grammar.rng, &[1, 1, 1, 2, 2, 3]);
    let mut views = Vec::new();
    for index in 0..count {
        let Query { sql, columns } = grammar.query(2, None);
        let (name, materialized) = (format!("v{index}"), index + 1 == count || percent(grammar.rng, 60));
        views.push(View { name: name.clone(), query: sql, materialized });
        // What comes next reads mostly this one.
        if percent(grammar.rng, 70) {
            grammar.relations.clear();
        }
        grammar.relations.push(Relation { name, columns });
    }
    views
}

impl Grammar<'_> {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("x{}", self.names)
    }

    /// A query with columns of these kinds, or of any.
    fn query(&mut self, depth: usize, kinds: Option<&[Kind]>) -> Query {
        if depth == 0 || percent(self.rng, 80) {
            return self.select(depth, kinds);
        }
        let mut all = self.select(depth - 1, kinds);
        let kinds: Vec<Kind> = all.columns.iter().map(|column| column.kind).collect();
        for _ in 0..self.rng.usize(1..3) {
            let branch = self.select(depth - 1, Some(&kinds));
            let rough = all.columns.iter().chain(&branch.columns).any(|column| column.rough);
            let union = if !rough && percent(self.rng, 25) { "UNION" } else { "UNION ALL" };
            all.sql = format!("{} {union} {}", all.sql, branch.sql);
            all.columns.iter_mut().zip(&branch.columns).for_each(|(column, other)| column.rough |= other.rough);
        }
        all
    }

    fn select(&mut self, depth: usize, kinds: Option<&[Kind]>) -> Query {
        let (from, scope) = self.from(depth);
        let filter = if percent(self.rng, 40) { format!(" WHERE {}", condition(&scope, 2, self.rng)) } else { String::new() };
        let grouped = if percent(self.rng, 60) { Some(self.group(&scope)) } else { None };
        let (scope, tail) = match grouped {
            None => (scope, String::new()),
            Some((scope, keys)) => {
                let by = if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", keys.join(", ")) };
                let having = if percent(self.rng, 25) { format!(" HAVING {}", condition(&scope, 1, self.rng)) } else { String::new() };
                (scope, by + &having)
            }
        };
        let items = self.items(&scope, kinds);
        let list: Vec<String> = items.iter().map(|(expr, column)| format!("{expr} AS {}", column.sql)).collect();
        let columns: Vec<Column> = items.into_iter().map(|(_, column)| column).collect();
        let distinct = !columns.iter().any(|column| column.rough) && percent(self.rng, 12);
        let select = if distinct { "SELECT DISTINCT" } else { "SELECT" };
        Query { sql: format!("{select} {} FROM {from}{filter}{tail}", list.join(", ")), columns }
    }

    /// What a query reads, and the columns that it sees there.
    fn from(&mut self, depth: usize) -> (String, Scope) {
        let (mut sql, mut columns, nested) = match depth > 0 && percent(self.rng, 35) {
            true => {
                let query = self.query(depth - 1, None);
                (format!("({})", query.sql), query.columns, true)
            }
            false => {
                let relation = &self.relations[self.rng.usize(..self.relations.len())];
                (relation.name.clone(), relation.columns.clone(), false)
            }
        };
        let times: Vec<String> = columns.iter().filter(|column| column.kind == Kind::Time).map(|column| column.sql.clone()).collect();
        let mut windows = false;
        self.partition.clear();
        if !times.is_empty() && percent(self.rng, 45) {
            windows = true;
            let time = pick(self.rng, &times);
            let offset = pick(self.rng, &["", "", ", INTERVAL '10 minutes'", ", INTERVAL '-40 seconds'"]);
            let (function, size) = match percent(self.rng, 60) {
                true => ("TUMBLE", pick(self.rng, &["'1 minute'", "'30 minutes'", "'1 hour'", "'1 day'", "'1 month'"])),
                false if percent(self.rng, 60) => (
                    "HOP",
                    pick(self.rng, &["'10 minutes', INTERVAL '1 hour'", "'40 minutes', INTERVAL '1 hour'", "'1 day', INTERVAL '2 days'"]),
                ),
                false => (
                    "CUMULATE",
                    pick(self.rng, &["'10 minutes', INTERVAL '1 hour'", "'1 hour', INTERVAL '1 hour'", "'1 day', INTERVAL '3 days'"]),
                ),
            };
            sql = match percent(self.rng, 25) {
                true => {
                    let by = self.partition(&columns);
                    let gap = pick(self.rng, &["1 second", "7 minutes", "1 hour", "2 days"]);
                    format!("SESSION({sql}{by}, {time}, INTERVAL '{gap}')")
                }
                false => format!("{function}({sql}, {time}, INTERVAL {size}{offset})"),
            };
            columns.extend(["window_start", "window_end"].map(|name| Column::new(name, Kind::Time)));
        }
        if nested || windows || percent(self.rng, 30) {
            let alias = self.name();
            sql = format!("{sql} AS {alias}");
            if percent(self.rng, 30) {
                columns.iter_mut().for_each(|column| column.sql = format!("{alias}.{}", column.sql));
            }
        }
        (sql, Scope { columns })
    }

    /// What sessions are partitioned by. DataFusion takes two zeros of floats for two partitions, and the many NaNs.
    fn partition(&mut self, columns: &[Column]) -> String {
        let of: Vec<String> = columns.iter().filter(|column| !column.kind.is_float()).map(|column| column.sql.clone()).collect();
        let mut by: Vec<String> = (0..self.rng.usize(0..3).min(of.len())).map(|_| pick(self.rng, &of)).collect();
        by.sort();
        by.dedup();
        self.partition = by.clone();
        match by.as_slice() {
            [] => String::new(),
            [column] => format!(" PARTITION BY {column}"),
            columns => format!(" PARTITION BY ({})", columns.join(", ")),
        }
    }

    /// The keys and aggregates that a grouped query sees, and the text of the keys.
    fn group(&mut self, scope: &Scope) -> (Scope, Vec<String>) {
        let mut columns = Vec::new();
        let mut keys = Vec::new();
        if let Some(start) = scope.columns.iter().find(|column| column.sql.ends_with("window_start")).filter(|_| percent(self.rng, 80)) {
            let mut window = vec![start.clone()];
            if percent(self.rng, 40) {
                window.push(Column { sql: start.sql.replace("window_start", "window_end"), ..start.clone() });
            }
            keys.extend(window.iter().map(|column| column.sql.clone()));
            columns.extend(window);
        }
        // Groups that are whole sessions, most of the time.
        if !keys.is_empty() && percent(self.rng, 70) {
            let by = |column: &&Column| self.partition.iter().any(|by| column.sql == *by || column.sql.ends_with(&format!(".{by}")));
            let of: Vec<Column> = scope.columns.iter().filter(by).cloned().collect();
            keys.extend(of.iter().map(|column| column.sql.clone()));
            columns.extend(of);
        }
        let mut under: Vec<String> = keys.clone();
        for _ in 0..pick(self.rng, &[0, 0, 1, 1, 1, 2, 3]) {
            let Some((column, key)) = column_expr(scope, self.rng) else { continue };
            // DataFusion knows a cast by the name of its column, so one key has to be the only one over it.
            if !under.contains(&column) {
                under.push(column);
                keys.push(key.sql.clone());
                let plain = scope.columns.iter().any(|column| column.sql == key.sql);
                columns.push(Column { sql: if plain { key.sql } else { format!("({})", key.sql) }, ..key });
            }
        }
        if !keys.is_empty() && percent(self.rng, 5) {
            keys.push(pick(self.rng, &keys));
        }
        for _ in 0..self.rng.usize(if keys.is_empty() { 1..6 } else { 0..6 }) {
            columns.push(self.aggregate(scope));
        }
        (Scope { columns }, keys)
    }

    fn aggregate(&mut self, scope: &Scope) -> Column {
        let filter = match percent(self.rng, 25) {
            true => format!(" FILTER (WHERE {})", condition(scope, 1, self.rng)),
            false => String::new(),
        };
        // Any column has a count and, unless it is a boolean, a least and greatest value.
        let any = scope.columns[self.rng.usize(..scope.columns.len())].clone();
        let number = column_expr(scope, self.rng).map(|(_, expr)| expr).filter(|expr| expr.kind.is_number());
        let once = if percent(self.rng, 20) { "DISTINCT " } else { "" };
        let function = pick(self.rng, &["count", "sum", "sum", "avg", "min", "max", "bool", "deviation"]);
        let (call, kind, rough) = match (function, number) {
            ("sum", Some(Column { sql, kind, .. })) => {
                let result = match kind {
                    Kind::Small | Kind::Int => Kind::Big,
                    Kind::Big => Kind::Numeric,
                    other => other,
                };
                (format!("sum({once}{sql})"), result, false)
            }
            // The quotient of an exact sum is the same everywhere, but no sum of such quotients is.
            ("avg", Some(Column { sql, kind, .. })) => match kind.is_float() {
                true => (format!("avg({once}{sql})"), Kind::Double, true),
                false => (format!("avg({once}{sql})"), Kind::Numeric, false),
            },
            ("deviation", Some(Column { sql, kind, .. })) => {
                let function = pick(self.rng, &["variance", "var_samp", "var_pop", "stddev", "stddev_samp", "stddev_pop"]);
                let (kind, rough) = if kind.is_float() { (Kind::Double, true) } else { (Kind::Numeric, false) };
                (format!("{function}({once}{sql})"), kind, rough)
            }
            ("bool", _) => {
                let function = pick(self.rng, &["bool_and", "bool_or", "every"]);
                (format!("{function}({once}{})", condition(scope, 0, self.rng)), Kind::Bool, false)
            }
            ("min" | "max", _) if any.kind != Kind::Bool => (format!("{function}({})", any.sql), any.kind, any.rough),
            _ if percent(self.rng, 60) => (format!("count({}{})", if any.rough { "" } else { once }, any.sql), Kind::Big, false),
            _ => ("count(*)".to_string(), Kind::Big, false),
        };
        Column { sql: format!("{call}{filter}"), kind, rough }
    }

    /// The SELECT list: expressions, and the columns that they become.
    fn items(&mut self, scope: &Scope, kinds: Option<&[Kind]>) -> Vec<(String, Column)> {
        let wanted: Vec<Option<Kind>> = match kinds {
            Some(kinds) => kinds.iter().copied().map(Some).collect(),
            None => vec![None; self.rng.usize(1..6)],
        };
        let mut items = Vec::new();
        for kind in wanted {
            // Mostly plain columns, also those that are only shown.
            let fits = |column: &&Column| kind.is_none_or(|kind| kind == column.kind);
            let plain: Vec<Column> = scope.columns.iter().filter(fits).cloned().collect();
            let chosen = match !plain.is_empty() && percent(self.rng, 65) {
                true => pick(self.rng, &plain),
                false => {
                    let kinds: Vec<Kind> = scope.columns.iter().map(|column| column.kind).collect();
                    let kind = kind.unwrap_or_else(|| pick(self.rng, &kinds));
                    Column { sql: expr(scope, kind, 2, self.rng), kind, rough: false }
                }
            };
            let name = self.name();
            items.push((chosen.sql, Column { sql: name, ..Column::new("", chosen.kind) }));
            items.last_mut().expect("just pushed").1.rough = chosen.rough;
        }
        items
    }
}
