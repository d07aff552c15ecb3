//! DataFusion's errors in Postgres words: SQLSTATE, message, position and hint.
//!
//! DataFusion says what is wrong in sentences of its own; the modules here know those sentences ([`message`], [`data`])
//! and where the text says what they speak of ([`locate`]). Our own errors travel through DataFusion as `External` and
//! come out as they went in. What nobody knows keeps DataFusion's sentence, with the SQLSTATE of its kind.

use datafusion::arrow::error::ArrowError;
use datafusion::common::{Column, Diagnostic, SchemaError, TableReference};
use datafusion::error::DataFusionError;
use weir_common::error::{Error, SqlState, nearest};

use crate::error::locate::Locate;

mod locate; // where in the text
mod types; // Arrow's type names as Postgres'
mod message; // sentences of planning and execution
mod data; // sentences about values
#[cfg(test)]
mod tests;

/// What an error may refer to.
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrorContext<'a> {
    /// The statement's text, for positions; empty when it is not known.
    pub sql: &'a str,
    /// Names of the relations there are, for "Perhaps you meant".
    pub relations: &'a [&'a str],
    /// Names of the functions there are, likewise.
    pub functions: &'a [&'a str],
}

/// The error in Postgres words, with positions in `sql`; without any when `sql` is empty.
pub fn from_datafusion(error: DataFusionError, sql: &str) -> Error {
    from_datafusion_in(error, &ErrorContext { sql, ..ErrorContext::default() })
}

/// The same with the names that hints can draw on.
pub fn from_datafusion_in(error: DataFusionError, context: &ErrorContext<'_>) -> Error {
    let scope = Scope { locate: Locate::new(context.sql), context, diagnostic: None };
    scope.translate(&error)
}

/// An error's surroundings on the way down to its root.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    locate: Locate<'a>,
    context: &'a ErrorContext<'a>,
    /// The innermost diagnostic so far: it knows a place in the text.
    diagnostic: Option<&'a Diagnostic>,
}

impl<'a> Scope<'a> {
    fn translate(self, error: &'a DataFusionError) -> Error {
        match error {
            DataFusionError::Context(what, inner) => match what.as_str() {
                "Invalid regex" => Error::new(SqlState("2201B"), "invalid regular expression").with_detail(last_line(&inner.to_string())),
                _ => self.translate(inner),
            },
            DataFusionError::Diagnostic(diagnostic, inner) => Scope { diagnostic: Some(diagnostic), ..self }.translate(inner),
            DataFusionError::Shared(inner) => self.translate(inner),
            DataFusionError::Collection(errors) => match errors.first() {
                Some(first) => self.translate(first),
                None => Error::internal("an empty collection of errors"),
            },
            DataFusionError::External(inner) => self.external(inner.as_ref()),
            DataFusionError::ArrowError(inner, _) => self.arrow(inner),
            DataFusionError::SchemaError(inner, _) => self.schema(inner),
            DataFusionError::SQL(inner, _) => self.syntax(&inner.to_string()),
            DataFusionError::Plan(text) => message::translate(self, text, SqlState::SYNTAX_ERROR),
            DataFusionError::Execution(text) => message::translate(self, text, SqlState::DATA_EXCEPTION),
            DataFusionError::NotImplemented(text) => message::translate(self, text, SqlState::FEATURE_NOT_SUPPORTED),
            DataFusionError::Configuration(text) => Error::new(SqlState::INVALID_PARAMETER_VALUE, message::lower_first(text)),
            DataFusionError::ResourcesExhausted(text) => Error::new(SqlState::OUT_OF_MEMORY, "out of memory")
                .with_detail(text.clone())
                .with_hint("Read less at once, or group by fewer keys."),
            DataFusionError::IoError(inner) => Error::new(SqlState::IO_ERROR, inner.to_string()),
            DataFusionError::Internal(text) => message::known(self, text).unwrap_or_else(|| Error::internal(first_line(text))),
            other => Error::internal(first_line(&other.to_string())),
        }
    }

