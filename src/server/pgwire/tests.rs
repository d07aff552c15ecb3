//! The protocol over real sockets, with a backend that is made for it.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{Array, AsArray, Int32Array, StringArray};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use bytes::{Buf, Bytes};
use futures::{SinkExt, StreamExt, TryStreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_postgres::error::SqlState as Code;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;
use weir_common::error::{Error, Result, SqlState};
use weir_common::types::PgType;
use weir_sql::statement::Parsed;

use crate::pgwire::backend::{Backend, Named, Notice, Outcome, RowsTag, Session, Startup, TransactionStatus};
use crate::pgwire::shield::Shield;
use crate::pgwire::{Server, accept, startup};
use crate::value::scalar::ScalarParam;
use crate::value::settings::TextSettings;

/// Understands a few words: `rows 10 5` (ten rows in batches of five), `wait` (a row, then nothing), `forever` (rows
/// without end), `echo` (its parameter), `fail`, `panic`, `sleep`, `begin`, `commit`, `copy in`, `copy out`, `set`.
#[derive(Default)]
struct Fake {
    streams_open: Arc<AtomicUsize>,
    log: Arc<std::sync::Mutex<Vec<String>>>,
}

struct FakeSession {
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

struct Plan {
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

struct Running {
    address: SocketAddr,
    streams_open: Arc<AtomicUsize>,
    log: Arc<std::sync::Mutex<Vec<String>>>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn start(sessions_max: usize) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let backend = Arc::new(Fake::default());
    let (streams_open, log) = (backend.streams_open.clone(), backend.log.clone());
    let shutdown = CancellationToken::new();
    let server = Arc::new(Server { backend, registry: Arc::default(), sessions: AtomicUsize::new(0), sessions_max });
    let task = tokio::spawn(accept(listener, server, shutdown.clone()));
    Running { address, streams_open, log, shutdown, task }
}

impl Running {
    async fn client(&self) -> Client {
        self.try_client("weir", "").await.unwrap()
    }

    async fn try_client(&self, database: &str, options: &str) -> std::result::Result<Client, tokio_postgres::Error> {
        let config = format!("host=127.0.0.1 port={} user=me dbname={database} options='{options}'", self.address.port());
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    async fn raw(&self) -> Raw {
        let mut raw = Raw(TcpStream::connect(self.address).await.unwrap());
        let body = b"\0\x03\0\0user\0me\0database\0weir\0\0";
        raw.0.write_all(&(body.len() as u32 + 4).to_be_bytes()).await.unwrap();
        raw.0.write_all(body).await.unwrap();
        raw.until_ready().await;
        raw
    }

    fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    /// Waits for the streams of statements to be gone.
    async fn until_no_stream(&self) {
        within(async {
            while self.streams_open.load(Ordering::SeqCst) > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

/// A client that says what it is told to.
struct Raw(TcpStream);

impl Raw {
    async fn send(&mut self, messages: &[(u8, &[u8])]) {
        let mut bytes = Vec::new();
        for (kind, body) in messages {
            bytes.push(*kind);
            bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
            bytes.extend_from_slice(body);
        }
        self.0.write_all(&bytes).await.unwrap();
    }

    async fn next(&mut self) -> Option<(char, Bytes)> {
        let mut head = [0; 5];
        within(self.0.read_exact(&mut head)).await.ok()?;
        let mut body = vec![0; (&head[1..]).get_u32() as usize - 4];
        self.0.read_exact(&mut body).await.unwrap();
        Some((head[0] as char, body.into()))
    }

    /// The types of the messages up to ReadyForQuery, and for errors their code.
    async fn until_ready(&mut self) -> String {
        let mut seen = String::new();
        while let Some((kind, body)) = self.next().await {
            seen.push(kind);
            match kind {
                'E' => seen.push_str(&format!("[{}]", code(&body))),
                'Z' => {
                    seen.push(body[0] as char);
                    return seen;
                }
                _ => {}
            }
        }
        seen + "<end>"
    }
}

fn code(body: &[u8]) -> String {
    let fields = body.split(|b| *b == 0);
    let code = fields.into_iter().find_map(|field| field.strip_prefix(b"C"));
    String::from_utf8(code.unwrap().to_vec()).unwrap()
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("it takes too long")
}

fn code_of<T: std::fmt::Debug>(result: std::result::Result<T, tokio_postgres::Error>) -> String {
    result.unwrap_err().code().expect("an error of the server").code().to_string()
}

#[tokio::test]
async fn a_query_string_of_several_statements() {
    let server = start(10).await;
    let client = server.client().await;
    let messages = client.simple_query("rows 2 2; set; rows 5 2").await.unwrap();
    let seen: Vec<String> = messages
        .iter()
        .map(|message| match message {
            SimpleQueryMessage::Row(row) => format!("{}:{}", row.get(0).unwrap(), row.get(1).unwrap_or("NULL")),
            SimpleQueryMessage::CommandComplete(rows) => format!("done {rows}"),
            _ => "fields".to_string(),
        })
        .collect();
    let expected =
        ["fields", "0:NULL", "1:row 1", "done 2", "done 0", "fields", "0:NULL", "1:row 1", "2:row 2", "3:NULL", "4:row 4", "done 5"];
    assert_eq!(seen, expected);
    assert_eq!(server.take_log(), ["IMPLICIT", "rows 2 2", "set", "rows 5 2", "END"]);
    // An error: what came before was answered, what comes after is not done, all of it is undone.
    let error = client.simple_query("rows 1 1;  fail; rows 1 1").await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code(), &Code::DIVISION_BY_ZERO);
    assert_eq!(error.hint(), Some("Do not."));
    assert_eq!(error.position(), Some(&tokio_postgres::error::ErrorPosition::Original(13)));
    assert_eq!(server.take_log(), ["IMPLICIT", "rows 1 1", "fail", "FAIL", "UNDO"]);
    // A block that begins inside takes over; after its end a new implicit transaction begins.
    client.simple_query("begin; rows 1 1; commit; rows 1 1").await.unwrap();
    assert_eq!(server.take_log(), ["IMPLICIT", "begin", "rows 1 1", "commit", "IMPLICIT", "rows 1 1", "END"]);
    client.simple_query("rows 1 1").await.unwrap();
    assert_eq!(server.take_log(), ["rows 1 1"]);
}

#[tokio::test]
async fn messages_of_simple_queries_in_order() {
    let server = start(10).await;
    let mut raw = server.raw().await;
    raw.send(&[(b'Q', b"  -- nothing\n;;\0")]).await;
    assert_eq!(raw.until_ready().await, "IZI");
    raw.send(&[(b'Q', b"begin; set; fail\0")]).await;
    assert_eq!(raw.until_ready().await, "CNSCE[22012]ZE");
    raw.send(&[(b'Q', b"rows 1 1\0"), (b'Q', b"commit\0"), (b'Q', b"rows 1 1\0")]).await;
    assert_eq!(raw.until_ready().await, "E[25P02]ZE");
    assert_eq!(raw.until_ready().await, "CZI");
    assert_eq!(raw.until_ready().await, "TDCZI");
    raw.send(&[(b'Q', b"\xff\0"), (b'Q', b"no end"), (b'F', b"\0\0")]).await;
    assert_eq!(raw.until_ready().await, "E[22021]ZI");
    assert_eq!(raw.until_ready().await, "E[08P01]ZI");
    assert_eq!(raw.until_ready().await, "E[0A000]ZI");
}

#[tokio::test]
async fn extended_with_binary_values() {
    let server = start(10).await;
    let client = server.client().await;
    let statement = client.prepare("echo").await.unwrap();
    assert_eq!(statement.params(), [tokio_postgres::types::Type::INT4, tokio_postgres::types::Type::TEXT]);
    let row = client.query_one(&statement, &[&7i32, &"seven"]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (7, "seven"));
    let row = client.query_one(&statement, &[&None::<i32>, &None::<&str>]).await.unwrap();
    assert_eq!((row.get::<_, Option<i32>>("a"), row.get::<_, Option<&str>>("b")), (None, None));
    let rows = client.query("rows 20000 8192", &[]).await.unwrap();
    assert_eq!(rows.len(), 20000);
    assert_eq!((rows[19999].get::<_, i32>(0), rows[19999].get::<_, &str>(1)), (19999, "row 19999"));
    // Pipelined: answers belong to their questions, an error to its own.
    let (a, b, c) = tokio::join!(client.query("rows 3 1", &[]), client.query("fail", &[]), client.query("rows 2 2", &[]));
    assert_eq!((a.unwrap().len(), code_of(b), c.unwrap().len()), (3, "22012".to_string(), 2));
    assert_eq!(client.execute("set", &[]).await.unwrap(), 0);
    assert_eq!(code_of(client.query("rows 1 1; rows 1 1", &[]).await), "42601");
    assert_eq!(client.query("", &[]).await.unwrap().len(), 0);
}

#[tokio::test]
async fn portals_with_row_limits() {
    let server = start(10).await;
    let mut client = server.client().await;
    let transaction = client.transaction_with_begin("begin").await;
    let portal = transaction.bind("rows 7 3", &[]).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let rows = transaction.query_portal(&portal, 2).await.unwrap();
        seen.push(rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>());
    }
    assert_eq!(seen, [vec![0, 1], vec![2, 3], vec![4, 5], vec![6]]);
    assert_eq!(transaction.query_portal(&portal, 2).await.unwrap().len(), 0);
    transaction.batch_execute("commit").await.unwrap();
    assert_eq!(code_of(transaction.query_portal(&portal, 2).await), "34000");
}

/// tokio-postgres opens transactions with words that the fake does not know: portals are used on the client itself.
trait Begin {
    async fn transaction_with_begin(&mut self, begin: &str) -> tokio_postgres::Transaction<'_>;
}

impl Begin for Client {
    async fn transaction_with_begin(&mut self, begin: &str) -> tokio_postgres::Transaction<'_> {
        let transaction = self.transaction().await.unwrap();
        transaction.batch_execute(begin).await.unwrap();
        transaction
    }
}

#[tokio::test]
async fn messages_of_the_extended_protocol_in_order() {
    let server = start(10).await;
    let mut raw = server.raw().await;
    let parse = |name: &str, sql: &str| format!("{name}\0{sql}\0\0\0").into_bytes();
    let bind = |portal: &str, statement: &str| format!("{portal}\0{statement}\0\0\0\0\0\0\0").into_bytes();
    let execute = |portal: &str, rows: u8| [portal.as_bytes(), &[0, 0, 0, 0, rows]].concat();
    // A limit of exactly the rows there are suspends; asking again tells that there are no more.
    raw.send(&[
        (b'P', &parse("", "rows 2 2")),
        (b'B', &bind("p", "")),
        (b'D', b"Pp\0"),
        (b'E', &execute("p", 2)),
        (b'E', &execute("p", 2)),
        (b'E', &execute("p", 0)),
        (b'S', b""),
    ])
    .await;
    assert_eq!(raw.until_ready().await, "12TDDsCCZI");
    assert_eq!(server.take_log(), ["IMPLICIT", "rows 2 2", "END"]);
    // Outside a block Sync is the end of all portals.
    raw.send(&[(b'E', &execute("p", 0)), (b'P', &parse("", "set")), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "E[34000]ZI");
    raw.send(&[(b'P', &parse("s", "set")), (b'P', &parse("s", "set")), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "1E[42P05]ZI");
    raw.send(&[(b'B', &bind("", "s")), (b'E', &execute("", 0)), (b'E', &execute("", 0)), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "2NSCE[55000]ZI");
    raw.send(&[(b'C', b"Ss\0"), (b'D', b"Ss\0"), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "3E[26000]ZI");
    raw.send(&[(b'P', &parse("", "")), (b'D', b"S\0"), (b'B', &bind("", "")), (b'E', &execute("", 0)), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "1tn2IZI");
    // What is wrong with a bind.
    raw.send(&[(b'P', &parse("", "echo")), (b'B', &bind("", "")), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "1E[08P01]ZI");
    let text = b"\0\0\0\0\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0".as_slice();
    raw.send(&[(b'P', &parse("", "echo")), (b'B', text), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "1E[22P02]ZI");
    raw.send(&[(b'B', b"\0\0\0\x05"), (b'E', b"x"), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "E[08P01]ZI");
    // An error is sent at once, not only at Sync; in a block the unnamed portal outlives its Sync.
    raw.send(&[(b'P', &parse("", "unknown"))]).await;
    assert_eq!(raw.next().await.unwrap().0, 'E');
    raw.send(&[(b'S', b""), (b'Q', b"begin\0")]).await;
    assert_eq!((raw.until_ready().await, raw.until_ready().await), ("ZI".to_string(), "CZT".to_string()));
    raw.send(&[(b'P', &parse("", "rows 3 3")), (b'B', &bind("", "")), (b'E', &execute("", 1)), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "12DsZT");
    raw.send(&[(b'E', &execute("", 0)), (b'S', b"")]).await;
    assert_eq!(raw.until_ready().await, "DDCZT");
    raw.send(&[(b'H', b""), (b'X', b"")]).await;
    assert!(raw.next().await.is_none());
}

#[tokio::test]
async fn rows_are_not_held_back_and_can_be_cancelled() {
    let server = start(10).await;
    let client = server.client().await;
    let rows = client.query_raw("wait", &[] as &[&str]).await.unwrap();
    let mut rows = std::pin::pin!(rows);
    let first = within(rows.try_next()).await.unwrap().unwrap();
    assert_eq!(first.get::<_, i32>(0), 1);
    client.cancel_token().cancel_query(NoTls).await.unwrap();
    let error = within(rows.try_next()).await.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().message(), "canceling statement due to user request");
    assert_eq!(error.code(), Some(&Code::QUERY_CANCELED));
    server.until_no_stream().await;
    // A stream that always has rows, and a statement that never answers; the connection goes on after both.
    for statement in ["forever", "sleep"] {
        let (result, ()) = tokio::join!(client.query(statement, &[]), async {
            within(async {
                while !server.log.lock().unwrap().iter().any(|said| said == statement) {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            client.cancel_token().cancel_query(NoTls).await.unwrap();
        });
        assert_eq!(code_of(result), "57014");
    }
    assert_eq!(client.query("rows 2 2", &[]).await.unwrap().len(), 2);
    client.simple_query("timeout").await.unwrap();
    // What cannot be taken back is not said to have been canceled.
    client.simple_query("cannot be taken back").await.unwrap();
    let error = within(client.simple_query("sleep")).await.unwrap_err();
    assert_eq!(error.as_db_error().unwrap().message(), "canceling statement due to statement timeout");
}

#[tokio::test]
async fn a_client_that_leaves_stops_its_stream() {
    let server = start(10).await;
    for query in [b"wait\0".as_slice(), b"forever\0", b"sleep\0"] {
        let mut raw = server.raw().await;
        raw.send(&[(b'Q', query)]).await;
        within(async {
            while server.streams_open.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        drop(raw);
        server.until_no_stream().await;
    }
}

#[tokio::test]
async fn messages_sent_while_a_statement_runs_are_not_lost() {
    let server = start(10).await;
    let mut raw = server.raw().await;
    raw.send(&[(b'Q', b"rows 30000 1000\0")]).await;
    let mut sent = Vec::new();
    for _ in 0..2000 {
        sent.push((b'Q', b"rows 1 1\0".as_slice()));
    }
    let (mut reader, mut writer) = raw.0.into_split();
    let writing = tokio::spawn(async move {
        for (kind, body) in sent {
            let bytes = [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat();
            writer.write_all(&bytes).await.unwrap();
        }
        writer
    });
    let mut ready = 0;
    while ready < 2001 {
        let mut head = [0; 5];
        within(reader.read_exact(&mut head)).await.unwrap();
        let mut body = vec![0; (&head[1..]).get_u32() as usize - 4];
        reader.read_exact(&mut body).await.unwrap();
        ready += usize::from(head[0] == b'Z');
    }
    writing.await.unwrap();
}

#[tokio::test]
async fn copies() {
    let server = start(10).await;
    let client = server.client().await;
    let sink = client.copy_in("copy in").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    sink.send(Bytes::from("a\tb\n")).await.unwrap();
    sink.send(Bytes::from("c\td\n")).await.unwrap();
    assert_eq!(sink.finish().await.unwrap(), 2);
    let out: Vec<Bytes> = client.copy_out("copy out").await.unwrap().try_collect().await.unwrap();
    assert_eq!(out, ["a\tb\n", "c\td\n"]);
    // An error in the middle, in both protocols, and giving up.
    let sink = client.copy_in("copy in").await.unwrap();
    let mut sink = std::pin::pin!(sink);
    sink.send(Bytes::from("bad\n")).await.unwrap();
    assert_eq!(code_of(sink.finish().await), "22P04");
    let mut raw = server.raw().await;
    raw.send(&[(b'Q', b"copy in\0"), (b'd', b"bad"), (b'd', b"more"), (b'c', b""), (b'Q', b"rows 1 1\0")]).await;
    assert_eq!(raw.until_ready().await, "GE[22P04]ZI");
    assert_eq!(raw.until_ready().await, "TDCZI");
    raw.send(&[(b'Q', b"copy in; rows 1 1\0"), (b'd', b"x\n"), (b'H', b""), (b'S', b""), (b'c', b"")]).await;
    assert_eq!(raw.until_ready().await, "GCTDCZI");
    raw.send(&[(b'Q', b"copy in\0"), (b'f', b"changed my mind\0")]).await;
    assert_eq!(raw.until_ready().await, "GE[57014]ZI");
    assert!(server.take_log().contains(&"copy_fail changed my mind".to_string()));
    raw.send(&[(b'Q', b"copy in\0"), (b'Q', b"rows 1 1\0")]).await;
    assert_eq!(raw.until_ready().await, "GE[08P01]ZI");
    raw.send(&[(b'Q', b"copy out\0")]).await;
    assert_eq!(raw.until_ready().await, "HddcCZI");
}

#[tokio::test]
async fn a_panic_is_an_error_of_its_statement() {
    let server = start(10).await;
    let client = server.client().await;
    assert_eq!(code_of(client.simple_query("panic").await), "XX000");
    assert_eq!(code_of(client.query("panic", &[]).await), "XX000");
    assert_eq!(client.query("rows 2 2", &[]).await.unwrap().len(), 2);
}

#[tokio::test]
async fn who_may_connect() {
    let server = start(1).await;
    let error = server.try_client("other", "").await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!((error.severity(), error.code()), ("FATAL", &Code::INVALID_CATALOG_NAME));
    assert_eq!(error.message(), "database \"other\" does not exist");
    let client = server.client().await;
    assert_eq!(code_of(server.try_client("weir", "").await.map(|_| ())), "53300");
    drop(client);
    let client = within(async {
        loop {
            if let Ok(client) = server.try_client("weir", "-c statement_timeout=5s --search-path=a\\\\ b").await {
                return client;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let rows = client.query("params", &[]).await.unwrap();
    let parameters: String = rows[0].get(0);
    assert!(parameters.contains(r#""search_path": "a b""#) && parameters.contains(r#""statement_timeout": "5s""#), "{parameters}");
}

#[tokio::test]
async fn the_start_of_a_connection() {
    let server = start(10).await;
    let connect = async |bytes: &[u8]| {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    };
    // Not Postgres: closed without a word.
    let mut stream = connect(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
    assert_eq!(answer, b"");
    // Encryption is declined, twice; then a version beyond ours with an option nobody knows.
    let mut raw = Raw(connect(&[0, 0, 0, 8, 4, 210, 22, 47]).await);
    let mut byte = [0];
    raw.0.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"N");
    raw.0.write_all(&[0, 0, 0, 8, 4, 210, 22, 48]).await.unwrap();
    raw.0.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"N");
    let body = b"\0\x03\0\x09user\0me\0database\0weir\0_pq_.magic\0on\0\0";
    raw.0.write_all(&[&(body.len() as u32 + 4).to_be_bytes(), body.as_slice()].concat()).await.unwrap();
    let (kind, body) = raw.next().await.unwrap();
    assert_eq!((kind, &body[..]), ('v', b"\0\x03\0\x02\0\0\0\x01_pq_.magic\0".as_slice()));
    assert_eq!(raw.next().await.unwrap().0, 'R');
    assert_eq!(raw.next().await.unwrap().0, 'S');
    let (kind, key) = raw.next().await.unwrap();
    assert_eq!((kind, key.len()), ('K', 4 + 32));
    assert_eq!(raw.until_ready().await, "ZI");
    // Replication and old protocols are refused; broken frames end the connection.
    let body = b"\0\x03\0\0user\0me\0replication\0true\0\0";
    let mut raw = Raw(connect(&[&(body.len() as u32 + 4).to_be_bytes(), body.as_slice()].concat()).await);
    assert_eq!(raw.until_ready().await, "E[0A000]<end>");
    let mut raw = Raw(connect(&[0, 0, 0, 9, 0, 2, 0, 0, 0]).await);
    assert_eq!(raw.until_ready().await, "E[0A000]<end>");
    for broken in [b"Q\0\0\0\x01".as_slice(), b"Q\xff\xff\xff\xff", b"S\0\x01\0\0", b"!\0\0\0\x04"] {
        let mut raw = server.raw().await;
        raw.0.write_all(broken).await.unwrap();
        assert_eq!(raw.until_ready().await, "E[08P01]<end>");
    }
}

#[tokio::test]
async fn shutdown_says_goodbye() {
    let server = start(10).await;
    let (mut idle, mut busy, mut stuck) = (server.raw().await, server.raw().await, server.raw().await);
    busy.send(&[(b'Q', b"wait\0")]).await;
    assert_eq!(busy.next().await.unwrap().0, 'T');
    assert_eq!(busy.next().await.unwrap().0, 'D');
    stuck.send(&[(b'Q', b"forever\0")]).await;
    server.shutdown.cancel();
    assert_eq!(idle.until_ready().await, "E[57P01]<end>");
    assert_eq!(busy.until_ready().await, "E[57P01]<end>");
    within(server.task).await.unwrap();
}

#[test]
fn options_of_startup() {
    let parse = |options: &str| startup::parse_options(options);
    let expected: BTreeMap<String, String> =
        [("a", "b c"), ("statement_timeout", "5"), ("x", "")].map(|(k, v)| (k.into(), v.into())).into();
    assert_eq!(parse(r"-c a=b\ c --statement-timeout=5  -cX=").unwrap(), expected);
    assert_eq!(parse("-x").unwrap_err().message(), "invalid command-line argument for server process: -x");
    assert_eq!(parse("-c a").unwrap_err().message(), "-c a requires a value");
    assert!(parse("").unwrap().is_empty());
}

#[test]
fn secrets_are_checked() {
    let registry = Arc::new(crate::pgwire::cancel::Registry::default());
    let shutdown = CancellationToken::new();
    let (registration, receiver, end) = registry.register(&shutdown);
    assert!(!registry.cancel(registration.pid, &[]));
    assert!(!registry.cancel(registration.pid, &registration.secret[..8]));
    assert!(!registry.cancel(registration.pid + 1, &registration.secret));
    assert!(!receiver.has_changed().unwrap());
    assert!(registry.cancel(registration.pid, &registration.secret[..4]));
    assert!(registry.cancel(registration.pid, &registration.secret));
    assert!(receiver.has_changed().unwrap());
    let (other, _receiver, other_end) = registry.register(&shutdown);
    assert!(registry.interrupt(registration.pid) && registry.terminate(registration.pid));
    assert!(end.is_cancelled() && !other_end.is_cancelled());
    shutdown.cancel();
    assert!(other_end.is_cancelled());
    assert_ne!((registration.pid, &registration.secret), (other.pid, &other.secret));
    let pid = registration.pid;
    drop(registration);
    assert!(!registry.cancel(pid, &[0; 4]) && !registry.interrupt(pid) && !registry.terminate(pid));
}

#[test]
fn parameters_are_one_row_each() {
    let parameter = ScalarParam::decode(&PgType::Int4, crate::value::rows::Format::Text, b"12", &TextSettings::default()).unwrap();
    assert_eq!((parameter.array.len(), parameter.array.as_primitive::<arrow::datatypes::Int32Type>().value(0)), (1, 12));
}
