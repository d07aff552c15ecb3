//! The plug is pulled at random: what was acknowledged is there, byte for byte, and nothing that was not appended.
//!
//! A failure prints the seed; `WEIR_SEED` repeats it, `WEIR_RUNS` asks for more of them.

use fastrand::Rng;

use super::*;

/// What the log should hold.
#[derive(Default)]
struct Model {
    /// Everything that was appended, in order, and may still be there.
    appended: Vec<(u64, Vec<u8>)>,
    /// How many of them were acknowledged.
    acknowledged: usize,
    /// Records below were given up.
    dropped: u64,
    next: u64,
}

fn random_payload(rng: &mut Rng) -> Vec<u8> {
    let len = match rng.u8(0..10) {
        0 => 0,
        1..=6 => rng.usize(1..100),
        7 | 8 => rng.usize(100..1500),
        _ => rng.usize(1500..6000),
    };
    // Zeros too: nothing may rest on there being none.
    if rng.u8(0..4) == 0 { vec![0; len] } else { std::iter::repeat_with(|| rng.u8(..)).take(len).collect() }
}

impl Model {
    /// Compares what was recovered; it is the truth from now on.
    fn check(&mut self, log: &Log) {
        let found: Vec<Record> = log.records(self.dropped).unwrap().collect::<Result<_>>().unwrap();
        let wanted: Vec<&(u64, Vec<u8>)> = self.appended.iter().filter(|(number, _)| *number >= self.dropped).collect();
        let acknowledged = self.appended[..self.acknowledged].iter().filter(|(number, _)| *number >= self.dropped).count();
        assert!(found.len() >= acknowledged, "{} of {acknowledged} acknowledged records are there", found.len());
        assert!(found.len() <= wanted.len(), "{} records of {}", found.len(), wanted.len());
        for (found, (number, bytes)) in found.iter().zip(wanted) {
            assert_eq!(found.number, *number);
            assert!(found.bytes == *bytes, "record {number}");
        }
        self.appended.retain(|(number, _)| *number >= self.dropped);
        self.appended.truncate(found.len());
        // Opening the log has made all of it safe.
        self.acknowledged = found.len();
        if let Some(last) = log.last() {
            assert!(last < self.next);
        }
    }
}

fn reopen(files: &FaultyFiles, options: Options, rng: &mut Rng) -> (Log, Recovered) {
    // Sometimes opening fails too, at some operation, and then succeeds.
    while rng.u8(0..4) == 0 {
        let read = rng.bool().then_some(Operation::Read);
        files.fail(read, rng.u64(1..8), Fault::Io);
        let opened = Log::open(Arc::new(files.clone()), dir(), options);
        match rng.u8(0..3) {
            0 => files.crash(),
            1 => files.kill(),
            _ => files.heal(),
        }
        if let Err(error) = opened {
            assert_eq!(error.sqlstate(), SqlState::IO_ERROR, "{error}");
        }
    }
    Log::open(Arc::new(files.clone()), dir(), options).unwrap()
}

fn run(seed: u64) -> [usize; 4] {
    let mut rng = Rng::with_seed(seed);
    let files = disk(rng.u64(..));
    let options = Options { segment_bytes: [1, 200, 1000, 5000, 100_000][rng.usize(0..5)] };
    let mut model = Model { next: rng.u64(0..3), ..Model::default() };
    let (mut log, _) = Log::open(Arc::new(files.clone()), dir(), options).unwrap();
    let [mut crashes, mut cuts, mut kept, mut failures] = [0; 4];
    for _ in 0..rng.usize(10..200) {
        match rng.u8(0..100) {
            0..60 => {
                let (number, bytes) = (model.next, random_payload(&mut rng));
                if log.append(number, &bytes).is_ok() {
                    model.appended.push((number, bytes));
                    model.next = number + rng.u64(1..4);
                }
            }
            60..82 => match log.sync() {
                Ok(()) => model.acknowledged = model.appended.len(),
                Err(error) => {
                    failures += 1;
                    assert_eq!(log.sync(), Err(error.clone()), "the error stays");
                    assert_eq!(log.append(model.next, b""), Err(error.clone()));
                    assert_eq!(log.drop_before(0), Err(error));
                }
            },
            82..86 => {
                let number = rng.u64(model.dropped..=model.appended[..model.acknowledged].last().map_or(model.dropped, |(last, _)| *last));
                model.dropped = number;
                let _ = log.drop_before(number);
            }
            86..90 => {
                let fault = [Fault::NoSpace, Fault::Io, Fault::ShortWrite][rng.usize(0..3)];
                files.fail(None, rng.u64(1..10), fault);
            }
            _ => {
                let before = model.acknowledged;
                if rng.bool() {
                    files.crash();
                    crashes += 1;
                } else {
                    files.kill();
                }
                let recovered;
                (log, recovered) = reopen(&files, options, &mut rng);
                cuts += usize::from(recovered.cut.is_some());
                model.check(&log);
                kept += usize::from(model.acknowledged > before);
            }
        }
    }
    // What opening found is safe: it is there after one more crash, and the log goes on.
    files.crash();
    drop(log);
    let (mut log, _) = Log::open(Arc::new(files.clone()), dir(), options).unwrap();
    model.check(&log);
    log.append(model.next, b"the end").unwrap();
    log.sync().unwrap();
    files.crash();
    let (log, recovered) = Log::open(Arc::new(files), dir(), options).unwrap();
    assert_eq!(recovered.last, Some(model.next));
    model.appended.push((model.next, b"the end".to_vec()));
    model.acknowledged = model.appended.len();
    model.next += 1;
    model.check(&log);
    [crashes, cuts, kept, failures]
}

#[test]
fn what_was_acknowledged_survives_any_crash_and_nothing_else_appears() {
    let asked = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds: Vec<u64> = match asked("WEIR_SEED") {
        Some(seed) => vec![seed],
        None => {
            let first = asked("WEIR_FIRST_SEED").unwrap_or_else(|| fastrand::u64(..));
            (0..asked("WEIR_RUNS").unwrap_or(400)).map(|run| first.wrapping_add(run)).collect()
        }
    };
    let mut totals = [0; 4];
    for seed in &seeds {
        let outcome = std::panic::catch_unwind(|| run(*seed));
        let Ok(counts) = outcome else { panic!("repeat it with WEIR_SEED={seed}") };
        for (total, count) in totals.iter_mut().zip(counts) {
            *total += count;
        }
    }
    let [crashes, cuts, kept, failures] = totals;
    println!("{} runs: {crashes} crashes, {cuts} torn tails, {kept} times more kept than acknowledged, {failures} errors", seeds.len());
    if seeds.len() > 100 {
        // Otherwise the test would not see what it is for.
        assert!(crashes > 100 && cuts > 50 && kept > 50 && failures > 50, "{totals:?}");
    }
}

#[test]
fn what_was_found_after_a_failed_sync_is_safe_from_then_on() {
    let mut found = 0;
    for seed in 0..60 {
        let files = disk(seed);
        let (mut log, _) = open(&files).unwrap();
        write(&mut log, [1]);
        log.append(2, &payload(2)).unwrap();
        files.fail(Some(Operation::Sync), 1, Fault::Io);
        log.sync().unwrap_err();
        // The process ends; the system still shows the record, and thinks that it is on disk.
        files.kill();
        let (log, recovered) = open(&files).unwrap();
        assert_eq!(recovered.last, Some(2));
        found += numbers(&log, 2).len();
        files.crash();
        assert_eq!(open(&files).unwrap().1.last, Some(2), "seed {seed}");
    }
    assert_eq!(found, 60);
}
