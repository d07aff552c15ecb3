//! Functions with Postgres' results, in the place of DataFusion's where those differ.

pub(crate) mod aggregate; // exact, with Postgres' types
pub(crate) mod arithmetic; // + - * / %: overflow is an error, dates and intervals included
pub(crate) mod calendar; // days and months
pub(crate) mod cast; // casts that Arrow does otherwise
pub(crate) mod compared; // a comparison with now()
pub(crate) mod json; // operators and functions of json and jsonb
pub(crate) mod length; // how long intervals are, to compare them
pub(crate) mod parse; // text -> values
pub(crate) mod same; // weir_same
pub(crate) mod text; // values -> text
pub(crate) mod to_char; // to_char with Postgres' patterns
pub(crate) mod zone; // instants and clocks: AT TIME ZONE, the session's customs
pub(crate) mod window; // window_start, window_end, weir_has_event_time

use std::sync::Arc;

use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::functions_aggregate::bool_and_or::bool_and_udaf;
use datafusion::logical_expr::{AggregateUDF, Operator, ScalarUDF};

use crate::function::aggregate::{Deviation, ExactAggregate, Extreme, Kind};
use crate::function::arithmetic::Arithmetic;
use crate::function::json::JsonFunction;
use crate::function::to_char::ToChar;
use crate::function::window::{HasEventTime, OutsideFrom, WindowEdge};
use crate::function::zone::AtZone;
use crate::rules::Operators;
use crate::window::closed::WindowFinal;

/// Puts Weir's functions into a session state.
pub(crate) fn register(state: &mut SessionState) {
    let sums = [ExactAggregate::new(Kind::Sum), ExactAggregate::new(Kind::Avg)].map(AggregateUDF::from);
    let every = bool_and_udaf().as_ref().clone().with_aliases(["every"]);
    let aggregates = sums.into_iter().chain(Deviation::all().map(AggregateUDF::from)).chain(Extreme::all().map(AggregateUDF::from));
    for aggregate in aggregates.chain([every]) {
        state.register_udaf(Arc::new(aggregate)).expect("a session state takes any aggregate");
    }
    state.register_expr_planner(Arc::new(Operators)).expect("a session state takes any planner");
    let windows = [
        ScalarUDF::from(WindowEdge::start()),
        ScalarUDF::from(WindowEdge::end()),
        ScalarUDF::from(HasEventTime::default()),
        ScalarUDF::from(WindowFinal::default()),
    ];
    let modulo = ScalarUDF::from(Arithmetic::new(Operator::Modulo)).with_aliases(["mod"]);
    let sign = state.udf("signum").expect("DataFusion has signum").as_ref().clone().with_aliases(["sign"]);
    let others = [modulo, sign, ScalarUDF::from(ToChar::default()), ScalarUDF::from(AtZone::default())];
    for scalar in others.into_iter().chain(windows).chain(JsonFunction::all()).chain(OutsideFrom::all().map(ScalarUDF::from)) {
        state.register_udf(Arc::new(scalar)).expect("a session state takes any function");
    }
}
