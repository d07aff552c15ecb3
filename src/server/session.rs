//! A session: one client's variables, transaction and COPY, and the dispatch of its statements.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::{Epoch, RelationId};
use weir_common::snapshot::Snapshot;
use weir_common::types::PgType;
use weir_sql::ScalarValue;
use weir_sql::catalog::{Catalog, DATABASE};
use weir_sql::context::{Context, Settings};
use weir_sql::dml::{DeletePlan, InsertPlan, UpdatePlan};
use weir_sql::parser;
use weir_sql::read::QueryPlan;
use weir_sql::statement::{Declare, DeclareRows, Parsed, Statement, Transaction as Control};
use weir_sql::system::SessionSystem;

use crate::activity::Active;
use crate::cursors::{Cursors, Declared};
use crate::database::Database;
use crate::pgwire::backend::{self, Backend, Batches, Named, Notice, Outcome, RowSource, RowsTag, Severity, Startup, TransactionStatus};
use crate::pgwire::shield::Shield;
use crate::statement;
use crate::statement::copy::CopyIn;
use crate::statement::prepared::{NamedStatement, NamedStatements};
use crate::statement::subscribe::SubscribePlan;
use crate::system;
use crate::transaction::{self, Transaction};
use crate::value::scalar::ScalarParam;
use crate::value::settings::TextSettings;
use crate::variables::Variables;

mod facts; // what functions and pg_catalog show of the session

/// Opens sessions on a database.
pub struct Sessions {
    /// The database.
    pub database: Arc<Database>,
}

impl Backend for Sessions {
    type Session = Session;

    async fn open(&self, startup: Startup) -> Result<Session> {
        if startup.database != DATABASE {
            return Err(Error::new(SqlState::INVALID_CATALOG_NAME, format!("database \"{}\" does not exist", startup.database))
                .with_hint(format!("There is one database, \"{DATABASE}\": connect with -d {DATABASE}.")));
        }
        let mut variables = Variables::new(&startup.user);
        for (name, value) in &startup.parameters {
            variables.start(name, value)?;
        }
        variables.begin();
        let started_micros = self.database.clock.wall_micros();
        let application = variables.get("application_name").unwrap_or_default();
        let active = self.database.activity.begin(startup.pid, &startup.user, startup.peer, application, started_micros);
        self.database.metrics.connections.inc();
        Ok(Session {
            database: self.database.clone(),
            user: startup.user,
            pid: startup.pid,
            peer: startup.peer,
            active,
            variables,
            transaction: None,
            copy: None,
            shield: Shield::default(),
            asked: Arc::default(),
            planned: None,
            commits: system::Commits::default(),
            count_only: false,
            notices: vec![],
            named: NamedStatements::default(),
            cursors: Cursors::default(),
        })
    }
}

/// One client's session.
pub struct Session {
    /// What all sessions share.
    pub database: Arc<Database>,
    /// The role that the client said it is.
    pub user: String,
    pid: i32,
    peer: SocketAddr,
    /// What others see of it.
    active: Active,
    /// Session variables.
    pub variables: Variables,
    /// The transaction that is going on, a block's or an implicit one.
    pub transaction: Option<Transaction>,
    /// The COPY FROM STDIN that is going on.
    pub copy: Option<CopyIn>,
    /// Up while a write is on its way that cannot be taken back.
    pub shield: Shield,
    /// What functions have asked for in the statement that is running.
    asked: Arc<Mutex<Asked>>,
    /// What the statement was planned with that runs at once.
    planned: Option<Planned>,
    /// The commits that the statement reads which is running.
    commits: system::Commits,
    /// Materialized views that it creates count their rows instead of keeping them. No SQL sets it; `weir bench` does.
    pub count_only: bool,
    notices: Vec<Notice>,
    /// Prepared statements that have a name.
    pub named: NamedStatements,
    /// Cursors that SQL declared.
    pub cursors: Cursors,
}

/// What functions ask of the session that calls them: done when their statement ends.
#[derive(Default)]
struct Asked {
    /// `set_config()`: name, value, whether for the transaction alone.
    settings: Vec<(String, String, bool)>,
    notices: Vec<Notice>,
}

/// The context that a statement was planned with.
struct Planned {
    context: Context,
    /// The catalog's.
    version: u64,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.database.metrics.connections.dec();
    }
}

