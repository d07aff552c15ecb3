//! Views in the simulator, with DataFusion as the oracle: random queries over random changes, on 1 to 4 workers, where after
//! every epoch each view must equal its query asked as a batch.
//!
//! A failure prints its seed and a case made small; `WEIR_SEED=...` runs that seed alone, `WEIR_RUNS=...` says how many.

mod batch; // the answer of DataFusion
mod case; // relations, views and rows that come and go
mod compare; // two multisets of rows
mod expression; // random expressions
mod fault; // deliberate mistakes
mod query; // random queries
mod relation; // random tables and sources
mod restart; // checkpoints and restarts in the middle
mod run; // a case from its first epoch to its last
mod shrink; // a failing case made small
mod temporal; // rows that come and go with now()
mod time; // windows that close, row by row
mod value; // types and values

use std::collections::BTreeMap;
use std::ops::Range;

use tokio::runtime::Runtime;
use weir_sql::parser::STACK_BYTES_MIN;

use crate::case::Case;
use crate::fault::Fault;
use crate::run::{Verdict, run};
use crate::shrink::shrink;

/// Cases of one call: about 20 seconds in the dev profile.
const RUNS: u64 = 150;

/// On a stack as deep as planning needs, with what runs the batch side.
fn with_runtime(test: impl FnOnce(&Runtime) + Send + 'static) {
    let body = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().thread_stack_size(STACK_BYTES_MIN).build();
        test(&runtime.expect("a runtime"));
    };
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES_MIN).spawn(body).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// The seeds of this call.
fn seeds() -> Range<u64> {
    let given = number("WEIR_SEED");
    let runs = number("WEIR_RUNS").unwrap_or(if given.is_some() { 1 } else { RUNS });
    let start = given.or_else(|| number("WEIR_FIRST_SEED")).unwrap_or_else(|| fastrand::u64(..1 << 40));
    println!("seeds {start}..{}; WEIR_SEED=n runs one", start + runs);
    start..start + runs
}

/// The epoch in which a case fails, and how.
fn failure(case: &Case, fault: Fault, runtime: &Runtime) -> Option<(usize, String)> {
    match run(case, fault, runtime) {
        Verdict::Failed(failure) => Some((failure.epoch, failure.message)),
        _ => None,
    }
}

#[test]
fn views_equal_their_queries() {
    with_runtime(|runtime| {
        let seeds = seeds();
        let runs = (seeds.end - seeds.start) as usize;
        let (mut answers, mut with_rows, mut failing) = (0, 0, 0);
        let mut refused: BTreeMap<String, usize> = BTreeMap::new();
        for seed in seeds {
            let case = Case::random(seed);
            match run(&case, Fault::None, runtime) {
                Verdict::Refused(error) => *refused.entry(error.message().to_string()).or_default() += 1,
                Verdict::Passed(passed) => {
                    answers += passed.answers;
                    with_rows += passed.with_rows;
                    failing += passed.failing;
                }
                Verdict::Failed(failed) => {
                    let small = shrink(&case, |case| failure(case, Fault::None, runtime).map(|(epoch, _)| epoch));
                    let (epoch, message) = failure(&small, Fault::None, runtime).unwrap_or((failed.epoch, failed.message));
                    panic!("WEIR_SEED={seed}, made small:\n{small}after epoch {epoch}: {message}");
                }
            }
        }
        let refusals: usize = refused.values().sum();
        println!("{runs} cases, {refusals} refused {refused:?}; {answers} answers, {with_rows} with rows, {failing} failing");
        assert!(refusals * 5 <= runs, "most queries of the grammar can be maintained: {refused:?}");
        assert!(runs < 20 || with_rows * 2 > answers, "most answers have rows");
        assert!(failing * 20 <= answers, "few queries fail");
    });
}

/// Runs of one call: about 30 seconds in the dev profile.
const TIME_RUNS: u64 = 3000;

#[test]
fn windows_live_as_the_rules_say() {
    with_runtime(|_| {
        let given = number("WEIR_SEED");
        let runs = number("WEIR_RUNS").unwrap_or(if given.is_some() { 1 } else { TIME_RUNS });
        let start = given.or_else(|| number("WEIR_FIRST_SEED")).unwrap_or_else(|| fastrand::u64(..1 << 40));
        println!("seeds {start}..{}; WEIR_SEED=n runs one", start + runs);
        let mut met = time::Met::default();
        for seed in start..start + runs {
            time::run(seed, &mut met).unwrap_or_else(|message| panic!("{message}"));
        }
        println!("{runs} runs met {met:?}");
        let time::Met { late, admitted, shown, removed, restarts, sliding } = met;
        let least = late.min(admitted).min(shown).min(removed).min(restarts);
        assert!(runs < 100 || (least as u64 > runs / 10 && sliding as u64 > runs / 30), "all of it was tested: {met:?}");
    });
}

/// Runs of one call: about 30 seconds in the dev profile.
const TEMPORAL_RUNS: u64 = 150;

#[test]
fn temporal_filters_equal_their_queries_at_each_moment() {
    with_runtime(|runtime| {
        let given = number("WEIR_SEED");
        let runs = number("WEIR_RUNS").unwrap_or(if given.is_some() { 1 } else { TEMPORAL_RUNS });
        let start = given.or_else(|| number("WEIR_FIRST_SEED")).unwrap_or_else(|| fastrand::u64(..1 << 40));
        println!("seeds {start}..{}; WEIR_SEED=n runs one", start + runs);
        let mut met = temporal::Met::default();
        for seed in start..start + runs {
            temporal::run(seed, &mut met, runtime).unwrap_or_else(|message| panic!("{message}"));
        }
        println!("{runs} runs met {met:?}");
        let temporal::Met { shown, by_themselves, restarts } = met;
        assert!(runs < 100 || shown.min(by_themselves).min(restarts) as u64 > runs / 10, "all of it was tested: {met:?}");
    });
}

#[test]
fn a_wrong_weight_is_found_and_made_small() {
    with_runtime(|runtime| {
        let mut found = 0;
        let (start, runs) = number("WEIR_SEED").map_or_else(|| (fastrand::u64(..1 << 40), 12), |seed| (seed, 1));
        println!("seeds from {start}");
        for seed in start..start + runs {
            let case = Case::random(seed);
            match run(&case, Fault::Flip, runtime) {
                Verdict::Refused(_) => {}
                Verdict::Passed(passed) => assert!(!passed.spoiled, "WEIR_SEED={seed}: a wrong weight was not found:\n{case}"),
                Verdict::Failed(_) => {
                    found += 1;
                    let small = shrink(&case, |case| failure(case, Fault::Flip, runtime).map(|(epoch, _)| epoch));
                    assert!(failure(&small, Fault::Flip, runtime).is_some(), "a case that was made small still fails");
                    assert!(small.lives.len() <= 3, "WEIR_SEED={seed}: {} rows remain:\n{small}", small.lives.len());
                }
            }
        }
        assert!(found > 0 || runs == 1, "no case had any output");
    });
}

#[test]
fn wrong_plans_and_lost_rows_are_found() {
    with_runtime(|runtime| {
        let start = fastrand::u64(..1 << 40);
        println!("seeds from {start}");
        for fault in [Fault::Lose, Fault::Swap, Fault::Unfilter, Fault::Pass] {
            let found = (start..start + 100).find(|seed| failure(&Case::random(*seed), fault, runtime).is_some());
            assert!(found.is_some(), "{fault:?} was not found in any of 100 cases");
        }
    });
}
