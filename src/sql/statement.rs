//! What a user said: one type per statement, after parsing and before any name is looked up.
//!
//! Queries and changes of rows keep sqlparser's tree; everything else is ours, and holds only what Weir means to do:
//! the parser refuses a clause that these types cannot carry. Positions and the spans of sqlparser's nodes count from
//! the start of [`Parsed::text`]; [`Parsed::place`] turns them into positions in what the client sent.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast;
use weir_common::error::{Error, SqlState};
use weir_common::ids::Epoch;
pub use weir_common::lateness::Emit;

mod alter; // ALTER in all its forms

pub use alter::{Alter, AlterAction, AlterLate, Condition, LateAction};

/// One statement of a query string.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// What it asks for.
    pub statement: Statement,
    /// Its own text: trimmed, without comments around it and without the `;`.
    pub text: String,
    /// Characters before [`Parsed::text`] in the query string.
    pub offset: usize,
}

impl Parsed {
    /// Moves the position of an error in this statement's text to where the client sees it, in the whole query string.
    /// For errors of planning and execution; those of the parser are in place.
    pub fn place(&self, error: Error) -> Error {
        match error.position() {
            Some(position) => error.with_position(position + self.offset),
            None => error,
        }
    }

    /// Moves the position of an error in the text of a statement inside this one to this one's text.
    pub fn outside(&self, inner: &Parsed, error: Error) -> Error {
        match error.position() {
            Some(position) => error.with_position(position + inner.offset.saturating_sub(self.offset)),
            None => error,
        }
    }
}

/// A statement by kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `SELECT`, `VALUES`, `TABLE t`, `WITH ..`
    Query(Box<ast::Query>),
    /// `INSERT INTO t [AS a] .. [ON CONFLICT ..] [RETURNING ..]`
    Insert(Box<ast::Insert>),
    /// `UPDATE t SET .. [FROM ..] [WHERE ..] [RETURNING ..]`
    Update(Box<ast::Update>),
    /// `DELETE FROM t [USING ..] [WHERE ..] [RETURNING ..]`
    Delete(Box<ast::Delete>),
    /// `TRUNCATE t [, ..]`
    Truncate(Truncate),
    /// `COPY .. FROM STDIN` and `COPY .. TO STDOUT`
    Copy(Copy),
    /// `CREATE TABLE`
    CreateTable(CreateTable),
    /// `CREATE SOURCE`
    CreateSource(CreateSource),
    /// `CREATE VIEW`
    CreateView(CreateView),
    /// `CREATE MATERIALIZED VIEW`
    CreateMaterializedView(CreateMaterializedView),
    /// `DROP ..`
    Drop(Drop),
    /// `EXPLAIN ..`
    Explain(Explain),
    /// `SHOW ..`
    Show(Show),
    /// `SET name = ..`, with `SET TIME ZONE`, `SET NAMES`, `SET ROLE` ... as the variables they stand for
    Set(Set),
    /// `SET TRANSACTION ..`, `SET SESSION CHARACTERISTICS AS TRANSACTION ..`
    SetTransaction(SetTransaction),
    /// `RESET ..`
    Reset(Reset),
    /// `DISCARD ..`
    Discard(Discard),
    /// `BEGIN`, `COMMIT`, `ROLLBACK`, savepoints
    Transaction(Transaction),
    /// `PREPARE name [(types)] AS statement`
    Prepare(Prepare),
    /// `EXECUTE name [(arguments)]`
    Execute(Execute),
    /// `DEALLOCATE [PREPARE] name`; `None` is `ALL`
    Deallocate(Option<String>),
    /// `DECLARE name .. CURSOR .. FOR query`
    Declare(Declare),
    /// `SUBSCRIBE ..`
    Subscribe(Box<Subscribe>),
    /// `FETCH ..`, `MOVE ..`
    Fetch(Fetch),
    /// `CLOSE name`; `None` is `ALL`
    Close(Option<String>),
    /// `UNLISTEN channel`; `None` is `*`
    Unlisten(Option<String>),
    /// `ALTER SOURCE name SET ..`, `ALTER TABLE name SET ..`
    Alter(Alter),
    /// `ALTER MATERIALIZED VIEW name ADMIT LATE | DISCARD LATE [WHERE ..]`
    AlterLate(AlterLate),
    /// `CHECKPOINT`
    Checkpoint,
    /// `BACKUP TO 'directory'`
    Backup(String),
    /// Understood, and not there yet
    Unsupported(Unsupported),
}