/// A statement that has been planned.
pub struct Prepared {
    /// What was said.
    pub parsed: Parsed,
    /// Its plan, where it has one.
    pub plan: Plan,
    /// The catalog that it was planned with.
    version: u64,
    /// What the client said of its parameters.
    given: Vec<u32>,
    parameters: Vec<PgType>,
    fields: Option<SchemaRef>,
}

impl Prepared {
    /// The types of `$1`, `$2` ..
    pub fn parameters(&self) -> &[PgType] {
        &self.parameters
    }
}

/// The plan of a statement.
pub enum Plan {
    /// A query.
    Query(QueryPlan),
    /// INSERT.
    Insert(InsertPlan),
    /// UPDATE.
    Update(UpdatePlan),
    /// DELETE.
    Delete(DeletePlan),
    /// SUBSCRIBE, alone or of a cursor.
    Subscribe(SubscribePlan),
    /// Nothing is planned before it runs.
    None,
}

impl Session {
    /// A context for one statement, with the system relations as they are now where the statement names them: that which it was
    /// planned with just now, unless the catalog has changed since.
    pub async fn context(&mut self, parsed: &Parsed) -> Result<Context> {
        let (catalog, version) = self.database.catalog();
        if let Some(planned) = self.planned.take_if(|planned| planned.version == version) {
            return Ok(planned.context);
        }
        let status =
            if statement::query::names_weir(&catalog, parsed) { Some(Arc::new(self.database.engine.status().await?)) } else { None };
        let (of_tables, commits) = (catalog.clone(), self.commits.clone());
        let tables = move || system::tables_of(&of_tables, status, commits);
        let facts = self.facts(statement::query::names_own(&catalog, parsed));
        let system = Arc::new(SessionSystem::new(catalog.clone(), tables, facts));
        Ok(Context::new(catalog, system, &self.settings()))
    }

    /// What `now()` shows: the start of the transaction, or of the statement outside one.
    pub fn now_micros(&self) -> i64 {
        self.transaction.as_ref().map_or_else(|| self.database.clock.wall_micros(), |transaction| transaction.started_micros)
    }

    fn settings(&self) -> Settings {
        Settings { now_micros: self.now_micros(), customs: self.variables.customs() }
    }

    /// The catalog as it is now.
    pub fn catalog(&self) -> Catalog {
        self.database.catalog().0
    }

    /// The rows of stored relations as the session sees them, all at one commit.
    pub async fn snapshots(&mut self, relations: &[RelationId]) -> Result<HashMap<RelationId, Snapshot>> {
        let snapshots = self.take_snapshots(relations).await?;
        let mut commits: Vec<Epoch> = snapshots.values().map(|snapshot| snapshot.epoch).collect();
        commits.sort_unstable();
        commits.dedup();
        *self.commits.lock().unwrap_or_else(PoisonError::into_inner) = commits;
        Ok(snapshots)
    }

    async fn take_snapshots(&mut self, relations: &[RelationId]) -> Result<HashMap<RelationId, Snapshot>> {
        if relations.is_empty() {
            return Ok(HashMap::new());
        }
        if let Some(transaction) = &mut self.transaction {
            return transaction.read(&self.database, relations).await;
        }
        let (catalog, _) = self.database.catalog();
        let wanted: Vec<(RelationId, SchemaRef)> = relations.iter().filter_map(|id| Some((*id, catalog.by_id(*id)?.schema()))).collect();
        let (_, snapshots) = self.database.engine.snapshot(&wanted).await?;
        Ok(wanted.into_iter().map(|(id, _)| id).zip(snapshots).collect())
    }

    /// Tells the client something, unless it asked not to hear of it.
    pub fn notify(&mut self, notice: Notice) {
        let least = match self.variables.get("client_min_messages").as_deref() {
            Ok("log") => Severity::Log,
            Ok("info" | "notice") | Err(_) => Severity::Info,
            Ok("warning") => Severity::Warning,
            Ok("error") => return,
            Ok(_) => Severity::Debug,
        };
        if notice.severity >= least {
            self.notices.push(notice);
        }
    }

