//! Functions and operators of json and jsonb, with Postgres' results. Values are texts; numbers keep all of their digits.

mod about; // json_typeof, json_array_length
mod operator; // what an operator between two expressions is
mod path; // -> ->> #> #>>, json_extract_path

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use weir_common::json::{self, Raw};
use weir_common::types::PgType;

use crate::context::external;
use crate::function::aggregate::no_such;
pub(crate) use operator::plan_operator;

/// What a function does with a document, its first argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What {
    /// The member of a name or the element at a place: `->`, and `->>` as text.
    Get { as_text: bool },
    /// What a `text[]` of names and places leads to: `#>`, and `#>>` as text.
    Path { as_text: bool },
    /// The same with the steps as arguments: `json_extract_path`, and `json_extract_path_text`.
    Extract { as_text: bool },
    /// `json_typeof`
    Typeof,
    /// `json_array_length`
    ArrayLength,
    /// `@>`
    Contains,
    /// `<@`
    Contained,
    /// `?`
    Has,
    /// `?|`
    HasAny,
    /// `?&`
    HasAll,
    /// `||`
    Concat,
}

/// A function of json or jsonb; an operator is one without a name that anybody could call.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct JsonFunction {
    what: What,
    name: &'static str,
    /// The type of the document, where the name says it.
    of: Option<PgType>,
    signature: Signature,
}

impl JsonFunction {
    fn named(what: What, of: PgType, name: &'static str) -> Self {
        let signature = match what {
            What::Extract { .. } => Signature::variadic_any(Volatility::Immutable),
            _ => Signature::any(1, Volatility::Immutable),
        };
        JsonFunction { what, name, of: Some(of), signature }
    }

    fn operator(what: What, symbol: &'static str) -> Self {
        JsonFunction { what, name: symbol, of: None, signature: Signature::any(2, Volatility::Immutable) }
    }

    /// The functions that have names.
    pub(crate) fn all() -> Vec<ScalarUDF> {
        let (plain, text) = (What::Extract { as_text: false }, What::Extract { as_text: true });
        let functions = [
            (What::Typeof, PgType::Json, "json_typeof"),
            (What::Typeof, PgType::Jsonb, "jsonb_typeof"),
            (What::ArrayLength, PgType::Json, "json_array_length"),
            (What::ArrayLength, PgType::Jsonb, "jsonb_array_length"),
            (plain, PgType::Json, "json_extract_path"),
            (plain, PgType::Jsonb, "jsonb_extract_path"),
            (text, PgType::Json, "json_extract_path_text"),
            (text, PgType::Jsonb, "jsonb_extract_path_text"),
        ];
        functions.into_iter().map(|(what, of, name)| ScalarUDF::from(JsonFunction::named(what, of, name))).collect()
    }

    /// The type of the document that this is called with.
    fn document(&self, field: &Field) -> PgType {
        match (&self.of, PgType::of_field(field)) {
            (Some(of), _) => of.clone(),
            (None, PgType::Json) => PgType::Json,
            (None, _) => PgType::Jsonb,
        }
    }

    /// Whether a named function takes these arguments; operators have been looked at when they were planned.
    fn takes(&self, args: &ReturnFieldArgs<'_>) -> bool {
        let Some(of) = &self.of else { return true };
        args.arg_fields.iter().enumerate().all(|(at, field)| {
            let ty = PgType::of_field(field);
            let untyped = field.data_type().is_null() || ty == PgType::Text && args.scalar_arguments[at].is_some();
            untyped || if at == 0 { ty == *of } else { *field.data_type() == DataType::Utf8 }
        }) && (args.arg_fields.len() > 1 || !matches!(self.what, What::Extract { .. }))
    }

