//! The list of connectors, and which one a CREATE SOURCE asks for.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use weir_common::error::{Error, Result, SqlState};
use weir_common::source::SourceRef;

use crate::file::File;
use crate::format::SourceFormat;
use crate::nexmark::Nexmark;
use crate::options::Options;

/// One way to bring rows in from outside.
pub trait Connector: Sync {
    /// The word in `connector = '..'`.
    fn name(&self) -> &'static str;

    /// Every option it takes besides `connector`; any other is refused before [`Connector::source`] is asked.
    fn options(&self) -> &'static [&'static str];

    /// Whether its columns are known when none are declared; a declaration without columns is refused otherwise.
    fn knows_columns(&self) -> bool {
        false
    }

    /// Checks what was declared, as far as that can be done now, and makes the source. Nothing is read yet.
    fn source(&self, declaration: &Declaration<'_>) -> Result<SourceRef>;
}

/// What a CREATE SOURCE says.
pub struct Declaration<'a> {
    /// The name of the relation, for its dead letters.
    pub name: &'a str,
    /// The declared columns; none where the connector is to say them.
    pub schema: SchemaRef,
    /// How records are encoded, where that was said.
    pub format: Option<&'a SourceFormat>,
    /// The WITH clause; every option in it is known to the connector.
    pub options: Options<'a>,
}

impl Declaration<'_> {
    /// How records are encoded, for a connector that has to be told.
    pub fn format(&self) -> Result<&SourceFormat> {
        self.format.ok_or_else(|| {
            Error::new(SqlState::SYNTAX_ERROR, "a source needs FORMAT and ENCODE")
                .with_hint("End the statement with FORMAT PLAIN ENCODE JSON.")
        })
    }
}

/// Every connector there is.
pub const CONNECTORS: &[&dyn Connector] = &[&File, &Nexmark];

/// The source `name` that a CREATE SOURCE declares, checked: an error here is an error of the statement.
pub fn source<'a>(
    name: &'a str,
    schema: SchemaRef,
    format: impl Into<Option<&'a SourceFormat>>,
    options: &'a BTreeMap<String, String>,
) -> Result<SourceRef> {
    let source = declared(name, schema, format, options)?;
    source.check()?;
    Ok(source)
}

/// A source that was declared before: nobody looks whether what it reads is there.
pub fn declared<'a>(
    name: &'a str,
    schema: SchemaRef,
    format: impl Into<Option<&'a SourceFormat>>,
    options: &'a BTreeMap<String, String>,
) -> Result<SourceRef> {
    let wanted = Options::connector(options)?;
    let Some(connector) = CONNECTORS.iter().find(|connector| connector.name() == wanted) else {
        let known: Vec<_> = CONNECTORS.iter().map(|connector| format!("\"{}\"", connector.name())).collect();
        return Err(Error::unsupported(format!("connector \"{wanted}\" is not supported"))
            .with_hint(format!("Known connectors: {}.", known.join(", "))));
    };
    let options = Options::new(connector.name(), connector.options(), options)?;
    if schema.fields().is_empty() && !connector.knows_columns() {
        return Err(Error::unsupported("a relation without columns is not supported")
            .with_hint(format!("Connector \"{wanted}\" has to be told: CREATE SOURCE {name} (column type, ..) WITH (..).")));
    }
    connector.source(&Declaration { name, schema, format: format.into(), options })
}
