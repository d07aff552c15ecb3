//! The extended protocol: statements are prepared, bound to parameters as portals, described, executed and closed.

use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use weir_common::error::{Error, Result, SqlState};
use weir_common::types::PgType;

use crate::pgwire::backend::{Named, Outcome, RowSource, Session, TransactionStatus};
use crate::pgwire::connection::Connection;
use crate::pgwire::cursor::{self, Cursor};
use crate::pgwire::frontend::{Message, Target};
use crate::pgwire::link::Stop;
use crate::pgwire::respond;
use crate::pgwire::simple::place;
use crate::value::parse::text_of;
use crate::value::rows::Format;
use crate::value::scalar::ScalarParam;

/// Characters of a parameter that the context of an error shows.
const SHOWN_CHARACTERS_MAX: usize = 100;

/// A statement with its parameters.
pub struct Portal<S: Session> {
    statement: Named<S::Prepared>,
    formats: Vec<Format>,
    state: State,
}

enum State {
    /// It was not executed yet.
    Bound(Vec<Option<ScalarParam>>),
    /// It has rows, perhaps more of them; none after the last were sent.
    Rows(Cursor),
    /// It did what it does, which it does once.
    Done,
}

impl<S: Session> Connection<S> {
    /// Answers a message of the extended protocol other than Sync and Flush.
    pub(crate) async fn extended(&mut self, message: Message) -> Result<(), Stop> {
        self.link.arm(self.session.statement_timeout());
        match message {
            Message::Parse { name, sql, types } => self.parse(name, &sql, &types).await,
            Message::Bind { portal, statement, parameter_formats, parameters, result_formats } => {
                Ok(self.bind(portal, &statement, &parameter_formats, &parameters, &result_formats)?)
            }
            Message::Describe(target) => Ok(self.describe(target)?),
            Message::Execute { portal, max_rows } => self.execute(portal, max_rows).await,
            Message::Close(target) => {
                self.close(target);
                Ok(())
            }
            _ => Err(Error::internal("a message reached the extended protocol that is not of it").into()),
        }?;
        self.link.disarm();
        self.link.seal();
        Ok(())
    }

    async fn parse(&mut self, name: String, sql: &Bytes, types: &[u32]) -> Result<(), Stop> {
        let mut parsed = self.session.parse(text_of(sql)?)?;
        if parsed.len() > 1 {
            return Err(Error::new(SqlState::SYNTAX_ERROR, "cannot insert multiple commands into a prepared statement").into());
        }
        if name.is_empty() {
            self.unnamed = None;
        } else if self.session.statement(&name).is_some() {
            let error = Error::new(SqlState::DUPLICATE_PREPARED_STATEMENT, format!("prepared statement \"{name}\" already exists"));
            return Err(error.into());
        }
        let statement = match parsed.pop() {
            None => None,
            Some(parsed) => {
                let offset = parsed.offset;
                Some(self.link.race(self.session.prepare(parsed, types)).await?.map_err(|error| place(error, offset))?)
            }
        };
        match name.as_str() {
            "" => self.unnamed = Some(statement),
            name => self.session.keep_statement(name, statement)?,
        }
        self.tell();
        respond::parse_complete(&mut self.link.out);
        Ok(())
    }

