//! What clients send after startup: frames, then messages.
//!
//! The decoder of the `pgwire` crate reads strings past the end of their message, panics where a message is too short
//! and replaces what is not UTF-8. A frame is cut out here first, and nothing in it can lead out of it.

use bytes::{Buf, Bytes, BytesMut};
use weir_common::error::{Error, Result, SqlState};
use weir_common::limits::MESSAGE_BYTES_MAX;

use crate::value::parse::text_of;

/// Bytes of a message that has no data of its own, as in Postgres.
const SMALL_MESSAGE_BYTES_MAX: usize = 10_000;

/// A message, uninterpreted.
#[derive(Debug)]
pub struct Frame {
    kind: u8,
    body: Bytes,
}

impl Frame {
    /// Cuts the next frame out of what was read; `None` if not all of it is there. An error is the end of the
    /// connection: where the next message begins is unknown.
    pub fn take(input: &mut BytesMut) -> Result<Option<Frame>> {
        let Some(&kind) = input.first() else { return Ok(None) };
        let most = match kind {
            b'Q' | b'P' | b'B' | b'F' | b'd' => MESSAGE_BYTES_MAX,
            b'D' | b'E' | b'C' | b'H' | b'S' | b'X' | b'c' | b'f' => SMALL_MESSAGE_BYTES_MAX,
            _ => return Err(violation(format!("invalid frontend message type {kind}"))),
        };
        let Some(length) = input.get(1..5) else { return Ok(None) };
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        if !(4..=most).contains(&length) {
            return Err(violation("invalid message length")
                .with_detail(format!("A message of type \"{}\" has at most {most} bytes.", kind as char)));
        }
        if input.len() < length + 1 {
            return Ok(None);
        }
        let mut frame = input.split_to(length + 1);
        frame.advance(5);
        Ok(Some(Frame { kind, body: frame.freeze() }))
    }

    /// How many bytes must still come before there is a whole frame, as far as is known.
    pub fn missing(input: &[u8]) -> usize {
        let length = input.get(1..5).map_or(0, |length| u32::from_be_bytes(length.try_into().expect("four bytes")) as usize);
        (length + 1).saturating_sub(input.len())
    }

    /// Whether an error in it is followed by ReadyForQuery at once, and not only after a Sync.
    pub fn stands_alone(&self) -> bool {
        matches!(self.kind, b'Q' | b'F')
    }

    /// What the message says. An error is that of a statement: the next message is where it should be.
    pub fn decode(self) -> Result<Message> {
        let mut body = Body(self.body);
        let message = match self.kind {
            b'Q' => Message::Query(body.string()?),
            b'P' => {
                let (name, sql) = (body.name()?, body.string()?);
                let types = (0..body.u16()?).map(|_| body.u32()).collect::<Result<_>>()?;
                Message::Parse { name, sql, types }
            }
            b'B' => Message::Bind {
                portal: body.name()?,
                statement: body.name()?,
                parameter_formats: body.formats()?,
                parameters: (0..body.u16()?).map(|_| body.value()).collect::<Result<_>>()?,
                result_formats: body.formats()?,
            },
            b'D' => Message::Describe(body.target("DESCRIBE")?),
            b'C' => Message::Close(body.target("CLOSE")?),
            b'E' => Message::Execute { portal: body.name()?, max_rows: body.u32()? as i32 },
            b'H' => Message::Flush,
            b'S' => Message::Sync,
            b'X' => Message::Terminate,
            b'd' => Message::CopyData(std::mem::take(&mut body.0)),
            b'c' => Message::CopyDone,
            b'f' => Message::CopyFail(body.name()?),
            _ => return Ok(Message::FunctionCall),
        };
        if !body.0.is_empty() {
            return Err(violation("invalid message format"));
        }
        Ok(message)
    }
}

/// A message from a client.
#[derive(Debug)]
pub enum Message {
    /// A query string, perhaps of several statements. Not checked to be UTF-8.
    Query(Bytes),
    /// A statement to prepare.
    Parse {
        /// Its name, or empty.
        name: String,
        /// Its text, not checked to be UTF-8.
        sql: Bytes,
        /// OIDs of its parameters, 0 for unknown.
        types: Vec<u32>,
    },
    /// Values for a prepared statement's parameters.
    Bind {
        /// The name of the portal to make, or empty.
        portal: String,
        /// The name of the statement.
        statement: String,
        /// None for text, one for all, or one each.
        parameter_formats: Vec<i16>,
        /// The values; `None` is NULL.
        parameters: Vec<Option<Bytes>>,
        /// None for text, one for all, or one each.
        result_formats: Vec<i16>,
    },
    /// Asks for types.
    Describe(Target),
    /// Asks for rows.
    Execute {
        /// The portal.
        portal: String,
        /// How many rows at most; 0 or less for all.
        max_rows: i32,
    },
    /// Lets a statement or portal go.
    Close(Target),
    /// Asks for what was answered so far.
    Flush,
    /// Ends a sequence.
    Sync,
    /// Goodbye.
    Terminate,
    /// A piece of a COPY.
    CopyData(Bytes),
    /// The end of a COPY.
    CopyDone,
    /// The COPY is given up.
    CopyFail(String),
    /// A function called by number, as nobody does any more.
    FunctionCall,
}

/// What Describe and Close are about.
#[derive(Debug)]
pub enum Target {
    /// A prepared statement.
    Statement(String),
    /// A portal.
    Portal(String),
}

fn violation(message: impl Into<String>) -> Error {
    Error::new(SqlState::PROTOCOL_VIOLATION, message)
}

/// The rest of a message's body.
struct Body(Bytes);

impl Body {
    fn take(&mut self, count: usize) -> Result<Bytes> {
        if self.0.len() < count {
            return Err(violation("insufficient data left in message"));
        }
        Ok(self.0.split_to(count))
    }

    fn u16(&mut self) -> Result<u16> {
        self.take(2).map(|mut bytes| bytes.get_u16())
    }

    fn u32(&mut self) -> Result<u32> {
        self.take(4).map(|mut bytes| bytes.get_u32())
    }

    fn string(&mut self) -> Result<Bytes> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or_else(|| violation("invalid string in message"))?;
        let string = self.0.split_to(end);
        self.0.advance(1);
        Ok(string)
    }

    fn name(&mut self) -> Result<String> {
        text_of(&self.string()?).map(str::to_string)
    }

    fn formats(&mut self) -> Result<Vec<i16>> {
        (0..self.u16()?).map(|_| self.u16().map(|code| code as i16)).collect()
    }

    fn value(&mut self) -> Result<Option<Bytes>> {
        match self.u32()? {
            u32::MAX => Ok(None),
            length => self.take(length as usize).map(Some),
        }
    }

    fn target(&mut self, message: &str) -> Result<Target> {
        let kind = self.take(1)?[0];
        match kind {
            b'S' => self.name().map(Target::Statement),
            b'P' => self.name().map(Target::Portal),
            other => Err(violation(format!("invalid {message} message subtype {other}"))),
        }
    }
}
