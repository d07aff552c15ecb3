//! Session variables: a table of what can be SET and SHOWn, and one session's values.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use weir_common::datetime::{Customs, DateOrder};
use weir_common::error::{Error, Result, SqlState, nearest};
use weir_common::timezone::TimeZone;
use weir_sql::pg_catalog::Setting;

use crate::value::settings::{ByteaOutput, IntervalStyle, TextSettings};

/// The version that Weir reports: a real Postgres number, because drivers choose their catalog queries by it.
pub const SERVER_VERSION: &str = concat!("15.0 (Weir ", env!("CARGO_PKG_VERSION"), ")");
/// The same as a number.
pub const SERVER_VERSION_NUM: &str = "150000";

/// What values a variable takes.
#[derive(Clone, Copy)]
enum Kind {
    /// Anything.
    Text,
    /// A boolean.
    Bool,
    /// One of these words.
    Enum(&'static [&'static str]),
    /// A whole number between these.
    Int(i64, i64),
    /// Milliseconds, also with a unit (`5s`, `1min`).
    Millis,
    /// Checked by a function, which returns the value as it is shown.
    Checked(fn(&str) -> Option<String>),
    /// Cannot be set.
    Fixed,
    /// Can only be set to what it is, because nothing else would be true.
    Only,
}

struct Variable {
    name: &'static str,
    default: &'static str,
    kind: Kind,
    /// Clients are told when it changes.
    reported: bool,
    description: &'static str,
}

const fn var(name: &'static str, default: &'static str, kind: Kind, description: &'static str) -> Variable {
    Variable { name, default, kind, reported: false, description }
}

const fn told(name: &'static str, default: &'static str, kind: Kind, description: &'static str) -> Variable {
    Variable { name, default, kind, reported: true, description }
}

const ISOLATION: Kind = Kind::Enum(&["repeatable read", "read committed", "read uncommitted"]);
const LEVELS: Kind = Kind::Enum(&["debug5", "debug4", "debug3", "debug2", "debug1", "debug", "log", "info", "notice", "warning", "error"]);

/// Every variable, by name.
const VARIABLES: &[Variable] = &[
    told("application_name", "", Kind::Text, "Sets the application name to be reported in statistics and logs."),
    var("bytea_output", "hex", Kind::Enum(&["hex", "escape"]), "Sets the output format for bytea."),
    told("client_encoding", "UTF8", Kind::Checked(encoding), "The client's character set encoding; always UTF8."),
    var("client_min_messages", "notice", LEVELS, "Sets the message levels that are sent to the client."),
    told(
        "DateStyle",
        "ISO, MDY",
        Kind::Checked(date_style),
        "Sets the display format for date and time values: ISO, and the order of ambiguous input.",
    ),
    var("default_table_access_method", "heap", Kind::Only, "Sets the default table access method for new tables."),
    var("default_tablespace", "", Kind::Only, "Sets the default tablespace to create tables and indexes in."),
    var("default_transaction_deferrable", "off", Kind::Bool, "Sets the default deferrable status of new transactions."),
    var("default_transaction_isolation", "repeatable read", ISOLATION, "Sets the transaction isolation level of each new transaction."),
    told("default_transaction_read_only", "off", Kind::Bool, "Sets the default read-only status of new transactions."),
    var("extra_float_digits", "1", Kind::Int(-15, 3), "Sets the number of digits displayed for floating-point values."),
    var("idle_in_transaction_session_timeout", "0", Kind::Only, "The maximum allowed idle time when in a transaction; not limited."),
    told("in_hot_standby", "off", Kind::Fixed, "Shows whether hot standby is currently active."),
    told("integer_datetimes", "on", Kind::Fixed, "Shows whether datetimes are integer based."),
    told(
        "IntervalStyle",
        "postgres",
        Kind::Enum(&["postgres", "postgres_verbose", "iso_8601"]),
        "Sets the display format for interval values.",
    ),
    told("is_superuser", "on", Kind::Fixed, "Shows whether the current user is a superuser."),
    var("jit", "off", Kind::Checked(off), "Just-in-time compilation; there is none."),
    var("lock_timeout", "0", Kind::Millis, "Sets the maximum allowed duration of any wait for a lock."),
    var("max_identifier_length", "63", Kind::Fixed, "Shows the maximum identifier length."),
    var("max_index_keys", "32", Kind::Fixed, "Shows the maximum number of index keys."),
    var("role", "none", Kind::Only, "Sets the current role."),
    var("row_security", "on", Kind::Bool, "Row security; there are no policies."),
    // Without "$user": the user "weir" would be said to find what is in schema weir without naming it.
    var("search_path", "public", Kind::Checked(search_path), "Sets the schema search order for names that are not schema-qualified."),
    told("server_encoding", "UTF8", Kind::Fixed, "Shows the server (database) character set encoding."),
    told("server_version", SERVER_VERSION, Kind::Fixed, "Shows the server version."),
    var("server_version_num", SERVER_VERSION_NUM, Kind::Fixed, "Shows the server version as an integer."),
    told("session_authorization", "", Kind::Fixed, "Shows the session user name."),
    told("standard_conforming_strings", "on", Kind::Only, "Causes '...' strings to treat backslashes literally."),
    var("statement_timeout", "0", Kind::Millis, "Sets the maximum allowed duration of any statement."),
    var("synchronize_seqscans", "off", Kind::Bool, "Synchronized sequential scans; a snapshot is read by one session."),
    told("TimeZone", "UTC", Kind::Checked(time_zone), "Sets the time zone for displaying and interpreting time stamps."),
    var("transaction_deferrable", "off", Kind::Bool, "Whether to defer a read-only serializable transaction."),
    var("transaction_isolation", "repeatable read", ISOLATION, "Sets the current transaction's isolation level."),
    var("transaction_read_only", "off", Kind::Bool, "Sets the current transaction's read-only status."),
];

