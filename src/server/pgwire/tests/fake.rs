//! A backend that understands a few words.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{Int32Array, StringArray};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use futures::{StreamExt, stream};
use weir_common::error::{Error, Result, SqlState};
use weir_common::types::PgType;
use weir_sql::statement::Parsed;

use crate::pgwire::backend::{Backend, Named, Notice, Outcome, RowsTag, Session, Startup, TransactionStatus};
use crate::pgwire::shield::Shield;
use crate::value::scalar::ScalarParam;
use crate::value::settings::TextSettings;

/// Understands a few words: `rows 10 5` (ten rows in batches of five), `wait` (a row, then nothing), `forever` (rows
/// without end), `echo` (its parameter), `fail`, `panic`, `sleep`, `begin`, `commit`, `copy in`, `copy out`, `set`.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) streams_open: Arc<AtomicUsize>,
    pub(super) log: Arc<std::sync::Mutex<Vec<String>>>,
}

pub(super) struct FakeSession {
    startup: Startup,
    status: TransactionStatus,
    implicit: bool,
    streams_open: Arc<AtomicUsize>,
    log: Arc<std::sync::Mutex<Vec<String>>>,
    copied: Vec<u8>,
    timeout: Option<Duration>,
    shield: Shield,
    notices: Vec<Notice>,
    changes: Vec<(String, String)>,
    named: BTreeMap<String, Named<Plan>>,
}

pub(super) struct Plan {
    text: String,
    offset: usize,
    parameters: Vec<PgType>,
    fields: Option<SchemaRef>,
}

/// Counts itself: a stream that is dropped shows.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn numbers() -> SchemaRef {
    Arc::new(Schema::new(vec![PgType::Int4.field("n"), PgType::Text.field("t")]))
}

fn batch(from: i32, count: i32) -> RecordBatch {
    let n = Int32Array::from_iter_values(from..from + count);
    let t = StringArray::from_iter((from..from + count).map(|n| (n % 3 != 0).then(|| format!("row {n}"))));
    RecordBatch::try_new(numbers(), vec![Arc::new(n), Arc::new(t)]).unwrap()
}

impl Backend for Fake {
    type Session = FakeSession;

    async fn open(&self, startup: Startup) -> Result<FakeSession> {
        if startup.database != "weir" {
            let message = format!("database \"{}\" does not exist", startup.database);
            return Err(Error::new(SqlState::INVALID_CATALOG_NAME, message).with_hint("Connect to the database \"weir\"."));
        }
        Ok(FakeSession {
            startup,
            status: TransactionStatus::Idle,
            implicit: false,
            streams_open: self.streams_open.clone(),
            log: self.log.clone(),
            copied: Vec::new(),
            timeout: None,
            shield: Shield::default(),
            notices: Vec::new(),
            changes: Vec::new(),
            named: BTreeMap::new(),
        })
    }
}

impl FakeSession {
    fn log(&self, what: impl Into<String>) {
        self.log.lock().unwrap().push(what.into());
    }
}

impl Session for FakeSession {
    type Prepared = Plan;

    fn parse(&self, sql: &str) -> Result<Vec<Parsed>> {
        let mut offset = 0;
        let mut statements = Vec::new();
        for part in sql.split(';') {
            let text = part.trim();
            if !text.is_empty() && !text.starts_with("--") {
                let blanks = part.len() - part.trim_start().len();
                let mut parsed = weir_sql::parser::parse("SELECT 1")?.remove(0);
                (parsed.text, parsed.offset) = (text.to_string(), offset + blanks);
                statements.push(parsed);
            }
            offset += part.len() + 1;
        }
        Ok(statements)
    }

    async fn prepare(&mut self, parsed: Parsed, _types: &[u32]) -> Result<Arc<Plan>> {
        let Parsed { text, offset, .. } = parsed;
        let word = text.split_whitespace().next().unwrap();
        let fields = match word {
            "rows" | "wait" | "forever" => Some(numbers()),
            "echo" => Some(Arc::new(Schema::new(vec![PgType::Int4.field("a"), PgType::Text.field("b")]))),
            "params" => Some(Arc::new(Schema::new(vec![PgType::Text.field("p")]))),
            "unknown" => return Err(Error::new(SqlState::SYNTAX_ERROR, "syntax error at or near \"unknown\"").with_position(1)),
            _ => None,
        };
        let parameters = if word == "echo" { vec![PgType::Int4, PgType::Text] } else { Vec::new() };
        Ok(Arc::new(Plan { text, offset, parameters, fields }))
    }

    async fn run_once(&mut self, parsed: Parsed) -> Result<(Arc<Plan>, Outcome)> {
        let plan = self.prepare(parsed, &[]).await?;
        let outcome = self.execute(&plan, Vec::new()).await?;
        Ok((plan, outcome))
    }

    fn parameters(plan: &Plan) -> &[PgType] {
        &plan.parameters
    }

    fn offset(plan: &Plan) -> usize {
        plan.offset
    }

    fn statement(&self, name: &str) -> Option<Named<Plan>> {
        self.named.get(name).cloned()
    }

    fn keep_statement(&mut self, name: &str, statement: Named<Plan>) -> Result<()> {
        self.named.insert(name.to_string(), statement);
        Ok(())
    }

    fn close_statement(&mut self, name: &str) {
        self.named.remove(name);
    }