    fn apply(&self, args: &[ArrayRef], fields: &[FieldRef]) -> weir_common::error::Result<ArrayRef> {
        let of = self.document(&fields[0]);
        let documents = documents(&args[0], &fields[0], &of)?;
        let rows = 0..documents.len();
        Ok(match self.what {
            What::Typeof => Arc::new(rows.map(|row| at(&documents, row).map(|doc| doc.kind().name())).collect::<StringArray>()),
            What::ArrayLength => {
                let length = |row| at(&documents, row).map(about::array_length).transpose();
                Arc::new(rows.map(length).collect::<weir_common::error::Result<Int32Array>>()?)
            }
            What::Get { as_text } => path::get(&documents, &args[1], as_text, of == PgType::Jsonb)?,
            What::Path { as_text } => {
                let lists = texts_of_lists(&args[1])?;
                path::walk(&documents, as_text, |row| {
                    lists.as_list_opt::<i32>().filter(|lists| lists.is_valid(row)).map(|lists| lists.value(row))
                })?
            }
            What::Extract { as_text } => {
                let steps = args[1..].iter().map(texts).collect::<weir_common::error::Result<Vec<_>>>()?;
                path::walk(&documents, as_text, |row| {
                    Some(Arc::new(steps.iter().map(|step| step.is_valid(row).then(|| step.value(row))).collect::<StringArray>()) as ArrayRef)
                })?
            }
            What::Contains | What::Contained => {
                let others = self::documents(&args[1], &fields[1], &PgType::Jsonb)?;
                let (whole, part) = if self.what == What::Contains { (&documents, &others) } else { (&others, &documents) };
                let contains = |row| match (at(whole, row), at(part, row)) {
                    (Some(whole), Some(part)) => json::contains(whole, part).map(Some),
                    _ => Ok(None),
                };
                Arc::new(rows.map(contains).collect::<weir_common::error::Result<BooleanArray>>()?)
            }
            What::Concat => {
                let others = self::documents(&args[1], &fields[1], &PgType::Jsonb)?;
                let concat = |row| match (at(&documents, row), at(&others, row)) {
                    (Some(first), Some(second)) => json::concat(first, second).map(Some),
                    _ => Ok(None),
                };
                Arc::new(rows.map(concat).collect::<weir_common::error::Result<StringArray>>()?)
            }
            What::Has => {
                let names = texts(&args[1])?;
                let has = |row: usize| match at(&documents, row) {
                    Some(doc) if names.is_valid(row) => json::has(doc, names.value(row)).map(Some),
                    _ => Ok(None),
                };
                Arc::new(rows.map(has).collect::<weir_common::error::Result<BooleanArray>>()?)
            }
            What::HasAny | What::HasAll => {
                let lists = texts_of_lists(&args[1])?;
                let lists = lists.as_list_opt::<i32>();
                let has = |row: usize| {
                    let (Some(doc), Some(lists)) = (at(&documents, row), lists.filter(|lists| lists.is_valid(row))) else {
                        return Ok(None);
                    };
                    let names = lists.value(row);
                    let all = self.what == What::HasAll;
                    // NULL is no name: it is passed over.
                    for name in names.as_string::<i32>().iter().flatten() {
                        if json::has(doc, name)? != all {
                            return Ok(Some(!all));
                        }
                    }
                    Ok(Some(all))
                };
                Arc::new(rows.map(has).collect::<weir_common::error::Result<BooleanArray>>()?)
            }
        })
    }
}

/// The document of a row.
fn at(documents: &StringArray, row: usize) -> Option<Raw<'_>> {
    documents.is_valid(row).then(|| Raw::of(documents.value(row)))
}

/// Documents of a type; an untyped text becomes one here.
fn documents(values: &ArrayRef, field: &Field, of: &PgType) -> weir_common::error::Result<StringArray> {
    let texts = texts(values)?;
    match (PgType::of_field(field), of) {
        (PgType::Json | PgType::Jsonb, _) => Ok(texts),
        (_, PgType::Jsonb) => texts.iter().map(|text| text.map(json::canonical).transpose()).collect(),
        _ => {
            texts.iter().flatten().try_for_each(json::check)?;
            Ok(texts)
        }
    }
}

fn texts(values: &ArrayRef) -> weir_common::error::Result<StringArray> {
    Ok(cast(values, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn texts_of_lists(values: &ArrayRef) -> weir_common::error::Result<ArrayRef> {
    cast(values, &PgType::Array(Box::new(PgType::Text)).arrow())
}

fn cast(values: &ArrayRef, to: &DataType) -> weir_common::error::Result<ArrayRef> {
    Ok(cast_with_options(values, to, &CastOptions { safe: false, ..Default::default() })?)
}

impl ScalarUDFImpl for JsonFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        match (&self.of, args) {
            (None, [left, right]) => Ok(format!("{left} {} {right}", self.name)),
            _ => Ok(format!("{}({})", self.name, args.iter().map(Expr::to_string).collect::<Vec<_>>().join(", "))),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        internal_err!("the type of {} depends on the types that its arguments have in Postgres", self.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        if !self.takes(&args) {
            return Err(external(no_such_function(self.name, args.arg_fields)));
        }
        let ty = match self.what {
            What::Get { as_text: true } | What::Path { as_text: true } | What::Extract { as_text: true } | What::Typeof => PgType::Text,
            What::Get { .. } | What::Path { .. } | What::Extract { .. } => self.document(&args.arg_fields[0]),
            What::Concat => PgType::Jsonb,
            What::ArrayLength => PgType::Int4,
            What::Contains | What::Contained | What::Has | What::HasAny | What::HasAll => PgType::Bool,
        };
        Ok(Arc::new(ty.field(self.name)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let alone = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if alone { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let made = self.apply(&arrays, &args.arg_fields).map_err(external)?;
        Ok(if alone { ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?) } else { ColumnarValue::Array(made) })
    }
}

/// `no_such` with the types that the fields have in Postgres.
fn no_such_function(name: &str, fields: &[FieldRef]) -> weir_common::error::Error {
    let types: Vec<String> = fields.iter().map(|field| PgType::of_field(field).spelling()).collect();
    no_such(name, &[]).with_message(format!("function {name}({}) does not exist", types.join(", ")))
}