/// One session's values. A copy is cheap: what is seldom changed is shared until it is.
#[derive(Clone)]
pub struct Variables {
    values: Arc<BTreeMap<&'static str, String>>,
    /// `a.b = ..`: names of extensions and applications, kept as they are.
    custom: BTreeMap<String, String>,
    /// What RESET goes back to: the defaults, and what the client asked for at startup.
    initial: Arc<BTreeMap<&'static str, String>>,
    /// What SET LOCAL replaced, to be put back when the transaction ends.
    local: BTreeMap<&'static str, String>,
    /// The same for names of extensions and applications.
    local_custom: BTreeMap<String, Option<String>>,
    changes: Vec<(String, String)>,
}

impl Variables {
    /// The defaults for a user.
    pub fn new(user: &str) -> Self {
        let mut values: BTreeMap<&'static str, String> =
            VARIABLES.iter().map(|variable| (variable.name, variable.default.to_string())).collect();
        values.insert("session_authorization", user.to_string());
        let values = Arc::new(values);
        Variables {
            initial: values.clone(),
            values,
            custom: BTreeMap::new(),
            local: BTreeMap::new(),
            local_custom: BTreeMap::new(),
            changes: vec![],
        }
    }

    /// Sets what the client asked for at startup; unknown names are errors as in Postgres.
    pub fn start(&mut self, name: &str, value: &str) -> Result<()> {
        self.set(name, value, false)?;
        self.initial = self.values.clone();
        self.changes.clear();
        Ok(())
    }

    /// The value of a variable, or the error of an unknown name.
    pub fn get(&self, name: &str) -> Result<String> {
        if let Some(value) = self.custom.get(&name.to_lowercase()) {
            return Ok(value.clone());
        }
        let variable = find(name)?;
        let value = self.value(variable.name);
        Ok(if matches!(variable.kind, Kind::Millis) { with_unit(value) } else { value.to_string() })
    }

