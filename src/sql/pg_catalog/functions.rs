//! Every function that has a name.

mod definitions; // what an object is made of: pg_get_viewdef and the like
mod registry; // regclass and its kin
mod session; // who asks, and with what settings
mod size; // how much room things take
mod strings; // quoting and arrays

use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::ScalarUDF;
use weir_common::types::PgType;

use super::expand::Expand;
use super::facts::SessionFacts;
use super::function::{Bound, Eval, Function};
use super::sleep;
use super::subquery::Subquery;

static ALL: LazyLock<Vec<Function>> = LazyLock::new(|| {
    let mut all = Vec::new();
    definitions::add(&mut all);
    registry::add(&mut all);
    session::add(&mut all);
    size::add(&mut all);
    strings::add(&mut all);
    all
});

/// The scalar functions of one statement.
pub fn functions(facts: &Arc<SessionFacts>) -> Vec<Arc<ScalarUDF>> {
    let named = ALL.iter().map(|function| Arc::new(ScalarUDF::new_from_impl(Bound::new(function, facts.clone()))));
    let others = [ScalarUDF::new_from_impl(Subquery::new(facts.clone())), ScalarUDF::new_from_impl(Expand::new()), sleep::function()];
    named.chain(others.map(Arc::new)).collect()
}

/// Whether there is a function of this name here.
pub(super) fn exists(name: &str) -> bool {
    name == sleep::NAME || ALL.iter().any(|function| function.name == name)
}

/// A function of so many arguments that gives NULL for NULL.
fn function(name: &'static str, arguments: std::ops::RangeInclusive<usize>, returns: PgType, eval: Eval) -> Function {
    Function { name, arguments, returns, sees_null: false, volatile: false, eval }
}
