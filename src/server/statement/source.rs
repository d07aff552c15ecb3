//! CREATE SOURCE.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, IntervalMonthDayNanoType, IntervalUnit, Schema, TimeUnit};
use weir_common::error::{Error, Result, SqlState};
use weir_connectors::SourceFormat;
use weir_sql::ast;
use weir_sql::catalog::{ColumnDef, Relation, RelationKind, SourceDef};
use weir_sql::parser;
use weir_sql::statement::{CreateSource, Options, Parsed, Statement, Watermark};

use crate::names;
use crate::pgwire::backend::Outcome;
use crate::session::{Session, done};
use crate::statement::{define, dml, query};

/// CREATE SOURCE: nothing is read before a view needs it.
pub async fn create(session: &mut Session, parsed: &Parsed, create: &CreateSource) -> Result<Outcome> {
    dml::refuse_if_read_only(session, "CREATE SOURCE")?;
    let name = names::relation(&create.name)?;
    if let Some(include) = create.include.first() {
        return Err(Error::unsupported("INCLUDE columns are not supported yet")
            .with_position(include.position)
            .with_hint("A file's rows have no metadata but their place; leave INCLUDE out."));
    }
    for spec in &create.columns {
        if spec.not_null || spec.default.is_some() || spec.primary_key {
            return Err(Error::unsupported(format!("column \"{}\" of a source cannot have constraints or a default", spec.name.value))
                .with_position(spec.position)
                .with_hint("Rows of a source come as they are; filter or coalesce them in a view."));
        }
    }
    let values = |options: &Options| options.iter().map(|(name, option)| (name.clone(), option.value.clone())).collect();
    let options: BTreeMap<String, String> = values(&create.options);
    let said = create.format.as_ref().map(|format| SourceFormat {
        format: format.format.clone(),
        encode: format.encode.clone(),
        options: values(&format.options),
    });
    // Without columns the connector says them, or that it cannot.
    let mut columns = if create.columns.is_empty() { vec![] } else { define::columns(&create.columns)? };
    let schema = Arc::new(Schema::new(columns.iter().map(ColumnDef::field).collect::<Vec<_>>()));
    let source = weir_connectors::source(&name, schema, said.as_ref(), &options)?;
    if columns.is_empty() {
        columns = source.schema().fields().iter().map(|field| ColumnDef::of_field(field)).collect();
    }
    let (event_time, delay_micros) = match &create.watermark {
        Some(watermark) => {
            let (column, delay) = watermark_of(session, parsed, watermark, &columns).await?;
            (Some(column), delay)
        }
        None => (None, 0),
    };
    let connector = options.get("connector").cloned().unwrap_or_default();
    let database = session.database.clone();
    let definitions = database.definitions().await;
    if !define::should_create(session, &definitions.catalog(), &name, create.if_not_exists)? {
        return Ok(done("CREATE SOURCE"));
    }
    let (format, encode, format_options) = said.map_or_else(Default::default, |said| (said.format, said.encode, said.options));
    let kind = RelationKind::Source(SourceDef { source, event_time, delay_micros, connector, options, format, encode, format_options });
    let id = definitions.next_id();
    definitions.add(Relation { id, name: name.clone(), kind, columns, sql: parsed.text.clone(), depends_on: vec![] }).await?;
    define::note(session, format!("CREATE SOURCE {name}"));
    Ok(done("CREATE SOURCE"))
}

/// The event-time column and its delay in microseconds: `c`, or `c - INTERVAL '..'`.
async fn watermark_of(session: &mut Session, parsed: &Parsed, watermark: &Watermark, columns: &[ColumnDef]) -> Result<(usize, i64)> {
    let name = names::ident(&watermark.column);
    let column = columns.iter().position(|column| column.name == name).ok_or_else(|| {
        Error::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist"))
            .with_position(watermark.position)
            .with_hint("WATERMARK FOR names a column of the source.")
    })?;
    if !matches!(columns[column].data_type, DataType::Timestamp(TimeUnit::Microsecond, _)) {
        let message = format!("the event time must be a timestamp, but column \"{name}\" is {}", columns[column].ty.spelling());
        return Err(Error::new(SqlState::DATATYPE_MISMATCH, message).with_position(watermark.position));
    }
    let wrong = || {
        Error::unsupported("this WATERMARK expression is not supported")
            .with_position(watermark.position)
            .with_hint(format!("Write WATERMARK FOR {name} AS {name} - INTERVAL '5 seconds'."))
    };
    let is_column = |expr: &ast::Expr| matches!(expr, ast::Expr::Identifier(ident) if names::ident(ident) == name);
    let delay = match &watermark.expr {
        expr if is_column(expr) => return Ok((column, 0)),
        ast::Expr::BinaryOp { left, op: ast::BinaryOperator::Minus, right } if is_column(left) => right,
        _ => return Err(wrong()),
    };
    let sql = format!("SELECT CAST({delay} AS INTERVAL)");
    let Some(Statement::Query(select)) = parser::parse(&sql)?.pop().map(|parsed| parsed.statement) else { return Err(wrong()) };
    let context = session.context(parsed).await?;
    let plan = query::plan(&context, &select, &sql, &[]).map_err(|_| wrong())?;
    let snapshots = query::snapshots(session, &plan).await?;
    let rows = context.execute(&plan, &[], snapshots).await?.collect().await?;
    let value = rows.first().filter(|rows| rows.num_rows() == 1).map(|rows| rows.column(0).clone()).ok_or_else(wrong)?;
    if value.data_type() != &DataType::Interval(IntervalUnit::MonthDayNano) || value.is_null(0) {
        return Err(wrong());
    }
    let interval = value.as_primitive::<IntervalMonthDayNanoType>().value(0);
    if interval.months != 0 {
        return Err(Error::unsupported("a WATERMARK delay of months is not supported")
            .with_position(watermark.position)
            .with_hint("Months differ in length; say it in days."));
    }
    let micros = interval.days as i64 * 86_400_000_000 + interval.nanoseconds / 1000;
    if micros < 0 {
        return Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, "a WATERMARK delay cannot be negative").with_position(watermark.position));
    }
    Ok((column, micros))
}