    /// Ours come out as they went in; another library's may still hide DataFusion's or Arrow's.
    fn external(self, error: &'a (dyn std::error::Error + Send + Sync + 'static)) -> Error {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return match ours.position() {
                None => self.placed(ours.clone(), self.span()),
                Some(_) => ours.clone(),
            };
        }
        if let Some(inner) = error.downcast_ref::<DataFusionError>() {
            return self.translate(inner);
        }
        if let Some(inner) = error.downcast_ref::<ArrowError>() {
            return self.arrow(inner);
        }
        if let Some(inner) = error.downcast_ref::<std::io::Error>() {
            return Error::new(SqlState::IO_ERROR, inner.to_string());
        }
        Error::internal(first_line(&error.to_string()))
    }

    fn arrow(self, error: &'a ArrowError) -> Error {
        match error {
            ArrowError::ExternalError(inner) => self.external(inner.as_ref()),
            ArrowError::DivideByZero => Error::new(SqlState::DIVISION_BY_ZERO, "division by zero"),
            ArrowError::ArithmeticOverflow(what) => data::overflow(what),
            ArrowError::CastError(what) | ArrowError::ParseError(what) => {
                data::translate(self, what).unwrap_or_else(|| Error::new(SqlState::INVALID_TEXT_REPRESENTATION, message::lower_first(what)))
            }
            ArrowError::ComputeError(what) => message::translate(self, what, SqlState::DATA_EXCEPTION),
            ArrowError::InvalidArgumentError(what) => {
                data::translate(self, what).unwrap_or_else(|| message::translate(self, what, SqlState::DATA_EXCEPTION))
            }
            ArrowError::NotYetImplemented(what) => Error::unsupported(message::lower_first(what)),
            ArrowError::MemoryError(what) => Error::new(SqlState::OUT_OF_MEMORY, "out of memory").with_detail(what.clone()),
            ArrowError::IoError(what, _) => Error::new(SqlState::IO_ERROR, what.clone()),
            other => Error::new(SqlState::DATA_EXCEPTION, message::lower_first(&first_line(&other.to_string()))),
        }
    }

    fn schema(self, error: &SchemaError) -> Error {
        match error {
            SchemaError::FieldNotFound { field, valid_fields } => self.no_column(field, valid_fields),
            SchemaError::AmbiguousReference { field } => {
                let error = Error::new(SqlState::AMBIGUOUS_COLUMN, format!("column reference \"{}\" is ambiguous", field.name));
                let error = self.placed(error, self.name_span(&field.name).or_else(|| self.locate.column(None, &field.name)));
                let candidates: Vec<&str> = self
                    .diagnostic
                    .iter()
                    .flat_map(|diagnostic| &diagnostic.notes)
                    .filter_map(|note| note.message.strip_prefix("possible column "))
                    .collect();
                if candidates.is_empty() { error } else { error.with_hint(format!("It could be {}.", candidates.join(" or "))) }
            }
            SchemaError::DuplicateQualifiedField { qualifier, .. } => {
                let name = qualifier.table();
                let error = Error::new(SqlState("42712"), format!("table name \"{name}\" specified more than once"));
                self.placed(error, self.locate.last_word(name)).with_hint("Give one of them another name with AS.")
            }
            SchemaError::DuplicateUnqualifiedField { name } => {
                Error::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once"))
                    .with_hint("Give one of them another name with AS.")
            }
        }
    }

    /// A column that is not there, or is there under another table's name.
    fn no_column(self, field: &Column, valid: &[Column]) -> Error {
        let table = field.relation.as_ref().map(TableReference::table);
        let position = self.name_span(&field.name).or_else(|| self.locate.column(table, &field.name));
        let tables = || valid.iter().filter_map(|column| column.relation.as_ref().map(TableReference::table));
        if let Some(table) = table
            && !tables().any(|other| other == table)
        {
            let error = Error::new(SqlState::UNDEFINED_TABLE, format!("missing FROM-clause entry for table \"{table}\""));
            let error = self.placed(error, position);
            return match nearest(table, tables()) {
                Some(near) => error.with_hint(format!("Perhaps you meant to reference the table \"{near}\".")),
                None => error,
            };
        }
        let name = match table {
            Some(table) => format!("{table}.{}", field.name),
            None => format!("\"{}\"", field.name),
        };
        let error = self.placed(Error::new(SqlState::UNDEFINED_COLUMN, format!("column {name} does not exist")), position);
        let Some(near) = nearest(&field.name, valid.iter().map(|column| column.name.as_str())) else { return error };
        let Some(column) = valid.iter().find(|column| column.name == near) else { return error };
        let full = column.relation.as_ref().map_or(near.to_string(), |relation| format!("{}.{near}", relation.table()));
        if near.to_lowercase() == field.name.to_lowercase() {
            return error.with_hint(format!(
                "Perhaps you meant to reference the column \"{full}\": write \"{near}\" in double quotes to keep its case."
            ));
        }
        error.with_hint(format!("Perhaps you meant to reference the column \"{full}\"."))
    }

    /// A relation that is not there.
    fn no_relation(self, name: &str) -> Error {
        let error = Error::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"));
        let last = name.rsplit('.').next().unwrap_or(name);
        let error = self.placed(error, self.span().or_else(|| self.locate.relation(name)));
        match nearest(last, self.context.relations.iter().copied()) {
            Some(near) => error.with_hint(format!("Perhaps you meant to reference the relation \"{near}\".")),
            None => error,
        }
    }

    /// A function that is not there under any arguments.
    fn no_function(self, name: &str) -> Error {
        const WINDOW: [&str; 11] = [
            "row_number",
            "rank",
            "dense_rank",
            "percent_rank",
            "cume_dist",
            "ntile",
            "lag",
            "lead",
            "first_value",
            "last_value",
            "nth_value",
        ];
        let position = self.locate.function(name);
        if WINDOW.contains(&name) {
            let error = Error::new(SqlState::WRONG_OBJECT_TYPE, format!("window function {name} requires an OVER clause"));
            return self.placed(error, position);
        }
        let arguments = if self.locate.has_no_arguments(name) { "" } else { "..." };
        let error = self.placed(Error::new(SqlState::UNDEFINED_FUNCTION, format!("function {name}({arguments}) does not exist")), position);
        let suggested = self
            .diagnostic
            .and_then(|diagnostic| diagnostic.notes.first())
            .and_then(|note| message::between(&note.message, "Possible function '", "'"));
        match nearest(name, self.context.functions.iter().copied().chain(suggested)) {
            Some(near) => error.with_hint(format!("Perhaps you meant the function \"{near}\".")),
            None => error,
        }
    }

    /// A syntax error of the text itself, found late.
    fn syntax(self, text: &str) -> Error {
        let (reason, location) = crate::parser::location(text);
        let position = location.and_then(|at| self.locate.location(at.line, at.column));
        let reason = reason.trim_start_matches("sql parser error: ");
        self.placed(Error::new(SqlState::SYNTAX_ERROR, format!("syntax error: {}", message::lower_first(reason))), position)
    }

    fn placed(self, error: Error, position: Option<usize>) -> Error {
        match position {
            Some(position) => error.with_position(position),
            None => error,
        }
    }

    /// Where the diagnostic points.
    fn span(self) -> Option<usize> {
        let span = self.diagnostic?.span?;
        self.locate.location(span.start.line, span.start.column)
    }

    /// Where the diagnostic points, if `name` stands there: a span may come from the text of a view.
    fn name_span(self, name: &str) -> Option<usize> {
        let span = self.diagnostic?.span?;
        let start = self.locate.location(span.start.line, span.start.column)?;
        let end = self.locate.location(span.end.line, span.end.column).unwrap_or(usize::MAX);
        self.locate.slice(start, end).to_lowercase().contains(&name.to_lowercase()).then_some(start)
    }
}

fn first_line(text: &str) -> String {
    text.split("\n\nbacktrace:").next().unwrap_or(text).lines().next().unwrap_or_default().trim_end_matches('.').to_string()
}

fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim().to_string()
}