/// A statement of Postgres or of Weir's design that this version cannot carry out.
#[derive(Clone, Debug, PartialEq)]
pub struct Unsupported {
    /// Its command words: `CREATE INDEX`.
    pub what: String,
    /// What to do instead.
    pub hint: Option<String>,
}

impl Unsupported {
    /// The error to answer with.
    pub fn error(&self) -> Error {
        let error = Error::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{} is not supported yet", self.what));
        match &self.hint {
            Some(hint) => error.with_hint(hint.clone()),
            None => error,
        }
    }
}

/// A column as it was declared.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSpec {
    /// Its name.
    pub name: ast::Ident,
    /// Its type, not looked up yet.
    pub data_type: ast::DataType,
    /// `NOT NULL` was said; a primary key implies it without setting it.
    pub not_null: bool,
    /// `DEFAULT expr`
    pub default: Option<ast::Expr>,
    /// `PRIMARY KEY` was said at the column.
    pub primary_key: bool,
    /// Where its name stands.
    pub position: usize,
}

/// `[CONSTRAINT name] CHECK (expr)`, at a column or by itself
#[derive(Clone, Debug, PartialEq)]
pub struct CheckSpec {
    /// `CONSTRAINT name`
    pub name: Option<ast::Ident>,
    /// What must not be false of any row.
    pub expr: ast::Expr,
    /// Where `CHECK` stands.
    pub position: usize,
}

/// `WATERMARK FOR column AS expr`
#[derive(Clone, Debug, PartialEq)]
pub struct Watermark {
    /// The event time.
    pub column: ast::Ident,
    /// The promise: `column - INTERVAL '5 seconds'`, or the column itself.
    pub expr: ast::Expr,
    /// Where `WATERMARK` stands.
    pub position: usize,
}

/// The value of an option in `WITH (..)`.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionValue {
    /// The value as text; a boolean is `true` or `false`.
    pub value: String,
    /// Where the option's name stands.
    pub position: usize,
}

/// Options by name; dotted names as they were written, unquoted ones in lower case.
pub type Options = BTreeMap<String, OptionValue>;

/// `CREATE TABLE [IF NOT EXISTS] name (..)` or `.. AS query`
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTable {
    /// Its name.
    pub name: ast::ObjectName,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The columns; empty where a query says them.
    pub columns: Vec<ColumnSpec>,
    /// The columns of the primary key, wherever it was declared. The parser has checked that they exist and are distinct.
    pub primary_key: Option<Vec<ast::Ident>>,
    /// `CONSTRAINT name` of the primary key.
    pub primary_key_name: Option<ast::Ident>,
    /// The CHECK constraints, in the order in which they were declared.
    pub checks: Vec<CheckSpec>,
    /// `WATERMARK FOR ..`
    pub watermark: Option<Watermark>,
    /// `CREATE TABLE name [(columns)] AS query`
    pub query: Option<TableQuery>,
}

/// The query of `CREATE TABLE AS`.
#[derive(Clone, Debug, PartialEq)]
pub struct TableQuery {
    /// Names for its columns, in order; may be fewer than it has.
    pub columns: Vec<ast::Ident>,
    /// What fills the table.
    pub query: Box<ast::Query>,
}