    fn bind(
        &mut self,
        portal: String,
        statement: &str,
        parameter_formats: &[i16],
        parameters: &[Option<Bytes>],
        result_formats: &[i16],
    ) -> Result<()> {
        let bound = self.statement(statement)?;
        let types = bound.as_ref().map_or(&[][..], |prepared| S::parameters(prepared));
        if parameters.len() != types.len() {
            return Err(violation(format!(
                "bind message supplies {} parameters, but prepared statement \"{statement}\" requires {}",
                parameters.len(),
                types.len()
            )));
        }
        let mismatch = |count| violation(format!("bind message has {count} parameter formats but {} parameters", parameters.len()));
        let decoding = expand(parameter_formats, parameters.len(), mismatch)?;
        let fields = fields::<S>(&bound);
        let width = fields.as_ref().map_or(0, |schema| schema.fields().len());
        let mismatch = |count| violation(format!("bind message has {count} result formats but query has {width} columns"));
        let formats = match fields {
            // What has no columns ignores their formats, as drivers send them before they know.
            None => Vec::new(),
            Some(_) => expand(result_formats, width, mismatch)?,
        };
        if !portal.is_empty() && (self.portals.contains_key(&portal) || self.session.cursor(&portal).is_some()) {
            return Err(Error::new(SqlState::DUPLICATE_CURSOR, format!("cursor \"{portal}\" already exists")));
        }
        let settings = self.session.text_settings();
        let mut values = Vec::with_capacity(parameters.len());
        for (at, ((bytes, ty), format)) in parameters.iter().zip(types).zip(decoding).enumerate() {
            let decoded = bytes.as_ref().map(|bytes| ScalarParam::decode(ty, format, bytes, &settings)).transpose();
            values.push(decoded.map_err(|error| in_parameter(error, &portal, at + 1, bytes.as_deref(), format))?);
        }
        self.portals.insert(portal, Portal { statement: bound, formats, state: State::Bound(values) });
        respond::bind_complete(&mut self.link.out);
        Ok(())
    }

    fn describe(&mut self, target: Target) -> Result<()> {
        let (fields, formats) = match &target {
            Target::Statement(name) => {
                let statement = self.statement(name)?;
                let types = statement.as_ref().map_or(&[][..], |prepared| S::parameters(prepared));
                respond::parameters(types, &mut self.link.out);
                let fields = fields::<S>(&statement);
                let width = fields.as_ref().map_or(0, |schema| schema.fields().len());
                (fields, vec![Format::Text; width])
            }
            Target::Portal(name) => match (self.portals.get(name), self.session.cursor(name)) {
                (Some(portal), _) => (fields::<S>(&portal.statement), portal.formats.clone()),
                (None, Some(columns)) => {
                    let formats = vec![Format::Text; columns.fields().len()];
                    (Some(columns), formats)
                }
                (None, None) => return Err(no_portal(name)),
            },
        };
        match fields {
            Some(schema) => respond::rows(&schema, &formats, &mut self.link.out),
            None => respond::no_data(&mut self.link.out),
        }
        Ok(())
    }

