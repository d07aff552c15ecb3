//! Restarts from checkpoints: lives of an engine, one after the other, each from the store and the log of those before it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use fastrand::Rng;
use weir_common::clock::SystemClock;
use weir_common::delta::Delta;
use weir_common::error::Result;
use weir_common::expr::ExprRef;
use weir_common::ids::{Epoch, RelationId};
use weir_common::limits::FILLING_ROWS_MAX;
use weir_common::plan::{Facts, Node};
use weir_common::source::{Position, Read, Source, SourceReader};
use weir_common::state_store::{MemoryStore, Space, StateStore};
use weir_dataflow::lower::lower;

use super::log::Log;
use super::{Numbers, count, import, ints, read, rows};
use crate::checkpoint;
use crate::engine::{CheckpointConfig, Engine, EngineConfig, TableSpec, TableWrite, ViewSpec};
use crate::feed::FeedLimits;
use crate::reader::SourceSpec;
use crate::recovery::{Definer, Made, Recovered, Recovery};

/// Numbers are never given again: a relation of a kind has the kind's number, or a multiple of this more.
const KINDS: u32 = 16;
const TABLE: RelationId = RelationId(20000);
const SOURCE: RelationId = RelationId(20001);
/// Counts of the table's rows by key, of these by count, and of the source's rows by key.
const OF_TABLE: RelationId = RelationId(20002);
const OF_VIEW: RelationId = RelationId(20003);
const OF_SOURCE: RelationId = RelationId(20004);
/// All rows of the table.
const COPY: RelationId = RelationId(20005);
/// As `OF_SOURCE`, made later, so that it has a reader of its own for a while.
const LATER: RelationId = RelationId(20006);

const SOURCE_ROWS: i64 = 300_000;

/// A source that gives no rows from one on, for now.
#[derive(Debug)]
struct Limited {
    source: Arc<dyn Source>,
    limit: Arc<AtomicI64>,
}

impl Source for Limited {
    fn schema(&self) -> SchemaRef {
        self.source.schema()
    }
    fn finite(&self) -> bool {
        true
    }
    fn open(&self, from: &Position) -> Result<Box<dyn SourceReader>> {
        let at = if from.is_start() { 0 } else { from.0.parse().unwrap() };
        Ok(Box::new(LimitedReader { reader: self.source.open(from)?, at, limit: self.limit.clone() }))
    }
}

struct LimitedReader {
    reader: Box<dyn SourceReader>,
    at: i64,
    limit: Arc<AtomicI64>,
}

impl SourceReader for LimitedReader {
    fn next(&mut self) -> Result<Read> {
        if self.at >= self.limit.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
            return Ok(Read::Idle);
        }
        let read = self.reader.next()?;
        if let Read::Batch(batch) = &read {
            self.at = batch.position.0.parse().unwrap();
        }
        Ok(read)
    }
}

/// Knows what there is: a definition's words are the relation's number.
struct World {
    workers: usize,
    limit: Arc<AtomicI64>,
    next: Arc<AtomicU32>,
}

/// What a relation is, whichever of its kind.
fn kind(id: RelationId) -> RelationId {
    RelationId(TABLE.0 + (id.0 - TABLE.0) % KINDS)
}

fn pairs() -> SchemaRef {
    ints(&["k", "n"])
}

impl World {
    fn table(&self) -> TableSpec {
        TableSpec { id: TABLE, name: "t".into(), schema: pairs(), key: Some(vec![1]), key_name: None, watermark: None }
    }