/// `CREATE SOURCE [IF NOT EXISTS] name (..) INCLUDE .. WITH (..) FORMAT .. ENCODE ..`
#[derive(Clone, Debug, PartialEq)]
pub struct CreateSource {
    /// Its name.
    pub name: ast::ObjectName,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// The columns; empty where the connector knows them.
    pub columns: Vec<ColumnSpec>,
    /// `WATERMARK FOR ..`
    pub watermark: Option<Watermark>,
    /// `INCLUDE ..`: columns that come from the connector and not from the row.
    pub include: Vec<IncludeColumn>,
    /// `WITH (..)`
    pub options: Options,
    /// `FORMAT .. ENCODE ..`
    pub format: Option<Format>,
}

/// One item of `INCLUDE`.
#[derive(Clone, Debug, PartialEq)]
pub struct IncludeColumn {
    /// What to include.
    pub kind: IncludeKind,
    /// `AS name`
    pub name: Option<ast::Ident>,
    /// Where the item stands.
    pub position: usize,
}

/// What a connector knows about a row besides its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncludeKind {
    /// `KEY` of the message
    Key,
    /// `PARTITION`
    Partition,
    /// `OFFSET`
    Offset,
    /// `TIMESTAMP` of the message
    Timestamp,
    /// `HEADERS`
    Headers,
}

impl IncludeKind {
    /// Every kind, with its word.
    pub const ALL: [(&'static str, IncludeKind); 5] = [
        ("KEY", IncludeKind::Key),
        ("PARTITION", IncludeKind::Partition),
        ("OFFSET", IncludeKind::Offset),
        ("TIMESTAMP", IncludeKind::Timestamp),
        ("HEADERS", IncludeKind::Headers),
    ];
}

/// `FORMAT format ENCODE encode (options)`
#[derive(Clone, Debug, PartialEq)]
pub struct Format {
    /// How messages relate to rows, upper case: `PLAIN`, `UPSERT`, `DEBEZIUM`.
    pub format: String,
    /// How a message is written, upper case: `JSON`, `CSV`, `AVRO` ...
    pub encode: String,
    /// Options of the encoding.
    pub options: Options,
    /// Where `FORMAT` stands.
    pub position: usize,
}

/// `CREATE [OR REPLACE] VIEW name [(columns)] AS query`
#[derive(Clone, Debug, PartialEq)]
pub struct CreateView {
    /// Its name.
    pub name: ast::ObjectName,
    /// `OR REPLACE`
    pub or_replace: bool,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// Names for the query's columns, in order; may be fewer than it has.
    pub columns: Vec<ast::Ident>,
    /// What it stands for.
    pub query: Box<ast::Query>,
    /// The query's own text.
    pub query_text: String,
    /// Characters of the statement before [`CreateView::query_text`].
    pub query_offset: usize,
}

/// `CREATE [OR REPLACE] MATERIALIZED VIEW [IF NOT EXISTS] name [(columns)] [WITH (..)] AS query [WITH (..)] [ALLOW LATENESS ..] [EMIT ..]`
#[derive(Clone, Debug, PartialEq)]
pub struct CreateMaterializedView {
    /// Its name.
    pub name: ast::ObjectName,
    /// `OR REPLACE`
    pub or_replace: bool,
    /// `IF NOT EXISTS`
    pub if_not_exists: bool,
    /// Names for the query's columns, in order; may be fewer than it has.
    pub columns: Vec<ast::Ident>,
    /// What it maintains.
    pub query: Box<ast::Query>,
    /// The query's own text, without the clauses after it.
    pub query_text: String,
    /// Characters of the statement before [`CreateMaterializedView::query_text`].
    pub query_offset: usize,
    /// `WITH (..)`
    pub options: Options,
    /// `ALLOW LATENESS interval`
    pub allow_lateness: Option<ast::Expr>,
    /// `EMIT ..`; `None` means the default, [`Emit::Update`].
    pub emit: Option<Emit>,
    /// Where `EMIT` stands.
    pub emit_position: Option<usize>,
}

/// What kind of object a statement names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// `TABLE`
    Table,
    /// `SOURCE`
    Source,
    /// `VIEW`
    View,
    /// `MATERIALIZED VIEW`
    MaterializedView,
    /// `INDEX`
    Index,
    /// `SINK`
    Sink,
}

