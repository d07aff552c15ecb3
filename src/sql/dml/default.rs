//! DEFAULT: what columns take where a row gives nothing.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast::{self, SetExpr, Visit, Visitor};
use weir_common::error::{Error, Result, SqlState};

use crate::catalog::{ColumnDef, Relation};
use crate::context::{Context, external};
use crate::dml::assign::assign;
use crate::dml::values::{Cell, literal, needs_query};

impl Context {
    /// The values that a column takes in so many rows that give it none: the DEFAULT, evaluated now and, where it is
    /// volatile, for each row; NULL without one.
    pub fn default_values(&self, table: &Relation, column: usize, rows: usize) -> Result<ArrayRef> {
        let values = self.default_expr(&table.columns[column]).and_then(|expr| self.evaluate(expr, rows));
        values.map_err(|error| self.error(error, ""))
    }

    /// Checks that a DEFAULT is an expression that can be assigned to its column; for CREATE TABLE.
    pub fn check_default(&self, table: &Relation, column: usize) -> Result<()> {
        self.default_values(table, column, 1).map(drop)
    }

    /// The DEFAULT as a value of the column's type.
    pub(super) fn default_expr(&self, column: &ColumnDef) -> Result<Expr, DataFusionError> {
        let Some(expr) = default_ast(column).map_err(external)? else {
            return Ok(Expr::Literal(ScalarValue::try_from(&column.data_type)?, None));
        };
        if needs_query(&expr) {
            return Err(external(Error::unsupported("cannot use subquery in DEFAULT expression")));
        }
        if names_column(&expr) {
            return Err(external(Error::unsupported("cannot use column reference in DEFAULT expression")));
        }
        self.refuse_aggregates(&expr, "DEFAULT expressions").map_err(external)?;
        if let Some(Cell::Value(value)) = literal(&expr, column, self.customs()).map_err(external)? {
            return Ok(Expr::Literal(value, None));
        }
        let schema = DFSchema::empty();
        let planned = self.scalar(&expr, &schema, &[])?;
        let planned = self.simplifier(&schema).coerce(planned, &schema)?;
        let (_, field) = planned.to_field(&schema)?;
        let untyped = matches!(&planned, Expr::Literal(ScalarValue::Utf8(_), _));
        let of_default = |error: Error| {
            let message = error.message().replace("but expression is", "but default expression is");
            external(error.with_message(message))
        };
        assign(planned, &field, column, untyped).map_err(of_default)
    }

    /// The values of an expression without columns, now, in so many rows.
    pub(super) fn evaluate(&self, expr: Expr, rows: usize) -> Result<ArrayRef, DataFusionError> {
        let schema = DFSchema::empty();
        match self.simplifier(&schema).simplify(expr)? {
            Expr::Literal(value, _) => value.to_array_of_size(rows),
            // What the simplifier leaves alone: volatile functions.
            other => {
                let compiled = crate::expr::compile(&other, &schema, self.config())?;
                let empty = Arc::new(arrow::datatypes::Schema::empty());
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                let nothing = RecordBatch::try_new_with_options(empty, Vec::new(), &options)?;
                compiled.evaluate(&nothing).map_err(external)
            }
        }
    }
}

fn names_column(expr: &ast::Expr) -> bool {
    struct Finds;
    impl Visitor for Finds {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<()> {
            match expr {
                ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    expr.visit(&mut Finds).is_break()
}

/// The expression in a column's DEFAULT.
pub(super) fn default_ast(column: &ColumnDef) -> Result<Option<ast::Expr>> {
    column.default.as_deref().map(|text| expression(text, "DEFAULT")).transpose()
}

/// The expression that a definition keeps as text.
pub(crate) fn expression(text: &str, what: &str) -> Result<ast::Expr> {
    let not_one = || Error::new(SqlState::SYNTAX_ERROR, format!("{what} {text} is not an expression"));
    let query = crate::context::parse_query(&format!("SELECT {text}"))?;
    let SetExpr::Select(select) = *query.body else { return Err(not_one()) };
    match <[ast::SelectItem; 1]>::try_from(select.projection) {
        Ok([ast::SelectItem::UnnamedExpr(expr)]) => Ok(expr),
        _ => Err(not_one()),
    }
}