    fn value(&self, name: &'static str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    /// SET, and SET LOCAL.
    pub fn set(&mut self, name: &str, value: &str, local: bool) -> Result<()> {
        if name.contains('.') {
            let before = self.custom.insert(name.to_lowercase(), value.to_string());
            if local {
                self.local_custom.entry(name.to_lowercase()).or_insert(before);
            } else {
                self.local_custom.remove(&name.to_lowercase());
            }
            return Ok(());
        }
        let variable = find(name)?;
        let value = check(variable, value)?;
        self.assign(variable, value, local);
        Ok(())
    }

    fn assign(&mut self, variable: &Variable, value: String, local: bool) {
        let before = self.value(variable.name).to_string();
        self.keep(variable.name, value.clone());
        if local {
            self.local.entry(variable.name).or_insert(before.clone());
        } else {
            self.local.remove(variable.name);
        }
        if variable.reported && before != value {
            self.changes.push((variable.name.to_string(), value));
        }
    }

    /// SET .. TO DEFAULT, RESET.
    pub fn reset(&mut self, name: &str, local: bool) -> Result<()> {
        if name.contains('.') {
            self.custom.remove(&name.to_lowercase());
            return Ok(());
        }
        let variable = find(name)?;
        let value = self.initial.get(variable.name).cloned().unwrap_or_default();
        self.assign(variable, value, local);
        Ok(())
    }

    /// RESET ALL.
    pub fn reset_all(&mut self) {
        for variable in VARIABLES {
            let value = self.initial.get(variable.name).cloned().unwrap_or_default();
            self.assign(variable, value, false);
        }
        self.custom.clear();
    }

    /// A transaction starts: its own variables take their defaults.
    pub fn begin(&mut self) {
        for (own, default) in [
            ("transaction_isolation", "default_transaction_isolation"),
            ("transaction_read_only", "default_transaction_read_only"),
            ("transaction_deferrable", "default_transaction_deferrable"),
        ] {
            let value = self.value(default).to_string();
            self.keep(own, value);
        }
    }

    /// Copies what is shared only if the value is another one.
    fn keep(&mut self, name: &'static str, value: String) {
        if self.values.get(name) != Some(&value) {
            Arc::make_mut(&mut self.values).insert(name, value);
        }
    }

    /// A transaction ends: SET LOCAL is over.
    pub fn end(&mut self) {
        for (name, before) in std::mem::take(&mut self.local) {
            if let Ok(variable) = find(name) {
                self.assign(variable, before, false);
            }
        }
        for (name, before) in std::mem::take(&mut self.local_custom) {
            match before {
                Some(value) => self.custom.insert(name, value),
                None => self.custom.remove(&name),
            };
        }
        self.begin();
    }

    /// Goes back to values of before, as ROLLBACK does; clients are told what changed.
    pub fn restore(&mut self, before: Variables) {
        for variable in VARIABLES {
            let value = before.value(variable.name).to_string();
            self.assign(variable, value, false);
        }
        self.custom = before.custom;
        self.local = before.local;
        self.local_custom = before.local_custom;
    }

    /// Reported variables that changed since the last call.
    pub fn take_changes(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.changes)
    }

    /// Reported variables, for startup.
    pub fn reported(&self) -> Vec<(String, String)> {
        VARIABLES
            .iter()
            .filter(|variable| variable.reported)
            .map(|variable| (variable.name.to_string(), self.value(variable.name).to_string()))
            .collect()
    }

    /// Every variable, for SHOW ALL and pg_settings.
    pub fn all(&self) -> Vec<Setting> {
        let setting = |variable: &Variable| {
            let (kind, values, unit) = match variable.kind {
                Kind::Bool => ("bool", vec![], None),
                Kind::Enum(words) => ("enum", words.to_vec(), None),
                Kind::Int(..) => ("integer", vec![], None),
                Kind::Millis => ("integer", vec![], Some("ms")),
                _ => ("string", vec![], None),
            };
            Setting {
                name: variable.name.to_string(),
                value: self.value(variable.name).to_string(),
                default: self.initial.get(variable.name).cloned().unwrap_or_default(),
                description: variable.description.to_string(),
                context: if matches!(variable.kind, Kind::Fixed) { "internal" } else { "user" },
                kind,
                unit,
                values,
            }
        };
        let mut all: Vec<Setting> = VARIABLES.iter().map(setting).collect();
        all.sort_by_key(|setting| setting.name.to_lowercase());
        all
    }

    /// A variable of milliseconds; `None` for 0, which means no limit.
    pub fn timeout(&self, name: &'static str) -> Option<Duration> {
        self.value(name).parse().ok().filter(|millis| *millis > 0).map(Duration::from_millis)
    }

    /// Whether a boolean variable is on.
    pub fn is_on(&self, name: &'static str) -> bool {
        self.value(name) == "on"
    }

    /// The schemas of `search_path`, `"$user"` left out.
    pub fn search_path(&self) -> Vec<String> {
        self.value("search_path")
            .split(',')
            .map(|schema| schema.trim().trim_matches('"').to_string())
            .filter(|schema| schema != "$user")
            .collect()
    }

    /// How values are written and read as text.
    pub fn text_settings(&self) -> TextSettings {
        TextSettings {
            customs: self.customs(),
            interval_style: match self.value("IntervalStyle") {
                "postgres_verbose" => IntervalStyle::PostgresVerbose,
                "iso_8601" => IntervalStyle::Iso8601,
                _ => IntervalStyle::Postgres,
            },
            extra_float_digits: self.value("extra_float_digits").parse().unwrap_or(1),
            bytea_output: if self.value("bytea_output") == "escape" { ByteaOutput::Escape } else { ByteaOutput::Hex },
        }
    }

    /// How dates and times are read.
    pub fn customs(&self) -> Customs {
        Customs {
            zone: TimeZone::parse(self.value("TimeZone")).unwrap_or(TimeZone::UTC),
            order: match self.value("DateStyle") {
                style if style.ends_with("DMY") => DateOrder::Dmy,
                style if style.ends_with("YMD") => DateOrder::Ymd,
                _ => DateOrder::Mdy,
            },
        }
    }
}

