//! Makes a failing case small: fewer views and epochs, then fewer rows, then simpler ones, while it still fails.

use crate::case::Case;

/// Runs that are spent on it.
const RUNS_MAX: usize = 400;

/// The smallest case that was found. `fails` says in which epoch a case fails.
pub fn shrink(case: &Case, fails: impl Fn(&Case) -> Option<usize>) -> Case {
    let mut best = case.clone();
    let mut runs = 0;
    let mut attempt = |best: &mut Case, smaller: Case| {
        runs += 1;
        let epoch = if runs <= RUNS_MAX { fails(&smaller) } else { None };
        if let Some(epoch) = epoch {
            *best = cut(smaller, epoch);
        }
        epoch.is_some()
    };
    let whole = best.clone();
    attempt(&mut best, whole);
    while best.views.len() > 1 {
        let mut fewer = best.clone();
        fewer.views.pop();
        fewer.views.iter_mut().next_back().expect("one is left").materialized = true;
        if !attempt(&mut best, fewer) {
            break;
        }
    }
    let mut smaller = true;
    while std::mem::take(&mut smaller) {
        for epoch in (0..best.epochs).rev() {
            if epoch < best.epochs && best.epochs > 1 {
                let without = without_epoch(&best, epoch);
                smaller |= attempt(&mut best, without);
            }
        }
        let mut piece = best.lives.len();
        while piece > 0 {
            let mut first = 0;
            while first < best.lives.len() {
                let mut without = best.clone();
                without.lives.drain(first..(first + piece).min(best.lives.len()));
                match attempt(&mut best, without) {
                    true => smaller = true,
                    false => first += piece,
                }
            }
            piece /= 2;
        }
    }
    for life in 0..best.lives.len() {
        let mut simpler = best.clone();
        simpler.lives[life].copies = 1;
        simpler.lives[life].end = None;
        attempt(&mut best, simpler);
    }
    let mut alone = best.clone();
    alone.workers = 1;
    alone.lives.iter_mut().for_each(|life| {
        life.begin.worker = 0;
        life.end.iter_mut().for_each(|end| end.worker = 0);
    });
    attempt(&mut best, alone);
    best
}

/// What comes after the epoch in which it failed does not matter.
fn cut(mut case: Case, epoch: usize) -> Case {
    case.epochs = epoch + 1;
    case.lives.retain(|life| life.begin.epoch <= epoch);
    case.lives.iter_mut().for_each(|life| life.end = life.end.filter(|end| end.epoch <= epoch));
    case
}

/// What began in the epoch never was; what ended in it ends in the next, or stays.
fn without_epoch(case: &Case, epoch: usize) -> Case {
    let mut case = case.clone();
    case.epochs -= 1;
    case.lives.retain(|life| life.begin.epoch != epoch);
    for life in &mut case.lives {
        if life.begin.epoch > epoch {
            life.begin.epoch -= 1;
        }
        if let Some(end) = life.end.as_mut().filter(|end| end.epoch > epoch) {
            end.epoch -= 1;
        }
        life.end = life.end.filter(|end| end.epoch < case.epochs);
    }
    case
}
