//! One decoded parameter.

use arrow::array::ArrayRef;
use weir_common::error::Result;
use weir_common::types::PgType;

use crate::value::column::ColumnParser;
use crate::value::rows::Format;
use crate::value::settings::TextSettings;

/// A parameter of Bind that is not NULL.
#[derive(Clone, Debug)]
pub struct ScalarParam {
    /// Its value: an array of one row, of the Arrow type that carries `ty`.
    pub array: ArrayRef,
    /// Its type.
    pub ty: PgType,
}

impl ScalarParam {
    /// Decodes what the client sent.
    pub fn decode(ty: &PgType, format: Format, bytes: &[u8], settings: &TextSettings) -> Result<ScalarParam> {
        let mut parser = ColumnParser::new(ty, settings);
        match format {
            Format::Text => parser.append(Some(bytes))?,
            Format::Binary => parser.append_binary(Some(bytes))?,
        }
        Ok(ScalarParam { array: parser.finish(), ty: ty.clone() })
    }
}