    fn view(&self, id: RelationId) -> ViewSpec {
        let source = Numbers::with_bad_records(SOURCE_ROWS);
        let schema = source.source.schema();
        let limited = Arc::new(Limited { source: source.source.clone(), limit: self.limit.clone() });
        let sources = BTreeMap::from([(SOURCE, SourceSpec { source: limited, ..source })]);
        let plan: Node = match kind(id) {
            OF_TABLE => count(TABLE, &pairs(), false),
            OF_VIEW => {
                // Its key is the other view's count.
                let mut plan = count(OF_TABLE, &pairs(), false);
                let second = weir_common::expr::Column { index: 1, name: "n".into(), data_type: arrow::datatypes::DataType::Int64 };
                plan.inputs[0].op = weir_common::plan::Op::Project { exprs: vec![Arc::new(second)] };
                plan
            }
            COPY => import(TABLE, &pairs(), Facts { key: Some(vec![1]), ..Facts::default() }),
            _ => count(SOURCE, &schema, true),
        };
        let sources = if plan.imports()[0].0 == SOURCE { sources } else { BTreeMap::new() };
        let name = format!("v{id}");
        ViewSpec {
            id,
            late: None,
            late_entries_max: 0,
            plan: Arc::new(lower(&plan, &name, self.workers).unwrap()),
            name,
            sources,
            keep: true,
            temporary: false,
        }
    }
}

impl Definer for World {
    fn made(&mut self, words: &[u8], dropped: &BTreeSet<RelationId>) -> Result<Made> {
        let id = RelationId(u32::from_le_bytes(words.try_into().unwrap()));
        Ok(match id {
            _ if dropped.contains(&id) => Made::Nothing,
            TABLE => Made::Table(self.table()),
            SOURCE => Made::Nothing,
            id => Made::View(self.view(id)),
        })
    }
    fn condition(&mut self, _view: RelationId, words: &str) -> Result<Option<ExprRef>> {
        panic!("nothing is admitted, but {words}")
    }
    fn dropped(&mut self, _relations: &[RelationId]) {}
    fn numbers_below(&mut self, next: RelationId) {
        self.next.store(next.0, Ordering::Relaxed);
    }
}

fn words(id: RelationId) -> Vec<u8> {
    id.0.to_le_bytes().to_vec()
}

/// All that outlives an engine, and what it has told.
#[derive(Default)]
struct Disk {
    store: MemoryStore,
    log: Log,
    next: Arc<AtomicU32>,
}

type Answers = BTreeMap<RelationId, BTreeSet<Vec<i64>>>;

impl Disk {
    fn start(&self, workers: usize, limit: &Arc<AtomicI64>, slice_rows: usize) -> (Engine, Recovered) {
        let position = checkpoint::position(&self.store).unwrap();
        let records: Vec<_> = self.log.records().into_iter().filter(|record| record.epoch > position.unwrap_or(0)).collect();
        let mut dropped = BTreeSet::new();
        for definition in records.iter().flat_map(|record| &record.definitions) {
            if let weir_common::epoch_log::Definition::Dropped(relations) = definition {
                dropped.extend(relations);
            }
        }
        let definer = Box::new(World { workers, limit: limit.clone(), next: self.next.clone() });
        let recovery = Some(Recovery { records: Box::new(records.into_iter().map(Ok)), dropped, definer });
        let store = Arc::new(self.store.clone());
        let (clock, log) = (Arc::new(SystemClock), Box::new(self.log.clone()));
        let checkpoints = Some(CheckpointConfig { store, interval: Duration::from_millis(20), bytes: 1 << 20, slice_rows });
        let config = EngineConfig {
            workers,
            clock,
            log,
            filling_rows_max: FILLING_ROWS_MAX,
            recovery,
            checkpoints,
            memory_limit: None,
            feeds: FeedLimits::default(),
        };
        Engine::start(config).unwrap()
    }
}

async fn answers(engine: &Engine, views: &BTreeSet<RelationId>) -> (Epoch, Answers) {
    let wanted: Vec<_> = views.iter().map(|view| (*view, pairs())).collect();
    let (epoch, snapshots) = engine.snapshot(&wanted).await.unwrap();
    (epoch, views.iter().copied().zip(snapshots.iter().map(read)).collect())
}

