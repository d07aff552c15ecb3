//! What statements say about watermarks: the clause WATERMARK FOR, and the options of a source that go with it.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use weir_common::error::{Error, Result, SqlState};
use weir_common::interval;
use weir_common::source::Watermark;
use weir_sql::ast;
use weir_sql::catalog::ColumnDef;
use weir_sql::parser;
use weir_sql::statement::{self as clause, OptionValue, Options, Parsed, Statement};

use crate::names;
use crate::session::Session;
use crate::statement::query;

/// The options of a source that its watermark obeys.
pub const OPTIONS: [&str; 2] = ["idle_timeout", "max_future"];

/// The watermark with those of [`OPTIONS`] that are given.
pub fn with_options(mut watermark: Watermark, options: &Options) -> Result<Watermark> {
    for (name, option) in options {
        match name.as_str() {
            "idle_timeout" => watermark.idle_timeout = length(name, option)?,
            "max_future" => watermark.max_future = length(name, option)?,
            _ => {}
        }
    }
    Ok(watermark)
}

/// The watermark with the default of one of [`OPTIONS`].
pub fn without_option(watermark: Watermark, name: &str) -> Watermark {
    let Watermark { idle_timeout, max_future, .. } = Watermark::of(watermark.column, watermark.delay);
    match name {
        "idle_timeout" => Watermark { idle_timeout, ..watermark },
        "max_future" => Watermark { max_future, ..watermark },
        _ => watermark,
    }
}

/// Refuses [`OPTIONS`] where there is no watermark.
pub fn refuse_options(options: &Options) -> Result<()> {
    match options.iter().find(|(name, _)| OPTIONS.contains(&name.as_str())) {
        Some((name, option)) => {
            let message = format!("option \"{name}\" is about the watermark, and the source has none");
            Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
                .with_position(option.position)
                .with_hint("Declare one: WATERMARK FOR ts AS ts - INTERVAL '5 seconds'."))
        }
        None => Ok(()),
    }
}

/// The microseconds of an option that is an interval.
fn length(name: &str, option: &OptionValue) -> Result<i64> {
    let wrong = |why: &str| {
        let message = format!("invalid value for option \"{name}\": \"{}\" {why}", option.value);
        Error::new(SqlState::INVALID_PARAMETER_VALUE, message)
            .with_position(option.position)
            .with_hint(format!("Write an interval, such as {name} = '30 seconds'; months differ in length, so say them in days."))
    };
    let interval = interval::parse(&option.value).map_err(|_| wrong("is not an interval"))?;
    if interval.months != 0 {
        return Err(wrong("has months"));
    }
    let micros = (interval.days as i64).checked_mul(86_400_000_000).and_then(|days| days.checked_add(interval.micros));
    match micros {
        Some(micros) if micros >= 0 => Ok(micros),
        Some(_) => Err(wrong("is negative")),
        None => Err(wrong("is too long")),
    }
}

/// The event-time column and its delay in microseconds: `c`, or `c - INTERVAL '..'`.
pub async fn clause(session: &mut Session, parsed: &Parsed, watermark: &clause::Watermark, columns: &[ColumnDef]) -> Result<(usize, i64)> {
    let name = names::ident(&watermark.column);
    let column = columns.iter().position(|column| column.name == name).ok_or_else(|| {
        Error::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist"))
            .with_position(watermark.position)
            .with_hint("WATERMARK FOR names one of the columns.")
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
    let wrong =
        |why: &str| Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("a WATERMARK delay {why}")).with_position(watermark.position);
    match (interval.days as i64).checked_mul(86_400_000_000).and_then(|days| days.checked_add(interval.nanoseconds / 1000)) {
        Some(micros) if micros >= 0 => Ok((column, micros)),
        Some(_) => Err(wrong("cannot be negative")),
        None => Err(wrong("is too long")),
    }
}
