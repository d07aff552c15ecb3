//! `VALUES` of constants: no query at all, which is most of what is inserted.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_empty_array};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast::{self, Spanned, UnaryOperator, Value};
use weir_common::datetime::Customs;
use weir_common::error::{Error, Result, SqlState};
use weir_common::types::PgType;

use crate::catalog::{ColumnDef, Relation};
use crate::context::{Context, at, external};
use crate::dml::assign::assign;
use crate::function::cast::PgCast;
use crate::function::parse;
use crate::parameter::{self, Types};

/// One value of `VALUES`, on its way into a column.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    /// A value of the column's type.
    Value(ScalarValue),
    /// `$n`, from 0, of the column's type.
    Parameter(usize),
    /// The column's default.
    Default,
    /// A constant expression, cast to the column's type; evaluated when it is run.
    Computed(Box<Expr>),
}

impl Context {
    /// The rows of `VALUES` as cells; `None` where a value needs a query (a subquery).
    pub(super) fn cells(
        &self,
        table: &Relation,
        columns: &[usize],
        rows: &[ast::Parens<Vec<ast::Expr>>],
        types: &mut Types,
    ) -> Result<Option<Vec<Vec<Cell>>>, DataFusionError> {
        // First what stands alone in a column: it takes the column's type.
        for row in rows {
            for (expr, column) in row.content.iter().zip(columns) {
                if let Some(index) = parameter::index(expr) {
                    types.note(index, table.columns[*column].ty.clone());
                }
            }
        }
        let mut cells = Vec::with_capacity(rows.len());
        for row in rows {
            let mut line: Vec<Cell> = table.columns.iter().map(|_| Cell::Default).collect();
            for (expr, column) in row.content.iter().zip(columns) {
                match self.cell(expr, &table.columns[*column], types)? {
                    Some(cell) => line[*column] = cell,
                    None => return Ok(None),
                }
            }
            cells.push(line);
        }
        Ok(Some(cells))
    }

    fn cell(&self, expr: &ast::Expr, column: &ColumnDef, types: &mut Types) -> Result<Option<Cell>, DataFusionError> {
        if let Some(cell) = literal(expr, column, self.customs()).map_err(|error| at(error, expr.span()))? {
            return Ok(Some(cell));
        }
        if let Some(index) = parameter::index(expr)
            && let Some(Some(ty)) = types.known().get(index)
            && *ty == column.ty
            && ty.arrow() == column.data_type
        {
            return Ok(Some(Cell::Parameter(index)));
        }
        if needs_query(expr) {
            return Ok(None);
        }
        for (index, ty) in parameter::types_from_syntax(expr) {
            types.note(index, ty);
        }
        let schema = DFSchema::empty();
        let mut planned = self.scalar(expr, &schema, &fields(types))?;
        let inferred = untyped(&planned)?;
        if !inferred.is_empty() {
            for (index, field) in inferred {
                types.note(index, field.map_or(PgType::Text, |field| parameter::type_of(&field)));
            }
            planned = self.scalar(expr, &schema, &fields(types))?;
        }
        let planned = self.simplifier(&schema).coerce(planned, &schema)?;
        let (_, field) = planned.to_field(&schema)?;
        let untyped = matches!(&planned, Expr::Literal(ScalarValue::Utf8(_), _));
        let assigned = assign(planned, &field, column, untyped).map_err(|error| at(error, expr.span()))?;
        Ok(Some(Cell::Computed(Box::new(assigned))))
    }

