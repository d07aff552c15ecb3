//! FORMAT .. ENCODE ..: what a record means and how it is written.

use weir_common::error::{Error, Result};

/// The words after FORMAT and ENCODE, in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFormat {
    /// What a record means: `PLAIN` is a row to add.
    pub format: String,
    /// How a record is written: `JSON`.
    pub encode: String,
}

impl SourceFormat {
    /// Refuses what is not FORMAT PLAIN ENCODE JSON, the only pair today.
    pub fn check_plain_json(&self) -> Result<()> {
        let hint = "Use FORMAT PLAIN ENCODE JSON.";
        if !self.format.eq_ignore_ascii_case("plain") {
            return Err(Error::unsupported(format!("FORMAT {} is not supported", self.format.to_uppercase())).with_hint(hint));
        }
        if !self.encode.eq_ignore_ascii_case("json") {
            return Err(Error::unsupported(format!("ENCODE {} is not supported", self.encode.to_uppercase())).with_hint(hint));
        }
        Ok(())
    }
}
