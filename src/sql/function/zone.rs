//! Instants and the clocks of a zone: the session's customs, `AT TIME ZONE`, and the casts between `timestamp` and
//! `timestamptz`.

use std::any::Any;
use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, StringArray, TimestampMicrosecondArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, FieldRef, TimeUnit, TimestampMicrosecondType};
use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use datafusion::sql::sqlparser::ast::{Expr, VisitMut, VisitorMut};
use weir_common::calendar::{INFINITY, MINUS_INFINITY, SECOND};
use weir_common::datetime::{self, Customs};
use weir_common::error::{Error, SqlState};
use weir_common::timezone::TimeZone;
use weir_common::types::PgType;

use crate::context::external;
use crate::function::aggregate::no_such;
use crate::names::call;

/// A session's customs in the configuration that its expressions are evaluated with.
#[derive(Clone, Debug, Default)]
pub(crate) struct SessionCustoms(pub Customs);

impl ConfigExtension for SessionCustoms {
    const PREFIX: &'static str = "weir";
}

impl ExtensionOptions for SessionCustoms {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, _key: &str, _value: &str) -> Result<()> {
        Err(external(Error::internal("a session's customs are not set by name")))
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

/// The customs of a configuration: of views, which have no session, UTC and the month first.
pub(crate) fn customs(config: &ConfigOptions) -> &Customs {
    static NONE: LazyLock<Customs> = LazyLock::new(Customs::default);
    config.extensions.get::<SessionCustoms>().map_or(&NONE, |customs| &customs.0)
}

/// `timestamp`
pub(crate) const LOCAL: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// `timestamptz`
pub(crate) fn instant() -> DataType {
    PgType::Timestamptz.arrow()
}

/// Whether a cast crosses from instants to the clocks of a zone, or back.
pub(crate) fn crosses(from: &DataType, to: &DataType) -> bool {
    let is_local = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, None) | DataType::Date32 | DataType::Time64(_));
    let is_instant = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, Some(_)));
    is_instant(from) && is_local(to) || is_local(from) && is_instant(to) && !matches!(from, DataType::Time64(_))
}

/// What a zone's clocks show at instants, as `timestamp`.
pub(crate) fn to_local(instants: &ArrayRef, zone: &TimeZone) -> weir_common::error::Result<ArrayRef> {
    let instants = cast(instants, &instant())?;
    shifted(&instants, |micros| zone.offset_at(micros)).map(|micros| Arc::new(micros) as ArrayRef)
}

/// The instants at which a zone's clocks show these, dates or `timestamp`, as `timestamptz`.
pub(crate) fn to_instants(locals: &ArrayRef, zone: &TimeZone) -> weir_common::error::Result<ArrayRef> {
    let locals = cast(locals, &LOCAL)?;
    let micros = shifted(&locals, |micros| -zone.offset_of_local(micros))?;
    Ok(Arc::new(micros.with_timezone("UTC")))
}

fn cast(values: &ArrayRef, to: &DataType) -> weir_common::error::Result<ArrayRef> {
    Ok(cast_with_options(values, to, &CastOptions { safe: false, ..Default::default() })?)
}

fn shifted(times: &ArrayRef, seconds: impl Fn(i64) -> i32) -> weir_common::error::Result<TimestampMicrosecondArray> {
    let out_of_range = || Error::new(SqlState::DATETIME_FIELD_OVERFLOW, "timestamp out of range");
    let shift = |micros: i64| match micros {
        INFINITY | MINUS_INFINITY => Ok(micros),
        _ => micros.checked_add(seconds(micros) as i64 * SECOND).ok_or_else(out_of_range),
    };
    let times = times.as_primitive::<TimestampMicrosecondType>();
    times.iter().map(|micros| micros.map(shift).transpose()).collect()
}

/// Writes `time AT TIME ZONE zone` as the call that it is.
pub(crate) fn spell_out(node: &mut impl VisitMut) {
    struct Calls;
    impl VisitorMut for Calls {
        type Break = ();
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::AtTimeZone { timestamp, time_zone } = expr {
                *expr = call(AT_ZONE, vec![time_zone.as_ref().clone(), timestamp.as_ref().clone()]);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = node.visit(&mut Calls);
}

/// `timezone(zone, time)`, which `time AT TIME ZONE zone` is.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct AtZone {
    signature: Signature,
}

/// Its name.
pub(crate) const AT_ZONE: &str = "timezone";

impl Default for AtZone {
    fn default() -> Self {
        AtZone { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for AtZone {
    fn name(&self) -> &str {
        AT_ZONE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [DataType::Interval(_), _] => {
                let error = Error::unsupported("an interval as a time zone is not supported yet");
                Err(external(error.with_hint("Give it as text, hours west of UTC as POSIX counts them: '-02:00' is two hours east.")))
            }
            // An untyped literal is an instant, as in Postgres.
            [DataType::Utf8 | DataType::Null, DataType::Timestamp(_, Some(_)) | DataType::Utf8] => Ok(LOCAL),
            [DataType::Utf8 | DataType::Null, DataType::Timestamp(_, None) | DataType::Date32 | DataType::Null] => Ok(instant()),
            _ => Err(external(no_such(AT_ZONE, arg_types))),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(Arc::new(PgType::of_arrow(&self.return_type(&types)?).field(AT_ZONE)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let alone = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if alone { 1 } else { args.number_rows };
        let customs = customs(&args.config_options);
        let times = args.args[1].to_array(rows)?;
        let convert = |times: &ArrayRef, zone: &TimeZone| match times.data_type() {
            DataType::Timestamp(_, Some(_)) => to_local(times, zone),
            DataType::Utf8 => to_local(&read(times.as_string::<i32>(), customs)?, zone),
            _ => to_instants(times, zone),
        };
        let converted = match &args.args[0] {
            ColumnarValue::Scalar(ScalarValue::Utf8(Some(name))) => convert(&times, &zone(name).map_err(external)?).map_err(external)?,
            names => {
                // A zone of its own for each row.
                let names = names.to_array(rows)?;
                let names = names.as_string_opt::<i32>();
                let mut parts = Vec::with_capacity(rows);
                for row in 0..rows {
                    parts.push(match names.filter(|names| names.is_valid(row)) {
                        Some(names) => convert(&times.slice(row, 1), &zone(names.value(row)).map_err(external)?).map_err(external)?,
                        None => arrow::array::new_null_array(args.return_field.data_type(), 1),
                    });
                }
                let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
                if parts.is_empty() {
                    arrow::array::new_empty_array(args.return_field.data_type())
                } else {
                    arrow::compute::concat(&parts)?
                }
            }
        };
        Ok(if alone { ColumnarValue::Scalar(ScalarValue::try_from_array(&converted, 0)?) } else { ColumnarValue::Array(converted) })
    }
}

fn read(texts: &StringArray, customs: &Customs) -> weir_common::error::Result<ArrayRef> {
    let micros = texts.iter().map(|text| text.map(|text| datetime::timestamptz(text, customs)).transpose());
    let micros: TimestampMicrosecondArray = micros.collect::<weir_common::error::Result<_>>()?;
    Ok(Arc::new(micros.with_timezone("UTC")))
}

fn zone(name: &str) -> weir_common::error::Result<TimeZone> {
    let unknown = || Error::new(SqlState::INVALID_PARAMETER_VALUE, format!("time zone \"{name}\" not recognized"));
    datetime::zone(name).ok_or_else(unknown)
}
