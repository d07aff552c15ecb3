//! Names as users write them: folded as Postgres folds them, in the schemas that exist.

use weir_common::error::{Error, Result, SqlState};
use weir_sql::ast;
use weir_sql::catalog::{PUBLIC, SCHEMAS};

/// An identifier: lower case unless it was quoted.
pub fn ident(ident: &ast::Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// The name of a relation of users: alone, or in schema `public`.
pub fn relation(name: &ast::ObjectName) -> Result<String> {
    let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(ident).collect();
    match parts.as_slice() {
        [name] => Ok(name.clone()),
        [schema, name] if schema == PUBLIC => Ok(name.clone()),
        [schema, name] if SCHEMAS.contains(&schema.as_str()) => {
            Err(Error::new(SqlState("42501"), format!("permission denied: \"{schema}.{name}\" is a system relation"))
                .with_hint("What users create is in schema \"public\"."))
        }
        [schema, _] => Err(Error::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{schema}\" does not exist"))
            .with_hint("What users create is in schema \"public\".")),
        _ => Err(Error::unsupported("cross-database references are not implemented")),
    }
}
