//! FORMAT .. ENCODE ..: what a record means and how it is written.

use std::collections::BTreeMap;

use weir_common::error::{Error, Result};

use crate::csv::dialect::Dialect;
use crate::options::Options;

/// The words after FORMAT and ENCODE, in any case, and what stands in parentheses behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFormat {
    /// What a record means: `PLAIN` is a row to add.
    pub format: String,
    /// How a record is written: `JSON`, `CSV` or `PARQUET`.
    pub encode: String,
    /// The options of the encoding.
    pub options: BTreeMap<String, String>,
}

/// How records are written, with the options checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// A JSON object on each line.
    Json,
    /// Fields on lines.
    Csv(Dialect),
    /// Parquet files.
    Parquet,
}

impl SourceFormat {
    /// Refuses what is not FORMAT PLAIN with an encoding that connectors read, and options that are none of the encoding's.
    pub(crate) fn encoding(&self) -> Result<Encoding> {
        let encode = self.encode.to_uppercase();
        let hint = "Use FORMAT PLAIN ENCODE JSON, CSV or PARQUET.";
        if !self.format.eq_ignore_ascii_case("plain") {
            return Err(Error::unsupported(format!("FORMAT {} is not supported", self.format.to_uppercase())).with_hint(hint));
        }
        let options = |known| Options::of_encoding(&encode, known, &self.options);
        match encode.as_str() {
            "JSON" => options(&[]).map(|_| Encoding::Json),
            "CSV" => Ok(Encoding::Csv(Dialect::new(&options(Dialect::OPTIONS)?)?)),
            "PARQUET" => options(&[]).map(|_| Encoding::Parquet),
            _ => Err(Error::unsupported(format!("ENCODE {encode} is not supported")).with_hint(hint)),
        }
    }
}
