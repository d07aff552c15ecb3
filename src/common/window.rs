//! Windows of event time: which of them hold a moment. All times are microseconds since 1970-01-01, also before it.

use crate::calendar;

/// The start of the tumbling window that holds `time`.
#[inline]
pub fn window_start(time: i64, size: i64, offset: i64) -> i64 {
    let since = time.saturating_sub(offset);
    time.saturating_sub(since.rem_euclid(size))
}

/// [`window_start`] of many times, which are mostly near each other.
pub fn window_starts(times: &[i64], size: i64, offset: i64) -> Vec<i64> {
    let (mut start, mut end) = (0, 0);
    let in_order = |time: &i64| {
        // Without a window yet, nothing lies between `start` and `end`.
        if *time < start || *time >= end {
            start = window_start(*time, size, offset);
            end = start.saturating_add(size);
        }
        start
    };
    times.iter().map(in_order).collect()
}

/// Windows of one size that begin one slide after the other, and overlap where the slide is shorter than the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HopWindow {
    /// From one start to the next; more than 0, and not more than the size.
    pub slide: i64,
    /// Length of a window.
    pub size: i64,
    /// Where one of them starts.
    pub offset: i64,
}

impl HopWindow {
    /// The starts of all windows that hold `time`, latest first.
    pub fn starts(self, time: i64) -> impl Iterator<Item = i64> {
        let last = window_start(time, self.slide, self.offset);
        std::iter::successors(Some(last), move |start| start.checked_sub(self.slide))
            .take_while(move |start| time as i128 - (*start as i128) < self.size as i128)
    }

    /// The least start of a window that holds `time` or anything later.
    pub fn first_start(self, time: i64) -> i64 {
        window_start(time.saturating_sub(self.size), self.slide, self.offset).saturating_add(self.slide)
    }

    /// The most windows that hold one moment.
    pub fn overlap(self) -> i64 {
        self.size / self.slide + i64::from(self.size % self.slide != 0)
    }
}

/// Tumbling windows of whole calendar months, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MonthWindow {
    /// How many months a window has; more than 0. Windows are counted from January 1970.
    pub months: i64,
    /// Added to the start of each month, microseconds.
    pub offset: i64,
}

impl MonthWindow {
    /// The start of the window that holds `time`.
    pub fn start(self, time: i64) -> i64 {
        self.edge(time, 0)
    }

    /// The end of the window that holds `time`.
    pub fn end(self, time: i64) -> i64 {
        self.edge(time, self.months)
    }

    fn edge(self, time: i64, later: i64) -> i64 {
        let day = time.saturating_sub(self.offset).div_euclid(calendar::DAY);
        let (year, month, _) = calendar::date_of(day);
        let month = (year - 1970) * 12 + i64::from(month) - 1;
        let edge = month - month.rem_euclid(self.months) + later;
        let days = calendar::days_of(1970 + edge.div_euclid(12), edge.rem_euclid(12) as u32 + 1, 1);
        days.saturating_mul(calendar::DAY).saturating_add(self.offset)
    }
}

/// Windows that begin together and end one step after the other, up to a size: there the next ones begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CumulateWindow {
    /// From one end to the next; more than 0, and the size is a multiple of it.
    pub step: i64,
    /// Length of the longest window.
    pub size: i64,
    /// Where some of them start.
    pub offset: i64,
}

impl CumulateWindow {
    /// The ends of all windows that hold `time`, earliest first.
    pub fn ends(self, time: i64) -> impl Iterator<Item = i64> {
        let first = self.first_end(time);
        let last = window_start(time, self.size, self.offset).saturating_add(self.size);
        std::iter::successors(Some(first), move |end| end.checked_add(self.step)).take_while(move |end| *end <= last)
    }

    /// The least end of a window that holds `time` or anything later.
    pub fn first_end(self, time: i64) -> i64 {
        window_start(time, self.step, self.offset).saturating_add(self.step)
    }

    /// The start of the windows that end at `end`.
    pub fn start(self, end: i64) -> i64 {
        window_start(end.saturating_sub(self.step), self.size, self.offset)
    }
}

/// Windows of which several hold one moment. One edge of a window tells it from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Windows {
    /// Told apart by their starts.
    Hop(HopWindow),
    /// Told apart by their ends.
    Cumulate(CumulateWindow),
}

impl Windows {
    /// Calls `each` with the edge of each window that holds `time`.
    #[inline(always)]
    pub fn edges(self, time: i64, each: impl FnMut(i64)) {
        match self {
            Windows::Hop(window) => window.starts(time).for_each(each),
            Windows::Cumulate(window) => window.ends(time).for_each(each),
        }
    }

    /// The start of the slice that each of many times lies in: the longest piece of time that is in the same windows, of which every
    /// window is made.
    pub fn slices(self, times: &[i64]) -> Vec<i64> {
        match self {
            // A window begins every slide, and another ends somewhere within it.
            Windows::Hop(HopWindow { slide, size, offset }) => {
                let mut starts = window_starts(times, slide, offset);
                let rest = size % slide;
                if rest > 0 {
                    let later = |(start, time): (&mut i64, &i64)| {
                        let end = start.saturating_add(rest);
                        *start = if *time >= end { end } else { *start };
                    };
                    starts.iter_mut().zip(times).for_each(later);
                }
                starts
            }
            Windows::Cumulate(CumulateWindow { step, offset, .. }) => window_starts(times, step, offset),
        }
    }

