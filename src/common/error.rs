//! Errors in Postgres words: an SQLSTATE to branch on, a sentence to show, and where it helps a detail, a hint and a position.

use std::fmt;

/// A five-character SQLSTATE code; the constants are the ones Weir sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqlState(pub &'static str);

macro_rules! sqlstates {
    ($($name:ident = $code:literal, $doc:literal;)*) => {
        impl SqlState {
            $(#[doc = $doc] pub const $name: SqlState = SqlState($code);)*

            /// The state of this code; an internal error where none here has it.
            pub fn of_code(code: &str) -> SqlState {
                [$(SqlState::$name),*].into_iter().find(|state| state.0 == code).unwrap_or(SqlState::INTERNAL_ERROR)
            }
        }
    };
}

sqlstates! {
    SUCCESSFUL_COMPLETION = "00000", "successful_completion";
    WARNING = "01000", "warning";
    CONNECTION_EXCEPTION = "08000", "connection_exception";
    PROTOCOL_VIOLATION = "08P01", "protocol_violation";
    FEATURE_NOT_SUPPORTED = "0A000", "feature_not_supported";
    CARDINALITY_VIOLATION = "21000", "cardinality_violation";
    DATA_EXCEPTION = "22000", "data_exception";
    STRING_DATA_RIGHT_TRUNCATION = "22001", "string_data_right_truncation";
    NUMERIC_VALUE_OUT_OF_RANGE = "22003", "numeric_value_out_of_range";
    INVALID_DATETIME_FORMAT = "22007", "invalid_datetime_format";
    DATETIME_FIELD_OVERFLOW = "22008", "datetime_field_overflow";
    DIVISION_BY_ZERO = "22012", "division_by_zero";
    CHARACTER_NOT_IN_REPERTOIRE = "22021", "character_not_in_repertoire";
    INVALID_PARAMETER_VALUE = "22023", "invalid_parameter_value";
    INVALID_TEXT_REPRESENTATION = "22P02", "invalid_text_representation";
    INVALID_BINARY_REPRESENTATION = "22P03", "invalid_binary_representation";
    BAD_COPY_FILE_FORMAT = "22P04", "bad_copy_file_format";
    NOT_NULL_VIOLATION = "23502", "not_null_violation";
    UNIQUE_VIOLATION = "23505", "unique_violation";
    CHECK_VIOLATION = "23514", "check_violation";
    ACTIVE_SQL_TRANSACTION = "25001", "active_sql_transaction";
    NO_ACTIVE_SQL_TRANSACTION = "25P01", "no_active_sql_transaction";
    IN_FAILED_SQL_TRANSACTION = "25P02", "in_failed_sql_transaction";
    READ_ONLY_SQL_TRANSACTION = "25006", "read_only_sql_transaction";
    INVALID_SQL_STATEMENT_NAME = "26000", "invalid_sql_statement_name";
    INVALID_AUTHORIZATION = "28000", "invalid_authorization_specification";
    DEPENDENT_OBJECTS_STILL_EXIST = "2BP01", "dependent_objects_still_exist";
    INVALID_CURSOR_NAME = "34000", "invalid_cursor_name";
    INVALID_SAVEPOINT = "3B001", "invalid_savepoint_specification";
    INVALID_CATALOG_NAME = "3D000", "invalid_catalog_name";
    INVALID_SCHEMA_NAME = "3F000", "invalid_schema_name";
    SERIALIZATION_FAILURE = "40001", "serialization_failure";
    DEADLOCK_DETECTED = "40P01", "deadlock_detected";
    SYNTAX_ERROR = "42601", "syntax_error";
    UNDEFINED_COLUMN = "42703", "undefined_column";
    DUPLICATE_COLUMN = "42701", "duplicate_column";
    AMBIGUOUS_COLUMN = "42702", "ambiguous_column";
    UNDEFINED_OBJECT = "42704", "undefined_object";
    DUPLICATE_ALIAS = "42712", "duplicate_alias";
    DUPLICATE_OBJECT = "42710", "duplicate_object";
    GROUPING_ERROR = "42803", "grouping_error";
    WINDOWING_ERROR = "42P20", "windowing_error";
    DATATYPE_MISMATCH = "42804", "datatype_mismatch";
    WRONG_OBJECT_TYPE = "42809", "wrong_object_type";
    UNDEFINED_FUNCTION = "42883", "undefined_function";
    UNDEFINED_TABLE = "42P01", "undefined_table";
    UNDEFINED_PARAMETER = "42P02", "undefined_parameter";
    DUPLICATE_CURSOR = "42P03", "duplicate_cursor";
    INVALID_CURSOR_DEFINITION = "42P11", "invalid_cursor_definition";
    DUPLICATE_PREPARED_STATEMENT = "42P05", "duplicate_prepared_statement";
    DUPLICATE_SCHEMA = "42P06", "duplicate_schema";
    DUPLICATE_TABLE = "42P07", "duplicate_table";
    INVALID_COLUMN_REFERENCE = "42P10", "invalid_column_reference";
    INVALID_TABLE_DEFINITION = "42P16", "invalid_table_definition";
    INDETERMINATE_DATATYPE = "42P18", "indeterminate_datatype";
    INSUFFICIENT_RESOURCES = "53000", "insufficient_resources";
    OUT_OF_MEMORY = "53200", "out_of_memory";
    TOO_MANY_CONNECTIONS = "53300", "too_many_connections";
    PROGRAM_LIMIT_EXCEEDED = "54000", "program_limit_exceeded";
    OBJECT_NOT_IN_PREREQUISITE_STATE = "55000", "object_not_in_prerequisite_state";
    CANT_CHANGE_RUNTIME_PARAM = "55P02", "cant_change_runtime_param";
    QUERY_CANCELED = "57014", "query_canceled";
    ADMIN_SHUTDOWN = "57P01", "admin_shutdown";
    IO_ERROR = "58030", "io_error";
    UNDEFINED_FILE = "58P01", "undefined_file";
    INTERNAL_ERROR = "XX000", "internal_error";
    DATA_CORRUPTED = "XX001", "data_corrupted";
}

/// What every fallible call in Weir returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error a user can read: message lower-case and without a full stop, as Postgres writes them.
#[derive(Clone, PartialEq)]
pub struct Error(Box<Fields>);

#[derive(Clone, PartialEq)]
struct Fields {
    sqlstate: SqlState,
    message: String,
    detail: Option<String>,
    hint: Option<String>,
    position: Option<usize>,
    context: Option<String>,
}

impl Error {
    /// An error with this code and message.
    pub fn new(sqlstate: SqlState, message: impl Into<String>) -> Self {
        Error(Box::new(Fields { sqlstate, message: message.into(), detail: None, hint: None, position: None, context: None }))
    }

    /// Something that cannot happen did: a bug in Weir, never the user's fault.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(SqlState::INTERNAL_ERROR, message).with_hint("This is a bug in Weir; please report it with the statement that caused it.")
    }

    /// What Weir cannot do yet, refused where it was asked for.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(SqlState::FEATURE_NOT_SUPPORTED, message)
    }

    /// Adds the DETAIL line.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds the HINT line: what to do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the position of the offending token: characters into the statement's text, from 1.
    pub fn with_position(mut self, position: usize) -> Self {
        self.0.position = Some(position);
        self
    }

    /// Without a position: for an error about a text that the client did not send now.
    pub fn without_position(mut self) -> Self {
        self.0.position = None;
        self
    }

    /// Adds the CONTEXT line: what was going on, such as the line of a COPY.
    pub fn with_context(mut self, context: impl Into<String>) -> Self {
        self.0.context = Some(context.into());
        self
    }

    /// Replaces the message and keeps the rest.
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// The SQLSTATE to branch on.
    pub fn sqlstate(&self) -> SqlState {
        self.0.sqlstate
    }

    /// The sentence to show.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The DETAIL line, if any.
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// The HINT line, if any.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Characters into the statement's text, from 1.
    pub fn position(&self) -> Option<usize> {
        self.0.position
    }

    /// The CONTEXT line, if any.
    pub fn context(&self) -> Option<&str> {
        self.0.context.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(detail) = &self.0.detail {
            write!(f, "; detail: {detail}")?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "; hint: {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {self}", self.0.sqlstate.0)
    }
}

impl std::error::Error for Error {}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        use arrow::error::ArrowError::*;
        match error {
            DivideByZero => Error::new(SqlState::DIVISION_BY_ZERO, "division by zero"),
            ArithmeticOverflow(what) => Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range").with_detail(what),
            ParseError(what) | CastError(what) => Error::new(SqlState::INVALID_TEXT_REPRESENTATION, what),
            other => Error::new(SqlState::DATA_EXCEPTION, other.to_string()),
        }
    }
}

/// `invalid input syntax for type integer: "abc"`
pub fn invalid_syntax(type_name: &str, text: &str) -> Error {
    Error::new(SqlState::INVALID_TEXT_REPRESENTATION, format!("invalid input syntax for type {type_name}: \"{text}\""))
}

/// `invalid input syntax for type date: "abc"`, which has another code than that of other types.
pub fn invalid_datetime(type_name: &str, text: &str) -> Error {
    Error::new(SqlState::INVALID_DATETIME_FORMAT, format!("invalid input syntax for type {type_name}: \"{text}\""))
}

/// The candidate nearest to `name` in spelling, for "Perhaps you meant ..." hints; `None` when nothing is close.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let reach = (name.chars().count() / 3).max(1) + 1;
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= reach)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
