//! What a value becomes when it is stored in a column: Postgres' assignment casts.

use arrow::datatypes::{DataType, Field};
use datafusion::logical_expr::{Cast, Expr, ScalarUDF};
use weir_common::error::{Error, Result, SqlState};
use weir_common::types::PgType;

use crate::catalog::ColumnDef;
use crate::function::cast::PgCast;
use crate::function::zone;

/// The expression whose value can be stored in the column; `untyped` is a literal in quotes, which may become anything.
pub(super) fn assign(expr: Expr, from: &Field, column: &ColumnDef, untyped: bool) -> Result<Expr> {
    let to = column.field();
    if !untyped && !is_allowed(from.data_type(), to.data_type()) {
        let (want, have) = (column.ty.spelling(), PgType::of_field(from).spelling());
        let message = format!("column \"{}\" is of type {want} but expression is of type {have}", column.name);
        return Err(Error::new(SqlState::DATATYPE_MISMATCH, message).with_hint("You will need to rewrite or cast the expression."));
    }
    if PgCast::is_needed(from.data_type(), &to) || zone::crosses(from.data_type(), to.data_type()) {
        return Ok(ScalarUDF::from(PgCast::assignment(&to)).call(vec![expr]));
    }
    match from.data_type() == to.data_type() {
        true => Ok(expr),
        false => Ok(Expr::Cast(Cast::new(Box::new(expr), to.data_type().clone()))),
    }
}

/// Whether a value of one type may be stored as another without being asked for.
fn is_allowed(from: &DataType, to: &DataType) -> bool {
    let moment = |data_type: &DataType| matches!(data_type, DataType::Timestamp(..) | DataType::Date32);
    let family = |data_type: &DataType| std::mem::discriminant(data_type);
    match (from, to) {
        (DataType::Null, _) | (_, DataType::Utf8) => true,
        (from, to) if from.is_numeric() && to.is_numeric() => true,
        (from, to) if moment(from) && (moment(to) || matches!(to, DataType::Time64(_)) && *from != DataType::Date32) => true,
        (DataType::Time64(_) | DataType::Time32(_), DataType::Interval(_)) => true,
        (DataType::Interval(_) | DataType::Duration(_), DataType::Interval(_) | DataType::Time64(_)) => true,
        (from, to) => family(from) == family(to),
    }
}
