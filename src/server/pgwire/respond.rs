//! What the server says, as messages in a buffer.

use arrow::datatypes::Schema;
use bytes::{BufMut, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::copy::{CopyInResponse, CopyOutResponse};
use pgwire::messages::data::{FieldDescription, NoData, ParameterDescription, RowDescription};
use pgwire::messages::extendedquery::{BindComplete, CloseComplete, ParseComplete, PortalSuspended};
use pgwire::messages::response::{
    CommandComplete, EmptyQueryResponse, ErrorResponse, NoticeResponse, ReadyForQuery, TransactionStatus as WireStatus,
};
use pgwire::messages::startup::{Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey};
use weir_common::error::{Error, SqlState};
use weir_common::types::PgType;

use crate::pgwire::backend::{Notice, TransactionStatus};
use crate::value::rows::Format;

/// The metadata key of a field's table, by OID.
pub const TABLE_OID_KEY: &str = "weir.table_oid";
/// The metadata key of a field's number among its table's columns, from 1.
pub const ATTNUM_KEY: &str = "weir.attnum";

/// Appends a message.
fn put(message: &impl Message, out: &mut BytesMut) {
    let start = out.len();
    if message.encode(out).is_err() {
        // Only a message beyond its bound cannot be encoded: none of these can be asked to be that long but an error's.
        out.truncate(start);
        let too_long = Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "a message to the client is too long");
        let _ = ErrorResponse::new(fields("ERROR", &too_long)).encode(out);
    }
}

/// ErrorResponse of an error after which the connection goes on.
pub fn error(error: &Error, out: &mut BytesMut) {
    put(&ErrorResponse::new(fields("ERROR", error)), out);
}

/// ErrorResponse of an error that ends the connection.
pub fn fatal(error: &Error, out: &mut BytesMut) {
    put(&ErrorResponse::new(fields("FATAL", error)), out);
}

fn fields(severity: &str, error: &Error) -> Vec<(u8, String)> {
    let mut fields = vec![(b'S', severity.to_string()), (b'V', severity.to_string())];
    fields.push((b'C', error.sqlstate().0.to_string()));
    fields.push((b'M', error.message().to_string()));
    fields.extend(error.detail().map(|detail| (b'D', detail.to_string())));
    fields.extend(error.hint().map(|hint| (b'H', hint.to_string())));
    fields.extend(error.position().map(|position| (b'P', position.to_string())));
    fields.extend(error.context().map(|context| (b'W', context.to_string())));
    without_nul(fields)
}

/// A NUL would end the field, and the rest of its text would be read as fields.
fn without_nul(mut fields: Vec<(u8, String)>) -> Vec<(u8, String)> {
    for (_, text) in &mut fields {
        if text.contains('\0') {
            *text = text.replace('\0', "\u{fffd}");
        }
    }
    fields
}

/// NoticeResponse.
pub fn notice(notice: &Notice, out: &mut BytesMut) {
    let severity = notice.severity.word().to_string();
    let mut fields = vec![(b'S', severity.clone()), (b'V', severity), (b'C', notice.sqlstate.0.to_string())];
    fields.push((b'M', notice.message.clone()));
    fields.extend(notice.detail.clone().map(|detail| (b'D', detail)));
    fields.extend(notice.hint.clone().map(|hint| (b'H', hint)));
    put(&NoticeResponse::new(without_nul(fields)), out);
}

/// AuthenticationOk.
pub fn authentication_ok(out: &mut BytesMut) {
    put(&Authentication::Ok, out);
}

/// NegotiateProtocolVersion: the version that is spoken, and the options that are not known.
pub fn negotiate(minor: u16, unknown_options: Vec<String>, out: &mut BytesMut) {
    put(&NegotiateProtocolVersion::new((3 << 16) | minor as i32, unknown_options), out);
}

/// BackendKeyData: what a cancel request must bring.
pub fn key_data(pid: i32, secret: &[u8], out: &mut BytesMut) {
    put(&BackendKeyData::new(pid, SecretKey::Bytes(secret.to_vec().into())), out);
}

/// ParameterStatus.
pub fn parameter_status(name: &str, value: &str, out: &mut BytesMut) {
    put(&ParameterStatus::new(name.replace('\0', ""), value.replace('\0', "")), out);
}

/// ReadyForQuery.
pub fn ready(status: TransactionStatus, out: &mut BytesMut) {
    let status = match status {
        TransactionStatus::Idle => WireStatus::Idle,
        TransactionStatus::InBlock => WireStatus::Transaction,
        TransactionStatus::Failed => WireStatus::Error,
    };
    put(&ReadyForQuery::new(status), out);
}

/// CommandComplete.
pub fn complete(tag: String, out: &mut BytesMut) {
    put(&CommandComplete::new(tag), out);
}

/// EmptyQueryResponse.
pub fn empty_query(out: &mut BytesMut) {
    put(&EmptyQueryResponse::new(), out);
}

/// ParseComplete.
pub fn parse_complete(out: &mut BytesMut) {
    put(&ParseComplete::new(), out);
}

/// BindComplete.
pub fn bind_complete(out: &mut BytesMut) {
    put(&BindComplete::new(), out);
}

/// CloseComplete.
pub fn close_complete(out: &mut BytesMut) {
    put(&CloseComplete::new(), out);
}

/// PortalSuspended.
pub fn suspended(out: &mut BytesMut) {
    put(&PortalSuspended::new(), out);
}

/// NoData.
pub fn no_data(out: &mut BytesMut) {
    put(&NoData::new(), out);
}

/// ParameterDescription.
pub fn parameters(types: &[PgType], out: &mut BytesMut) {
    put(&ParameterDescription::new(types.iter().map(oid).collect()), out);
}

/// RowDescription; `formats` holds one for each field.
pub fn rows(schema: &Schema, formats: &[Format], out: &mut BytesMut) {
    let fields = schema.fields().iter().zip(formats).map(|(field, format)| {
        let number = |key: &str| field.metadata().get(key).and_then(|number| number.parse::<u32>().ok()).unwrap_or(0);
        let ty = PgType::of_field(field);
        let size = if matches!(ty, PgType::Array(_)) { -1 } else { ty.typlen() };
        FieldDescription::new(
            field.name().replace('\0', ""),
            number(TABLE_OID_KEY) as i32,
            number(ATTNUM_KEY) as i16,
            oid(&ty),
            size,
            ty.modifier(),
            format.code(),
        )
    });
    put(&RowDescription::new(fields.collect()), out);
}

/// An array of arrays has the type of an array: dimensions are no part of it.
fn oid(ty: &PgType) -> u32 {
    match ty {
        PgType::Array(element) if matches!(**element, PgType::Array(_)) => oid(element),
        other => other.oid(),
    }
}

/// CopyInResponse.
pub fn copy_in(columns: usize, binary: bool, out: &mut BytesMut) {
    put(&CopyInResponse::new(binary.into(), columns as i16, vec![binary.into(); columns]), out);
}

/// CopyOutResponse.
pub fn copy_out(columns: usize, binary: bool, out: &mut BytesMut) {
    put(&CopyOutResponse::new(binary.into(), columns as i16, vec![binary.into(); columns]), out);
}

/// CopyData.
pub fn copy_data(data: &[u8], out: &mut BytesMut) {
    out.put_u8(b'd');
    out.put_i32(data.len() as i32 + 4);
    out.put_slice(data);
}

/// CopyDone.
pub fn copy_done(out: &mut BytesMut) {
    put(&pgwire::messages::copy::CopyDone::new(), out);
}