impl ObjectKind {
    /// The words as Postgres writes them in messages: `materialized view`.
    pub fn noun(self) -> &'static str {
        match self {
            ObjectKind::Table => "table",
            ObjectKind::Source => "source",
            ObjectKind::View => "view",
            ObjectKind::MaterializedView => "materialized view",
            ObjectKind::Index => "index",
            ObjectKind::Sink => "sink",
        }
    }
}

/// `DROP kind [IF EXISTS] name [, ..] [CASCADE | RESTRICT]`
#[derive(Clone, Debug, PartialEq)]
pub struct Drop {
    /// What is dropped.
    pub kind: ObjectKind,
    /// Which ones.
    pub names: Vec<ast::ObjectName>,
    /// `IF EXISTS`
    pub if_exists: bool,
    /// `CASCADE`
    pub cascade: bool,
}

/// `TRUNCATE [TABLE] name [, ..] [CASCADE | RESTRICT]`. Nothing refers to a table in a way that CASCADE could follow.
#[derive(Clone, Debug, PartialEq)]
pub struct Truncate {
    /// The tables.
    pub names: Vec<ast::ObjectName>,
}

/// `EXPLAIN [ANALYZE] [VERBOSE] statement`, `EXPLAIN (option, ..) statement`
#[derive(Clone, Debug, PartialEq)]
pub struct Explain {
    /// Run it too.
    pub analyze: bool,
    /// Say more.
    pub verbose: bool,
    /// A query, `EXECUTE`, `DECLARE` or `CREATE MATERIALIZED VIEW`; its offset counts from the start of the query string.
    pub statement: Box<Parsed>,
}

/// `PREPARE name [(types)] AS statement`
#[derive(Clone, Debug, PartialEq)]
pub struct Prepare {
    /// Its name, folded.
    pub name: String,
    /// The types of `$1`, `$2` ..; `None` is `unknown`, and what the list leaves out is inferred.
    pub types: Vec<Option<ast::DataType>>,
    /// A query or a change of rows; its offset counts from the start of the query string.
    pub statement: Box<Parsed>,
}

/// `EXECUTE name [(arguments)]`
#[derive(Clone, Debug, PartialEq)]
pub struct Execute {
    /// The name of the prepared statement, folded.
    pub name: String,
    /// The values of `$1`, `$2` ..
    pub arguments: Vec<ast::Expr>,
}

/// `DECLARE name [BINARY] [ASENSITIVE | INSENSITIVE] [[NO] SCROLL] CURSOR [WITH HOLD | WITHOUT HOLD] FOR query | SUBSCRIBE ..`
#[derive(Clone, Debug, PartialEq)]
pub struct Declare {
    /// Its name, folded.
    pub name: String,
    /// `BINARY`: rows go out in binary format where the client names none.
    pub binary: bool,
    /// `SCROLL`: it can go back. Without it, and with `NO SCROLL`, it only goes on.
    pub scroll: bool,
    /// `WITH HOLD`: it outlives the transaction, if that commits.
    pub hold: bool,
    /// Its rows.
    pub rows: DeclareRows,
}

/// Where the rows of a cursor come from.
#[derive(Clone, Debug, PartialEq)]
pub enum DeclareRows {
    /// `FOR query`
    Query(Box<ast::Query>),
    /// `FOR SUBSCRIBE ..`
    Subscribe(Box<Subscribe>),
}

/// `SUBSCRIBE [TO] name | (query) [EMIT FINAL] [ENVELOPE UPSERT (KEY (columns))] [WITH (options)] [AS OF commit] [UP TO commit]`
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe {
    /// What to follow.
    pub target: SubscribeTarget,
    /// `EMIT FINAL`, and where it stands.
    pub emit_final: Option<usize>,
    /// `ENVELOPE UPSERT (KEY (columns))`
    pub upsert: Option<Upsert>,
    /// `snapshot`: begin with the rows that there are.
    pub snapshot: bool,
    /// `progress`: say how far it is where nothing changes.
    pub progress: bool,
    /// `AS OF commit`
    pub as_of: Option<Epoch>,
    /// `UP TO commit`, which is the last
    pub up_to: Option<Epoch>,
}

