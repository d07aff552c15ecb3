//! What a table demands of each of its rows: NOT NULL and CHECK. That keys are unique is the engine's to keep.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, TableReference};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast::{self, Spanned};
use weir_common::error::{Error, Result, SqlState};
use weir_common::expr::ExprRef;
use weir_common::timezone::TimeZone;
use weir_common::types::PgType;

use crate::catalog::Relation;
use crate::context::{Context, at, external};
use crate::dml::default::expression;
use crate::dml::values::needs_query;
use crate::function::text;
use crate::parameter;

/// Bytes of a value that the DETAIL of an error shows, as in Postgres.
const SHOWN_BYTES_MAX: usize = 64;

impl Context {
    /// The error of the first row that has NULL where the table takes none, or that a CHECK is false of.
    pub fn check_rows(&self, table: &Relation, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let mut first: Option<(usize, Error)> = None;
        let mut note = |row: Option<usize>, error: &dyn Fn() -> Error| {
            if let Some(row) = row
                && first.as_ref().is_none_or(|(earlier, _)| row < *earlier)
            {
                first = Some((row, error()));
            }
        };
        for (column, values) in table.columns.iter().zip(rows.columns()) {
            if column.not_null && values.null_count() > 0 {
                let message =
                    format!("null value in column \"{}\" of relation \"{}\" violates not-null constraint", column.name, table.name);
                note((0..values.len()).find(|row| values.is_null(*row)), &|| Error::new(SqlState::NOT_NULL_VIOLATION, message.clone()));
            }
        }
        for check in table.checks() {
            let compiled = expression(&check.expr, "CHECK").map_err(external).and_then(|expr| self.compile_check(table, &expr));
            let values = compiled.map_err(|error| self.error(error, ""))?.evaluate(rows)?;
            let values = values.as_boolean();
            // NULL is no violation.
            let failing = (0..values.len()).find(|row| values.is_valid(*row) && !values.value(*row));
            let message = format!("new row for relation \"{}\" violates check constraint \"{}\"", table.name, check.name);
            note(failing, &|| Error::new(SqlState::CHECK_VIOLATION, message.clone()));
        }
        match first {
            None => Ok(()),
            Some((row, error)) => Err(error.with_detail(format!("Failing row contains ({}).", describe_row(rows, row)?))),
        }
    }

    /// Checks that a condition can be a CHECK of the table, and says which columns it names; for CREATE TABLE. `sql` is the
    /// text that positions of errors point into.
    pub fn plan_check(&self, table: &Relation, expr: &ast::Expr, sql: &str) -> Result<Vec<usize>> {
        let failed = |error| self.error(error, sql);
        if needs_query(expr) {
            return Err(failed(at(Error::unsupported("cannot use subquery in check constraint"), expr.span())));
        }
        if parameter::count(expr) > 0 {
            let message = format!("there is no parameter ${}", parameter::count(expr));
            return Err(failed(at(Error::new(SqlState::UNDEFINED_PARAMETER, message), expr.span())));
        }
        self.refuse_aggregates(expr, "check constraints").map_err(|error| failed(at(error, expr.span())))?;
        let (planned, schema) = self.check_expr(table, expr).map_err(failed)?;
        let (_, field) = planned.to_field(&schema).map_err(failed)?;
        if !matches!(field.data_type(), DataType::Boolean | DataType::Null) {
            let message = format!("argument of CHECK must be type boolean, not type {}", PgType::of_field(&field).spelling());
            return Err(failed(at(Error::new(SqlState::DATATYPE_MISMATCH, message), expr.span())));
        }
        self.compile_check(table, expr).map_err(failed)?;
        let mut columns = Vec::new();
        let looked = planned.apply(|node| {
            if let Expr::Column(column) = node
                && let Some(index) = table.column(&column.name)
                && !columns.contains(&index)
            {
                columns.push(index);
            }
            Ok(TreeNodeRecursion::Continue)
        });
        looked.map_err(failed)?;
        Ok(columns)
    }

    fn check_expr(&self, table: &Relation, expr: &ast::Expr) -> Result<(Expr, DFSchema), DataFusionError> {
        let schema = DFSchema::try_from_qualified_schema(TableReference::bare(table.name.as_str()), &table.schema())?;
        let planned = self.scalar(expr, &schema, &[])?;
        Ok((self.simplifier(&schema).coerce(planned, &schema)?, schema))
    }

    fn compile_check(&self, table: &Relation, expr: &ast::Expr) -> Result<ExprRef, DataFusionError> {
        let (planned, schema) = self.check_expr(table, expr)?;
        let simple = self.simplifier(&schema).simplify(planned)?;
        crate::expr::compile_as(&simple, &schema, self.config(), DataType::Boolean)
    }
}

/// A row as Postgres shows it in a DETAIL: `1, null, x`.
pub(super) fn describe_row(batch: &RecordBatch, row: usize) -> Result<String> {
    let row = batch.slice(row, 1);
    let schema = row.schema();
    let value = |(values, field): (&ArrayRef, &Arc<Field>)| -> Result<String> {
        if values.is_null(0) {
            return Ok("null".to_string());
        }
        if let DataType::Boolean = values.data_type() {
            return Ok(if values.as_boolean().value(0) { "t" } else { "f" }.to_string());
        }
        let text = text::to_text(values, field, &TimeZone::UTC)?;
        Ok(cut(text.as_string::<i32>().value(0)))
    };
    Ok(row.columns().iter().zip(schema.fields()).map(value).collect::<Result<Vec<_>>>()?.join(", "))
}

fn cut(text: &str) -> String {
    if text.len() <= SHOWN_BYTES_MAX {
        return text.to_string();
    }
    let end = (0..=SHOWN_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", &text[..end])
}