    fn fields(plan: &Plan) -> Option<SchemaRef> {
        plan.fields.clone()
    }

    async fn execute(&mut self, plan: &Arc<Plan>, parameters: Vec<Option<ScalarParam>>) -> Result<Outcome> {
        self.log(plan.text.clone());
        if self.status == TransactionStatus::Failed && plan.text != "commit" {
            let message = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(Error::new(SqlState::IN_FAILED_SQL_TRANSACTION, message));
        }
        let words: Vec<&str> = plan.text.split_whitespace().collect();
        let rows = |batches| Ok(Outcome::Rows { schema: plan.fields.clone().unwrap(), batches, tag: RowsTag::Select });
        let done = |tag: &str| Ok(Outcome::Done { tag: tag.to_string() });
        self.streams_open.fetch_add(1, Ordering::SeqCst);
        let counted = Counted(self.streams_open.clone());
        match words.as_slice() {
            ["rows", count, size] => {
                let (count, size): (i32, i32) = (count.parse().unwrap(), size.parse().unwrap());
                let starts: Vec<i32> = (0..count).step_by(size as usize).collect();
                rows(stream::iter(starts).map(move |from| Ok((&counted, batch(from, size.min(count - from))).1)).boxed())
            }
            ["wait"] => rows(stream::once(async { Ok(batch(1, 1)) }).chain(stream::pending()).inspect(move |_| _ = &counted).boxed()),
            ["forever"] => rows(stream::repeat_with(move || Ok((&counted, batch(0, 1000)).1)).boxed()),
            ["echo"] => {
                let text = |at: usize| parameters[at].as_ref().map(|parameter| parameter.array.clone());
                let a = text(0).unwrap_or_else(|| Arc::new(Int32Array::new_null(1)));
                let b = text(1).unwrap_or_else(|| Arc::new(StringArray::new_null(1)));
                let batch = RecordBatch::try_new(plan.fields.clone().unwrap(), vec![a, b])?;
                rows(stream::iter([Ok(batch)]).boxed())
            }
            ["params"] => {
                let text = format!("{:?}", self.startup.parameters);
                let batch = RecordBatch::try_new(plan.fields.clone().unwrap(), vec![Arc::new(StringArray::from(vec![text]))])?;
                rows(stream::iter([Ok(batch)]).boxed())
            }
            ["fail"] => Err(Error::new(SqlState::DIVISION_BY_ZERO, "division by zero").with_hint("Do not.").with_position(2)),
            ["panic"] => panic!("a bug"),
            ["sleep"] => std::future::pending().await,
            ["cannot", "be", "taken", "back"] => {
                let _shield = self.shield.raise();
                tokio::time::sleep(Duration::from_millis(200)).await;
                done("DONE")
            }
            ["timeout"] => {
                self.timeout = Some(Duration::from_millis(50));
                done("SET")
            }
            ["set"] => {
                self.changes.push(("application_name".to_string(), "fake".to_string()));
                self.notices.push(Notice::notice("so be it"));
                done("SET")
            }
            ["begin"] => {
                self.status = TransactionStatus::InBlock;
                self.implicit = false;
                done("BEGIN")
            }
            ["commit"] => {
                self.status = TransactionStatus::Idle;
                done("COMMIT")
            }
            ["copy", "in"] => Ok(Outcome::CopyIn { columns: 2, binary: false }),
            ["copy", "out"] => {
                let chunks = stream::iter(["a\tb\n", "c\td\n"]).map(|row| Ok(Bytes::from(row))).boxed();
                Ok(Outcome::CopyOut { columns: 2, binary: false, chunks, rows: Arc::new(AtomicU64::new(2)) })
            }
            other => done(&other.join(" ").to_uppercase()),
        }
    }

    fn shield(&self) -> Shield {
        self.shield.clone()
    }

    fn transaction_status(&self) -> TransactionStatus {
        self.status
    }

    fn fail(&mut self) {
        self.log("FAIL");
        self.copied.clear();
        if self.status == TransactionStatus::InBlock {
            self.status = TransactionStatus::Failed;
        }
    }

    async fn begin_implicit(&mut self) {
        // As the contract has it: nothing where there is one already.
        if !std::mem::replace(&mut self.implicit, true) {
            self.log("IMPLICIT");
        }
    }

    async fn end_implicit(&mut self, ok: bool) -> Result<()> {
        self.implicit = false;
        self.log(if ok { "END" } else { "UNDO" });
        Ok(())
    }

    async fn copy_data(&mut self, data: &[u8]) -> Result<()> {
        self.copied.extend_from_slice(data);
        if data.starts_with(b"bad") {
            return Err(Error::new(SqlState::BAD_COPY_FILE_FORMAT, "missing data for column \"b\""));
        }
        Ok(())
    }

    async fn copy_done(&mut self) -> Result<String> {
        let lines = std::mem::take(&mut self.copied).iter().filter(|b| **b == b'\n').count();
        Ok(format!("COPY {lines}"))
    }

    fn copy_fail(&mut self, message: &str) {
        self.log(format!("copy_fail {message}"));
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn take_parameter_changes(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.changes)
    }

    fn parameter_statuses(&self) -> Vec<(String, String)> {
        vec![("server_version".to_string(), "16.6".to_string())]
    }

    fn text_settings(&self) -> TextSettings {
        TextSettings::default()
    }

    fn statement_timeout(&self) -> Option<Duration> {
        self.timeout
    }
}
