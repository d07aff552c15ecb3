//! Deltas as bytes: for the epoch log, and whatever else keeps rows outside of memory.
//!
//! # Format
//! A byte: 0 where every weight is 1, else 1. The length (32 bits, little endian) of an Arrow IPC message, which is the flatbuffer of
//! a record batch, and the message; the length of its buffers, and the buffers; then the weights, 64 bits each, unless every one
//! is 1. Whoever reads must know the schema that was written.
//! Source: the Arrow columnar format, "Encapsulated message format", metadata version 5.

use std::collections::HashMap;

use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow::ipc::{MetadataVersion, root_as_message};

use crate::delta::{Delta, Weights};
use crate::error::{Error, Result, SqlState};

/// Encodes a delta without its schema.
pub fn encode(delta: &Delta) -> Result<Vec<u8>> {
    let (mut dictionaries, mut context) = (DictionaryTracker::new(true), IpcWriteContext::default());
    let options = IpcWriteOptions::default();
    let (_, data) = IpcDataGenerator::default().encode(&delta.rows, &mut dictionaries, &options, &mut context)?;
    let mut bytes = Vec::with_capacity(9 + data.ipc_message.len() + data.arrow_data.len() + 8 * delta.num_rows());
    bytes.push(!delta.is_append_only() as u8);
    for part in [&data.ipc_message, &data.arrow_data] {
        let len = u32::try_from(part.len())
            .map_err(|_| Error::new(SqlState::PROGRAM_LIMIT_EXCEEDED, "rows of one write take more than 4 GiB"))?;
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(part);
    }
    if let Weights::Each(weights) = &delta.weights {
        weights.iter().for_each(|weight| bytes.extend_from_slice(&weight.to_le_bytes()));
    }
    Ok(bytes)
}

/// Decodes what [`encode`] wrote of a delta with this schema; anything else is an error.
pub fn decode(bytes: &[u8], schema: &SchemaRef) -> Result<Delta> {
    let (weighted, rest) = bytes.split_first().ok_or_else(|| damaged("it is cut off"))?;
    let (message, rest) = part(rest)?;
    let (data, weights) = part(rest)?;
    let message = root_as_message(message).map_err(|error| damaged(&error.to_string()))?;
    let batch = message.header_as_record_batch().ok_or_else(|| damaged("it holds no rows"))?;
    // The buffers are copied: they need an alignment that a piece of a record does not have.
    let rows = read_record_batch(&Buffer::from(data), batch, schema.clone(), &HashMap::new(), None, &MetadataVersion::V5)
        .map_err(|error| damaged(&error.to_string()))?;
    if *weighted == 0 && weights.is_empty() {
        return Ok(Delta::insert(rows));
    }
    if *weighted != 1 || weights.len() != rows.num_rows() * 8 {
        return Err(damaged("it has another number of weights than of rows"));
    }
    let weights = weights.chunks_exact(8).map(|weight| i64::from_le_bytes(weight.try_into().expect("chunks of eight"))).collect();
    Ok(Delta::weighted(rows, weights))
}

fn part(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk().ok_or_else(|| damaged("it is cut off"))?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(|| damaged("it is cut off"))
}

fn damaged(why: &str) -> Error {
    Error::new(SqlState::DATA_CORRUPTED, format!("stored rows cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray};
    use arrow::datatypes::Int64Type;
    use arrow::record_batch::RecordBatch;

    use super::*;

    fn rows() -> RecordBatch {
        let ints: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3), Some(4)]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("weir"), Some(""), None, Some("dam")]));
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
            Some(vec![Some(1), None]),
            None,
            Some(vec![]),
            Some(vec![Some(7)]),
        ]));
        RecordBatch::try_from_iter_with_nullable([("i", ints, true), ("t", texts, true), ("l", lists, true)]).unwrap()
    }

    #[test]
    fn rows_and_weights_come_back_also_of_slices() {
        let all = rows();
        for delta in [
            Delta::insert(all.clone()),
            Delta::weighted(all.clone(), vec![1, -1, 3, -4]),
            Delta::weighted(all.clone(), vec![1, -1, 3, -4]).slice(1, 2),
            Delta::insert(all.slice(4, 0)),
        ] {
            let back = decode(&encode(&delta).unwrap(), &all.schema()).unwrap();
            assert_eq!(back.rows, delta.rows);
            assert_eq!(back.weight(), delta.weight());
            assert!((0..delta.num_rows()).all(|row| back.weights.get(row) == delta.weights.get(row)));
        }
    }

    #[test]
    fn a_part_is_no_whole() {
        let bytes = encode(&Delta::weighted(rows(), vec![1, 1, 1, -1])).unwrap();
        for len in 0..bytes.len() {
            let error = decode(&bytes[..len], &rows().schema()).expect_err("cut off");
            assert_eq!(error.sqlstate(), SqlState::DATA_CORRUPTED, "at {len}");
        }
    }
}
