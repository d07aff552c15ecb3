//! Parquet files into batches: the declared columns by their names, a row group at a time, page by page.

mod convert; // columns into the declared types, without loss

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{Array, ArrayRef, BooleanArray, make_array, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;
use weir_common::dead_letter::{DeadLetter, Reason};
use weir_common::error::{Error, Result, SqlState, nearest};
use weir_common::limits::BATCH_ROWS_MAX;
use weir_common::types::PgType;

use self::convert::{Converted, convert};
use crate::file::files::{Opening, Stand};
use crate::file::place::Mark;
use crate::file::reader::{BATCH_BYTES_MAX, Content, Gathered};
use crate::quote::quote;

/// Parquet files, of which the columns of a schema are read.
pub(crate) struct Parquet {
    relation: String,
    schema: SchemaRef,
    /// The batch that is being put together: at most one of the file's.
    rows: Option<RecordBatch>,
}

/// A file that is being read.
pub(crate) struct ParquetFile {
    name: String,
    reader: ParquetRecordBatchReader,
    /// For each declared column its place in the reader's batches, unless the file does not have it.
    places: Vec<Option<usize>>,
    row: u64,
    /// Of the columns that are read, decompressed.
    bytes_per_row: f64,
}

impl Parquet {
    pub(crate) fn new(relation: String, schema: SchemaRef) -> Self {
        Parquet { relation, schema, rows: None }
    }

    /// What is read of a batch of the file's, whose first row is the `first`-th: rows, and a dead letter for each that has a value
    /// without an equal in its column's type.
    fn take(&self, file: &ParquetFile, batch: &RecordBatch, first: u64, gathered: &mut Gathered) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(file.places.len());
        let mut misfits: Vec<(usize, String)> = Vec::new();
        for (field, place) in self.schema.fields().iter().zip(&file.places) {
            let Some(place) = place else {
                columns.push(new_null_array(field.data_type(), batch.num_rows()));
                continue;
            };
            let values = batch.column(*place);
            let Converted { values: converted, misfits: found } = convert(values, &PgType::of_field(field), field)?;
            columns.push(converted);
            misfits.extend(
                found
                    .into_iter()
                    .map(|(row, what)| (row, format!("column \"{}\": {} {what}", field.name(), quote(show(values, row).as_bytes())))),
            );
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        let offset = |row: usize| (first + row as u64 + 1) as i64;
        gathered.origins.begin(&file.name);
        if misfits.is_empty() {
            (0..batch.num_rows()).for_each(|row| gathered.origins.push(offset(row)));
            return Ok(rows);
        }
        misfits.sort_by_key(|(row, _)| *row);
        misfits.dedup_by_key(|(row, _)| *row);
        let mut good = vec![true; batch.num_rows()];
        for (row, error) in misfits {
            good[row] = false;
            let letter = DeadLetter::of_bytes(&self.relation, Reason::Decode, error, text_of(batch, row).as_bytes());
            gathered.dead.push(DeadLetter { partition: Some(file.name.clone()), offset: Some(offset(row)), ..letter });
        }
        (0..batch.num_rows()).filter(|row| good[*row]).for_each(|row| gathered.origins.push(offset(row)));
        Ok(filter_record_batch(&rows, &BooleanArray::new(BooleanBuffer::from(good), None))?)
    }
}

/// The values that were read of a row, for a person.
fn text_of(batch: &RecordBatch, row: usize) -> String {
    let schema = batch.schema();
    let values = batch.columns().iter().zip(schema.fields()).map(|(column, field)| format!("{}: {}", field.name(), show(column, row)));
    values.collect::<Vec<_>>().join(", ")
}

/// A value for a person.
fn show(values: &ArrayRef, row: usize) -> String {
    let plain = match values.data_type() {
        // Arrow shows moments of a named zone only with a table of zones.
        DataType::Timestamp(unit, Some(_)) => {
            let plain = values.to_data().into_builder().data_type(DataType::Timestamp(*unit, None));
            plain.build().map_or_else(|_| values.clone(), make_array)
        }
        _ => values.clone(),
    };
    if plain.is_null(row) {
        return "NULL".to_string();
    }
    let text = |values: &ArrayRef| {
        let options = FormatOptions::default().with_display_error(false);
        ArrayFormatter::try_new(values, &options).ok()?.value(row).try_to_string().ok()
    };
    // What is no moment is a number all the same.
    let number = || text(&cast(&plain, &DataType::Int64).ok()?);
    text(&plain).or_else(number).unwrap_or_default()
}

impl Content for Parquet {
    type File = ParquetFile;

    fn open(&self, opening: Opening) -> Result<ParquetFile> {
        ParquetFile::open(opening, &self.schema)
    }

    fn read(&mut self, file: &mut ParquetFile, gathered: &mut Gathered) -> Result<bool> {
        while self.rows.is_none() && gathered.dead.is_empty() {
            let first = file.row;
            let Some(batch) = file.next()? else { return Ok(false) };
            gathered.bytes += (batch.num_rows() as f64 * file.bytes_per_row) as u64;
            self.rows = Some(self.take(file, &batch, first, gathered)?).filter(|rows| rows.num_rows() > 0);
        }
        Ok(true)
    }

    fn stand(file: &ParquetFile) -> Stand {
        Stand { at: Mark { bytes: file.row, lines: file.row }, ended: false, seen: 0 }
    }

    fn stop_growing(_: &mut ParquetFile) {}

    fn rows(&self) -> usize {
        self.rows.as_ref().map_or(0, RecordBatch::num_rows)
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        Ok(self.rows.take().unwrap_or_else(|| RecordBatch::new_empty(self.schema.clone())))
    }
}

impl ParquetFile {
    /// Opens a file at a row; an error where it is none of Parquet, or its columns are not the declared ones.
    pub(crate) fn open(opening: Opening, schema: &Schema) -> Result<ParquetFile> {
        let Opening { name, file, at, until, .. } = opening;
        // Its own types, not those that Arrow wrote beside them: fewer, and the same whoever wrote the file.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = guarded(&name, || ParquetRecordBatchReaderBuilder::try_new_with_options(file, options))?;
        let places = places(&name, builder.schema(), schema)?;
        let roots: Vec<usize> = places.iter().flatten().copied().collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots.iter().copied());
        check_codecs(&name, &builder, &mask)?;

        let groups = builder.metadata().row_groups();
        let total: i64 = groups.iter().map(|group| group.num_rows()).sum();
        let leaves = |group: &parquet::file::metadata::RowGroupMetaData| -> i64 {
            let read = group.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf));
            read.map(|(_, column)| column.uncompressed_size()).sum()
        };
        let bytes: i64 = groups.iter().map(leaves).sum();
        let bytes_per_row = bytes.max(0) as f64 / total.max(1) as f64;
        let (mut skipped, mut first) = (0, 0);
        while let Some(group) = groups.get(first).filter(|group| skipped + group.num_rows() as u64 <= at.bytes) {
            skipped += group.num_rows() as u64;
            first += 1;
        }
        if at.bytes > total as u64 {
            return Err(cannot_use(&name, "it has fewer rows than were read of it"));
        }
        let batch_rows = (BATCH_BYTES_MAX as f64 / bytes_per_row.max(1.0)) as usize;
        let rest = (first..groups.len()).collect();
        let builder = builder.with_row_groups(rest).with_offset((at.bytes - skipped) as usize);
        let builder = match until {
            Some(until) => builder.with_limit(until.saturating_sub(at.bytes) as usize),
            None => builder,
        };
        let builder = builder.with_projection(mask).with_batch_size(batch_rows.clamp(1, BATCH_ROWS_MAX));
        let reader = guarded(&name, || builder.build())?;
        // The reader's batches have the columns in the file's order.
        let mut order = roots.clone();
        order.sort_unstable();
        let places = places.into_iter().map(|place| place.and_then(|place| order.binary_search(&place).ok())).collect();
        Ok(ParquetFile { name, reader, places, row: at.bytes, bytes_per_row })
    }

    fn next(&mut self) -> Result<Option<RecordBatch>> {
        let batch = guarded(&self.name, || self.reader.next().transpose())?;
        self.row += batch.as_ref().map_or(0, |batch| batch.num_rows() as u64);
        Ok(batch)
    }
}

