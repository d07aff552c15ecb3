//! DataFusion's sentences of planning and execution, and what Postgres says in their place.

use weir_common::error::{Error, SqlState, nearest};
use weir_common::types::PgType;

use crate::error::{Scope, data, first_line, types};

const INVALID_COLUMN_REFERENCE: SqlState = SqlState("42P10");

/// A sentence in Postgres words; an unknown one keeps its words, under `otherwise`.
pub(super) fn translate(scope: Scope<'_>, text: &str, otherwise: SqlState) -> Error {
    known(scope, text).unwrap_or_else(|| {
        let error = Error::new(otherwise, lower_first(&first_line(plain(text))));
        scope.placed(error, scope.span())
    })
}

/// A sentence that Postgres has another one for.
pub(super) fn known(scope: Scope<'_>, text: &str) -> Option<Error> {
    let text = plain(text);
    names(scope, text)
        .or_else(|| operators(scope, text))
        .or_else(|| functions(scope, text))
        .or_else(|| grouping(scope, text))
        .or_else(|| shapes(scope, text))
        .or_else(|| execution(scope, text))
        .or_else(|| data::translate(scope, text))
}

/// Without the prefix that DataFusion's kinds of errors put before their sentences.
fn plain(text: &str) -> &str {
    let prefixes = [
        "Error during planning: ",
        "Execution error: ",
        "This feature is not implemented: ",
        "Internal error: ",
        "type_coercion\ncaused by\n",
    ];
    prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)).map_or(text, plain)
}

/// The text between two others.
pub(super) fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let rest = &text[text.find(before)? + before.len()..];
    if after.is_empty() { Some(rest) } else { rest.find(after).map(|end| &rest[..end]) }
}

/// Messages begin in lower case, unless the first word is an acronym or a keyword.
pub(super) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && !second.is_uppercase() => {
            format!("{}{}", first.to_lowercase(), chars.as_str())
        }
        _ => text.to_string(),
    }
}

