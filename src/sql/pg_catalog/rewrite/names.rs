//! What Postgres calls a column that has no alias.

use datafusion::sql::sqlparser::ast::{AccessExpr, ArrayElemTypeDef, DataType, Expr, FunctionArguments, Query, SelectItem, SetExpr, Value};

use super::syntax::{folded, parts};

/// The name of a select item; `None` for a star.
pub(super) fn of_item(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        SelectItem::UnnamedExpr(expr) => Some(of_expr(expr)),
        SelectItem::ExprWithAliases { aliases, .. } => aliases.first().map(folded),
        SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => None,
    }
}

/// The name of a column that an expression makes.
pub(super) fn of_expr(expr: &Expr) -> String {
    figure(expr).0.unwrap_or_else(|| "?column?".to_string())
}

/// A name and how good it is: 2 for one of its own, 1 for a type's, 0 for none.
fn figure(expr: &Expr) -> (Option<String>, u8) {
    let own = |name: &str| (Some(name.to_string()), 2);
    match expr {
        Expr::Identifier(ident) => (Some(folded(ident)), 2),
        Expr::CompoundIdentifier(idents) => (idents.last().map(folded), 2),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|access| match access {
                AccessExpr::Dot(Expr::Identifier(ident)) => Some(folded(ident)),
                AccessExpr::Dot(_) | AccessExpr::Subscript(_) => None,
            });
            field.map_or_else(|| figure(root), |name| (Some(name), 2))
        }
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figure(inner),
        Expr::Function(function) => {
            let name = parts(&function.name).pop();
            let is_array = matches!(function.args, FunctionArguments::Subquery(_));
            if is_array { own("array") } else { (name, 2) }
        }
        Expr::Cast { expr, data_type, .. } => match figure(expr) {
            (Some(name), 2) => (Some(name), 2),
            _ => (Some(of_type(data_type)), 1),
        },
        Expr::TypedString(typed) => (Some(of_type(&typed.data_type)), 1),
        Expr::Case { else_result, .. } => match else_result.as_deref().map(figure) {
            Some((Some(name), 2)) => (Some(name), 2),
            _ => (Some("case".to_string()), 1),
        },
        Expr::Subquery(query) => of_query(query),
        Expr::Exists { .. } => own("exists"),
        Expr::Array(_) => own("array"),
        Expr::Trim { trim_where, .. } => own(match trim_where.as_ref().map(ToString::to_string).as_deref() {
            Some("LEADING") => "ltrim",
            Some("TRAILING") => "rtrim",
            _ => "btrim",
        }),
        Expr::Extract { .. } => own("extract"),
        Expr::Substring { .. } => own("substring"),
        Expr::Position { .. } => own("position"),
        Expr::Overlay { .. } => own("overlay"),
        Expr::Ceil { .. } => own("ceil"),
        Expr::Floor { .. } => own("floor"),
        Expr::AtTimeZone { .. } => own("timezone"),
        Expr::Interval(_) => (Some("interval".to_string()), 1),
        Expr::Tuple(_) => own("row"),
        Expr::Value(value) if matches!(value.value, Value::Boolean(_)) => (Some("bool".to_string()), 1),
        _ => (None, 0),
    }
}

fn of_query(query: &Query) -> (Option<String>, u8) {
    match query.body.as_ref() {
        SetExpr::Select(select) => match select.projection.first() {
            Some(SelectItem::ExprWithAlias { alias, .. }) => (Some(folded(alias)), 2),
            Some(SelectItem::UnnamedExpr(expr)) => figure(expr),
            _ => (None, 0),
        },
        SetExpr::Query(query) => of_query(query),
        _ => (None, 0),
    }
}

/// The name in pg_type of a type in a cast.
fn of_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Custom(name, _) => parts(name).pop().unwrap_or_default(),
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => "int4".to_string(),
        DataType::BigInt(_) | DataType::Int8(_) => "int8".to_string(),
        DataType::SmallInt(_) | DataType::Int2(_) => "int2".to_string(),
        DataType::Real | DataType::Float4 => "float4".to_string(),
        DataType::DoublePrecision | DataType::Float8 | DataType::Float(_) | DataType::Double(_) => "float8".to_string(),
        DataType::Boolean | DataType::Bool => "bool".to_string(),
        DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_) => "numeric".to_string(),
        DataType::Varchar(_) | DataType::CharacterVarying(_) => "varchar".to_string(),
        DataType::Char(_) | DataType::Character(_) => "bpchar".to_string(),
        DataType::Timestamp(_, zone) if zone.to_string().contains("WITH TIME ZONE") || zone.to_string() == "TZ" => "timestamptz".to_string(),
        DataType::Timestamp(..) => "timestamp".to_string(),
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, _)) => of_type(element),
        other => other.to_string().to_lowercase(),
    }
}
