//! The start of a connection: encryption is declined, the version agreed on, the client's words about itself read.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::{BufMut, BytesMut};
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::startup::{GssEncRequest, SslRequest, Startup as StartupMessage};
use pgwire::messages::{DecodeContext, Message, ProtocolVersion};
use weir_common::error::{Error, Result, SqlState};

use crate::pgwire::backend::Startup;
use crate::pgwire::cancel::SHORT_SECRET_BYTES;
use crate::pgwire::link::{Link, Stop};

/// Bytes of a message before startup, as in Postgres.
const STARTUP_BYTES_MAX: usize = 10_000;
/// The newest protocol that is spoken: 3.2, in which the secret of cancel requests is long.
const MINOR_MAX: u16 = 2;

/// What a client opened a connection for.
pub enum Opening {
    /// A session.
    Session(Hello),
    /// To cancel another connection's statement.
    Cancel {
        /// The number of the connection.
        pid: i32,
        /// What it must know.
        secret: Vec<u8>,
    },
    /// It does not speak Postgres.
    Unknown(&'static str),
}

/// A startup message, understood.
pub struct Hello {
    /// What the client said; `pid` is still 0.
    pub startup: Startup,
    /// The minor version to speak.
    pub minor: u16,
    /// Protocol options (`_pq_.*`) that are not known.
    pub unknown_options: Vec<String>,
    /// Whether the client has to be told what it will not get.
    pub negotiated: bool,
}

impl Hello {
    /// How many bytes of the secret the client can hold.
    pub fn secret_bytes(&self, all: usize) -> usize {
        if self.minor >= 2 { all } else { SHORT_SECRET_BYTES }
    }
}

/// Reads up to and including the startup message.
pub async fn open(link: &mut Link, peer: SocketAddr) -> Result<Opening, Stop> {
    loop {
        let head: [u8; 8] = link.peek(8).await?[..8].try_into().expect("eight bytes were asked for");
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if !(8..=STARTUP_BYTES_MAX).contains(&length) {
            return Ok(Opening::Unknown("invalid length of startup packet"));
        }
        link.peek(length).await?;
        let mut frame = link.take(length);
        if SslRequest::is_ssl_request_packet(&frame) || GssEncRequest::is_gss_enc_request_packet(&frame) {
            link.out.put_u8(b'N');
            link.flush().await?;
            continue;
        }
        if CancelRequest::is_cancel_request_packet(&frame) {
            let context = DecodeContext::new(ProtocolVersion::PROTOCOL3_2);
            return Ok(match CancelRequest::decode(&mut frame, &context) {
                Ok(Some(request)) => Opening::Cancel { pid: request.pid, secret: request.secret_key.to_bytes().to_vec() },
                _ => Opening::Unknown("invalid cancel request"),
            });
        }
        return hello(frame, peer).map(Opening::Session).map_err(Stop::Fatal);
    }
}

fn hello(mut frame: BytesMut, peer: SocketAddr) -> Result<Hello> {
    let (major, minor) = (u16::from_be_bytes([frame[4], frame[5]]), u16::from_be_bytes([frame[6], frame[7]]));
    if major != 3 {
        let message = format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{MINOR_MAX}");
        return Err(Error::unsupported(message));
    }
    let invalid = || Error::new(SqlState::PROTOCOL_VIOLATION, "invalid startup packet layout: expected terminator as last byte");
    if frame.len() < 9 || frame.last() != Some(&0) {
        return Err(invalid());
    }
    let context = DecodeContext::new(ProtocolVersion::PROTOCOL3_2);
    let message = StartupMessage::decode(&mut frame, &context).ok().flatten().ok_or_else(invalid)?;
    let (unknown_options, words): (Vec<_>, Vec<_>) = message.parameters.into_iter().partition(|(name, _)| name.starts_with("_pq_."));
    let words: BTreeMap<String, String> = words.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    let startup = understand(words, peer)?;
    let unknown_options: Vec<String> = unknown_options.into_iter().map(|(name, _)| name).collect();
    let negotiated = minor > MINOR_MAX || !unknown_options.is_empty();
    Ok(Hello { startup, minor: minor.min(MINOR_MAX), unknown_options, negotiated })
}

fn understand(mut words: BTreeMap<String, String>, peer: SocketAddr) -> Result<Startup> {
    let user = words.remove("user").filter(|user| !user.is_empty());
    let user = user.ok_or_else(|| Error::new(SqlState::INVALID_AUTHORIZATION, "no PostgreSQL user name specified in startup packet"))?;
    let database = words.remove("database").filter(|database| !database.is_empty()).unwrap_or_else(|| user.clone());
    if let Some(replication) = words.remove("replication")
        && !["false", "off", "no", "0"].contains(&replication.to_ascii_lowercase().as_str())
    {
        return Err(Error::unsupported("replication connections are not supported").with_hint("Read a view with SELECT or COPY instead."));
    }
    let mut parameters = BTreeMap::new();
    if let Some(options) = words.remove("options") {
        parameters = parse_options(&options)?;
    }
    // What is said by name counts more than what is said among the options, as in Postgres.
    parameters.extend(words);
    Ok(Startup { user, database, parameters, pid: 0, peer })
}

/// `-c name=value`, `-cname=value`, `--name=value`; a backslash keeps a blank in a word.
pub fn parse_options(options: &str) -> Result<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    let mut words = split_words(options).into_iter();
    while let Some(word) = words.next() {
        let invalid = || Error::new(SqlState::SYNTAX_ERROR, format!("invalid command-line argument for server process: {word}"));
        let setting = match word.strip_prefix("--") {
            Some(setting) => setting.to_string(),
            None => match word.strip_prefix("-c").ok_or_else(invalid)? {
                "" => words.next().ok_or_else(invalid)?,
                setting => setting.to_string(),
            },
        };
        let (name, value) = setting.split_once('=').ok_or_else(|| {
            Error::new(
                SqlState::SYNTAX_ERROR,
                if word.starts_with("--") { format!("--{setting} requires a value") } else { format!("-c {setting} requires a value") },
            )
        })?;
        parameters.insert(name.replace('-', "_").to_ascii_lowercase(), value.to_string());
    }
    Ok(parameters)
}

fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