    /// The rows of `VALUES`.
    pub(super) fn values(&self, table: &Relation, rows: &[Vec<Cell>], parameters: &[ScalarValue], types: &[PgType]) -> Result<RecordBatch> {
        if parameters.len() != types.len() {
            let message = format!("bind message supplies {} parameters, but the statement requires {}", parameters.len(), types.len());
            return Err(Error::new(SqlState::PROTOCOL_VIOLATION, message));
        }
        let mut columns = Vec::with_capacity(table.columns.len());
        for (index, column) in table.columns.iter().enumerate() {
            let without = rows.iter().filter(|row| matches!(row[index], Cell::Default)).count();
            if without == rows.len() {
                columns.push(self.default_values(table, index, without)?);
                continue;
            }
            let failed = |error| self.error(error, "");
            let defaults = if without > 0 { Some(self.default_values(table, index, without)?) } else { None };
            let defaults = defaults.iter().flat_map(|values| (0..without).map(|row| ScalarValue::try_from_array(values, row)));
            let mut defaults = defaults.collect::<Result<Vec<_>, _>>().map_err(failed)?.into_iter();
            let mut values = Vec::with_capacity(rows.len());
            for row in rows {
                let value = match &row[index] {
                    Cell::Value(value) => Ok(value.clone()),
                    Cell::Parameter(parameter) => fit(parameters[*parameter].clone(), column),
                    Cell::Default => defaults.next().map_or_else(|| ScalarValue::try_from(&column.data_type), Ok),
                    Cell::Computed(expr) => bind(expr.as_ref().clone(), parameters)
                        .and_then(|expr| self.evaluate(expr, 1))
                        .and_then(|value| ScalarValue::try_from_array(&value, 0)),
                };
                values.push(value.map_err(failed)?);
            }
            columns.push(match values.is_empty() {
                true => new_empty_array(&column.data_type),
                false => ScalarValue::iter_to_array(values).map_err(failed)?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(table.schema(), columns, &options)?)
    }
}

/// A literal as a value of the column, without any planning: most of what is inserted.
pub(super) fn literal(expr: &ast::Expr, column: &ColumnDef, customs: &Customs) -> Result<Option<Cell>> {
    let text = |text: &str| parse::value(text, &column.ty, &column.data_type, customs);
    let value = match expr {
        ast::Expr::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default") => {
            return Ok(Some(Cell::Default));
        }
        ast::Expr::Value(value) => match &value.value {
            Value::Null => ScalarValue::try_from(&column.data_type).map_err(|error| Error::internal(error.to_string()))?,
            Value::SingleQuotedString(string) => text(string)?,
            Value::Boolean(value) if column.data_type == DataType::Boolean => ScalarValue::Boolean(Some(*value)),
            Value::Number(number, false) => match number_literal(number, false, column)? {
                Some(value) => value,
                None => return Ok(None),
            },
            _ => return Ok(None),
        },
        ast::Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
            ast::Expr::Value(value) => match &value.value {
                Value::Number(number, false) => match number_literal(number, true, column)? {
                    Some(value) => value,
                    None => return Ok(None),
                },
                _ => return Ok(None),
            },
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    fit(value, column).map(|value| Some(Cell::Value(value))).map_err(|error| match error {
        DataFusionError::External(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => Error::internal(error.to_string()),
        },
        other => Error::internal(other.to_string()),
    })
}

/// A number as a value of a numeric column; `None` where its digits need rounding or another type.
fn number_literal(number: &str, negative: bool, column: &ColumnDef) -> Result<Option<ScalarValue>> {
    let whole = number.bytes().all(|byte| byte.is_ascii_digit());
    let signed = if negative { format!("-{number}") } else { number.to_string() };
    match &column.data_type {
        DataType::Int16 | DataType::Int32 | DataType::Int64 if whole => {
            parse::value(&signed, &column.ty, &column.data_type, &Customs::default())
                .map(Some)
                .map_err(|_| crate::function::arithmetic::out_of_range(&column.data_type))
        }
        DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) => {
            parse::value(&signed, &column.ty, &column.data_type, &Customs::default()).map(Some)
        }
        _ => Ok(None),
    }
}

/// The length that the column allows.
fn fit(value: ScalarValue, column: &ColumnDef) -> Result<ScalarValue, DataFusionError> {
    if !matches!(column.ty, PgType::Varchar(Some(_)) | PgType::Bpchar(Some(_))) || value.is_null() {
        return Ok(value);
    }
    let cast = PgCast::assignment(&column.field());
    let fitted: ArrayRef = cast.apply(&value.to_array()?, &Field::new("", DataType::Utf8, true), &Customs::default()).map_err(external)?;
    ScalarValue::try_from_array(&fitted, 0)
}

/// Whether an expression has to be planned as part of a query.
pub(super) fn needs_query(expr: &ast::Expr) -> bool {
    struct Finds(bool);
    impl ast::Visitor for Finds {
        type Break = ();
        fn pre_visit_query(&mut self, _query: &ast::Query) -> std::ops::ControlFlow<()> {
            self.0 = true;
            std::ops::ControlFlow::Break(())
        }
    }
    let mut finds = Finds(false);
    let _ = ast::Visit::visit(expr, &mut finds);
    finds.0
}

/// The parameters' fields, for the planner.
fn fields(types: &Types) -> Vec<Option<FieldRef>> {
    let field = |(index, ty): (usize, &Option<PgType>)| ty.as_ref().map(|ty| Arc::new(ty.field(format!("${}", index + 1))));
    types.known().iter().enumerate().map(field).collect()
}

/// The parameters of an expression that nobody gave a type, with what the planner inferred.
fn untyped(expr: &Expr) -> Result<Vec<(usize, Option<FieldRef>)>, DataFusionError> {
    let mut found = Vec::new();
    expr.apply(|expr| {
        if let Expr::Placeholder(placeholder) = expr
            && let Some(index) = placeholder.id.strip_prefix('$').and_then(|id| id.parse::<usize>().ok()).and_then(|id| id.checked_sub(1))
        {
            found.push((index, placeholder.field.clone()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The expression with its parameters' values.
fn bind(expr: Expr, parameters: &[ScalarValue]) -> Result<Expr, DataFusionError> {
    let bound = expr.transform(|expr| match &expr {
        Expr::Placeholder(placeholder) => {
            let index = placeholder.id.strip_prefix('$').and_then(|id| id.parse::<usize>().ok()).and_then(|id| id.checked_sub(1));
            match index.and_then(|index| parameters.get(index)) {
                Some(value) => Ok(Transformed::yes(Expr::Literal(value.clone(), None))),
                None => Err(external(Error::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter {}", placeholder.id)))),
            }
        }
        _ => Ok(Transformed::no(expr)),
    })?;
    Ok(bound.data)
}