    /// The edge of the latest window that holds `time`.
    pub fn last_edge(self, time: i64) -> i64 {
        match self {
            Windows::Hop(window) => window_start(time, window.slide, window.offset),
            Windows::Cumulate(window) => window_start(time, window.size, window.offset).saturating_add(window.size),
        }
    }

    /// Start and end of the window that an edge tells. Both grow, or stay, from each window to the next.
    pub fn span(self, edge: i64) -> (i64, i64) {
        match self {
            Windows::Hop(window) => (edge, edge.saturating_add(window.size)),
            Windows::Cumulate(window) => (window.start(edge), edge),
        }
    }

    /// The most windows that hold one moment.
    pub fn overlap(self) -> i64 {
        match self {
            Windows::Hop(window) => window.overlap(),
            Windows::Cumulate(window) => window.size / window.step,
        }
    }

    /// Whether the lengths go together: no moment is in no window, and there are whole slices.
    pub fn are_whole(self) -> bool {
        match self {
            Windows::Hop(HopWindow { slide, size, .. }) => 0 < slide && slide <= size,
            Windows::Cumulate(CumulateWindow { step, size, .. }) => 0 < step && step <= size && size % step == 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_in_the_windows_that_begin_before_it_and_end_after_it() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..2000 {
            let slide = random.i64(1..20);
            let window = HopWindow { slide, size: random.i64(slide..60), offset: random.i64(-30..30) };
            let time = random.i64(-100..100);
            let mut expected: Vec<i64> = (-300..300)
                .filter(|start| (start - window.offset).rem_euclid(slide) == 0 && *start <= time && time < start + window.size)
                .collect();
            expected.reverse();
            assert_eq!(window.starts(time).collect::<Vec<_>>(), expected, "{window:?} at {time}");
            assert!(expected.len() as i64 <= window.overlap());
            assert_eq!(window.first_start(time), *expected.last().unwrap());
            // All of a slice is in the same windows.
            let windows = Windows::Hop(window);
            assert_eq!(window.starts(windows.slices(&[time])[0]).collect::<Vec<_>>(), expected);
            let mut slices = windows.slices(&(0..window.size).map(|at| time + at).collect::<Vec<_>>());
            slices.dedup();
            assert!(slices.is_sorted() && slices.len() as i64 <= 2 * (window.size / slide) + 3, "no more than the windows need");
            assert_eq!(windows.last_edge(time), expected[0]);
            assert!(expected.iter().all(|start| windows.span(*start) == (*start, start + window.size)));
            let times: Vec<i64> = (0..30).map(|_| random.i64(-100..100)).collect();
            let one_by_one: Vec<i64> = times.iter().map(|time| window_start(*time, window.size, window.offset)).collect();
            assert_eq!(window_starts(&times, window.size, window.offset), one_by_one);
        }
    }

    #[test]
    fn months_are_as_long_as_the_calendar_says() {
        let day = calendar::DAY;
        let quarter = MonthWindow { months: 3, offset: 0 };
        assert_eq!((quarter.start(0), quarter.end(0)), (0, 90 * day));
        assert_eq!((quarter.start(-1), quarter.end(-1)), (-92 * day, 0));
        let shifted = MonthWindow { months: 1, offset: 2 * day };
        assert_eq!((shifted.start(day), shifted.end(day)), (-29 * day, 2 * day));
        for time in [i64::MIN, i64::MAX] {
            assert!(quarter.start(time) <= quarter.end(time));
        }
    }

    #[test]
    fn a_moment_is_in_the_windows_that_have_begun_with_it_and_end_after_it() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..2000 {
            let step = random.i64(1..20);
            let window = CumulateWindow { step, size: step * random.i64(1..8), offset: random.i64(-30..30) };
            let time = random.i64(-100..100);
            let all = (-400..400).filter(|start| (start - window.offset).rem_euclid(window.size) == 0).flat_map(|start| {
                let ends = (1..=window.size / step).map(move |steps| start + steps * step);
                ends.map(move |end| (start, end))
            });
            let expected: Vec<(i64, i64)> = all.filter(|(start, end)| *start <= time && time < *end).collect();
            let found: Vec<(i64, i64)> = window.ends(time).map(|end| (window.start(end), end)).collect();
            assert_eq!(found, expected, "{window:?} at {time}");
            let windows = Windows::Cumulate(window);
            assert!(expected.len() as i64 <= windows.overlap() && windows.are_whole());
            // All of a slice is in the same windows.
            let mut edges = vec![];
            windows.edges(windows.slices(&[time])[0], |end| edges.push((window.start(end), end)));
            assert_eq!(edges, expected);
            assert_eq!(windows.span(windows.last_edge(time)), *expected.last().unwrap());
            assert!(expected.iter().all(|(start, end)| windows.span(*end) == (*start, *end)));
        }
    }

    #[test]
    fn the_ends_of_time_hold() {
        let window = HopWindow { slide: 7, size: 20, offset: 3 };
        let cumulate = CumulateWindow { step: 7, size: 21, offset: 3 };
        for time in [i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1] {
            assert!(window.starts(time).count() <= 3);
            window.first_start(time);
            assert!(cumulate.ends(time).count() <= 3);
            cumulate.start(time);
        }
    }
}
