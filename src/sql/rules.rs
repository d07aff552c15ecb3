//! Postgres' typing rules: integer literals are `integer`, an untyped literal takes the type it meets, operators and casts
//! have Postgres' results. Runs before DataFusion's own coercion, which finds nothing left to decide.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion, TreeNodeRewriter};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{BinaryExpr, InList, Placeholder, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Between, Cast, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, ScalarUDF};
use datafusion::optimizer::analyzer::AnalyzerRule;
use datafusion::sql::sqlparser::ast::BinaryOperator;
use weir_common::datetime::Customs;
use weir_common::error::{Error, SqlState};
use weir_common::json;
use weir_common::types::PgType;

use crate::context::external;
use crate::function::arithmetic::Arithmetic;
use crate::function::cast::PgCast;
use crate::function::json::plan_operator;
use crate::function::length::{Length, is_interval};
use crate::function::window::{WindowEdge, WindowEdges};
use crate::function::{parse, zone};

/// Gives literals and operators the types and results that they have in Postgres.
#[derive(Debug)]
pub(crate) struct PostgresTypes;

impl AnalyzerRule for PostgresTypes {
    fn name(&self) -> &str {
        "postgres_types"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> Result<LogicalPlan> {
        let zoned = is_zoned(config);
        // The working table of a recursive query has got its types already.
        let narrow = !plan.exists(|node| Ok(matches!(node, LogicalPlan::RecursiveQuery(_))))?;
        Ok(plan.transform_up_with_subqueries(|node| rewrite_node(node, narrow, zoned))?.data)
    }
}

fn rewrite_node(plan: LogicalPlan, narrow: bool, zoned: bool) -> Result<Transformed<LogicalPlan>> {
    if plan.expressions().is_empty() && !matches!(plan, LogicalPlan::Values(_)) {
        return plan.recompute_schema().map(Transformed::yes);
    }
    let schema = match &plan {
        LogicalPlan::TableScan(scan) => DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?,
        _ => merge_schema(&plan.inputs()),
    };
    let narrow = narrow && !matches!(plan, LogicalPlan::Limit(_));
    let names = NamePreserver::new(&plan);
    let plan = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.rewrite(&mut Rewriter { schema: &schema, narrow, zoned })?.update_data(|expr| name.restore(expr)))
    })?;
    plan.map_data(|plan| match plan {
        LogicalPlan::Values(values) => LogicalPlanBuilder::values(values.values)?.build(),
        plan => plan.recompute_schema(),
    })
}

/// Plans operators as soon as they are read: DataFusion refuses some pairs of types that Postgres knows before the analyzer
/// has its turn.
#[derive(Debug)]
pub(crate) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let op = match expr.op {
            BinaryOperator::Plus => Operator::Plus,
            BinaryOperator::Minus => Operator::Minus,
            BinaryOperator::Multiply => Operator::Multiply,
            BinaryOperator::Divide => Operator::Divide,
            BinaryOperator::Modulo => Operator::Modulo,
            ref other => {
                let planned = match plan_operator(other, &expr.left, &expr.right, schema)? {
                    Some(planned) => Some(planned),
                    None => beside_interval(other, &expr.left, &expr.right, schema)?,
                };
                return Ok(planned.map_or(PlannerResult::Original(expr), PlannerResult::Planned));
            }
        };
        let RawBinaryExpr { left, right, .. } = &expr;
        let (left, right) = (like(left.clone(), right, schema), like(right.clone(), left, schema));
        let (left, right) = (number_literal(left)?, number_literal(right)?);
        // What is not known here (a column of an outer query) is known to the analyzer.
        let (Ok(left_type), Ok(right_type)) = (left.get_type(schema), right.get_type(schema)) else {
            return Ok(PlannerResult::Original(expr));
        };
        match arithmetic(op, left, &left_type, right, &right_type)? {
            Some(planned) => Ok(PlannerResult::Planned(planned)),
            None => Ok(PlannerResult::Original(expr)),
        }
    }
}

/// A comparison of an interval with a literal that says no type: DataFusion knows none of them.
fn beside_interval(op: &BinaryOperator, left: &Expr, right: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let op = match op {
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        _ => return Ok(None),
    };
    let is_text = |expr: &Expr| matches!(expr, Expr::Literal(ScalarValue::Utf8(Some(_)), None));
    let of = |expr: &Expr| expr.get_type(schema).ok().filter(is_interval);
    let (left, right) = match (is_text(left), is_text(right)) {
        (false, true) if let Some(interval) = of(left) => (left.clone(), meets(right.clone(), &interval)?),
        (true, false) if let Some(interval) = of(right) => (meets(left.clone(), &interval)?, right.clone()),
        _ => return Ok(None),
    };
    Ok(Some(binary(left, op, right)))
}

