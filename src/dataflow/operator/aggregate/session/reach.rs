//! What moments of time reach: the sessions that they are part of, or come near enough to be joined with.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

/// Sessions of one partition by their first moments: the last moment of each, and whatever belongs to it.
///
/// # Invariants
/// - From the last moment of one to the first of the next there is the gap, or more.
pub(super) type Sessions<T> = BTreeMap<i64, (i64, T)>;

/// Moments that belong together, with the sessions that they reach.
#[derive(Debug, PartialEq)]
pub(super) struct Reach<T> {
    /// Which of the moments.
    pub(super) moments: Range<usize>,
    /// The first moment of all, those of the sessions included.
    pub(super) first: i64,
    /// The last one.
    pub(super) last: i64,
    /// The sessions, ascending: first moment, last moment and what belongs to it.
    pub(super) sessions: Vec<(i64, i64, T)>,
}

/// What these moments reach; they ascend. No two of the results are nearer to each other than the gap.
pub(super) fn reach<T: Copy>(sessions: &Sessions<T>, moments: &[i64], gap: i64) -> Vec<Reach<T>> {
    let near = |later: i64, earlier: i64| later.saturating_sub(earlier) < gap;
    let mut all = vec![];
    let mut at = 0;
    while at < moments.len() {
        let begin = at;
        let (mut first, mut last) = (moments[at], moments[at]);
        let mut reached = vec![];
        // Those before it end the gap, or more, before this one begins.
        if let Some((start, (end, own))) = sessions.range(..=first).next_back()
            && near(first, *end)
        {
            reached.push((*start, *end, *own));
            (first, last) = (*start, last.max(*end));
        }
        at += 1;
        let mut ahead = sessions.range((Bound::Excluded(moments[begin]), Bound::Unbounded)).peekable();
        loop {
            if let Some((start, (end, own))) = ahead.next_if(|(start, _)| near(**start, last)) {
                reached.push((*start, *end, *own));
                last = last.max(*end);
            } else if moments.get(at).is_some_and(|moment| near(*moment, last)) {
                last = last.max(moments[at]);
                at += 1;
            } else {
                break;
            }
        }
        all.push(Reach { moments: begin..at, first, last, sessions: reached });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sessions of moments, put together one by one.
    fn sessions(moments: &[i64], gap: i64) -> Sessions<()> {
        let mut moments = moments.to_vec();
        moments.sort_unstable();
        let mut sessions: Vec<(i64, i64)> = vec![];
        for moment in moments {
            match sessions.last_mut() {
                Some((_, last)) if moment - *last < gap => *last = moment,
                _ => sessions.push((moment, moment)),
            }
        }
        sessions.into_iter().map(|(first, last)| (first, (last, ()))).collect()
    }

    #[test]
    fn moments_and_what_they_reach_are_the_sessions_of_all() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..3000 {
            let gap = random.i64(1..12);
            let mut some = |most: usize| (0..random.usize(0..most)).map(|_| random.i64(-60..60)).collect::<Vec<_>>();
            let (before, mut new) = (some(12), some(8));
            new.sort_unstable();
            let old = sessions(&before, gap);
            let found = reach(&old, &new, gap);
            let mut together = old.clone();
            for Reach { moments, first, last, sessions } in &found {
                assert!(new[moments.clone()].iter().all(|moment| first <= moment && moment <= last));
                for (first, last, ()) in sessions {
                    assert_eq!(together.remove(first), Some((*last, ())), "a session is reached once");
                }
                together.insert(*first, (*last, ()));
            }
            assert_eq!(found.iter().map(|reach| reach.moments.len()).sum::<usize>(), new.len());
            assert_eq!(together, sessions(&[before, new].concat(), gap));
        }
    }

    #[test]
    fn the_ends_of_time_hold() {
        let old = Sessions::from([(i64::MIN, (i64::MIN, ())), (i64::MAX, (i64::MAX, ()))]);
        assert_eq!(reach(&old, &[0], i64::MAX).len(), 1);
        assert_eq!(reach(&old, &[i64::MIN, 0, i64::MAX], 5).len(), 3);
    }
}