    /// Ends the transaction: its writes become visible, or nothing does.
    pub async fn commit(&mut self) -> Result<()> {
        let Some(transaction) = self.transaction.take() else { return Ok(()) };
        let before = transaction.before.clone();
        let looked_for_keys = transaction.looked_for_keys;
        self.variables.end();
        let written = match transaction.changes() {
            Ok(changes) if changes.is_empty() => {
                self.cursors.commit();
                return Ok(());
            }
            Ok(changes) => {
                let engine = self.database.engine.clone();
                let _shield = self.shield.raise();
                // A task of its own: whatever happens to this future, the locks are held until the write is visible.
                let write = tokio::spawn(async move {
                    let written = engine.write(changes).await;
                    drop(transaction);
                    written
                });
                write.await.unwrap_or_else(|_| Err(Error::internal("the commit panicked")))
            }
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            self.cursors.rollback();
            self.variables.restore(before);
            self.variables.end();
            return Err(if looked_for_keys { transaction::key_came_between(error) } else { error });
        }
        self.cursors.commit();
        Ok(())
    }

    /// Ends the transaction without a trace.
    pub fn rollback(&mut self) {
        if let Some(transaction) = self.transaction.take() {
            self.cursors.rollback();
            self.variables.restore(transaction.before.clone());
            self.variables.end();
            if !transaction.defined.is_empty() {
                let mut notice = Notice::warning(SqlState::WARNING, "definitions were not rolled back");
                notice.detail = Some(format!("They took effect at once: {}.", transaction.defined.join(", ")));
                self.notify(notice);
            }
        }
    }

    /// Plans a statement against the catalog as it is now.
    pub async fn plan(&mut self, parsed: Parsed, given: &[u32]) -> Result<Prepared> {
        self.plan_keeping_context(parsed, given).await.map(|(prepared, _)| prepared)
    }

    /// Plans a statement, and gives what it was planned with, if anything was.
    async fn plan_keeping_context(&mut self, parsed: Parsed, given: &[u32]) -> Result<(Prepared, Option<Planned>)> {
        let (_, version) = self.database.catalog();
        let mut planned = None;
        let types: Vec<Option<PgType>> = given.iter().map(|oid| PgType::from_oid(*oid)).collect();
        let (mut parameters, mut fields, mut plan) = (vec![], None, Plan::None);
        match &parsed.statement {
            Statement::Query(query) => {
                let context = self.context(&parsed).await?;
                let query = statement::query::plan(&context, query, &parsed.text, &types)?;
                parameters = query.parameters.clone();
                fields = Some(query.schema.clone());
                plan = Plan::Query(query);
                planned = Some(Planned { context, version });
            }
            Statement::Insert(insert) => {
                let context = self.context(&parsed).await?;
                let insert = context.plan_insert(insert, &parsed.text, &types)?;
                parameters = insert.parameters.clone();
                fields = insert.returns();
                plan = Plan::Insert(insert);
                planned = Some(Planned { context, version });
            }
            Statement::Update(update) => {
                let context = self.context(&parsed).await?;
                let update = context.plan_update(update, &parsed.text, &types)?;
                parameters = update.parameters.clone();
                fields = update.returns();
                plan = Plan::Update(update);
                planned = Some(Planned { context, version });
            }
            Statement::Delete(delete) => {
                let context = self.context(&parsed).await?;
                let delete = context.plan_delete(delete, &parsed.text, &types)?;
                parameters = delete.parameters.clone();
                fields = delete.returns();
                plan = Plan::Delete(delete);
                planned = Some(Planned { context, version });
            }
            Statement::Declare(Declare { rows: DeclareRows::Query(query), .. }) => {
                let context = self.context(&parsed).await?;
                let query = statement::query::plan(&context, query, &parsed.text, &types)?;
                parameters = query.parameters.clone();
                plan = Plan::Query(query);
                planned = Some(Planned { context, version });
            }
            Statement::Declare(Declare { rows: DeclareRows::Subscribe(said), .. }) => {
                plan = Plan::Subscribe(statement::subscribe::plan(&self.catalog(), &parsed, said)?);
            }
            Statement::Subscribe(said) => {
                let subscribe = statement::subscribe::plan(&self.catalog(), &parsed, said)?;
                fields = Some(subscribe.schema());
                plan = Plan::Subscribe(subscribe);
            }
            Statement::Execute(execute) => fields = self.named.require(&execute.name)?.fields.clone(),
            Statement::Fetch(fetch) if !fetch.moves => fields = self.cursors.get(&fetch.name).map(|cursor| cursor.schema.clone()),
            Statement::Show(show) => fields = Some(statement::show::fields(show)),
            Statement::Explain(_) => fields = Some(statement::explain::fields()),
            _ => {}
        }
        Ok((Prepared { parsed, plan, version, given: given.to_vec(), parameters, fields }, planned))
    }