/// What a `SUBSCRIBE` follows.
#[derive(Clone, Debug, PartialEq)]
pub enum SubscribeTarget {
    /// A relation.
    Relation {
        /// Its name.
        name: ast::ObjectName,
        /// Where it stands.
        position: usize,
    },
    /// A query, maintained while somebody subscribes to it.
    Query(Box<ast::Query>),
}

/// `ENVELOPE UPSERT (KEY (columns))`
#[derive(Clone, Debug, PartialEq)]
pub struct Upsert {
    /// The columns that tell rows apart.
    pub key: Vec<ast::Ident>,
    /// Where `ENVELOPE` stands.
    pub position: usize,
}

/// `FETCH [direction] [FROM | IN] name [WITH (timeout = ..)]`, `MOVE ..`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The cursor, folded.
    pub name: String,
    /// Where to, and what to return on the way.
    pub direction: FetchDirection,
    /// `MOVE`: nothing is returned.
    pub moves: bool,
    /// `WITH (timeout = ..)`: how long to wait for the first row of a cursor over SUBSCRIBE.
    pub timeout: Option<FetchTimeout>,
}

/// `timeout` of a `FETCH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchTimeout {
    /// Milliseconds.
    pub millis: u64,
    /// Where the option stands.
    pub position: usize,
}

/// Where a `FETCH` goes. Counts are positive: a negative one is the other direction, none at all is `Relative(0)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchDirection {
    /// So many rows on; `None` is `ALL`.
    Forward(Option<u64>),
    /// So many rows back, in this order; `None` is `ALL`.
    Backward(Option<u64>),
    /// The row of this number, from 1; from the end if it is negative.
    Absolute(i64),
    /// The row so far from this one; 0 is this row again.
    Relative(i64),
}

/// `SHOW ..`
#[derive(Clone, Debug, PartialEq)]
pub enum Show {
    /// `SHOW name`, lower case; `TIME ZONE` is `timezone`, `TRANSACTION ISOLATION LEVEL` is `transaction_isolation`
    Variable(String),
    /// `SHOW ALL`
    All,
    /// `SHOW TABLES`, `SHOW SOURCES`, `SHOW VIEWS`, `SHOW MATERIALIZED VIEWS`
    Objects(ObjectKind),
    /// `SHOW CREATE kind name`
    Create {
        /// What kind it was said to be.
        kind: ObjectKind,
        /// Its name.
        name: ast::ObjectName,
    },
}

/// How long a `SET` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetScope {
    /// Until the session ends, or the transaction that it was made in is rolled back.
    Session,
    /// `SET LOCAL`: until the transaction ends.
    Local,
}

/// What a `SET` sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetValue {
    /// `= DEFAULT`
    Default,
    /// One value, or a list as `search_path` takes.
    Values(Vec<String>),
}

/// `SET [SESSION | LOCAL] name = value`
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// For how long.
    pub scope: SetScope,
    /// The variable, lower case.
    pub name: String,
    /// What it becomes.
    pub value: SetValue,
    /// Where the variable's name stands.
    pub position: usize,
}

/// `SET TRANSACTION modes`, `SET SESSION CHARACTERISTICS AS TRANSACTION modes`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetTransaction {
    /// For the transactions to come, and not for this one.
    pub session: bool,
    /// What is set.
    pub modes: TransactionModes,
}

/// `RESET ..`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reset {
    /// `RESET name`, lower case
    Variable(String),
    /// `RESET ALL`
    All,
}

/// `DISCARD ..`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// `ALL`
    All,
    /// `PLANS`
    Plans,
    /// `SEQUENCES`
    Sequences,
    /// `TEMP`
    Temp,
}

