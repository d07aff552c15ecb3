//! Columns of VALUES: where all that says its type is of one type, NULL and untyped literals beside it are of that type too.
//!
//! DataFusion refuses a column that is `jsonb` in one row and nothing in particular in another.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{CastKind, DataType, Expr, Query, SetExpr, Value, VisitMut, VisitorMut};

use crate::types::pg_type;

/// Gives the untyped values of each VALUES the types of their columns.
pub(crate) fn give_types(statement: &mut impl VisitMut) {
    struct Lists;
    impl VisitorMut for Lists {
        type Break = ();
        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            if let SetExpr::Values(values) = query.body.as_mut() {
                let width = values.rows.first().map_or(0, |row| row.content.len());
                for column in 0..width {
                    let mut cells: Vec<&mut Expr> = values.rows.iter_mut().filter_map(|row| row.content.get_mut(column)).collect();
                    if let Some(data_type) = said(&cells) {
                        cells.iter_mut().for_each(|cell| give(cell, &data_type));
                    }
                }
            }
            ControlFlow::Continue(())
        }
    }
    // It never breaks off.
    let _ = statement.visit(&mut Lists);
}

/// The one type that casts in a column say.
fn said(cells: &[&mut Expr]) -> Option<DataType> {
    let mut types = cells.iter().filter_map(|cell| match &**cell {
        Expr::Cast { data_type, .. } => Some(data_type),
        Expr::TypedString(typed) => Some(&typed.data_type),
        _ => None,
    });
    let first = types.next()?;
    types.all(|other| other == first).then(|| first.clone())
}

fn give(cell: &mut Expr, data_type: &DataType) {
    let Expr::Value(value) = &*cell else { return };
    let wanted = match &value.value {
        Value::Null => true,
        // A literal beside `varchar(3)` is not cut to it.
        Value::SingleQuotedString(_) => pg_type(data_type).is_ok_and(|ty| ty.modifier() == -1),
        _ => false,
    };
    if wanted {
        let expr = Box::new(cell.clone());
        *cell = Expr::Cast { kind: CastKind::DoubleColon, expr, data_type: data_type.clone(), array: false, format: None };
    }
}