    async fn execute(&mut self, name: String, max_rows: i32) -> Result<(), Stop> {
        // Taken out while it runs: what fails is not put back.
        let mut portal = self.portals.remove(&name).ok_or_else(|| no_portal(&name))?;
        let Some(prepared) = portal.statement.clone() else {
            respond::empty_query(&mut self.link.out);
            self.portals.insert(name, portal);
            return Ok(());
        };
        let before = self.session.transaction_status();
        let outcome = match std::mem::replace(&mut portal.state, State::Done) {
            State::Bound(parameters) => {
                // With its Sync behind it, a statement is a transaction by itself, as one alone in a query string is.
                if self.implicit || !self.link.sync_follows() {
                    self.begin_implicit().await?;
                }
                let offset = S::offset(&prepared);
                let outcome = self.link.race(self.session.execute(&prepared, parameters)).await?;
                outcome.map_err(|error| place(error, offset))?
            }
            // SQL has closed it.
            State::Rows(cursor) if cursor.is_shared() && self.session.cursor(&name).is_none() => return Err(no_portal(&name).into()),
            State::Rows(cursor) => {
                return self.send_rows(name, portal, cursor, max_rows).await;
            }
            State::Done => {
                let message = format!("portal \"{name}\" cannot be run");
                return Err(Error::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message).into());
            }
        };
        let tag = match outcome {
            Outcome::Rows { schema, batches, tag } => {
                check_unchanged(S::fields(&prepared).as_deref(), &schema)?;
                self.follow_transaction(before);
                let source = match name.as_str() {
                    "" => RowSource::Own { batches, rest: None },
                    name => self.session.share(name, &prepared, &schema, batches)?,
                };
                return self.send_rows(name, portal, Cursor::new(schema, source, tag), max_rows).await;
            }
            Outcome::Done { tag } => tag,
            Outcome::CopyIn { columns, binary } => cursor::copy_in(&mut self.link, &mut self.session, columns, binary).await?,
            Outcome::CopyOut { columns, binary, chunks, rows } => cursor::copy_out(&mut self.link, columns, binary, chunks, rows).await?,
        };
        self.follow_transaction(before);
        if !(before != TransactionStatus::Idle && self.session.transaction_status() == TransactionStatus::Idle) {
            self.portals.insert(name, portal);
        }
        self.tell();
        respond::complete(tag, &mut self.link.out);
        Ok(())
    }

    async fn send_rows(&mut self, name: String, mut portal: Portal<S>, mut cursor: Cursor, max_rows: i32) -> Result<(), Stop> {
        let limit = u64::try_from(max_rows).ok().filter(|limit| *limit > 0);
        let settings = self.session.text_settings();
        let sent = cursor.send(&mut self.link, &portal.formats, &settings, limit).await?;
        self.tell();
        if sent.suspended {
            respond::suspended(&mut self.link.out);
        } else {
            respond::complete(cursor.tag.complete(sent.rows), &mut self.link.out);
        }
        portal.state = State::Rows(cursor);
        self.portals.insert(name, portal);
        Ok(())
    }

    fn close(&mut self, target: Target) {
        match target {
            Target::Statement(name) if name.is_empty() => self.unnamed = None,
            Target::Statement(name) => self.session.close_statement(&name),
            Target::Portal(name) => {
                self.portals.remove(&name);
                self.session.close_cursor(&name);
            }
        }
        respond::close_complete(&mut self.link.out);
    }

    fn statement(&self, name: &str) -> Result<Named<S::Prepared>> {
        let statement = if name.is_empty() { self.unnamed.clone() } else { self.session.statement(name) };
        statement.ok_or_else(|| {
            let message = match name {
                "" => "unnamed prepared statement does not exist".to_string(),
                name => format!("prepared statement \"{name}\" does not exist"),
            };
            Error::new(SqlState::INVALID_SQL_STATEMENT_NAME, message)
        })
    }
}

fn fields<S: Session>(statement: &Named<S::Prepared>) -> Option<SchemaRef> {
    statement.as_ref().and_then(|prepared| S::fields(prepared))
}

fn no_portal(name: &str) -> Error {
    Error::new(SqlState::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
}

fn violation(message: String) -> Error {
    Error::new(SqlState::PROTOCOL_VIOLATION, message)
}

/// One format each from none (text), one for all, or one each.
fn expand(codes: &[i16], count: usize, mismatch: impl Fn(usize) -> Error) -> Result<Vec<Format>> {
    match codes {
        [] => Ok(vec![Format::Text; count]),
        [code] => Ok(vec![Format::of_code(*code)?; count]),
        codes if codes.len() == count => codes.iter().copied().map(Format::of_code).collect(),
        codes => Err(mismatch(codes.len())),
    }
}

/// A client that described the statement counts on its columns.
fn check_unchanged(described: Option<&Schema>, schema: &Schema) -> Result<()> {
    let types = |schema: &Schema| schema.fields().iter().map(|field| PgType::of_field(field)).collect::<Vec<_>>();
    if described.is_some_and(|described| types(described) == types(schema)) {
        return Ok(());
    }
    Err(Error::unsupported("cached plan must not change result type"))
}

fn in_parameter(error: Error, portal: &str, number: usize, bytes: Option<&[u8]>, format: Format) -> Error {
    let portal = if portal.is_empty() { "unnamed portal".to_string() } else { format!("portal \"{portal}\"") };
    let shown = match (bytes, format) {
        (Some(bytes), Format::Text) => {
            let text = String::from_utf8_lossy(bytes);
            let head: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
            let dots = if head.len() < text.len() { "..." } else { "" };
            format!(" = '{}{dots}'", head.replace('\'', "''"))
        }
        _ => String::new(),
    };
    error.with_context(format!("{portal} parameter ${number}{shown}"))
}
