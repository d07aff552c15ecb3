//! The list of connectors, and which one a CREATE SOURCE asks for.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use weir_common::error::{Error, Result};
use weir_common::source::SourceRef;

use crate::file::File;
use crate::format::SourceFormat;
use crate::options::Options;

/// One way to bring rows in from outside.
pub trait Connector: Sync {
    /// The word in `connector = '..'`.
    fn name(&self) -> &'static str;

    /// Every option it takes besides `connector`; any other is refused before [`Connector::source`] is asked.
    fn options(&self) -> &'static [&'static str];

    /// Checks what was declared, as far as that can be done now, and makes the source. Nothing is read yet.
    fn source(&self, declaration: &Declaration<'_>) -> Result<SourceRef>;
}

/// What a CREATE SOURCE says.
pub struct Declaration<'a> {
    /// The name of the relation, for its dead letters.
    pub name: &'a str,
    /// The declared columns.
    pub schema: SchemaRef,
    /// How records are encoded.
    pub format: &'a SourceFormat,
    /// The WITH clause; every option in it is known to the connector.
    pub options: Options<'a>,
}

/// Every connector there is.
pub const CONNECTORS: &[&dyn Connector] = &[&File];

/// The source `name` that a CREATE SOURCE declares, checked: an error here is an error of the statement.
pub fn source(name: &str, schema: SchemaRef, format: &SourceFormat, options: &BTreeMap<String, String>) -> Result<SourceRef> {
    let wanted = Options::connector(options)?;
    let Some(connector) = CONNECTORS.iter().find(|connector| connector.name() == wanted) else {
        let known: Vec<_> = CONNECTORS.iter().map(|connector| format!("\"{}\"", connector.name())).collect();
        return Err(Error::unsupported(format!("connector \"{wanted}\" is not supported"))
            .with_hint(format!("Known connectors: {}.", known.join(", "))));
    };
    let options = Options::new(connector.name(), connector.options(), options)?;
    connector.source(&Declaration { name, schema, format, options })
}