/// Relations, functions, types, windows and parameters that are not there.
fn names(scope: Scope<'_>, text: &str) -> Option<Error> {
    if let Some(full) = between(text, "table '", "' not found") {
        // The diagnostic has the name as it was typed, without the catalog's and schema's defaults.
        let typed = scope.diagnostic.and_then(|diagnostic| between(&diagnostic.message, "table '", "' not found"));
        return Some(scope.no_relation(typed.unwrap_or_else(|| full.rsplit('.').next().unwrap_or(full))));
    }
    if let Some(name) = between(text, "Table not found: ", "") {
        return Some(scope.no_relation(name));
    }
    if let Some(name) = between(text, "table function '", "' not found") {
        return Some(scope.no_function(name));
    }
    if let Some(name) = between(text, "Invalid function '", "'") {
        return Some(scope.no_function(name));
    }
    if let Some(name) = between(text, "There is no window function named ", "") {
        return Some(scope.no_function(name));
    }
    if let Some(table) = between(text, "Invalid qualifier ", "") {
        let error = Error::new(SqlState::UNDEFINED_TABLE, format!("missing FROM-clause entry for table \"{table}\""));
        return Some(scope.placed(error, scope.locate.word(table)));
    }
    if let Some(name) = between(text, "Unsupported SQL type ", "") {
        return Some(no_type(scope, name));
    }
    if let Some(name) = between(text, "The window ", " is not defined") {
        let error = Error::new(SqlState::UNDEFINED_OBJECT, format!("window \"{name}\" does not exist"));
        return Some(scope.placed(error, scope.locate.last_word(name)));
    }
    if let Some(name) = between(text, "The window ", " is defined multiple times") {
        let error = Error::new(SqlState("42P20"), format!("window \"{name}\" is already defined"));
        return Some(scope.placed(error, scope.locate.last_word(name)));
    }
    if let Some(name) = between(text, "WITH query name \"", "\" specified more than once") {
        let error = Error::new(SqlState("42712"), format!("WITH query name \"{name}\" specified more than once"));
        return Some(scope.placed(error, scope.locate.last_word(name)));
    }
    for (before, after) in
        [("Placeholder '", "' was not provided"), ("Unknown placeholder: ", ""), ("No value found for placeholder with name ", "")]
    {
        if let Some(name) = between(text, before, after) {
            return Some(Error::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {}", name.trim_end_matches('.'))));
        }
    }
    None
}

fn no_type(scope: Scope<'_>, name: &str) -> Error {
    let word = name.split('(').next().unwrap_or(name).trim().trim_matches('"').to_lowercase();
    let position = scope.locate.word(&word);
    // What Postgres has and Weir does not is another matter than what nobody has.
    const POSTGRES: [&str; 24] = [
        "money",
        "bit",
        "bit varying",
        "varbit",
        "xml",
        "inet",
        "cidr",
        "macaddr",
        "macaddr8",
        "point",
        "line",
        "lseg",
        "box",
        "path",
        "polygon",
        "circle",
        "tsvector",
        "tsquery",
        "hstore",
        "int4range",
        "numrange",
        "tsrange",
        "time with time zone",
        "timetz",
    ];
    if POSTGRES.contains(&word.as_str()) {
        return scope.placed(Error::unsupported(format!("type {word} is not supported yet")), position);
    }
    let error = scope.placed(Error::new(SqlState::UNDEFINED_OBJECT, format!("type \"{word}\" does not exist")), position);
    let names: Vec<String> = PgType::all().iter().map(PgType::spelling).collect();
    match nearest(&word, names.iter().map(String::as_str)) {
        Some(near) => error.with_hint(format!("Perhaps you meant the type {near}.")),
        None => error,
    }
}

/// `operator does not exist: text + integer` and its kin.
fn operators(scope: Scope<'_>, text: &str) -> Option<Error> {
    let binary = [
        "Cannot coerce arithmetic expression ",
        "Cannot infer common argument type for comparison operation ",
        "Cannot infer common argument type for regex operation ",
        "Cannot infer common argument type for AtAt operation ",
        "Cannot infer common argument type for operation ",
        "Cannot infer common type for bitwise operation ",
        "Cannot infer common string type for string concat operation ",
        "Cannot get result type for arithmetic operation ",
        "Cannot get result type for temporal operation ",
        "Cannot get result type for decimal operation ",
        "Cannot infer common argument type for logical boolean operation ",
    ];
    if let Some(rest) = binary.iter().find_map(|prefix| between(text, prefix, "")) {
        let operation = rest.split(" to valid types").next().unwrap_or(rest).split(": ").next().unwrap_or(rest);
        let words = types::split(operation, ' ');
        if let [left, operator @ .., right] = words.as_slice() {
            let operator = operator.join(" ");
            if ["AND", "OR"].contains(&operator.as_str()) {
                let wrong = if *left == "Boolean" { right } else { left };
                return Some(not_boolean(scope, &operator, wrong));
            }
            return Some(no_operator(scope, &format!("{} {operator} {}", types::spelling(left), types::spelling(right))));
        }
    }
    if let Some(rest) = between(text, "There isn't a common type to coerce ", " expression")
        && let Some((left, rest)) = rest.split_once(" and ")
        && let Some((right, operator)) = rest.rsplit_once(" in ")
    {
        let operator = match operator {
            "LIKE" => "~~",
            "ILIKE" => "~~*",
            other => other,
        };
        return Some(no_operator(scope, &format!("{} {operator} {}", types::spelling(left), types::spelling(right))));
    }
    if let Some(rest) = between(text, "Can not find compatible types to compare ", "")
        && let Some((left, list)) = rest.split_once(" with [")
    {
        let list = types::split(list.trim_end_matches(']'), ',');
        let right = list.iter().find(|ty| **ty != left).copied().unwrap_or("Null");
        return Some(no_operator(scope, &format!("{} = {}", types::spelling(left), types::spelling(right))));
    }
    if let Some(rest) = between(text, "expr type ", "")
        && let Some((left, rest)) = rest.split_once(" can't cast to ")
    {
        let right = rest.split(" in ").next().unwrap_or(rest);
        return Some(no_operator(scope, &format!("{} = {}", types::spelling(left), types::spelling(right))));
    }
    if let Some(operator) = between(text, "Unary operator '", "'") {
        let of = scope.diagnostic.and_then(|diagnostic| between(&diagnostic.message, "cannot be used with ", ""));
        let of = of.or_else(|| between(text, ", got ", "")).unwrap_or("Null");
        if operator == "NOT" {
            return Some(not_boolean(scope, operator, of));
        }
        return Some(no_operator(scope, &format!("{operator} {}", types::spelling(of))));
    }
    if text.starts_with("Negation only supports") {
        return Some(no_operator(scope, "- for this type"));
    }
    if let Some(rest) = between(text, "Cannot create filter with non-boolean predicate '", "")
        && let Some((predicate, ty)) = rest.rsplit_once("' returning ")
    {
        let error = not_boolean(scope, "WHERE", ty);
        let (table, column) = match predicate.rsplit_once('.') {
            Some((table, column)) => (Some(table), column),
            None => (None, predicate),
        };
        let position = error.position().or_else(|| scope.locate.column(table, column)).or_else(|| scope.locate.column(None, column));
        return Some(scope.placed(error, position));
    }
    if let Some((what, ty)) = text.split_once(" must be boolean type, but got ") {
        return Some(not_boolean(scope, what, ty));
    }
    None
}

fn no_operator(scope: Scope<'_>, operation: &str) -> Error {
    let error = Error::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {operation}"))
        .with_hint("No operator matches the given name and argument types. You might need to add explicit type casts.");
    scope.placed(error, scope.span())
}

fn not_boolean(scope: Scope<'_>, place: &str, ty: &str) -> Error {
    let message = format!("argument of {place} must be type boolean, not type {}", types::spelling(ty));
    scope.placed(Error::new(SqlState::DATATYPE_MISMATCH, message), scope.span())
}

/// Functions that exist, with other arguments.
fn functions(scope: Scope<'_>, text: &str) -> Option<Error> {
    if let Some(call) = between(text, "No function matches the given name and argument types '", "'. You might")
        && let Some((name, arguments)) = call.split_once('(')
    {
        let arguments = arguments.strip_suffix(')').unwrap_or(arguments);
        if name == "array_element" {
            let ty = types::spelling(types::split(arguments, ',').first().unwrap_or(&"Null"));
            let message = format!("cannot subscript type {ty} because it does not support subscripting");
            return Some(Error::new(SqlState::DATATYPE_MISMATCH, message));
        }
        let error = Error::new(SqlState::UNDEFINED_FUNCTION, format!("function {name}({}) does not exist", types::list(arguments)))
            .with_hint("No function matches the given name and argument types. You might need to add explicit type casts.");
        return Some(scope.placed(error, scope.locate.function(name)));
    }
    if let Some(ty) = between(text, "Cannot access field at argument 1: type ", " is not") {
        let message = format!("column notation applied to type {}, which is not a composite type", types::spelling(ty));
        return Some(Error::new(SqlState::WRONG_OBJECT_TYPE, message));
    }
    if let Some(unit) =
        between(text, "Unsupported date_trunc granularity: '", "'").or_else(|| between(text, "Date part '", "' not supported"))
    {
        let error = Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("unit \"{unit}\" not recognized"))
            .with_hint("Units are microseconds, milliseconds, second, minute, hour, day, week, month, quarter and year.");
        return Some(scope.placed(error, scope.locate.string(unit).or_else(|| scope.locate.word(unit))));
    }
    None
}