fn number_literal(expr: Expr) -> Result<Expr> {
    match expr {
        Expr::Literal(value, None) => Ok(literal(value, true)?.data),
        other => Ok(other),
    }
}

/// A parameter without a type takes that of the other operand.
fn like(expr: Expr, other: &Expr, schema: &DFSchema) -> Expr {
    match expr {
        Expr::Placeholder(placeholder) if placeholder.field.is_none() => {
            let field = other.to_field(schema).ok().map(|(_, field)| field).filter(|field| !field.data_type().is_null());
            Expr::Placeholder(Placeholder::new_with_field(placeholder.id, field))
        }
        other => other,
    }
}

/// The operator's function over its operands; `None` for what is no arithmetic (arrays).
fn arithmetic(op: Operator, left: Expr, left_type: &DataType, right: Expr, right_type: &DataType) -> Result<Option<Expr>> {
    if is_list(left_type) || is_list(right_type) {
        return Ok(None);
    }
    let left = meets(left, &partner(op, right_type))?;
    let right = meets(right, &partner(op, left_type))?;
    Ok(Some(operator(op).call(vec![left, right])))
}

/// Applies the rules to one expression, for plans and for what stands outside of plans.
pub(crate) fn rewrite(expr: Expr, schema: &DFSchema, config: &ConfigOptions) -> Result<Expr> {
    Ok(expr.rewrite(&mut Rewriter { schema, narrow: true, zoned: is_zoned(config) })?.data)
}

struct Rewriter<'a> {
    schema: &'a DFSchema,
    /// Whether integer literals become as narrow as they can.
    narrow: bool,
    /// Whether the session's clocks are not those of UTC.
    zoned: bool,
}

/// Whether a session's clocks are not those of UTC: where an instant meets them, more is to be done.
fn is_zoned(config: &ConfigOptions) -> bool {
    !zone::customs(config).zone.is_utc()
}

impl TreeNodeRewriter for Rewriter<'_> {
    type Node = Expr;

    fn f_down(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        let keep = match &expr {
            // Constants that are ours or DataFusion's, not the user's.
            Expr::ScalarFunction(call) => {
                let function = call.func.inner();
                function.downcast_ref::<WindowEdge>().is_some() || function.downcast_ref::<WindowEdges>().is_some()
            }
            Expr::AggregateFunction(call) => {
                call.params.filter.is_none() && call.func.name() == "count" && matches!(call.params.args.as_slice(), [Expr::Literal(..)])
            }
            _ => false,
        };
        let recursion = if keep { TreeNodeRecursion::Jump } else { TreeNodeRecursion::Continue };
        Ok(Transformed::new(expr, false, recursion))
    }

    fn f_up(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        match expr {
            Expr::Literal(value, None) => literal(value, self.narrow),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => self.binary(*left, op, *right),
            Expr::Between(Between { expr, negated, low, high }) => {
                let (_, field) = expr.to_field(self.schema)?;
                let (low, high) = (self.meets(*low, &field)?, self.meets(*high, &field)?);
                let measure = self.measure([&expr, &low, &high])?;
                let (expr, low, high) = (Box::new(measure(*expr)), Box::new(measure(low)), Box::new(measure(high)));
                Ok(Transformed::yes(Expr::Between(Between { expr, negated, low, high })))
            }
            Expr::InList(InList { expr, list, negated }) => {
                let (_, field) = expr.to_field(self.schema)?;
                let list = list.into_iter().map(|item| self.meets(item, &field)).collect::<Result<Vec<_>>>()?;
                let measure = self.measure(list.iter().chain([&*expr]))?;
                let (expr, list) = (Box::new(measure(*expr)), list.into_iter().map(measure).collect());
                Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })))
            }
            Expr::Cast(Cast { expr, field }) => {
                let (_, from) = expr.to_field(self.schema)?;
                let needed = PgCast::is_needed(from.data_type(), &field) || PgCast::changes_text(&from, &field);
                match needed || self.zoned && zone::crosses(from.data_type(), field.data_type()) {
                    true => Ok(Transformed::yes(explicit_cast(*expr, &field))),
                    false => Ok(Transformed::no(Expr::Cast(Cast { expr, field }))),
                }
            }
            Expr::ScalarFunction(call) if self.zoned => self.on_clocks(call),
            other => Ok(Transformed::no(other)),
        }
    }
}