/// What the views show over these rows.
fn expected(views: &BTreeSet<RelationId>, table: &BTreeMap<i64, i64>) -> Answers {
    let counts = |values: Vec<i64>| {
        let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
        values.into_iter().for_each(|value| *counts.entry(value).or_insert(0) += 1);
        counts
    };
    let all = |counts: &BTreeMap<i64, i64>| counts.iter().map(|(key, count)| vec![*key, *count]).collect();
    let by_key = counts(table.values().copied().collect());
    let answer = |view: &RelationId| match kind(*view) {
        TABLE | COPY => Some(table.iter().map(|(n, k)| vec![*k, *n]).collect()),
        OF_TABLE => Some(all(&by_key)),
        OF_VIEW => Some(all(&counts(by_key.values().copied().collect()))),
        _ => None,
    };
    views.iter().filter_map(|view| Some((*view, answer(view)?))).collect()
}

#[tokio::test]
async fn lives_go_on_where_the_ones_before_ended() {
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("WEIR_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let (mut disk, limit) = (Disk::default(), Arc::new(AtomicI64::new(0)));
    // Stores as they were.
    let mut before = vec![];
    let mut there: BTreeSet<RelationId> = BTreeSet::new();
    // The table's rows, by their key `n`.
    let mut table: BTreeMap<i64, i64> = BTreeMap::new();
    let mut told: BTreeMap<Epoch, Answers> = BTreeMap::new();
    let (mut from_checkpoints, mut replayed, mut dropped, mut compared) = (0, 0, 0, 0);
    // Somebody else's checkpoints, which may be under way at any moment, also when a life ends.
    let mut others = vec![];
    for life in 0..14 {
        let workers = random.usize(1..=4);
        if random.u8(0..3) == 0 && !before.is_empty() {
            disk.store = before.swap_remove(random.usize(..before.len()));
        }
        let (engine, recovered) = disk.start(workers, &limit, random.usize(1..4));
        let world = World { workers, limit: limit.clone(), next: Arc::default() };
        from_checkpoints += recovered.checkpoint.is_some() as u32;
        replayed += recovered.epochs;
        let (epoch, now) = answers(&engine, &there).await;
        assert!(epoch >= recovered.committed, "life {life} begins where the last one ended");
        // A reader that is behind another one may have gone on since.
        if let Some(told) = told.get(&epoch) {
            compared += 1;
            let told: Answers = told.iter().filter(|(view, _)| there.contains(view)).map(|(view, rows)| (*view, rows.clone())).collect();
            assert_eq!(now, told, "life {life}, commit {epoch}, {workers} workers");
        }
        limit.fetch_add(random.i64(0..8) * 1000, Ordering::Relaxed);
        for _ in 0..random.usize(5..60) {
            match random.u8(0..40) {
                0..3 => {
                    let kinds: BTreeSet<RelationId> = there.iter().copied().map(kind).collect();
                    let absent = [TABLE, OF_TABLE, OF_VIEW, OF_SOURCE, COPY, LATER].into_iter().find(|id| !kinds.contains(id));
                    let Some(of) = absent else { continue };
                    let id = RelationId(of.0 + KINDS * dropped);
                    match id {
                        TABLE => engine.create_table(world.table(), None, words(TABLE)).await.unwrap(),
                        id => engine.create_view(world.view(id), words(id)).await.unwrap(),
                    }
                    there.insert(id);
                }
                3 => {
                    let of = [COPY, LATER, OF_VIEW][random.usize(..3)];
                    if let Some(id) = there.iter().copied().find(|id| kind(*id) == of) {
                        there.remove(&id);
                        dropped += 1;
                        engine.drop_relations(vec![id]).await.unwrap();
                    }
                }
                4..6 => engine.checkpoint().await.unwrap(),
                9..13 => {
                    let engine = engine.clone();
                    others.push(tokio::spawn(async move { engine.checkpoint().await }));
                }
                6..9 => tokio::time::sleep(Duration::from_millis(random.u64(1..30))).await,
                _ if there.contains(&TABLE) => {
                    let (mut changed, mut weights) = (vec![], vec![]);
                    for _ in 0..random.usize(1..6) {
                        let n = random.i64(0..300);
                        if changed.iter().any(|row: &Vec<i64>| row[1] == n) {
                            continue;
                        }
                        match table.remove(&n) {
                            Some(k) => (changed.push(vec![k, n]), weights.push(-1)),
                            None => (changed.push(vec![random.i64(0..9), n]), weights.push(1)),
                        };
                        if *weights.last().unwrap() == 1 {
                            table.insert(n, changed.last().unwrap()[0]);
                        }
                    }
                    let delta = Delta::weighted(rows(&pairs(), &changed), weights);
                    engine.write(vec![TableWrite { table: TABLE, delta }]).await.unwrap();
                }
                _ => {}
            }
            let (epoch, now) = answers(&engine, &there).await;
            for (view, rows) in expected(&there, &table) {
                assert_eq!(now[&view], rows, "{view}, life {life}, {workers} workers");
            }
            told.insert(epoch, now);
            if random.u8(0..30) == 0 {
                before.push(disk.store.copy());
            }
        }
        if random.bool() {
            let engine = engine.clone();
            others.push(tokio::spawn(async move { engine.checkpoint().await }));
            tokio::task::yield_now().await;
        }
        engine.stop();
        for other in others.drain(..) {
            // One that the end of the engine broke off was not done.
            drop(other.await.unwrap());
        }
        // What was read and not committed is read again; nothing else comes before the answers are compared.
        let committed = disk.log.records().iter().flat_map(|record| &record.progress).map(|progress| progress.rows).max();
        let standing = checkpoint::standing::read(&disk.store).unwrap();
        let kept = standing.iter().flat_map(|standing| &standing.readers).map(|reader| reader.progress.rows).max();
        limit.store(committed.max(kept).unwrap_or(0) as i64, Ordering::Relaxed);
    }
    println!("{from_checkpoints} lives began with a checkpoint, {replayed} epochs were done again, {compared} answers were given again");
    assert!(from_checkpoints > 5 && compared > 5, "{from_checkpoints} from checkpoints, {compared} compared");
    // To the end: every row of the source is counted once.
    limit.store(i64::MAX, Ordering::Relaxed);
    let (engine, _) = disk.start(2, &limit, 100);
    if !engine.status().await.unwrap().views.iter().any(|view| view.view == OF_SOURCE) {
        let world = World { workers: 2, limit: limit.clone(), next: Arc::default() };
        engine.create_view(world.view(OF_SOURCE), words(OF_SOURCE)).await.unwrap();
    }
    // Rows are counted when their epoch opens, and seen when it is committed.
    while engine
        .status()
        .await
        .is_ok_and(|status| status.in_flight > 0 || status.sources.iter().any(|source| source.rows < SOURCE_ROWS as u64))
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (_, now) = answers(&engine, &BTreeSet::from([OF_SOURCE])).await;
    let all = (0..7).map(|key| vec![key, (SOURCE_ROWS - key + 6) / 7]).collect();
    assert_eq!(now[&OF_SOURCE], all);
    let letters = engine.status().await.unwrap().dead_letter_counts;
    assert_eq!(letters.values().sum::<u64>(), SOURCE_ROWS as u64 / 1000, "each bad record is told once: {letters:?}");
    engine.checkpoint().await.unwrap();
    engine.drop_relations(vec![OF_SOURCE]).await.unwrap();
    engine.checkpoint().await.unwrap();
    engine.stop();
    let mut orphans = 0;
    let range = checkpoint::layout::relation(OF_SOURCE);
    for space in [Space::State, Space::Runs] {
        disk.store
            .scan(space, &range.start, &range.end, &mut |_, _| {
                orphans += 1;
                Ok(())
            })
            .unwrap();
    }
    assert_eq!(orphans, 0, "nothing is left of a view that was dropped");
    assert!(disk.next.load(Ordering::Relaxed) > OF_VIEW.0, "numbers are not given again");
}

/// Many groups change in every epoch, and a slice is one row of state: epochs come between slices, and life ends between them too.
#[tokio::test]
async fn a_checkpoint_has_the_state_of_one_epoch_while_others_change_it() {
    const ROWS: i64 = 400;
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("WEIR_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let (disk, limit) = (Disk::default(), Arc::new(AtomicI64::new(0)));
    let mut table: BTreeMap<i64, i64> = BTreeMap::new();
    let there = BTreeSet::from([TABLE, OF_TABLE, OF_VIEW]);
    let (mut number, mut between) = (0, 0);
    for life in 0..4 {
        let workers = random.usize(1..=3);
        let (engine, _) = disk.start(workers, &limit, 1);
        let world = World { workers, limit: limit.clone(), next: Arc::default() };
        if life == 0 {
            engine.create_table(world.table(), None, words(TABLE)).await.unwrap();
            engine.create_view(world.view(OF_TABLE), words(OF_TABLE)).await.unwrap();
            engine.create_view(world.view(OF_VIEW), words(OF_VIEW)).await.unwrap();
        }
        let (_, now) = answers(&engine, &there).await;
        assert_eq!(now, expected(&there, &table), "life {life}, {workers} workers");
        for _ in 0..20 {
            let checkpoint = tokio::spawn({
                let engine = engine.clone();
                async move { engine.checkpoint().await }
            });
            // Until it is done, and a little longer; the life may end before.
            for _ in 0..random.usize(1..8) {
                let mut writes = vec![];
                for _ in 0..8 {
                    let (mut changed, mut weights) = (vec![], vec![]);
                    for _ in 0..20 {
                        let (k, n) = (random.i64(0..ROWS), number);
                        number += 1;
                        changed.push(vec![k, n]);
                        weights.push(1);
                        table.insert(n, k);
                    }
                    while table.len() > ROWS as usize {
                        let (n, k) = table.pop_first().unwrap();
                        changed.push(vec![k, n]);
                        weights.push(-1);
                    }
                    let (engine, delta) = (engine.clone(), Delta::weighted(rows(&pairs(), &changed), weights));
                    writes.push(async move { engine.write(vec![TableWrite { table: TABLE, delta }]).await.unwrap() });
                }
                // In this order: a task for each would send them in any.
                for write in writes {
                    write.await;
                    between += u64::from(!checkpoint.is_finished());
                }
            }
        }
        let (_, now) = answers(&engine, &there).await;
        assert_eq!(now, expected(&there, &table), "life {life}, {workers} workers");
        // It ends in the middle of one.
        drop(tokio::spawn({
            let engine = engine.clone();
            async move { engine.checkpoint().await }
        }));
        tokio::task::yield_now().await;
        engine.stop();
    }
    assert!(between > 0, "no epoch was committed while a checkpoint was copied");
}

/// A source fast enough for several epochs in flight, while one checkpoint follows the other.
#[tokio::test]
async fn an_epoch_in_flight_is_in_a_checkpoint_or_is_done_again() {
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("WEIR_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let (disk, limit) = (Disk::default(), Arc::new(AtomicI64::new(0)));
    let there = BTreeSet::from([OF_SOURCE]);
    // Rows come in the order of their numbers, and each one's key is its number modulo 7.
    let of_first = |rows: i64| -> BTreeSet<Vec<i64>> { (0..rows.min(7)).map(|key| vec![key, (rows - key + 6) / 7]).collect() };
    let (mut life, mut rows) = (0, 0);
    while rows < SOURCE_ROWS {
        let workers = random.usize(1..=3);
        let (engine, _) = disk.start(workers, &limit, 1);
        if life == 0 {
            let world = World { workers, limit: limit.clone(), next: Arc::default() };
            engine.create_view(world.view(OF_SOURCE), words(OF_SOURCE)).await.unwrap();
        }
        let more = limit.fetch_add(random.i64(20..60) * 1000, Ordering::Relaxed);
        for _ in 0..random.usize(1..10) {
            engine.checkpoint().await.unwrap();
            let (_, now) = answers(&engine, &there).await;
            rows = now[&OF_SOURCE].iter().map(|row| row[1]).sum();
            assert_eq!(now[&OF_SOURCE], of_first(rows), "life {life}, {workers} workers, after {rows} rows of {more} and some");
        }
        engine.stop();
        life += 1;
    }
    assert_eq!(rows, SOURCE_ROWS, "each row is counted once");
}
