//! A session: one client's variables, transaction and COPY, and the dispatch of its statements.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::RelationId;
use weir_common::snapshot::Snapshot;
use weir_common::types::PgType;
use weir_sql::ScalarValue;
use weir_sql::catalog::{Catalog, DATABASE};
use weir_sql::context::{Context, Settings};
use weir_sql::dml::{DeletePlan, InsertPlan, UpdatePlan};
use weir_sql::parser;
use weir_sql::pg_catalog::{SessionFacts, SetConfig};
use weir_sql::read::QueryPlan;
use weir_sql::statement::{Parsed, Statement, Transaction as Control};
use weir_sql::system::SessionSystem;

use crate::database::Database;
use crate::pgwire::backend::{self, Backend, Deallocated, Notice, Outcome, RowsTag, Severity, Startup, TransactionStatus};
use crate::pgwire::shield::Shield;
use crate::statement;
use crate::statement::copy::CopyIn;
use crate::system;
use crate::transaction::Transaction;
use crate::value::scalar::ScalarParam;
use crate::value::settings::TextSettings;
use crate::variables::Variables;

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
        self.database.metrics.connections.inc();
        Ok(Session {
            database: self.database.clone(),
            user: startup.user,
            pid: startup.pid,
            peer: startup.peer,
            started_micros,
            variables,
            transaction: None,
            copy: None,
            shield: Shield::default(),
            asked: Arc::default(),
            count_only: false,
            notices: vec![],
            deallocated: vec![],
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
    started_micros: i64,
    /// Session variables.
    pub variables: Variables,
    /// The transaction that is going on, a block's or an implicit one.
    pub transaction: Option<Transaction>,
    /// The COPY FROM STDIN that is going on.
    pub copy: Option<CopyIn>,
    /// Up while a write is on its way that cannot be taken back.
    pub shield: Shield,
    /// What `set_config()` has asked for in the statement that is running.
    asked: Arc<Mutex<Vec<(String, String, bool)>>>,
    /// Materialized views that it creates count their rows instead of keeping them. No SQL sets it; `weir bench` does.
    pub count_only: bool,
    notices: Vec<Notice>,
    /// Prepared statements that SQL dropped.
    pub deallocated: Vec<Deallocated>,
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
    /// Nothing is planned before it runs.
    None,
}

impl Session {
    /// A context for one statement, with the system relations as they are now where the statement names them.
    pub async fn context(&self, parsed: &Parsed) -> Result<Context> {
        let (catalog, _) = self.database.catalog();
        let status =
            if statement::query::names_weir(&catalog, parsed) { Some(Arc::new(self.database.engine.status().await?)) } else { None };
        let system = Arc::new(SessionSystem::new(catalog.clone(), system::tables_of(&catalog, status), self.facts()));
        Ok(Context::new(catalog, system, &self.settings()))
    }

    /// What the session's functions and `pg_catalog` show, the catalog left out.
    fn facts(&self) -> impl Fn() -> SessionFacts + Send + Sync + 'static {
        let (user, pid, peer, session_started, now) = (self.user.clone(), self.pid, self.peer, self.started_micros, self.now_micros());
        let (variables, database, asked) = (self.variables.clone(), self.database.clone(), self.asked.clone());
        let of_set_config = variables.clone();
        let set_config = SetConfig(Arc::new(move |name, value, local| {
            // Checked now, done when the statement ends: what it shows of the session does not change under it.
            let mut changed = of_set_config.clone();
            changed.set(name, value, local)?;
            asked.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_string(), value.to_string(), local));
            changed.get(name)
        }));
        move || SessionFacts {
            set_config: Some(set_config.clone()),
            user: user.clone(),
            database: DATABASE.to_string(),
            pid,
            client: Some(peer),
            search_path: variables.search_path(),
            settings: variables.all(),
            server_started: database.started_micros,
            session_started,
            now,
            ..SessionFacts::default()
        }
    }

    /// What `now()` shows: the start of the transaction, or of the statement outside one.
    pub fn now_micros(&self) -> i64 {
        self.transaction.as_ref().map_or_else(|| self.database.clock.wall_micros(), |transaction| transaction.started_micros)
    }

    fn settings(&self) -> Settings {
        Settings { now_micros: self.now_micros(), time_zone: self.variables.get("TimeZone").unwrap_or_else(|_| "UTC".into()) }
    }

    /// The catalog as it is now.
    pub fn catalog(&self) -> Catalog {
        self.database.catalog().0
    }

    /// The rows of stored relations as the session sees them, all at one commit.
    pub async fn snapshots(&mut self, relations: &[RelationId]) -> Result<HashMap<RelationId, Snapshot>> {
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
        self.variables.end();
        let written = match transaction.changes() {
            Ok(changes) if changes.is_empty() => return Ok(()),
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
            self.variables.restore(before);
            self.variables.end();
            return Err(error);
        }
        Ok(())
    }

    /// Ends the transaction without a trace.
    pub fn rollback(&mut self) {
        if let Some(transaction) = self.transaction.take() {
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
    async fn plan(&mut self, parsed: Parsed, given: &[u32]) -> Result<Prepared> {
        let (_, version) = self.database.catalog();
        let types: Vec<Option<PgType>> = given.iter().map(|oid| PgType::from_oid(*oid)).collect();
        let (mut parameters, mut fields, mut plan) = (vec![], None, Plan::None);
        match &parsed.statement {
            Statement::Query(query) => {
                let context = self.context(&parsed).await?;
                let query = statement::query::plan(&context, query, &parsed.text, &types)?;
                parameters = query.parameters.clone();
                fields = Some(query.schema.clone());
                plan = Plan::Query(query);
            }
            Statement::Insert(insert) => {
                let context = self.context(&parsed).await?;
                let insert = context.plan_insert(insert, &parsed.text, &types)?;
                parameters = insert.parameters.clone();
                plan = Plan::Insert(insert);
            }
            Statement::Update(update) => {
                let context = self.context(&parsed).await?;
                let update = context.plan_update(update, &parsed.text, &types)?;
                parameters = update.parameters.clone();
                plan = Plan::Update(update);
            }
            Statement::Delete(delete) => {
                let context = self.context(&parsed).await?;
                let delete = context.plan_delete(delete, &parsed.text, &types)?;
                parameters = delete.parameters.clone();
                plan = Plan::Delete(delete);
            }
            Statement::Show(show) => fields = Some(statement::show::fields(show)),
            Statement::Explain(_) => fields = Some(statement::explain::fields()),
            _ => {}
        }
        Ok(Prepared { parsed, plan, version, given: given.to_vec(), parameters, fields })
    }

    async fn run(&mut self, prepared: &Prepared, parameters: Vec<ScalarValue>) -> Result<Outcome> {
        let parsed = &prepared.parsed;
        match (&parsed.statement, &prepared.plan) {
            (Statement::Query(query), Plan::Query(plan)) => statement::query::run(self, parsed, query, plan, &parameters).await,
            (_, Plan::Insert(plan)) => statement::dml::insert(self, parsed, plan, &parameters).await,
            (_, Plan::Update(plan)) => statement::dml::update(self, parsed, plan, &parameters).await,
            (_, Plan::Delete(plan)) => statement::dml::delete(self, parsed, plan, &parameters).await,
            (Statement::Copy(copy), _) => statement::copy::start(self, parsed, copy).await,
            (Statement::CreateTable(create), _) => statement::table::create(self, parsed, create).await,
            (Statement::CreateSource(create), _) => statement::source::create(self, parsed, create).await,
            (Statement::CreateView(create), _) => statement::view::create(self, parsed, create).await,
            (Statement::CreateMaterializedView(create), _) => statement::view::create_materialized(self, parsed, create).await,
            (Statement::Drop(drop), _) => statement::drop::run(self, drop).await,
            (Statement::Explain(explain), _) => statement::explain::run(self, explain).await,
            (Statement::Show(show), _) => statement::show::run(self, show),
            (Statement::Set(set), _) => statement::variable::set(self, set),
            (Statement::SetTransaction(set), _) => statement::variable::set_transaction(self, set),
            (Statement::Reset(reset), _) => statement::variable::reset(self, reset),
            (Statement::Discard(discard), _) => statement::variable::discard(self, *discard),
            (Statement::Transaction(control), _) => statement::transaction::run(self, control).await,
            (Statement::Deallocate(name), _) => {
                self.deallocated.push(name.clone().map_or(Deallocated::All, Deallocated::Name));
                Ok(done(if name.is_some() { "DEALLOCATE" } else { "DEALLOCATE ALL" }))
            }
            (Statement::Close(None), _) => Ok(done("CLOSE CURSOR ALL")),
            (Statement::Close(Some(name)), _) => {
                Err(Error::new(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist")))
            }
            (Statement::Unlisten(_), _) => Ok(done("UNLISTEN")),
            (Statement::Unsupported(what), _) => Err(what.error()),
            (Statement::Query(_) | Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_), _) => {
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
        self.database.metrics.statements.inc();
        self.refuse_if_failed(&prepared.parsed.statement)?;
        let mut values = vec![];
        for (parameter, ty) in parameters.iter().zip(&prepared.parameters) {
            values.push(match parameter {
                Some(parameter) => weir_sql::scalar::of(&parameter.array)?,
                None => weir_sql::scalar::null(ty)?,
            });
        }
        // The catalog has changed since the statement was planned, or the system itself is what it shows: plan again.
        let (catalog, version) = self.database.catalog();
        let shows_system = || matches!(prepared.plan, Plan::Query(_)) && statement::query::names_system(&catalog, &prepared.parsed);
        let outcome = if prepared.version != version || shows_system() {
            let again = self.plan(prepared.parsed.clone(), &prepared.given).await?;
            if again.fields != prepared.fields {
                return Err(Error::unsupported("cached plan must not change result type").with_hint("Prepare the statement again."));
            }
            self.run(&again, values).await
        } else {
            self.run(prepared, values).await
        };
        if outcome.is_err() {
            self.database.metrics.errors.inc();
        }
        outcome
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
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
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
        std::mem::take(&mut self.notices)
    }

    fn take_parameter_changes(&mut self) -> Vec<(String, String)> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        for (name, value, local) in asked {
            // Outside a transaction a local setting is over with its statement.
            if (!local || self.transaction.is_some())
                && let Err(error) = self.variables.set(&name, &value, local)
            {
                tracing::debug!(%error, name, "a setting that was valid is no longer");
            }
        }
        self.variables.take_changes()
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

    fn take_deallocated(&mut self) -> Vec<Deallocated> {
        std::mem::take(&mut self.deallocated)
    }
}

impl Session {
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
