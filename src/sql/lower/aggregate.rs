//! GROUP BY: the keys, arguments and conditions are computed first, then the groups.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::AggregateFunction as Call;
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable};
use weir_common::error::Error;
use weir_common::expr::{Column, ExprRef};
use weir_common::plan::{AggregateCall, AggregateFunction, Node, Op};

use crate::context::external;
use crate::expr::{compile, compile_as};
use crate::function::aggregate::{Deviation, ExactAggregate, Kind};
use crate::lower::{Lowering, columns_of, facts, keys, project, project_with, schema_of, session};
use crate::names::output_name;
use crate::shown::shown;

impl Lowering<'_> {
    pub(super) fn aggregate(&self, aggregate: &Aggregate) -> Result<Node, DataFusionError> {
        let mut input = self.node(&aggregate.input)?;
        let schema = aggregate.input.schema();
        let config = self.context.config();
        let mut exprs: Vec<ExprRef> = Vec::new();
        let mut sources: Vec<Expr> = Vec::new();
        // A key that is named twice is one column.
        let group: Vec<Expr> = grouping_set_to_exprlist(&aggregate.group_expr)?.into_iter().cloned().collect();
        // A key that follows from another one is computed from it afterwards: groups are found by the others alone.
        let following = keys::following(&group, &aggregate.input);
        for (key, follows) in group.iter().zip(&following) {
            if follows.is_none() {
                exprs.push(compile(key, schema, config)?);
                sources.push(key.clone());
            }
        }
        let (all_keys, mut keys) = (group.len(), exprs.len());
        // Sessions close by their ends: that is one more key, which makes no other groups, until they are made.
        let by_start = self.policy.closes() && session::are_told_by_start(&input, &exprs);
        let mut add = |compiled: ExprRef, source: &Expr| {
            exprs.push(compiled);
            sources.push(source.clone());
            exprs.len() - 1 + usize::from(by_start)
        };
        let mut calls = Vec::new();
        for (index, expr) in aggregate.aggr_expr.iter().enumerate() {
            let call = call(expr)?;
            let function = function(call)?;
            let distinct = call.params.distinct && function.counts_repeats();
            let argument = argument(call);
            let input = argument.map_or(Ok(DataType::Null), |argument| argument.get_type(schema))?;
            let argument =
                argument.map(|argument| Ok::<_, DataFusionError>(add(compile(argument, schema, config)?, argument))).transpose()?;
            let filter = match &call.params.filter {
                Some(filter) => Some(add(compile_as(filter, schema, config, DataType::Boolean)?, filter)),
                None => None,
            };
            if argument.is_none() && function != AggregateFunction::Count {
                return Err(external(Error::internal(format!("{expr} has no argument"))));
            }
            let output = aggregate.schema.field(all_keys + index).data_type().clone();
            let name = text(call);
            calls.push(AggregateCall { function, argument, distinct, filter, input, output, name });
        }
        let mut fields: Vec<Field> =
            exprs.iter().zip(&sources).map(|(expr, source)| Field::new(key_name(source), expr.data_type().clone(), true)).collect();
        let mut steps = facts::steps(&sources, schema);
        if by_start {
            input = session::with_end(input);
            let index = input.schema.fields().len() - 1;
            let field = input.schema.field(index).clone();
            exprs.insert(keys, Arc::new(Column { index, name: field.name().clone(), data_type: field.data_type().clone() }));
            fields.insert(keys, field);
            steps.insert(keys, Some((index, Vec::new())));
            keys += 1;
        }
        let input = project_with(input, exprs, Arc::new(Schema::new(fields)), &steps);
        let facts = facts::of_aggregate(&input.facts, keys);
        let (input, facts, life) = self.windowed(input, facts, &calls)?;
        let output = schema_of(&aggregate.schema);
        let computed = |index: &usize| following.get(*index).is_none_or(|follows| follows.is_none());
        let mut fields: Vec<_> = (0..output.fields().len()).filter(computed).map(|index| output.fields()[index].clone()).collect();
        let shown = Arc::new(Schema::new(fields.clone()));
        if by_start {
            fields.insert(keys - 1, input.schema.fields()[keys - 1].clone());
        }
        let mut node = Node { op: Op::Aggregate { keys, calls, life }, inputs: vec![input], schema: Arc::new(Schema::new(fields)), facts };
        if by_start {
            let mut columns = columns_of(&node.schema);
            columns.remove(keys - 1);
            node = project(node, columns, shown);
        }
        Ok(with_following(node, &following, output))
    }
}

