//! A query string: its statements one after the other, each answered before the next.

use weir_common::error::{Error, Result};

use crate::pgwire::backend::{Outcome, RowSource, Session};
use crate::pgwire::connection::Connection;
use crate::pgwire::cursor::{self, Cursor};
use crate::pgwire::link::Stop;
use crate::pgwire::respond;
use crate::value::parse::text_of;
use crate::value::rows::Format;

impl<S: Session> Connection<S> {
    /// Runs a query string. Several statements are one transaction, unless they say otherwise.
    pub(crate) async fn simple(&mut self, sql: &[u8]) -> Result<(), Stop> {
        // A query string replaces the unnamed statement and portal.
        self.unnamed = None;
        self.portals.remove("");
        let statements = self.session.parse(text_of(sql)?)?;
        let count = statements.len();
        if count == 0 {
            respond::empty_query(&mut self.link.out);
        }
        for (at, parsed) in statements.into_iter().enumerate() {
            self.link.arm(self.session.statement_timeout());
            if count > 1 {
                self.begin_implicit().await?;
            }
            let before = self.session.transaction_status();
            let offset = parsed.offset;
            let (prepared, outcome) = self.link.race(self.session.run_once(parsed)).await?.map_err(|error| place(error, offset))?;
            let format = if self.session.is_binary(&prepared) { Format::Binary } else { Format::Text };
            let tag = self.deliver(outcome, format).await?;
            self.follow_transaction(before);
            if at + 1 == count {
                // Before the last tag, so that it is not said when the commit fails.
                self.commit_implicit().await?;
            }
            self.tell();
            respond::complete(tag, &mut self.link.out);
            self.link.seal();
            self.link.disarm();
            if at + 1 < count {
                self.link.flush().await?;
            }
        }
        Ok(())
    }

    /// Sends what a statement gives, and returns its tag.
    async fn deliver(&mut self, outcome: Outcome, format: Format) -> Result<String, Stop> {
        match outcome {
            Outcome::Rows { schema, batches, tag } => {
                let formats = vec![format; schema.fields().len()];
                respond::rows(&schema, &formats, &mut self.link.out);
                self.link.seal();
                let settings = self.session.text_settings();
                let mut cursor = Cursor::new(schema, RowSource::Own { batches, rest: None }, tag);
                let sent = cursor.send(&mut self.link, &formats, &settings, None).await?;
                Ok(cursor.tag.complete(sent.rows))
            }
            Outcome::Done { tag } => Ok(tag),
            Outcome::CopyIn { columns, binary } => cursor::copy_in(&mut self.link, &mut self.session, columns, binary).await,
            Outcome::CopyOut { columns, binary, chunks, rows } => cursor::copy_out(&mut self.link, columns, binary, chunks, rows).await,
        }
    }
}

/// Where the client sees an error of a statement: in the whole query string.
pub(crate) fn place(error: Error, offset: usize) -> Error {
    match error.position() {
        Some(position) => error.with_position(position + offset),
        None => error,
    }
}