/// Transaction control.
#[derive(Clone, Debug, PartialEq)]
pub enum Transaction {
    /// `BEGIN`, `START TRANSACTION`
    Begin {
        /// What was asked for.
        modes: TransactionModes,
        /// `START TRANSACTION` was said: it is the command tag.
        start: bool,
    },
    /// `COMMIT`, `END`
    Commit,
    /// `ROLLBACK`, `ABORT`
    Rollback,
    /// `SAVEPOINT name`
    Savepoint(ast::Ident),
    /// `RELEASE [SAVEPOINT] name`
    Release(ast::Ident),
    /// `ROLLBACK TO [SAVEPOINT] name`
    RollbackTo(ast::Ident),
}

/// The modes of a transaction; `None` where nothing was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionModes {
    /// `ISOLATION LEVEL ..`
    pub isolation: Option<IsolationLevel>,
    /// `READ ONLY` or `READ WRITE`
    pub read_only: Option<bool>,
    /// `DEFERRABLE` or `NOT DEFERRABLE`
    pub deferrable: Option<bool>,
}

/// What a transaction asks of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsolationLevel {
    /// `READ UNCOMMITTED`
    ReadUncommitted,
    /// `READ COMMITTED`
    ReadCommitted,
    /// `REPEATABLE READ`
    RepeatableRead,
    /// `SERIALIZABLE`
    Serializable,
}

impl IsolationLevel {
    /// As `SHOW transaction_isolation` writes it.
    pub fn spelling(self) -> &'static str {
        match self {
            IsolationLevel::ReadUncommitted => "read uncommitted",
            IsolationLevel::ReadCommitted => "read committed",
            IsolationLevel::RepeatableRead => "repeatable read",
            IsolationLevel::Serializable => "serializable",
        }
    }
}

/// `COPY target FROM STDIN | TO STDOUT options`
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    /// What is copied.
    pub target: CopyTarget,
    /// Which way.
    pub direction: CopyDirection,
    /// How rows are written; checked for contradictions.
    pub options: CopyOptions,
}

/// What a `COPY` reads or fills.
#[derive(Clone, Debug, PartialEq)]
pub enum CopyTarget {
    /// A relation and some of its columns; all when empty.
    Table {
        /// Its name.
        name: ast::ObjectName,
        /// The columns, in the order of the data.
        columns: Vec<ast::Ident>,
    },
    /// The rows of a query, `TO STDOUT` only.
    Query(Box<ast::Query>),
    /// The rows of a subscription as they come, `TO STDOUT` only.
    Subscribe(Box<Subscribe>),
}

/// Which way a `COPY` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyDirection {
    /// `FROM STDIN`
    FromStdin,
    /// `TO STDOUT`
    ToStdout,
}

/// How `COPY` writes rows. The defaults depend on the format and are filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyOptions {
    /// `FORMAT`
    pub format: CopyFormat,
    /// `DELIMITER`
    pub delimiter: u8,
    /// `NULL`: what stands for no value.
    pub null: String,
    /// `HEADER`
    pub header: CopyHeader,
    /// `QUOTE`, csv only
    pub quote: u8,
    /// `ESCAPE`, csv only
    pub escape: u8,
    /// `FORCE_QUOTE`, csv to stdout only
    pub force_quote: ForceColumns,
    /// `FORCE_NOT_NULL`, csv from stdin only
    pub force_not_null: ForceColumns,
    /// `FORCE_NULL`, csv from stdin only
    pub force_null: ForceColumns,
}

/// The formats of `COPY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyFormat {
    /// tab-separated, with backslash escapes
    Text,
    /// comma-separated
    Csv,
    /// the wire format of values
    Binary,
}

/// The header line of `COPY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyHeader {
    /// there is none
    Absent,
    /// it is written, or skipped
    Present,
    /// `HEADER MATCH`: it must name the columns
    Match,
}

/// The columns of a `FORCE_..` option of `COPY`.
#[derive(Clone, Debug, PartialEq)]
pub enum ForceColumns {
    /// these; none when empty
    Columns(Vec<ast::Ident>),
    /// `*`
    All,
}
