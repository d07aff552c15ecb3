//! Operators of json and jsonb, planned as soon as they are read: DataFusion has no types for them.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, ExprSchemable, ScalarUDF};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use weir_common::error::{Error, SqlState};
use weir_common::types::PgType;

use super::{JsonFunction, What};
use crate::context::external;
use crate::rules::explicit_cast;

/// What the operator is over these operands; `None` where it is none of json's.
pub(crate) fn plan_operator(op: &BinaryOperator, left: &Expr, right: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let (what, symbol) = match op {
        BinaryOperator::Arrow => (What::Get { as_text: false }, "->"),
        BinaryOperator::LongArrow => (What::Get { as_text: true }, "->>"),
        BinaryOperator::HashArrow => (What::Path { as_text: false }, "#>"),
        BinaryOperator::HashLongArrow => (What::Path { as_text: true }, "#>>"),
        BinaryOperator::AtArrow => (What::Contains, "@>"),
        BinaryOperator::ArrowAt => (What::Contained, "<@"),
        BinaryOperator::Question => (What::Has, "?"),
        BinaryOperator::QuestionPipe => (What::HasAny, "?|"),
        BinaryOperator::QuestionAnd => (What::HasAll, "?&"),
        BinaryOperator::StringConcat => (What::Concat, "||"),
        _ => return Ok(None),
    };
    let both = matches!(what, What::Contains | What::Contained | What::Concat);
    let (left_type, right_type) = (Operand::of(left, schema), Operand::of(right, schema));
    if both && !left_type.is_json() && !right_type.is_json() {
        // Arrays and texts have these operators too.
        return Ok(None);
    }
    let is_jsonb = |operand: &Operand| matches!(operand, Operand::Typed(PgType::Jsonb));
    let with_literal = matches!((&left_type, &right_type), (Operand::Untyped, other) | (other, Operand::Untyped) if is_jsonb(other));
    if what == What::Concat && !with_literal && !(left_type.is_json() && right_type.is_json()) {
        // With anything else it makes a text.
        return Ok(None);
    }
    let no_operator = || {
        let message = format!("operator does not exist: {} {symbol} {}", left_type.spelling(), right_type.spelling());
        external(
            Error::new(SqlState::UNDEFINED_FUNCTION, message)
                .with_hint("No operator matches the given name and argument types. You might need to add explicit type casts."),
        )
    };
    let takes_json = matches!(what, What::Get { .. } | What::Path { .. });
    let fits_left = match &left_type {
        Operand::Typed(PgType::Jsonb) | Operand::Hidden => true,
        Operand::Typed(PgType::Json) => takes_json,
        Operand::Typed(_) => false,
        Operand::Untyped if both => true,
        Operand::Untyped => {
            let error = Error::new(SqlState("42725"), format!("operator is not unique: unknown {symbol} {}", right_type.spelling()));
            let hint = "Could not choose a best candidate operator. You might need to add explicit type casts.";
            return Err(external(error.with_hint(hint)));
        }
    };
    let texts = PgType::Array(Box::new(PgType::Text));
    let (fits_right, wanted) = match (&what, &right_type) {
        (_, Operand::Hidden) => (true, None),
        (What::Get { .. }, Operand::Typed(PgType::Int2 | PgType::Int4 | PgType::Int8)) => (true, None),
        (What::Get { .. } | What::Has, Operand::Typed(ty)) => (is_text(ty), None),
        (What::Get { .. } | What::Has, Operand::Untyped) => (true, Some(PgType::Text)),
        (What::Contains | What::Contained | What::Concat, Operand::Typed(ty)) => (*ty == PgType::Jsonb, None),
        (What::Contains | What::Contained | What::Concat, Operand::Untyped) => (true, Some(PgType::Jsonb)),
        (_, Operand::Typed(PgType::Array(element))) => (is_text(element), None),
        (_, Operand::Typed(_)) => (false, None),
        (_, Operand::Untyped) => (true, Some(texts)),
    };
    if !fits_left || !fits_right {
        return Err(no_operator());
    }
    let left = match left_type {
        Operand::Untyped => typed(left.clone(), &PgType::Jsonb),
        _ => left.clone(),
    };
    let right = match wanted {
        Some(ty) => typed(right.clone(), &ty),
        None => right.clone(),
    };
    Ok(Some(ScalarUDF::from(JsonFunction::operator(what, symbol)).call(vec![left, right])))
}

/// What is known of an operand when it is read.
enum Operand {
    Typed(PgType),
    /// A literal, a parameter or NULL that takes the type it is needed in.
    Untyped,
    /// A column of an outer query: the analyzer finds out.
    Hidden,
}

impl Operand {
    fn of(expr: &Expr, schema: &DFSchema) -> Operand {
        match expr {
            Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Null, None) => return Operand::Untyped,
            Expr::Placeholder(Placeholder { field: None, .. }) => return Operand::Untyped,
            _ => {}
        }
        match expr.to_field(schema) {
            Ok((_, field)) => Operand::Typed(PgType::of_field(&field)),
            Err(_) => Operand::Hidden,
        }
    }

    fn is_json(&self) -> bool {
        matches!(self, Operand::Typed(PgType::Json | PgType::Jsonb))
    }

    fn spelling(&self) -> String {
        match self {
            Operand::Typed(ty) => ty.spelling(),
            Operand::Untyped | Operand::Hidden => "unknown".to_string(),
        }
    }
}

fn is_text(ty: &PgType) -> bool {
    ty.arrow() == DataType::Utf8 && !matches!(ty, PgType::Json | PgType::Jsonb)
}

/// An operand without a type in the one that it is needed in.
fn typed(expr: Expr, ty: &PgType) -> Expr {
    match expr {
        Expr::Placeholder(placeholder) => {
            let field: FieldRef = Arc::new(ty.field(""));
            Expr::Placeholder(Placeholder::new_with_field(placeholder.id, Some(field)))
        }
        text if *ty == PgType::Text => text,
        other => explicit_cast(other, &ty.field("")),
    }
}
