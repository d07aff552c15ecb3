//! INSERT: `VALUES` of constants without any query, everything else as a query that gives the table's columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_empty_array};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::sqlparser::ast::{self, SetExpr, Spanned, TableObject, UnaryOperator, Value};
use datafusion::sql::sqlparser::tokenizer::Span;
use weir_common::error::{Error, Result, SqlState};
use weir_common::types::PgType;

use crate::catalog::{ColumnDef, Relation};
use crate::context::{Context, at, external};
use crate::dml::assign::assign;
use crate::dml::{InsertPlan, NewRows, column_of};
use crate::function::cast::PgCast;
use crate::function::parse;
use crate::parameter;
use crate::read::QueryPlan;

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
    /// Plans an INSERT; `sql` is the text that positions of errors point into.
    pub fn plan_insert(&self, insert: &ast::Insert, sql: &str, parameter_types: &[Option<PgType>]) -> Result<InsertPlan> {
        let TableObject::TableName(name) = &insert.table else {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "INSERT needs the name of a table"));
        };
        let table = self.target(name, "insert into").map_err(|error| self.error(at(error, name.span()), sql))?;
        let columns = self.insert_columns(insert, &table, sql)?;
        let Some(query) = &insert.source else {
            let row = table.columns.iter().map(|_| Cell::Default).collect();
            return Ok(self.values_plan(table, vec![row], Vec::new()));
        };
        if let Some(rows) = plain_values(query) {
            check_width(rows, &columns, insert, self, sql)?;
            if let Some(plan) = self.fast(&table, &columns, rows, sql, parameter_types)? {
                return Ok(plan);
            }
        }
        self.insert_query(table, &columns, query, insert, sql, parameter_types)
    }

    /// The target columns, in the order of the values.
    fn insert_columns(&self, insert: &ast::Insert, table: &Relation, sql: &str) -> Result<Vec<usize>> {
        if insert.columns.is_empty() {
            return Ok((0..table.columns.len()).collect());
        }
        let mut columns = Vec::with_capacity(insert.columns.len());
        for name in &insert.columns {
            let Some(ident) = name.0.last().and_then(|part| part.as_ident()) else {
                return Err(Error::new(SqlState::SYNTAX_ERROR, format!("{name} is not the name of a column")));
            };
            let column = column_of(self, table, ident, sql)?;
            if columns.contains(&column) {
                let message = format!("column \"{}\" specified more than once", table.columns[column].name);
                return Err(self.error(at(Error::new(SqlState::DUPLICATE_COLUMN, message), ident.span), sql));
            }
            columns.push(column);
        }
        Ok(columns)
    }

    fn values_plan(&self, table: Arc<Relation>, rows: Vec<Vec<Cell>>, parameters: Vec<PgType>) -> InsertPlan {
        InsertPlan { target: table.id, parameters, relations: Vec::new(), table, rows: NewRows::Values(rows) }
    }

    /// `VALUES` without a query; `None` where a value needs one (a subquery).
    fn fast(
        &self,
        table: &Arc<Relation>,
        columns: &[usize],
        rows: &[ast::Parens<Vec<ast::Expr>>],
        sql: &str,
        given: &[Option<PgType>],
    ) -> Result<Option<InsertPlan>> {
        let mut types: Vec<Option<PgType>> = given.to_vec();
        // First what stands alone in a column: it takes the column's type.
        for row in rows {
            for (expr, column) in row.content.iter().zip(columns) {
                if let Some(index) = parameter::index(expr) {
                    if types.len() <= index {
                        types.resize(index + 1, None);
                    }
                    types[index].get_or_insert_with(|| table.columns[*column].ty.clone());
                }
            }
        }
        let mut cells = Vec::with_capacity(rows.len());
        for row in rows {
            let mut line: Vec<Cell> = table.columns.iter().map(|_| Cell::Default).collect();
            for (expr, column) in row.content.iter().zip(columns) {
                match self.cell(expr, &table.columns[*column], &mut types).map_err(|error| self.error(error, sql))? {
                    Some(cell) => line[*column] = cell,
                    None => return Ok(None),
                }
            }
            cells.push(line);
        }
        let parameters = types.into_iter().map(|ty| ty.unwrap_or(PgType::Text)).collect();
        Ok(Some(self.values_plan(table.clone(), cells, parameters)))
    }

    fn cell(&self, expr: &ast::Expr, column: &ColumnDef, types: &mut Vec<Option<PgType>>) -> Result<Option<Cell>, DataFusionError> {
        if let Some(cell) = literal(expr, column).map_err(|error| at(error, expr.span()))? {
            return Ok(Some(cell));
        }
        if let Some(index) = parameter::index(expr) {
            let ty = types[index].clone().unwrap_or(PgType::Text);
            if ty.arrow() == column.data_type && ty == column.ty {
                return Ok(Some(Cell::Parameter(index)));
            }
        }
        if needs_query(expr) {
            return Ok(None);
        }
        let mut fields: Vec<Option<FieldRef>> = Vec::new();
        let count = parameter::count(expr).max(types.len());
        types.resize(count, None);
        let syntax = parameter::types_from_syntax(expr);
        for (index, ty) in types.iter_mut().enumerate() {
            if ty.is_none() {
                *ty = syntax.get(&index).cloned();
            }
            fields.push(ty.as_ref().map(|ty| Arc::new(ty.field(format!("${}", index + 1)))));
        }
        let mut planned = self.constant(expr, &fields)?;
        let inferred = untyped(&planned)?;
        for (index, field) in inferred.into_iter().filter(|(index, _)| types[*index].is_none()).collect::<Vec<_>>() {
            let ty = field.map_or(PgType::Text, |field| parameter::type_of(&field));
            fields[index] = Some(Arc::new(ty.field(format!("${}", index + 1))));
            types[index] = Some(ty);
        }
        planned = self.constant(expr, &fields).unwrap_or(planned);
        let schema = DFSchema::empty();
        let planned = self.simplifier().coerce(planned, &schema)?;
        let (_, field) = planned.to_field(&schema)?;
        let untyped = matches!(&planned, Expr::Literal(ScalarValue::Utf8(_), _));
        let assigned = assign(planned, &field, column, untyped).map_err(|error| at(error, expr.span()))?;
        Ok(Some(Cell::Computed(Box::new(assigned))))
    }

    pub(super) fn simplifier(&self) -> ExprSimplifier {
        let context = SimplifyContext::builder()
            .with_schema(Arc::new(DFSchema::empty()))
            .with_config_options(self.state.config_options().clone())
            .with_query_execution_start_time(self.state.execution_props().query_execution_start_time)
            .build();
        ExprSimplifier::new(context)
    }

    /// The value of a constant expression, now.
    pub(super) fn evaluate(&self, expr: Expr) -> Result<ScalarValue, DataFusionError> {
        match self.simplifier().simplify(expr)? {
            Expr::Literal(value, _) => Ok(value),
            // What the simplifier leaves alone: volatile functions.
            other => {
                let compiled = crate::expr::compile(&other, &DFSchema::empty(), &self.state)?;
                let empty = Arc::new(arrow::datatypes::Schema::empty());
                let one = RecordBatch::try_new_with_options(empty, Vec::new(), &RecordBatchOptions::new().with_row_count(Some(1)))?;
                ScalarValue::try_from_array(&compiled.evaluate(&one).map_err(external)?, 0)
            }
        }
    }

    /// The rows of `VALUES`.
    pub(super) fn values(&self, table: &Relation, rows: &[Vec<Cell>], parameters: &[ScalarValue], types: &[PgType]) -> Result<RecordBatch> {
        if parameters.len() != types.len() {
            let message = format!("bind message supplies {} parameters, but the statement requires {}", parameters.len(), types.len());
            return Err(Error::new(SqlState::PROTOCOL_VIOLATION, message));
        }
        let mut columns = Vec::with_capacity(table.columns.len());
        for (index, column) in table.columns.iter().enumerate() {
            let mut values = Vec::with_capacity(rows.len());
            for row in rows {
                values.push(match &row[index] {
                    Cell::Value(value) => value.clone(),
                    Cell::Parameter(parameter) => fit(parameters[*parameter].clone(), column).map_err(|error| self.error(error, ""))?,
                    Cell::Default => self.default_value(table, index)?,
                    Cell::Computed(expr) => {
                        let bound = bind(expr.as_ref().clone(), parameters).and_then(|expr| self.evaluate(expr));
                        bound.map_err(|error| self.error(error, ""))?
                    }
                });
            }
            columns.push(match values.is_empty() {
                true => new_empty_array(&column.data_type),
                false => ScalarValue::iter_to_array(values).map_err(|error| self.error(error, ""))?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(table.schema(), columns, &options)?)
    }

    /// What a column takes where a row gives nothing.
    pub(super) fn default_value(&self, table: &Relation, column: usize) -> Result<ScalarValue> {
        let column = &table.columns[column];
        let failed = |error| self.error(error, "");
        match &column.default {
            None => ScalarValue::try_from(&column.data_type).map_err(failed),
            Some(_) => self.default_expr(column).and_then(|expr| self.evaluate(expr)).map_err(failed),
        }
    }

    fn default_expr(&self, column: &ColumnDef) -> Result<Expr, DataFusionError> {
        let Some(text) = &column.default else {
            return Ok(Expr::Literal(ScalarValue::try_from(&column.data_type)?, None));
        };
        let query = crate::context::parse_query(&format!("SELECT {text}")).map_err(external)?;
        let SetExpr::Select(select) = *query.body else {
            return Err(external(Error::internal(format!("DEFAULT {text} is not an expression"))));
        };
        let Some(ast::SelectItem::UnnamedExpr(expr)) = select.projection.into_iter().next() else {
            return Err(external(Error::new(SqlState::SYNTAX_ERROR, format!("DEFAULT {text} is not an expression"))));
        };
        if needs_query(&expr) {
            return Err(external(Error::unsupported("cannot use subquery in DEFAULT expression")));
        }
        if let Some(Cell::Value(value)) = literal(&expr, column).map_err(external)? {
            return Ok(Expr::Literal(value, None));
        }
        let schema = DFSchema::empty();
        let planned = self.simplifier().coerce(self.constant(&expr, &[])?, &schema)?;
        let (_, field) = planned.to_field(&schema)?;
        let untyped = matches!(&planned, Expr::Literal(ScalarValue::Utf8(_), _));
        assign(planned, &field, column, untyped).map_err(external)
    }

    /// Everything but constants: a query, and its columns put where they belong.
    fn insert_query(
        &self,
        table: Arc<Relation>,
        columns: &[usize],
        query: &ast::Query,
        insert: &ast::Insert,
        sql: &str,
        parameter_types: &[Option<PgType>],
    ) -> Result<InsertPlan> {
        let rows = plain_values(query).map(rows_as_selects);
        let query = rows.as_ref().unwrap_or(query);
        let mut types = parameter_types.to_vec();
        lone_parameters(&query.body, &mut |position, index| {
            if types.len() <= index {
                types.resize(index + 1, None);
            }
            if let Some(column) = columns.get(position) {
                types[index].get_or_insert_with(|| table.columns[*column].ty.clone());
            }
        });
        let read = self.plan_query(query, sql, &types)?;
        let width = read.plan.schema().fields().len();
        check_counts(width, columns, insert, self, sql)?;
        let untyped = untyped_columns(&read.plan);
        let source: Vec<(Expr, Arc<Field>)> =
            read.plan.schema().iter().map(|(qualifier, field)| (Expr::Column(Column::from((qualifier, field))), field.clone())).collect();
        let mut exprs = Vec::with_capacity(table.columns.len());
        for (index, column) in table.columns.iter().enumerate() {
            let expr = match columns.iter().position(|target| *target == index).filter(|position| *position < width) {
                Some(position) => {
                    let (expr, field) = source[position].clone();
                    assign(expr, &field, column, untyped[position]).map_err(|error| self.error(at(error, query.span()), sql))?
                }
                None => self.default_expr(column).map_err(|error| self.error(error, sql))?,
            };
            exprs.push(expr.alias(&column.name));
        }
        let plan = LogicalPlanBuilder::from(read.plan).project(exprs).and_then(LogicalPlanBuilder::build);
        let plan = plan.map_err(|error| self.error(error, sql))?;
        let query = QueryPlan { plan, schema: table.schema(), ..read };
        let (parameters, relations) = (query.parameters.clone(), query.relations.clone());
        Ok(InsertPlan { target: table.id, parameters, relations, table, rows: NewRows::Query(Box::new(query)) })
    }
}

/// The rows of a source that is `VALUES (...)` and nothing more.
fn plain_values(query: &ast::Query) -> Option<&[ast::Parens<Vec<ast::Expr>>]> {
    let plain = query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none();
    match query.body.as_ref() {
        SetExpr::Values(values) if plain => Some(&values.rows),
        _ => None,
    }
}

/// Calls `note` with the position and the number of each item of the SELECT lists that is a parameter alone: it has the type
/// of the column that it goes to.
fn lone_parameters(body: &SetExpr, note: &mut impl FnMut(usize, usize)) {
    match body {
        SetExpr::Select(select) => {
            for (position, item) in select.projection.iter().enumerate() {
                if let ast::SelectItem::UnnamedExpr(expr) | ast::SelectItem::ExprWithAlias { expr, .. } = item
                    && let Some(index) = parameter::index(expr)
                {
                    note(position, index);
                }
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            lone_parameters(left, note);
            lone_parameters(right, note);
        }
        SetExpr::Query(query) => lone_parameters(&query.body, note),
        _ => {}
    }
}

/// `VALUES` with subqueries: one SELECT a row, for DataFusion runs no subqueries in `VALUES`.
fn rows_as_selects(rows: &[ast::Parens<Vec<ast::Expr>>]) -> ast::Query {
    let one = |row: &ast::Parens<Vec<ast::Expr>>| {
        super::select(row.content.iter().cloned().map(ast::SelectItem::UnnamedExpr).collect(), Vec::new(), None)
    };
    let union = |left: ast::Query, right: ast::Query| {
        let body = SetExpr::SetOperation {
            op: ast::SetOperator::Union,
            set_quantifier: ast::SetQuantifier::All,
            left: left.body,
            right: right.body,
        };
        ast::Query { body: Box::new(body), ..super::select(Vec::new(), Vec::new(), None) }
    };
    rows.iter().map(one).reduce(union).unwrap_or_else(|| super::select(Vec::new(), Vec::new(), None))
}

fn check_width(rows: &[ast::Parens<Vec<ast::Expr>>], columns: &[usize], insert: &ast::Insert, context: &Context, sql: &str) -> Result<()> {
    let width = rows.first().map_or(0, |row| row.content.len());
    if rows.iter().any(|row| row.content.len() != width) {
        return Err(Error::new(SqlState::SYNTAX_ERROR, "VALUES lists must all be the same length"));
    }
    check_counts(width, columns, insert, context, sql)
}

fn check_counts(width: usize, columns: &[usize], insert: &ast::Insert, context: &Context, sql: &str) -> Result<()> {
    let wrong = |message: &str, span| Err(context.error(at(Error::new(SqlState::SYNTAX_ERROR, message), span), sql));
    if width > columns.len() {
        return wrong(
            "INSERT has more expressions than target columns",
            insert.source.as_ref().map_or_else(Span::empty, |source| source.span()),
        );
    }
    if width < columns.len() && !insert.columns.is_empty() {
        return wrong("INSERT has more target columns than expressions", insert.columns[width].span());
    }
    Ok(())
}

/// A literal as a value of the column, without any planning: most of what is inserted.
pub(super) fn literal(expr: &ast::Expr, column: &ColumnDef) -> Result<Option<Cell>> {
    let text = |text: &str| parse::value(text, &column.ty, &column.data_type);
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
        DataType::Int16 | DataType::Int32 | DataType::Int64 if whole => parse::value(&signed, &column.ty, &column.data_type)
            .map(Some)
            .map_err(|_| crate::function::arithmetic::out_of_range(&column.data_type)),
        DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) => parse::value(&signed, &column.ty, &column.data_type).map(Some),
        _ => Ok(None),
    }
}