/// GROUP BY and aggregates.
fn grouping(scope: Scope<'_>, text: &str) -> Option<Error> {
    let message = if let Some(column) = between(text, "While expanding wildcard, column \"", "\" must appear in the GROUP BY clause") {
        return Some(not_grouped(scope, column));
    } else if let Some(column) = between(text, "HAVING clause references: ", " must appear in the GROUP BY clause") {
        return Some(not_grouped(scope, column));
    } else if text.starts_with("Aggregate functions are not allowed in the WHERE clause") {
        return Some(
            Error::new(SqlState::GROUPING_ERROR, "aggregate functions are not allowed in WHERE")
                .with_hint("Write the condition in HAVING."),
        );
    } else if text.starts_with("Aggregate function calls cannot be nested") {
        "aggregate function calls cannot be nested"
    } else if text.starts_with("Aggregate function calls cannot contain window function calls") {
        "aggregate function calls cannot contain window function calls"
    } else if text.starts_with("Window function calls cannot be nested") {
        let error = Error::new(SqlState("42P20"), "window function calls cannot be nested");
        return Some(scope.placed(error, scope.span()));
    } else {
        return None;
    };
    Some(scope.placed(Error::new(SqlState::GROUPING_ERROR, message), scope.span()))
}

fn not_grouped(scope: Scope<'_>, column: &str) -> Error {
    let message = format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function");
    let name = column.rsplit('.').next().unwrap_or(column);
    let position = scope.name_span(name).or_else(|| scope.locate.column(None, name));
    scope.placed(Error::new(SqlState::GROUPING_ERROR, message), position)
}

