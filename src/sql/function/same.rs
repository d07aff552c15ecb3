//! `weir_same(x)`: x. It hides from DataFusion that a column is part of a key, where rows are about to be copied.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// The function; no user can call it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Same {
    signature: Signature,
}

impl Default for Same {
    fn default() -> Self {
        Same { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl Same {
    /// The columns of a plan, such that no projection of them has a key.
    pub(crate) fn without_keys(plan: &LogicalPlan) -> Vec<Expr> {
        let schema = plan.schema();
        let hidden: Vec<usize> = schema.functional_dependencies().iter().filter_map(|key| key.source_indices.first().copied()).collect();
        let columns = schema.columns().into_iter().map(Expr::Column).enumerate();
        let column = |(index, column): (usize, Expr)| match hidden.contains(&index) {
            true => {
                let (qualifier, field) = schema.qualified_field(index);
                ScalarUDF::from(Same::default()).call(vec![column]).alias_qualified(qualifier.cloned(), field.name())
            }
            false => column,
        };
        columns.map(column).collect()
    }

    /// What the expression is the same as, if it is such a call.
    pub(crate) fn of(expr: &Expr) -> Option<&Expr> {
        match expr {
            Expr::ScalarFunction(call) if call.func.inner().downcast_ref::<Same>().is_some() => call.args.first(),
            _ => None,
        }
    }

    /// The expression without any such call.
    pub(crate) fn seen_through(expr: Expr) -> Result<Expr> {
        Ok(expr
            .transform_up(|expr| {
                Ok(match Same::of(&expr) {
                    Some(inner) => Transformed::yes(inner.clone()),
                    None => Transformed::no(expr),
                })
            })?
            .data)
    }
}

impl ScalarUDFImpl for Same {
    fn name(&self) -> &str {
        "weir_same"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types[0].clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(args.arg_fields[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.into_iter().next() {
            Some(value) => Ok(value),
            None => internal_err!("{} needs an argument", self.name()),
        }
    }
}
