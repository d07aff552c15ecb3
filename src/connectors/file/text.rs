//! Files of text: JSON lines and CSV.

use arrow::record_batch::RecordBatch;
use weir_common::error::Result;
use weir_common::limits::BATCH_ROWS_MAX;

use crate::file::files::{Opening, Stand};
use crate::file::reader::{BATCH_BYTES_MAX, Content, Gathered};
use crate::file::records::{Decoder, Outcome, Records};

/// Text, decoded record by record.
pub(crate) struct Text {
    relation: String,
    decoder: Decoder,
}

impl Text {
    pub(crate) fn new(relation: String, decoder: Decoder) -> Self {
        Text { relation, decoder }
    }
}

impl Content for Text {
    type File = Records;

    fn open(&self, opening: Opening) -> Result<Records> {
        Records::open(opening, &self.decoder)
    }

    fn read(&mut self, records: &mut Records, gathered: &mut Gathered) -> Result<bool> {
        let start = records.mark().bytes;
        let full = self.decode(records, gathered);
        gathered.bytes += records.mark().bytes - start;
        full
    }

    fn stand(records: &Records) -> Stand {
        records.stand()
    }

    fn stop_growing(records: &mut Records) {
        records.stop_growing();
    }

    fn rows(&self) -> usize {
        self.decoder.rows()
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        self.decoder.finish()
    }
}

impl Text {
    fn decode(&mut self, records: &mut Records, gathered: &mut Gathered) -> Result<bool> {
        gathered.origins.begin(records.name());
        let limit = records.mark().bytes + BATCH_BYTES_MAX.saturating_sub(gathered.bytes);
        while self.decoder.rows() + gathered.dead.len() < BATCH_ROWS_MAX && records.mark().bytes < limit {
            match records.decode(&mut self.decoder)? {
                Outcome::Row => gathered.origins.push(records.number()),
                Outcome::Dead { reason, error, payload } => gathered.dead.push(records.letter(&self.relation, reason, error, &payload)),
                Outcome::Nothing => return Ok(false),
            }
        }
        Ok(true)
    }
}