/// `expr::type`
pub(crate) fn explicit_cast(expr: Expr, to: &Field) -> Expr {
    ScalarUDF::from(PgCast::explicit(to)).call(vec![expr])
}

impl Rewriter<'_> {
    fn binary(&self, left: Expr, op: Operator, right: Expr) -> Result<Transformed<Expr>> {
        let is_arithmetic = matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo);
        if !is_arithmetic && op != Operator::StringConcat && !is_comparison(op) {
            return Ok(Transformed::no(binary(left, op, right)));
        }
        let (left_type, right_type) = (left.get_type(self.schema)?, right.get_type(self.schema)?);
        if is_arithmetic {
            return Ok(match arithmetic(op, left.clone(), &left_type, right.clone(), &right_type)? {
                Some(planned) => Transformed::yes(planned),
                None => Transformed::no(binary(left, op, right)),
            });
        }
        if op == Operator::StringConcat {
            if is_list(&left_type) || is_list(&right_type) {
                return Ok(Transformed::no(binary(left, op, right)));
            }
            let text = Field::new("", DataType::Utf8, true);
            let as_text = |expr: Expr, ty: &DataType| if is_text(ty) || ty.is_null() { expr } else { explicit_cast(expr, &text) };
            return Ok(Transformed::yes(binary(as_text(left, &left_type), op, as_text(right, &right_type))));
        }
        let (left_field, right_field) = (left.to_field(self.schema)?.1, right.to_field(self.schema)?.1);
        let left = as_double(self.meets(left, &right_field)?, &left_type, &right_type);
        let right = as_double(self.meets(right, &left_field)?, &right_type, &left_type);
        let measure = self.measure([&left, &right])?;
        Ok(Transformed::yes(binary(measure(left), op, measure(right))))
    }

    /// What takes the places of values that are compared with each other: of intervals, how long they are.
    fn measure<'e>(&self, compared: impl IntoIterator<Item = &'e Expr>) -> Result<fn(Expr) -> Expr> {
        for expr in compared {
            if !is_null(expr) && !is_interval(&expr.get_type(self.schema)?) {
                return Ok(|expr| expr);
            }
        }
        Ok(|expr| if is_null(&expr) { expr } else { Length::call(expr) })
    }

    /// What is compared with an instant is one too: the time on the session's clocks. A literal beside jsonb is jsonb.
    fn meets(&self, expr: Expr, field: &Field) -> Result<Expr> {
        let ty = field.data_type();
        if let (Expr::Literal(ScalarValue::Utf8(Some(text)), None), PgType::Jsonb) = (&expr, PgType::of_field(field)) {
            return Ok(Expr::Literal(ScalarValue::Utf8(Some(json::canonical(text).map_err(external)?)), None));
        }
        if self.zoned
            && matches!(ty, DataType::Timestamp(_, Some(_)))
            && matches!(expr.get_type(self.schema)?, DataType::Timestamp(_, None) | DataType::Date32)
        {
            return Ok(explicit_cast(expr, &PgType::Timestamptz.field("")));
        }
        meets(expr, ty)
    }

    /// Functions of what the session's clocks show at an instant.
    fn on_clocks(&self, mut call: ScalarFunction) -> Result<Transformed<Expr>> {
        let truncates = call.func.name() == "date_trunc";
        let reads = matches!(call.func.name(), "date_part" | "to_char");
        let at = if call.func.name() == "to_char" { 0 } else { 1 };
        let of_instant = match call.args.get(at) {
            Some(time) if truncates || reads => matches!(time.get_type(self.schema)?, DataType::Timestamp(_, Some(_))),
            _ => false,
        };
        let absolute = matches!(call.args.first(), Some(Expr::Literal(ScalarValue::Utf8(Some(field)), _)) if reads && field.eq_ignore_ascii_case("epoch"));
        if !of_instant || absolute {
            return Ok(Transformed::no(Expr::ScalarFunction(call)));
        }
        call.args[at] = explicit_cast(call.args[at].clone(), &PgType::Timestamp.field(""));
        let made = Expr::ScalarFunction(call);
        Ok(Transformed::yes(if truncates { explicit_cast(made, &PgType::Timestamptz.field("")) } else { made }))
    }
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}

fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_list(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..))
}