    /// The statement as it is to be run: planned again if the catalog has changed since, or if it shows the system itself.
    pub async fn current(&mut self, prepared: &Arc<Prepared>) -> Result<Arc<Prepared>> {
        let (catalog, version) = self.database.catalog();
        let shows_system = || matches!(prepared.plan, Plan::Query(_)) && statement::query::names_system(&catalog, &prepared.parsed);
        if prepared.version == version && !shows_system() {
            return Ok(prepared.clone());
        }
        let again = self.plan(prepared.parsed.clone(), &prepared.given).await?;
        if again.fields != prepared.fields {
            return Err(Error::unsupported("cached plan must not change result type").with_hint("Prepare the statement again."));
        }
        Ok(Arc::new(again))
    }

    /// Runs a prepared statement with values of its parameters' types.
    pub async fn run_again(&mut self, prepared: &Arc<Prepared>, parameters: Vec<ScalarValue>) -> Result<Outcome> {
        let prepared = self.current(prepared).await?;
        self.run(&prepared, parameters).await
    }

    async fn run(&mut self, prepared: &Prepared, parameters: Vec<ScalarValue>) -> Result<Outcome> {
        let parsed = &prepared.parsed;
        match (&parsed.statement, &prepared.plan) {
            (Statement::Query(query), Plan::Query(plan)) => statement::query::run(self, parsed, query, plan, &parameters).await,
            (Statement::Declare(declare), plan) => statement::cursor::declare(self, parsed, declare, plan, &parameters).await,
            (Statement::Subscribe(said), Plan::Subscribe(plan)) => statement::subscribe::run(self, said, plan).await,
            (_, Plan::Insert(plan)) => statement::dml::insert(self, parsed, plan, &parameters).await,
            (_, Plan::Update(plan)) => statement::dml::update(self, parsed, plan, &parameters).await,
            (_, Plan::Delete(plan)) => statement::dml::delete(self, parsed, plan, &parameters).await,
            (Statement::Truncate(truncate), _) => statement::truncate::run(self, truncate).await,
            (Statement::Copy(copy), _) => statement::copy::start(self, parsed, copy).await,
            (Statement::CreateTable(create), _) => statement::table::create(self, parsed, create).await,
            (Statement::CreateSource(create), _) => statement::source::create(self, parsed, create).await,
            (Statement::CreateView(create), _) => statement::view::create(self, parsed, create).await,
            (Statement::CreateMaterializedView(create), _) => statement::view::create_materialized(self, parsed, create).await,
            (Statement::Drop(drop), _) => statement::drop::run(self, drop).await,
            (Statement::Explain(explain), _) => statement::explain::run(self, parsed, explain).await,
            (Statement::Show(show), _) => statement::show::run(self, show),
            (Statement::Set(set), _) => statement::variable::set(self, set),
            (Statement::SetTransaction(set), _) => statement::variable::set_transaction(self, set),
            (Statement::Reset(reset), _) => statement::variable::reset(self, reset),
            (Statement::Discard(discard), _) => statement::variable::discard(self, *discard),
            (Statement::Transaction(control), _) => statement::transaction::run(self, control).await,
            (Statement::Prepare(prepare), _) => statement::prepared::prepare(self, parsed, prepare).await,
            (Statement::Execute(execute), _) => statement::prepared::execute(self, parsed, execute).await,
            (Statement::Deallocate(name), _) => statement::prepared::deallocate(self, name.as_deref()),
            (Statement::Fetch(fetch), _) => statement::cursor::fetch(self, fetch).await,
            (Statement::Close(name), _) => statement::cursor::close(self, name.as_deref()),
            (Statement::Unlisten(_), _) => Ok(done("UNLISTEN")),
            (Statement::Alter(alter), _) => statement::alter::run(self, parsed, alter).await,
            (Statement::AlterLate(alter), _) => statement::alter_late::run(self, alter).await,
            // As in Postgres also in a transaction block, whose own writes are not in it.
            (Statement::Checkpoint, _) => self.database.engine.checkpoint().await.map(|()| done("CHECKPOINT")),
            (Statement::Backup(dir), _) => self.database.backup(dir).await.map(|commit| done(format!("BACKUP {commit}"))),
            (Statement::Unsupported(what), _) => Err(what.error()),
            (Statement::Query(_) | Statement::Subscribe(_) | Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_), _) => {
                Err(Error::internal("a statement was prepared without its plan"))
            }
        }
    }
}