/// The groups with the keys that follow from others in their places.
fn with_following(groups: Node, following: &[Option<keys::Follows>], output: SchemaRef) -> Node {
    if following.iter().all(Option::is_none) {
        return groups;
    }
    // Where a key that is no other's follower stands among the groups' columns.
    let place = |index: usize| following[..index.min(following.len())].iter().filter(|follows| follows.is_none()).count();
    let mut exprs: Vec<ExprRef> = Vec::new();
    let mut steps = Vec::new();
    for (index, field) in output.fields().iter().enumerate() {
        let (name, data_type) = (field.name().clone(), field.data_type().clone());
        match following.get(index).copied().flatten() {
            Some(keys::Follows { kept, by }) => {
                steps.push(Some((place(kept), by.steps())));
                exprs.push(Arc::new(keys::Following::new(place(kept), output.field(kept).name(), by, data_type)));
            }
            None => {
                let column = place(index) + index.saturating_sub(following.len());
                steps.push(Some((column, Vec::new())));
                exprs.push(Arc::new(Column { index: column, name, data_type }));
            }
        }
    }
    project_with(groups, exprs, output, &steps)
}

/// The call as a user wrote it: `count(*)` is planned as `count(1)`.
fn text(call: &Call) -> String {
    let argument = argument(call).map_or("*".to_string(), shown);
    let distinct = if call.params.distinct { "DISTINCT " } else { "" };
    let filter = call.params.filter.as_ref().map_or(String::new(), |filter| format!(" FILTER (WHERE {})", shown(filter)));
    format!("{}({distinct}{argument}){filter}", call.func.name())
}

fn key_name(source: &Expr) -> String {
    match source {
        Expr::Column(column) => output_name(&column.name).to_string(),
        other => other.human_display().to_string(),
    }
}

fn call(expr: &Expr) -> Result<&Call, DataFusionError> {
    match expr {
        Expr::Alias(alias) => call(&alias.expr),
        Expr::AggregateFunction(call) => Ok(call),
        other => Err(external(Error::internal(format!("{other} is not an aggregate")))),
    }
}

/// The aggregate, where it is one that can be maintained; others have been refused before.
pub(super) fn function(call: &Call) -> Result<AggregateFunction, DataFusionError> {
    if let Some(exact) = call.func.inner().downcast_ref::<ExactAggregate>() {
        return Ok(match exact.kind {
            Kind::Sum => AggregateFunction::Sum,
            Kind::Avg => AggregateFunction::Avg,
        });
    }
    if let Some(deviation) = call.func.inner().downcast_ref::<Deviation>() {
        return Ok(AggregateFunction::Deviation(deviation.measure));
    }
    match call.func.name() {
        "count" => Ok(AggregateFunction::Count),
        "min" => Ok(AggregateFunction::Min),
        "max" => Ok(AggregateFunction::Max),
        "bool_and" => Ok(AggregateFunction::BoolAnd),
        "bool_or" => Ok(AggregateFunction::BoolOr),
        other => Err(external(Error::unsupported(format!("aggregate {other} cannot be maintained in a view yet")).with_hint(
            "count, sum, avg, min, max, bool_and, bool_or, stddev and variance can be, also with DISTINCT and FILTER (WHERE ...).",
        ))),
    }
}

/// What is aggregated; `None` for `count(*)`, which is planned as `count(1)`.
fn argument(call: &Call) -> Option<&Expr> {
    let of_rows = call.func.name() == "count" && !call.params.distinct;
    call.params.args.first().filter(|argument| !(of_rows && is_constant(argument)))
}

/// A constant that is not NULL.
fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => !matches!(value, ScalarValue::Null) && !value.is_null(),
        _ => false,
    }
}