/// For each declared column its place among the file's; an error where that cannot hold it, or no column is there at all.
fn places(name: &str, file: &Schema, declared: &Schema) -> Result<Vec<Option<usize>>> {
    let mut places = Vec::new();
    for field in declared.fields() {
        let Some((place, found)) = file.column_with_name(field.name()) else {
            places.push(None);
            continue;
        };
        let to = PgType::of_field(field);
        if !convert::fits(found.data_type(), &to) {
            let message = format!(
                "column \"{}\" of type {} cannot be read from file \"{name}\": it is {} there, and could lose something",
                field.name(),
                to.spelling(),
                found.data_type()
            );
            return Err(Error::new(SqlState::DATATYPE_MISMATCH, message).with_hint(match convert::natural(found.data_type()) {
                Some(natural) => format!("Declare it as {}, and cast it in a view.", natural.spelling()),
                None => "Leave the column out; Weir has no type for it.".to_string(),
            }));
        }
        places.push(Some(place));
    }
    if places.iter().all(Option::is_none)
        && let Some(first) = declared.fields().first()
    {
        let error = Error::new(SqlState::UNDEFINED_COLUMN, format!("file \"{name}\" has none of the columns"));
        let names = || file.fields().iter().map(|field| field.name().as_str());
        return Err(match nearest(first.name(), names()) {
            Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
            None => {
                error.with_hint(format!("It has {}.", names().take(20).map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")))
            }
        });
    }
    Ok(places)
}

/// Refuses compressions that are not built in, of the columns that are read.
fn check_codecs(name: &str, builder: &ParquetRecordBatchReaderBuilder<File>, mask: &ProjectionMask) -> Result<()> {
    let columns = builder.metadata().row_groups().iter().flat_map(|group| group.columns().iter().enumerate());
    for (_, column) in columns.filter(|(leaf, _)| mask.leaf_included(*leaf)) {
        let codec = column.compression();
        if matches!(codec, Compression::BROTLI(_) | Compression::LZO) {
            let codec = format!("{codec:?}");
            let codec = codec.split('(').next().unwrap_or(&codec);
            let message = format!("file \"{name}\" is compressed with {codec}, which is not supported");
            return Err(Error::unsupported(message).with_hint("Write it uncompressed, or with SNAPPY, ZSTD, GZIP, LZ4 or LZ4_RAW."));
        }
    }
    Ok(())
}

/// Runs what reads a file, which may hold anything: a library that panics over it is an error of the file.
fn guarded<T, E: std::fmt::Display>(name: &str, read: impl FnOnce() -> Result<T, E>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|error| cannot_use(name, error)),
        Err(_) => Err(cannot_use(name, "it is damaged")),
    }
}

fn cannot_use(name: &str, why: impl std::fmt::Display) -> Error {
    Error::new(SqlState::BAD_COPY_FILE_FORMAT, format!("could not read file \"{name}\" as Parquet: {why}"))
}