/// The outcome of a statement without rows.
pub fn done(tag: impl Into<String>) -> Outcome {
    Outcome::Done { tag: tag.into() }
}

/// The outcome of a statement with few rows, all there.
pub fn rows(schema: SchemaRef, batch: RecordBatch, tag: RowsTag) -> Outcome {
    Outcome::Rows { schema, batches: futures::stream::iter([Ok(batch)]).boxed(), tag }
}

/// A schema of text columns.
pub fn text_schema(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(names.iter().map(|name| PgType::Text.field(*name)).collect::<Vec<Field>>()))
}

impl backend::Session for Session {
    type Prepared = Prepared;

    fn parse(&self, sql: &str) -> Result<Vec<Parsed>> {
        parser::parse(sql)
    }

    async fn prepare(&mut self, parsed: Parsed, parameter_types: &[u32]) -> Result<Arc<Prepared>> {
        self.refuse_if_failed(&parsed.statement)?;
        Ok(Arc::new(self.plan(parsed, parameter_types).await?))
    }

    fn parameters(prepared: &Prepared) -> &[PgType] {
        &prepared.parameters
    }

    fn fields(prepared: &Prepared) -> Option<SchemaRef> {
        prepared.fields.clone()
    }

    async fn execute(&mut self, prepared: &Arc<Prepared>, parameters: Vec<Option<ScalarParam>>) -> Result<Outcome> {
        self.show_active(&prepared.parsed);
        self.database.metrics.statements.inc();
        self.refuse_if_failed(&prepared.parsed.statement)?;
        let mut values = vec![];
        for (parameter, ty) in parameters.iter().zip(&prepared.parameters) {
            values.push(match parameter {
                Some(parameter) => weir_sql::scalar::of(&parameter.array)?,
                None => weir_sql::scalar::null(ty)?,
            });
        }
        let outcome = self.run_again(prepared, values).await;
        self.count_error(&outcome);
        outcome
    }

    async fn run_once(&mut self, parsed: Parsed) -> Result<(Arc<Prepared>, Outcome)> {
        // Before it is planned: a plan of system relations shows the session as it runs.
        self.show_active(&parsed);
        self.refuse_if_failed(&parsed.statement)?;
        let (prepared, planned) = self.plan_keeping_context(parsed, &[]).await?;
        self.database.metrics.statements.inc();
        let prepared = Arc::new(prepared);
        let (_, version) = self.database.catalog();
        let outcome = if prepared.version == version {
            self.planned = planned;
            let outcome = self.run(&prepared, vec![]).await;
            self.planned = None;
            outcome
        } else {
            self.run_again(&prepared, vec![]).await
        };
        self.count_error(&outcome);
        Ok((prepared, outcome?))
    }

    fn shield(&self) -> Shield {
        self.shield.clone()
    }

    fn transaction_status(&self) -> TransactionStatus {
        match &self.transaction {
            Some(transaction) if transaction.block && transaction.failed => TransactionStatus::Failed,
            Some(transaction) if transaction.block => TransactionStatus::InBlock,
            _ => TransactionStatus::Idle,
        }
    }

    fn fail(&mut self) {
        self.copy = None;
        self.cursors.fail();
        *self.asked() = Asked::default();
        self.planned = None;
        match &mut self.transaction {
            Some(transaction) if transaction.block => transaction.failed = true,
            // What an implicit transaction has gathered goes with it.
            Some(_) => self.rollback(),
            None => {}
        }
    }

    async fn begin_implicit(&mut self) {
        if self.transaction.is_none() {
            self.transaction = Some(Transaction::new(&self.database, false, self.variables.clone()));
        }
    }

