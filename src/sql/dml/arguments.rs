//! The arguments of EXECUTE: constant expressions, each made what a column of the parameter's type would take.

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::sql::sqlparser::ast::{self, Spanned};
use weir_common::error::{Error, Result, SqlState};
use weir_common::types::PgType;

use crate::catalog::ColumnDef;
use crate::context::{Context, at, external};
use crate::dml::assign::assign;
use crate::dml::values::{Cell, literal, needs_query};
use crate::parameter;

impl Context {
    /// The values of `arguments` for parameters of `types`, of which there are as many; positions of errors point into `sql`.
    pub fn arguments(&self, arguments: &[ast::Expr], types: &[PgType], sql: &str) -> Result<Vec<ScalarValue>> {
        let mut values = Vec::with_capacity(arguments.len());
        for (index, (argument, ty)) in arguments.iter().zip(types).enumerate() {
            let value = self.argument(argument, index, ty);
            let value = value.map_err(|error| match error {
                DataFusionError::External(error) if error.is::<Error>() => at_argument(error, argument),
                other => other,
            });
            values.push(value.map_err(|error| self.error(error, sql))?);
        }
        Ok(values)
    }

    fn argument(&self, argument: &ast::Expr, index: usize, ty: &PgType) -> Result<ScalarValue, DataFusionError> {
        let number = index + 1;
        let parameter = ColumnDef::new(format!("${number}"), ty.clone());
        if parameter::count(argument) > 0 {
            return Err(external(
                Error::unsupported("an argument of EXECUTE cannot be a parameter").with_hint("Bind the prepared statement."),
            ));
        }
        match literal(argument, &parameter, self.customs()).map_err(external)? {
            Some(Cell::Value(value)) => return Ok(value),
            Some(Cell::Default) => return Err(external(Error::new(SqlState::SYNTAX_ERROR, "DEFAULT is not allowed in this context"))),
            _ => {}
        }
        if needs_query(argument) {
            return Err(external(Error::unsupported("cannot use subquery in EXECUTE parameter")));
        }
        let schema = DFSchema::empty();
        let planned = self.simplifier(&schema).coerce(self.scalar(argument, &schema, &[])?, &schema)?;
        let (_, from) = planned.to_field(&schema)?;
        let untyped = matches!(&planned, Expr::Literal(ScalarValue::Utf8(_), _));
        let assigned = assign(planned, &from, &parameter, untyped).map_err(|error| {
            if error.sqlstate() != SqlState::DATATYPE_MISMATCH {
                return external(error);
            }
            let (have, want) = (PgType::of_field(&from).spelling(), ty.spelling());
            external(error.with_message(format!("parameter ${number} of type {have} cannot be coerced to the expected type {want}")))
        })?;
        ScalarValue::try_from_array(&self.evaluate(assigned, 1)?, 0)
    }
}

/// One of our errors, at the argument that it is about.
fn at_argument(error: Box<dyn std::error::Error + Send + Sync>, argument: &ast::Expr) -> DataFusionError {
    match error.downcast::<Error>() {
        Ok(error) => at(*error, argument.span()),
        Err(error) => DataFusionError::External(error),
    }
}