/// The length that the column allows.
fn fit(value: ScalarValue, column: &ColumnDef) -> Result<ScalarValue, DataFusionError> {
    if !matches!(column.ty, PgType::Varchar(Some(_)) | PgType::Bpchar(Some(_))) || value.is_null() {
        return Ok(value);
    }
    let cast = PgCast::assignment(&column.field());
    let fitted: ArrayRef = cast.apply(&value.to_array()?, &Field::new("", DataType::Utf8, true)).map_err(external)?;
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

/// Which columns of a plan are literals in quotes, whose type is still open.
pub(super) fn untyped_columns(plan: &LogicalPlan) -> Vec<bool> {
    let width = plan.schema().fields().len();
    match plan {
        LogicalPlan::Projection(projection) => {
            let below = untyped_columns(&projection.input);
            let is_open = |expr: &Expr| match expr.clone().unalias() {
                Expr::Literal(ScalarValue::Utf8(_), _) => true,
                Expr::Column(column) => projection.input.schema().index_of_column(&column).is_ok_and(|index| below[index]),
                _ => false,
            };
            projection.expr.iter().map(is_open).collect()
        }
        LogicalPlan::SubqueryAlias(alias) => untyped_columns(&alias.input),
        LogicalPlan::Union(union) => {
            let inputs: Vec<Vec<bool>> = union.inputs.iter().map(|input| untyped_columns(input)).collect();
            (0..width).map(|column| inputs.iter().all(|input| input[column])).collect()
        }
        LogicalPlan::Values(values) => (0..width)
            .map(|column| values.values.iter().all(|row| matches!(row[column], Expr::Literal(ScalarValue::Utf8(_) | ScalarValue::Null, _))))
            .collect(),
        _ => vec![false; width],
    }
}
