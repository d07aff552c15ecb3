//! COPY FROM STDIN, all of it in one epoch, and COPY TO STDOUT as a stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use weir_common::delta::batch;
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::RelationId;
use weir_sql::ast;
use weir_sql::catalog::{Relation, RelationKind};
use weir_sql::parser;
use weir_sql::statement::{
    Copy, CopyDirection, CopyFormat as Said, CopyHeader as SaidHeader, CopyOptions, CopyTarget, ForceColumns, Parsed, Statement,
};

use crate::names;
use crate::pgwire::backend::Outcome;
use crate::session::Session;
use crate::statement::{dml, query, subscribe};
use crate::value::copy::reader::CopyReader;
use crate::value::copy::writer::CopyWriter;
use crate::value::copy::{Columns, CopyFormat, CopyHeader, CopyKind};

/// A COPY FROM STDIN that is going on.
pub struct CopyIn {
    table: RelationId,
    /// The table's columns that the data has, in the data's order.
    columns: Vec<usize>,
    reader: CopyReader,
    /// What was said, to plan defaults with.
    parsed: Parsed,
}

impl CopyIn {
    /// Takes a piece of data.
    pub fn feed(&mut self, data: &[u8]) -> Result<()> {
        self.reader.feed(data)
    }
}

/// Starts a COPY.
pub async fn start(session: &mut Session, parsed: &Parsed, copy: &Copy) -> Result<Outcome> {
    let format = format(&copy.options);
    match (copy.direction, &copy.target) {
        (CopyDirection::FromStdin, CopyTarget::Table { name, columns }) => from_stdin(session, parsed, name, columns, format),
        (CopyDirection::FromStdin, CopyTarget::Query(_) | CopyTarget::Subscribe(_)) => {
            Err(Error::new(SqlState::SYNTAX_ERROR, "COPY of a query goes TO STDOUT only"))
        }
        (CopyDirection::ToStdout, CopyTarget::Subscribe(said)) => {
            let plan = subscribe::plan(&session.catalog(), parsed, said)?;
            let batches = subscribe::start(session, said, &plan).await?;
            send(session, plan.schema(), batches, format)
        }
        (CopyDirection::ToStdout, CopyTarget::Query(query)) => to_stdout(session, parsed, query, &parsed.text, format).await,
        (CopyDirection::ToStdout, CopyTarget::Table { name, columns }) => {
            let list =
                if columns.is_empty() { "*".to_string() } else { columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ") };
            if let Ok(name) = names::relation(name)
                && let Some(relation) = session.catalog().by_name(&name)
                && matches!(relation.kind, RelationKind::View(_))
            {
                return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, format!("cannot copy from view \"{name}\""))
                    .with_hint("Try the COPY (SELECT ...) TO variant."));
            }
            let sql = format!("SELECT {list} FROM {name}");
            let select = parser::parse(&sql)?.pop().map(|parsed| parsed.statement);
            let Some(Statement::Query(query)) = select else { return Err(Error::internal("COPY made no query")) };
            to_stdout(session, parsed, &query, &sql, format).await
        }
    }
}

fn from_stdin(
    session: &mut Session,
    parsed: &Parsed,
    name: &ast::ObjectName,
    columns: &[ast::Ident],
    format: CopyFormat,
) -> Result<Outcome> {
    dml::refuse_if_read_only(session, "COPY FROM")?;
    let name = names::relation(name)?;
    let catalog = session.catalog();
    let relation = catalog.require(&name)?;
    if !matches!(relation.kind, RelationKind::Table(_)) {
        return Err(Error::new(SqlState::WRONG_OBJECT_TYPE, format!("cannot copy to {} \"{name}\"", relation.kind.word()))
            .with_hint("Rows are copied into tables."));
    }
    let columns = column_list(relation, columns)?;
    let typed: Vec<_> =
        columns.iter().map(|column| (relation.columns[*column].name.clone(), relation.columns[*column].ty.clone())).collect();
    let binary = matches!(format.kind, CopyKind::Binary);
    let reader = CopyReader::new(format, &name, &typed, &session.variables.text_settings())?;
    let width = columns.len();
    session.copy = Some(CopyIn { table: relation.id, columns, reader, parsed: parsed.clone() });
    Ok(Outcome::CopyIn { columns: width, binary })
}

fn column_list(relation: &Relation, columns: &[ast::Ident]) -> Result<Vec<usize>> {
    if columns.is_empty() {
        return Ok((0..relation.columns.len()).collect());
    }
    let mut found = vec![];
    for column in columns {
        let name = names::ident(column);
        let at = relation.column(&name).ok_or_else(|| {
            Error::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" of relation \"{}\" does not exist", relation.name))
        })?;
        if found.contains(&at) {
            return Err(Error::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once")));
        }
        found.push(at);
    }
    Ok(found)
}