/// The shape of a query: numbers of columns, their types and names, positions, limits.
fn shapes(scope: Scope<'_>, text: &str) -> Option<Error> {
    let error = |sqlstate, message: String| Some(scope.placed(Error::new(sqlstate, message), scope.span()));
    if let Some((operator, _)) = text.split_once(" queries have different number of columns") {
        return error(SqlState::SYNTAX_ERROR, format!("each {operator} query must have the same number of columns"));
    }
    if text.starts_with("Union schemas have different number of fields") {
        return error(SqlState::SYNTAX_ERROR, "each UNION query must have the same number of columns".to_string());
    }
    if text.starts_with("INTERSECT/EXCEPT query must have the same number of columns") {
        return error(SqlState::SYNTAX_ERROR, "each INTERSECT or EXCEPT query must have the same number of columns".to_string());
    }
    if let Some(rest) = between(text, "Incompatible inputs for Union: Previous inputs were of type ", "")
        && let Some((left, rest)) = rest.split_once(", but got incompatible type ")
        && let Some((right, _)) = rest.split_once(" on column ")
    {
        return error(
            SqlState::DATATYPE_MISMATCH,
            format!("UNION types {} and {} cannot be matched", types::spelling(left), types::spelling(right)),
        );
    }
    if text.starts_with("Inconsistent data length across values list") {
        return error(SqlState::SYNTAX_ERROR, "VALUES lists must all be the same length".to_string());
    }
    if let Some(rest) = between(text, "Inconsistent data type across values list", "Was ").and(between(text, ". Was ", ""))
        && let Some((left, right)) = rest.split_once(" but found ")
    {
        return error(
            SqlState::DATATYPE_MISMATCH,
            format!("VALUES types {} and {} cannot be matched", types::spelling(left), types::spelling(right)),
        );
    }
    if let Some(rest) = between(text, "Failed to coerce then (", "").or_else(|| between(text, "Failed to coerce case (", ""))
        && let Some((left, rest)) = rest.split_once(") and ")
        && let Some(right) = between(rest, "(", ") to common types")
    {
        let first = |list: &str| types::spelling(types::split(list, ',').first().unwrap_or(&"Null"));
        return error(SqlState::DATATYPE_MISMATCH, format!("CASE types {} and {} cannot be matched", first(left), first(right)));
    }
    if text.starts_with("Too many columns! The subquery should only return one column")
        || text.starts_with("subquery must return exactly one column")
    {
        return error(SqlState::SYNTAX_ERROR, "subquery must return only one column".to_string());
    }
    if let Some(name) =
        between(text, "require unique expression names but the expression \"", "\"").and_then(|first| first.rsplit(" AS ").next())
    {
        let name = name.rsplit('.').next().unwrap_or(name);
        return Some(
            Error::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once"))
                .with_hint("Give one of them another name with AS."),
        );
    }
    if let Some(position) = between(text, "Order by column out of bounds, specified: ", ",") {
        return error(INVALID_COLUMN_REFERENCE, format!("ORDER BY position {position} is not in select list"));
    }
    if text.starts_with("Order by index starts at 1") {
        return error(INVALID_COLUMN_REFERENCE, "ORDER BY position 0 is not in select list".to_string());
    }
    if let Some(position) = between(text, "Cannot find column with position ", " in SELECT clause") {
        return error(INVALID_COLUMN_REFERENCE, format!("GROUP BY position {position} is not in select list"));
    }
    if text.starts_with("For SELECT DISTINCT, ORDER BY expressions") {
        return error(INVALID_COLUMN_REFERENCE, "for SELECT DISTINCT, ORDER BY expressions must appear in select list".to_string());
    }
    for clause in ["LIMIT", "OFFSET"] {
        if text.starts_with(&format!("{clause} must be >= 0")) {
            let sqlstate = if clause == "LIMIT" { "2201W" } else { "2201X" };
            return error(SqlState(sqlstate), format!("{clause} must not be negative"));
        }
        if let Some(ty) = between(text, &format!("Expected {clause} to be an integer or null, but got "), "") {
            return error(
                SqlState::DATATYPE_MISMATCH,
                format!("argument of {clause} must be type bigint, not type {}", types::spelling(ty)),
            );
        }
    }
    if let Some(rest) = between(text, "Cannot automatically convert ", "")
        && let Some((from, to)) = rest.split_once(" to ")
    {
        return error(SqlState("42846"), format!("cannot cast type {} to {}", types::spelling(from), types::spelling(to)));
    }
    if let Some(precision) = between(text, "Decimal(precision = ", ",") {
        return error(SqlState::INVALID_PARAMETER_VALUE, format!("NUMERIC precision {precision} is out of range, or its scale exceeds it"));
    }
    if text.starts_with("SELECT * with no tables specified") {
        return error(SqlState::SYNTAX_ERROR, "SELECT * with no tables specified is not valid".to_string());
    }
    None
}

/// What goes wrong with the rows.
fn execution(scope: Scope<'_>, text: &str) -> Option<Error> {
    let lower = text.to_lowercase();
    if lower.contains("divide by zero") || lower.contains("division by zero") {
        return Some(Error::new(SqlState::DIVISION_BY_ZERO, "division by zero"));
    }
    if lower.starts_with("scalar subquery returned more than one row") {
        let message = "more than one row returned by a subquery used as an expression";
        return Some(scope.placed(Error::new(SqlState::CARDINALITY_VIOLATION, message), scope.span()));
    }
    if lower.starts_with("negative count not allowed") || lower.starts_with("negative substring length not allowed") {
        return Some(Error::new(SqlState("22011"), "negative substring length not allowed"));
    }
    if lower.contains("cannot take square root of a negative number") {
        return Some(Error::new(SqlState("2201F"), "cannot take square root of a negative number"));
    }
    if lower.contains("cannot take logarithm") {
        return Some(Error::new(SqlState("2201E"), first_line(&lower)));
    }
    None
}