fn find(name: &str) -> Result<&'static Variable> {
    VARIABLES.iter().find(|variable| variable.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let error = Error::new(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""));
        match nearest(name, VARIABLES.iter().map(|variable| variable.name)) {
            Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
            None => error,
        }
    })
}

/// The value as it is shown, or why it cannot be taken.
fn check(variable: &Variable, value: &str) -> Result<String> {
    let invalid =
        || Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid value for parameter \"{}\": \"{value}\"", variable.name));
    match variable.kind {
        Kind::Text => Ok(value.to_string()),
        Kind::Bool => boolean(value).map(|on| if on { "on" } else { "off" }.to_string()).ok_or_else(invalid),
        Kind::Enum(words) => {
            let lower = value.to_lowercase();
            if words.contains(&lower.as_str()) {
                return Ok(lower);
            }
            if lower == "serializable" {
                return Err(Error::unsupported("isolation level serializable is not supported yet")
                    .with_hint("Use REPEATABLE READ: reads show one commit, and a row that changed under an update is an error."));
            }
            Err(invalid().with_hint(format!("Available values: {}.", words.join(", "))))
        }
        Kind::Int(least, greatest) => {
            let number: i64 = value.trim().parse().map_err(|_| invalid())?;
            if (least..=greatest).contains(&number) {
                return Ok(number.to_string());
            }
            let message = format!("{number} is outside the valid range for parameter \"{}\" ({least} .. {greatest})", variable.name);
            Err(Error::new(SqlState::INVALID_PARAMETER_VALUE, message))
        }
        Kind::Millis => millis(value)
            .map(|millis| millis.to_string())
            .ok_or_else(|| invalid().with_hint("Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".")),
        Kind::Checked(check) => check(value).ok_or_else(invalid),
        Kind::Fixed => Err(Error::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, format!("parameter \"{}\" cannot be changed", variable.name))),
        Kind::Only => {
            if value.eq_ignore_ascii_case(variable.default) || (boolean(value).is_some() && boolean(value) == boolean(variable.default)) {
                return Ok(variable.default.to_string());
            }
            let message = format!("parameter \"{}\" can only be \"{}\"", variable.name, variable.default);
            Err(Error::unsupported(message).with_hint("Weir does not have what another value would ask for."))
        }
    }
}

fn boolean(value: &str) -> Option<bool> {
    match value.to_lowercase().as_str() {
        "on" | "true" | "t" | "yes" | "y" | "1" => Some(true),
        "off" | "false" | "f" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

fn millis(value: &str) -> Option<u64> {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let number: u64 = value[..digits].parse().ok()?;
    let factor = match value[digits..].trim() {
        "" | "ms" => 1,
        "us" => return Some(number.div_ceil(1000)),
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor).filter(|millis| *millis <= i32::MAX as u64)
}

/// Milliseconds in the largest unit that they are a whole number of, as SHOW writes them.
fn with_unit(millis: &str) -> String {
    let number: u64 = millis.parse().unwrap_or(0);
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms")];
    match units.iter().find(|(factor, _)| number != 0 && number.is_multiple_of(*factor)) {
        Some((factor, unit)) => format!("{}{unit}", number / factor),
        None => "0".to_string(),
    }
}

/// Names are looked up in `public` first, whatever else is listed; a path without it would not be followed.
fn search_path(value: &str) -> Option<String> {
    value.split(',').any(|schema| schema.trim().trim_matches('"').eq_ignore_ascii_case("public")).then(|| value.to_string())
}

fn off(value: &str) -> Option<String> {
    // Asking for it to be on is harmless in Postgres and means nothing here, but it would not be true.
    boolean(value).filter(|on| !on).map(|_| "off".to_string())
}

fn encoding(value: &str) -> Option<String> {
    let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
    matches!(plain.to_lowercase().as_str(), "utf8" | "unicode").then(|| "UTF8".to_string())
}

fn date_style(value: &str) -> Option<String> {
    let mut order = "MDY";
    for word in value.split(',').map(|word| word.trim().to_uppercase()) {
        match word.as_str() {
            "ISO" => {}
            "MDY" | "US" | "NONEURO" | "NONEUROPEAN" => order = "MDY",
            "DMY" | "EURO" | "EUROPEAN" => order = "DMY",
            "YMD" => order = "YMD",
            _ => return None,
        }
    }
    Some(format!("ISO, {order}"))
}

fn time_zone(value: &str) -> Option<String> {
    TimeZone::parse(value).map(|_| if value.eq_ignore_ascii_case("utc") { "UTC".to_string() } else { value.to_string() })
}