    async fn end_implicit(&mut self, ok: bool) -> Result<()> {
        match &self.transaction {
            Some(transaction) if transaction.block => Ok(()),
            Some(_) if ok => self.commit().await,
            Some(_) => {
                self.rollback();
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn copy_data(&mut self, data: &[u8]) -> Result<()> {
        match &mut self.copy {
            Some(copy) => copy.feed(data),
            None => Err(Error::new(SqlState::PROTOCOL_VIOLATION, "there is no COPY that data could belong to")),
        }
    }

    async fn copy_done(&mut self) -> Result<String> {
        let copy = self.copy.take().ok_or_else(|| Error::new(SqlState::PROTOCOL_VIOLATION, "there is no COPY to end"))?;
        statement::copy::finish(self, copy).await
    }

    fn copy_fail(&mut self, _message: &str) {
        self.copy = None;
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        let asked = std::mem::take(&mut self.asked().notices);
        asked.into_iter().for_each(|notice| self.notify(notice));
        std::mem::take(&mut self.notices)
    }

    fn wait(&mut self) {
        let state = match self.transaction_status() {
            TransactionStatus::Idle => "idle",
            TransactionStatus::InBlock => "idle in transaction",
            TransactionStatus::Failed => "idle in transaction (aborted)",
        };
        let started = self.transaction.as_ref().map(|transaction| transaction.started_micros);
        self.active.wait(state, self.database.clock.wall_micros(), started);
    }

    fn take_parameter_changes(&mut self) -> Vec<(String, String)> {
        let asked = std::mem::take(&mut self.asked().settings);
        for (name, value, local) in asked {
            // Outside a transaction a local setting is over with its statement.
            if (!local || self.transaction.is_some())
                && let Err(error) = self.variables.set(&name, &value, local)
            {
                tracing::debug!(%error, name, "a setting that was valid is no longer");
            }
        }
        let changes = self.variables.take_changes();
        if let Some((_, name)) = changes.iter().find(|(name, _)| name == "application_name") {
            self.active.rename(name);
        }
        changes
    }

    fn parameter_statuses(&self) -> Vec<(String, String)> {
        self.variables.reported()
    }

    fn text_settings(&self) -> TextSettings {
        self.variables.text_settings()
    }

    fn statement_timeout(&self) -> Option<Duration> {
        self.variables.timeout("statement_timeout")
    }

    fn offset(prepared: &Prepared) -> usize {
        prepared.parsed.offset
    }

    fn statement(&self, name: &str) -> Option<Named<Prepared>> {
        self.named.get(name).map(|statement| statement.prepared.clone())
    }

    fn keep_statement(&mut self, name: &str, statement: Named<Prepared>) -> Result<()> {
        let text = statement.as_ref().map_or(String::new(), |prepared| prepared.parsed.text.clone());
        let prepared_micros = self.database.clock.wall_micros();
        self.named.keep(name, NamedStatement { prepared: statement, text, from_sql: false, prepared_micros })
    }

    fn close_statement(&mut self, name: &str) {
        self.named.remove(name);
    }

    fn cursor(&self, name: &str) -> Option<SchemaRef> {
        self.cursors.get(name).map(|cursor| cursor.schema.clone())
    }

    fn close_cursor(&mut self, name: &str) {
        self.cursors.close(name);
    }

    fn share(&mut self, name: &str, prepared: &Prepared, schema: &SchemaRef, batches: Batches) -> Result<RowSource> {
        let declared = Declared {
            statement: prepared.parsed.text.clone(),
            binary: false,
            scroll: false,
            hold: false,
            live: matches!(prepared.plan, Plan::Subscribe(_)),
            schema: schema.clone(),
            batches,
            created_micros: self.database.clock.wall_micros(),
        };
        self.cursors.open(name, declared, true)?;
        Ok(RowSource::Shared(Box::new(self.cursors.require(name)?.portions())))
    }

    fn is_binary(&self, prepared: &Prepared) -> bool {
        match &prepared.parsed.statement {
            Statement::Fetch(fetch) => self.cursors.get(&fetch.name).is_some_and(|cursor| cursor.binary),
            _ => false,
        }
    }
}

impl Session {
    /// Others see that it runs this.
    fn show_active(&self, parsed: &Parsed) {
        let transaction_started = self.transaction.as_ref().map(|transaction| transaction.started_micros);
        self.active.run(&parsed.text, self.database.clock.wall_micros(), transaction_started);
    }

    fn count_error(&self, outcome: &Result<Outcome>) {
        if outcome.is_err() {
            self.database.metrics.errors.inc();
        }
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse_if_failed(&self, statement: &Statement) -> Result<()> {
        let ends = matches!(statement, Statement::Transaction(Control::Commit | Control::Rollback | Control::RollbackTo(_)));
        if self.transaction.as_ref().is_some_and(|transaction| transaction.failed) && !ends {
            return Err(Error::new(
                SqlState::IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        Ok(())
    }
}
