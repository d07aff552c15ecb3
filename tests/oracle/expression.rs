//! Random expressions of a wanted kind that never fail on a row.

use fastrand::Rng;

use crate::value::{Kind, percent, pick};

/// A column, by the text that names it.
#[derive(Clone, Debug)]
pub struct Column {
    pub sql: String,
    pub kind: Kind,
    /// Whether its last digits depend on the order of a sum, so that nothing may depend on them.
    pub rough: bool,
}

/// What an expression can refer to.
#[derive(Clone, Debug)]
pub struct Scope {
    pub columns: Vec<Column>,
}

impl Column {
    pub fn new(name: &str, kind: Kind) -> Column {
        Column { sql: name.to_string(), kind, rough: false }
    }
}

impl Scope {
    fn any(&self, rng: &mut Rng, wanted: impl Fn(&Column) -> bool) -> Option<Column> {
        let found: Vec<&Column> = self.columns.iter().filter(|column| !column.rough && wanted(column)).collect();
        (!found.is_empty()).then(|| found[rng.usize(..found.len())].clone())
    }

    fn of(&self, kind: Kind, rng: &mut Rng) -> Option<String> {
        self.any(rng, |column| column.kind == kind).map(|column| column.sql)
    }
}

/// The text of a column, and an expression over it: what can be grouped by.
pub fn column_expr(scope: &Scope, rng: &mut Rng) -> Option<(String, Column)> {
    let column = scope.any(rng, |_| true)?;
    let sql = column.sql.clone();
    if percent(rng, 75) {
        return Some((sql, column));
    }
    let (expr, kind) = match column.kind {
        Kind::Int | Kind::Big => (format!("{sql} % 3"), column.kind),
        Kind::Small => (format!("{sql} + 1"), Kind::Int),
        Kind::Numeric => (format!("{sql} + 0.5"), Kind::Numeric),
        Kind::Double => (format!("{sql} * 2"), Kind::Double),
        Kind::Real => (format!("{sql} * 2::float8"), Kind::Double),
        Kind::Text => (format!("upper({sql})"), Kind::Text),
        Kind::Bool => (format!("{sql} IS TRUE"), Kind::Bool),
        Kind::Time => (date_trunc("hour", &sql), Kind::Time),
        Kind::Date => (format!("{sql} IS NULL"), Kind::Bool),
    };
    Some((sql, Column { sql: expr, kind, rough: false }))
}

/// In debug builds, DataFusion's function overflows on what its own `max` leaves under a NULL.
fn date_trunc(unit: &str, time: &str) -> String {
    format!("date_trunc('{unit}', coalesce({time}, TIMESTAMP '2023-12-31 23:59:59'))")
}

/// An expression of this kind.
pub fn expr(scope: &Scope, kind: Kind, depth: usize, rng: &mut Rng) -> String {
    if depth == 0 || percent(rng, 40) {
        return match scope.of(kind, rng).filter(|_| percent(rng, 85)) {
            Some(column) => column,
            None => kind.literal(rng),
        };
    }
    let depth = depth - 1;
    if percent(rng, 25) {
        let (a, b) = (expr(scope, kind, depth, rng), expr(scope, kind, depth, rng));
        return match rng.u8(0..3) {
            0 => format!("coalesce({a}, {b})"),
            1 => format!("nullif({a}, {b})"),
            _ => format!("CASE WHEN {} THEN {a} ELSE {b} END", condition(scope, depth, rng)),
        };
    }
    let mut of = |kind: Kind| expr(scope, kind, depth, rng);
    let (a, b) = (of(kind), of(kind));
    match kind {
        Kind::Small => a,
        Kind::Int => match rng.u8(0..7) {
            0 => format!("({a} + {b})"),
            1 => format!("({a} - {b})"),
            2 => format!("({a} * 3)"),
            3 => format!("({a} % 5)"),
            4 => format!("({a} / 2)"),
            5 => format!("length({})", expr(scope, Kind::Text, depth, rng)),
            _ => format!("extract(minute FROM {})::int", expr(scope, Kind::Time, depth, rng)),
        },
        Kind::Big => match rng.u8(0..5) {
            0 => format!("({a} + {b})"),
            1 => format!("({a} - {})", expr(scope, Kind::Int, depth, rng)),
            2 => format!("({a} % 7)"),
            3 => format!("abs({a})"),
            _ => format!("{}::bigint", expr(scope, Kind::Int, depth, rng)),
        },
        Kind::Numeric => match rng.u8(0..4) {
            0 => format!("({a} + {b})"),
            1 => format!("({a} - {b})"),
            2 => format!("(- {a})"),
            _ => format!("{}::numeric(20,4)", expr(scope, Kind::Int, depth, rng)),
        },
        Kind::Real => format!("({a} + {b})"),
        Kind::Double => match rng.u8(0..4) {
            0 => format!("({a} + {b})"),
            1 => format!("({a} * 2)"),
            2 => format!("({a} / 4)"),
            _ => format!("{}::float8", expr(scope, Kind::Int, depth, rng)),
        },
        Kind::Text => match rng.u8(0..5) {
            0 => format!("({a} || 'x')"),
            1 => format!("upper({a})"),
            2 => format!("substr({a}, 2)"),
            3 => format!("({a} || {b})"),
            _ => format!("{}::text", expr(scope, Kind::Int, depth, rng)),
        },
        Kind::Bool => format!("({})", condition(scope, depth, rng)),
        Kind::Time => match rng.u8(0..4) {
            0 => format!("({a} + INTERVAL '1 hour')"),
            1 => format!("({a} - INTERVAL '90 seconds')"),
            2 => date_trunc("hour", &a),
            _ => date_trunc("month", &a),
        },
        Kind::Date => format!("{}::date", expr(scope, Kind::Time, depth, rng)),
    }
}

/// A boolean expression.
pub fn condition(scope: &Scope, depth: usize, rng: &mut Rng) -> String {
    if depth > 0 && percent(rng, 30) {
        let (a, b) = (condition(scope, depth - 1, rng), condition(scope, depth - 1, rng));
        return match rng.u8(0..3) {
            0 => format!("({a} AND {b})"),
            1 => format!("({a} OR {b})"),
            _ => format!("NOT ({a})"),
        };
    }
    let Some(column) = scope.any(rng, |_| true) else {
        // Nothing but rough columns: that a value is there does not depend on its last digits.
        return format!("{} IS NOT NULL", scope.columns[rng.usize(..scope.columns.len())].sql);
    };
    let (sql, kind) = (column.sql, column.kind);
    if kind == Kind::Bool && percent(rng, 50) {
        return sql;
    }
    let other = |rng: &mut Rng| expr(scope, kind, depth.min(1), rng);
    match rng.u8(0..9) {
        0 => format!("{sql} IS NULL"),
        1 => format!("{sql} IS NOT NULL"),
        2 if kind != Kind::Bool => format!("{sql} BETWEEN {} AND {}", kind.literal(rng), other(rng)),
        3 => format!("{sql} IN ({}, {})", kind.literal(rng), kind.literal(rng)),
        4 => format!("{sql} IS DISTINCT FROM {}", other(rng)),
        5 if kind == Kind::Text => format!("{sql} LIKE {}", pick(rng, &["'a%'", "'%b'", "'_'"])),
        _ => format!("{sql} {} {}", pick(rng, &["=", "<>", "<", "<=", ">", ">="]), other(rng)),
    }
}