/// The operators' functions, shared.
fn operator(op: Operator) -> &'static ScalarUDF {
    static OPERATORS: LazyLock<[Arc<ScalarUDF>; 5]> = LazyLock::new(|| {
        let operators = [Operator::Plus, Operator::Minus, Operator::Multiply, Operator::Divide, Operator::Modulo];
        operators.map(|op| Arc::new(ScalarUDF::from(Arithmetic::new(op))))
    });
    let index = match op {
        Operator::Plus => 0,
        Operator::Minus => 1,
        Operator::Multiply => 2,
        Operator::Divide => 3,
        _ => 4,
    };
    &OPERATORS[index]
}

/// What an untyped literal beside an operand of this type is meant to be.
fn partner(op: Operator, other: &DataType) -> DataType {
    let interval = PgType::Interval.arrow();
    match (op, other) {
        (Operator::Plus, DataType::Timestamp(..) | DataType::Date32 | DataType::Time64(_)) => interval,
        (Operator::Multiply | Operator::Divide, DataType::Interval(_)) => DataType::Float64,
        _ => other.clone(),
    }
}

/// An untyped literal as the type that it meets; everything else as it is.
fn meets(expr: Expr, ty: &DataType) -> Result<Expr> {
    if let Expr::Literal(ScalarValue::Utf8(Some(text)), None) = &expr
        && !is_text(ty)
        && !ty.is_null()
        && !is_list(ty)
    {
        let pg = PgType::of_arrow(ty);
        let value = match ty {
            // The other side's precision does not bound what it is compared or computed with.
            DataType::Decimal128(..) => number(text)?,
            DataType::FixedSizeBinary(16) => parse::value(text, &PgType::Uuid, ty, &Customs::default()).map_err(external)?,
            _ => match parse::constant(text, &pg, &crate::read::served_type(ty)).map_err(external)? {
                Some(value) => value,
                // What it is depends on the session.
                None => return Ok(explicit_cast(expr, &pg.field(""))),
            },
        };
        return Ok(Expr::Literal(value, None));
    }
    Ok(expr)
}

/// A decimal with the digits that the text has.
fn number(text: &str) -> Result<ScalarValue> {
    let trimmed = text.trim();
    let scale = trimmed.split_once('.').map_or(0, |(_, fraction)| fraction.len()).min(38) as i8;
    parse::value(text, &PgType::Numeric(None), &DataType::Decimal128(38, scale), &Customs::default()).map_err(external)
}

/// Beside a float, a decimal is a float, as in Postgres.
fn as_double(expr: Expr, ty: &DataType, other: &DataType) -> Expr {
    match (ty, other) {
        (DataType::Decimal128(..), DataType::Float32 | DataType::Float64) => match &expr {
            Expr::Literal(ScalarValue::Decimal128(Some(value), _, scale), None) => {
                let text = crate::function::text::decimal(*value, *scale, false);
                Expr::Literal(ScalarValue::Float64(text.parse().ok()), None)
            }
            _ => Expr::Cast(Cast::new(Box::new(expr), DataType::Float64)),
        },
        _ => expr,
    }
}

/// A literal in Postgres' type for it.
fn literal(value: ScalarValue, narrow: bool) -> Result<Transformed<Expr>> {
    let value = match value {
        ScalarValue::Int64(Some(value)) if narrow => match i32::try_from(value) {
            Ok(value) => ScalarValue::Int32(Some(value)),
            Err(_) => return Ok(Transformed::no(Expr::Literal(ScalarValue::Int64(Some(value)), None))),
        },
        ScalarValue::UInt64(Some(value)) => ScalarValue::Decimal128(Some(value as i128), 20, 0),
        ScalarValue::Decimal128(Some(value), precision, scale) if scale < 0 => {
            let zeros = scale.unsigned_abs();
            let value = 10i128.checked_pow(zeros as u32).and_then(|factor| value.checked_mul(factor));
            let value = value.filter(|_| precision + zeros <= 38).ok_or_else(too_long)?;
            ScalarValue::Decimal128(Some(value), precision + zeros, 0)
        }
        ScalarValue::Decimal256(..) => return Err(too_long()),
        other => return Ok(Transformed::no(Expr::Literal(other, None))),
    };
    Ok(Transformed::yes(Expr::Literal(value, None)))
}

fn too_long() -> datafusion::error::DataFusionError {
    external(
        Error::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "a number has more than 38 digits")
            .with_hint("Write it as double precision: '1e100'::float8."),
    )
}
