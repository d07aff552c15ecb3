//! CREATE SOURCE.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use weir_common::error::{Error, Result};
use weir_common::source::Watermark;
use weir_connectors::SourceFormat;
use weir_sql::catalog::{ColumnDef, Relation, RelationKind, SourceDef};
use weir_sql::statement::{CreateSource, Options, Parsed};

use crate::names;
use crate::pgwire::backend::Outcome;
use crate::session::{Session, done};
use crate::statement::{define, dml, watermark};

/// CREATE SOURCE: nothing is read before a view needs it.
pub async fn create(session: &mut Session, parsed: &Parsed, create: &CreateSource) -> Result<Outcome> {
    dml::refuse_if_read_only(session, "CREATE SOURCE")?;
    let name = names::relation(&create.name)?;
    if let Some(include) = create.include.first() {
        return Err(Error::unsupported("INCLUDE columns are not supported yet")
            .with_position(include.position)
            .with_hint("A file's rows have no metadata but their place; leave INCLUDE out."));
    }
    for spec in &create.columns {
        if spec.not_null || spec.default.is_some() || spec.primary_key {
            return Err(Error::unsupported(format!("column \"{}\" of a source cannot have constraints or a default", spec.name.value))
                .with_position(spec.position)
                .with_hint("Rows of a source come as they are; filter or coalesce them in a view."));
        }
    }
    let values = |options: &Options| options.iter().map(|(name, option)| (name.clone(), option.value.clone())).collect();
    let mut options: BTreeMap<String, String> = values(&create.options);
    // These are for Weir and not for the connector.
    watermark::OPTIONS.iter().for_each(|option| _ = options.remove(*option));
    let said = create.format.as_ref().map(|format| SourceFormat {
        format: format.format.clone(),
        encode: format.encode.clone(),
        options: values(&format.options),
    });
    // Without columns the connector says them, or that it cannot.
    let mut columns = if create.columns.is_empty() { vec![] } else { define::columns(&create.columns)? };
    let schema = Arc::new(Schema::new(columns.iter().map(ColumnDef::field).collect::<Vec<_>>()));
    let source = weir_connectors::source(&name, schema, said.as_ref(), &options)?;
    if columns.is_empty() {
        columns = source.schema().fields().iter().map(|field| ColumnDef::of_field(field)).collect();
    }
    let watermark = match &create.watermark {
        Some(clause) => {
            let (column, delay) = watermark::clause(session, parsed, clause, &columns).await?;
            Some(watermark::with_options(Watermark::of(column, delay), &create.options)?)
        }
        None => {
            watermark::refuse_options(&create.options)?;
            None
        }
    };
    let connector = options.get("connector").cloned().unwrap_or_default();
    let database = session.database.clone();
    let definitions = database.definitions().await;
    if !define::should_create(session, &definitions.catalog(), &name, create.if_not_exists)? {
        return Ok(done("CREATE SOURCE"));
    }
    let (format, encode, format_options) = said.map_or_else(Default::default, |said| (said.format, said.encode, said.options));
    let kind = RelationKind::Source(SourceDef { source, watermark, connector, options, format, encode, format_options });
    let id = definitions.next_id();
    definitions.add(Relation { id, name: name.clone(), kind, columns, sql: parsed.text.clone(), depends_on: vec![] }).await?;
    define::note(session, format!("CREATE SOURCE {name}"));
    Ok(done("CREATE SOURCE"))
}