/// Ends a COPY FROM STDIN: all its rows become visible together.
pub async fn finish(session: &mut Session, mut copy: CopyIn) -> Result<String> {
    copy.reader.finish()?;
    let count = copy.reader.rows();
    let arrays = copy.reader.take();
    let catalog = session.catalog();
    let relation = catalog
        .by_id(copy.table)
        .ok_or_else(|| Error::new(SqlState::UNDEFINED_TABLE, "the table was dropped while rows were copied to it"))?
        .clone();
    let context = session.context(&copy.parsed).await?;
    let mut given: Vec<Option<ArrayRef>> = vec![None; relation.columns.len()];
    for (column, array) in copy.columns.iter().zip(arrays) {
        given[*column] = Some(array);
    }
    let mut columns = vec![];
    for (index, column) in given.into_iter().enumerate() {
        columns.push(match column {
            Some(array) => array,
            None => context.default_values(&relation, index, count)?,
        });
    }
    let rows = batch(relation.schema(), columns, count)?;
    let in_copy = |error: Error| if error.context().is_none() { error.with_context(format!("COPY {}", relation.name)) } else { error };
    context.check_rows(&relation, &rows).map_err(in_copy)?;
    dml::write(session, copy.table, vec![], vec![rows]).await.map_err(in_copy)?;
    Ok(format!("COPY {count}"))
}

async fn to_stdout(session: &mut Session, parsed: &Parsed, query: &ast::Query, sql: &str, format: CopyFormat) -> Result<Outcome> {
    let context = session.context(parsed).await?;
    let plan = query::plan(&context, query, sql, &[])?;
    let snapshots = query::snapshots(session, &plan).await?;
    let rows = context.execute(&plan, &[], snapshots).await?;
    send(session, rows.schema, rows.batches, format)
}

/// Rows to the client, as they come.
fn send(session: &Session, schema: SchemaRef, batches: BoxStream<'static, Result<RecordBatch>>, format: CopyFormat) -> Result<Outcome> {
    let binary = matches!(format.kind, CopyKind::Binary);
    let columns = schema.fields().len();
    let writer = CopyWriter::new(format, schema, &session.variables.text_settings())?;
    let counted = Arc::new(AtomicU64::new(0));
    let chunks = chunks(writer, batches, counted.clone());
    Ok(Outcome::CopyOut { columns, binary, chunks, rows: counted })
}

/// Header, rows and trailer, a message each.
fn chunks(
    writer: CopyWriter,
    batches: BoxStream<'static, Result<RecordBatch>>,
    counted: Arc<AtomicU64>,
) -> BoxStream<'static, Result<Bytes>> {
    struct State {
        writer: CopyWriter,
        batches: BoxStream<'static, Result<RecordBatch>>,
        ready: VecDeque<Bytes>,
        ended: bool,
    }
    let ready = writer.header().into_iter().collect();
    let state = State { writer, batches, ready, ended: false };
    futures::stream::try_unfold(state, move |mut state| {
        let counted = counted.clone();
        async move {
            loop {
                if let Some(chunk) = state.ready.pop_front() {
                    return Ok(Some((chunk, state)));
                }
                if state.ended {
                    return Ok(None);
                }
                match state.batches.next().await {
                    Some(batch) => {
                        let batch = batch?;
                        counted.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
                        state.ready.extend(state.writer.rows(&batch)?);
                    }
                    None => {
                        state.ended = true;
                        state.ready.extend(state.writer.trailer());
                    }
                }
            }
        }
    })
    .boxed()
}

fn format(options: &CopyOptions) -> CopyFormat {
    let columns = |force: &ForceColumns| match force {
        ForceColumns::All => Columns::All,
        ForceColumns::Columns(columns) => Columns::Only(columns.iter().map(names::ident).collect()),
    };
    CopyFormat {
        kind: match options.format {
            Said::Text => CopyKind::Text,
            Said::Csv => CopyKind::Csv,
            Said::Binary => CopyKind::Binary,
        },
        delimiter: options.delimiter,
        null: options.null.clone(),
        header: match options.header {
            SaidHeader::Absent => CopyHeader::Off,
            SaidHeader::Present => CopyHeader::On,
            SaidHeader::Match => CopyHeader::Match,
        },
        quote: options.quote,
        escape: options.escape,
        force_quote: columns(&options.force_quote),
        force_not_null: columns(&options.force_not_null),
        force_null: columns(&options.force_null),
    }
}
