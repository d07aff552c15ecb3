//! PREPARE, EXECUTE, DEALLOCATE, and the statements of a session that have names, from SQL or from the protocol.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_common::error::{Error, Result, SqlState};
use weir_common::limits::PREPARED_STATEMENTS_MAX;
use weir_sql::ScalarValue;
use weir_sql::statement::{Execute, Parsed, Prepare, Statement};
use weir_sql::types::pg_type;

use crate::pgwire::backend::{Named, Outcome};
use crate::session::{Prepared, Session, done};

/// Statements by name.
#[derive(Default)]
pub struct NamedStatements(BTreeMap<String, NamedStatement>);

/// A statement that was prepared under a name.
pub struct NamedStatement {
    /// Its plan; none of an empty text.
    pub prepared: Named<Prepared>,
    /// What the client sent to prepare it.
    pub text: String,
    /// Whether SQL's PREPARE made it.
    pub from_sql: bool,
    /// When, microseconds since 1970 UTC.
    pub prepared_micros: i64,
}

impl NamedStatements {
    /// By name.
    pub fn get(&self, name: &str) -> Option<&NamedStatement> {
        self.0.get(name)
    }

    /// All, by name.
    pub fn all(&self) -> impl Iterator<Item = (&String, &NamedStatement)> {
        self.0.iter()
    }

    /// Refuses a name that is taken, and one statement too many.
    pub fn check_free(&self, name: &str) -> Result<()> {
        if self.0.contains_key(name) {
            return Err(Error::new(SqlState::DUPLICATE_PREPARED_STATEMENT, format!("prepared statement \"{name}\" already exists")));
        }
        if self.0.len() >= PREPARED_STATEMENTS_MAX {
            let message = format!("a session keeps at most {PREPARED_STATEMENTS_MAX} prepared statements");
            return Err(Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).with_hint("DEALLOCATE those that are not needed."));
        }
        Ok(())
    }

    /// Adds one whose name is free.
    pub fn keep(&mut self, name: &str, statement: NamedStatement) -> Result<()> {
        self.check_free(name)?;
        self.0.insert(name.to_string(), statement);
        Ok(())
    }

    /// Takes one away; says whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// Takes all away.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The plan of a name, or the error that there is none.
    pub fn require(&self, name: &str) -> Result<&Arc<Prepared>> {
        let missing = || Error::new(SqlState::INVALID_SQL_STATEMENT_NAME, format!("prepared statement \"{name}\" does not exist"));
        match &self.get(name).ok_or_else(missing)?.prepared {
            Some(prepared) => Ok(prepared),
            None => Err(Error::unsupported(format!("prepared statement \"{name}\" is empty: EXECUTE would return nothing"))),
        }
    }
}

/// PREPARE.
pub async fn prepare(session: &mut Session, parsed: &Parsed, prepare: &Prepare) -> Result<Outcome> {
    session.named.check_free(&prepare.name)?;
    let mut types = vec![];
    for ty in &prepare.types {
        // Lengths and digits are no part of a parameter's type.
        types.push(ty.as_ref().map_or(Ok(0), |ty| pg_type(ty).map(|ty| ty.oid()))?);
    }
    let inner = (*prepare.statement).clone();
    let prepared = session.plan(inner, &types).await.map_err(|error| parsed.outside(&prepare.statement, error))?;
    let prepared_micros = session.database.clock.wall_micros();
    let statement = NamedStatement { prepared: Some(Arc::new(prepared)), text: parsed.text.clone(), from_sql: true, prepared_micros };
    session.named.keep(&prepare.name, statement)?;
    Ok(done("PREPARE"))
}

/// EXECUTE.
pub async fn execute(session: &mut Session, parsed: &Parsed, execute: &Execute) -> Result<Outcome> {
    let (prepared, values) = bind(session, parsed, execute).await?;
    if matches!(prepared.parsed.statement, Statement::Execute(_)) {
        return Err(Error::unsupported(format!("prepared statement \"{}\" is an EXECUTE itself", execute.name)));
    }
    // A position would be one in the text of the PREPARE.
    Box::pin(session.run_again(&prepared, values)).await.map_err(Error::without_position)
}

/// The statement that EXECUTE names, and the values that it gives its parameters.
pub async fn bind(session: &mut Session, parsed: &Parsed, execute: &Execute) -> Result<(Arc<Prepared>, Vec<ScalarValue>)> {
    let prepared = session.named.require(&execute.name)?.clone();
    let (expected, got) = (prepared.parameters().len(), execute.arguments.len());
    if expected != got {
        let message = format!("wrong number of parameters for prepared statement \"{}\"", execute.name);
        return Err(Error::new(SqlState::SYNTAX_ERROR, message).with_detail(format!("Expected {expected} parameters but got {got}.")));
    }
    let context = session.context(parsed).await?;
    let values = context.arguments(&execute.arguments, prepared.parameters(), &parsed.text)?;
    Ok((prepared, values))
}

/// DEALLOCATE; `None` is ALL.
pub fn deallocate(session: &mut Session, name: Option<&str>) -> Result<Outcome> {
    match name {
        None => session.named.clear(),
        Some(name) if session.named.remove(name) => {}
        Some(name) => {
            return Err(Error::new(SqlState::INVALID_SQL_STATEMENT_NAME, format!("prepared statement \"{name}\" does not exist")));
        }
    }
    Ok(done(if name.is_some() { "DEALLOCATE" } else { "DEALLOCATE ALL" }))
}
