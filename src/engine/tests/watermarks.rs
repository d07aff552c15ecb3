//! Watermarks and the wall clock: sources that give nothing, rows that are dated too far ahead, and the same again after a restart.

mod partitions; // sources with several

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use weir_common::dead_letter::Reason;
use weir_common::error::Result;
use weir_common::expr::ExprRef;
use weir_common::ids::{Epoch, RelationId};
use weir_common::lateness::{Emit, WindowLife};
use weir_common::limits::FILLING_ROWS_MAX;
use weir_common::plan::{AggregateCall, AggregateFunction, Closing, EventTime, Facts, Node, Op, WindowEnd};
use weir_common::source::{Position, Read, Source, SourceBatch, SourceReader, Watermark};
use weir_common::state_store::MemoryStore;
use weir_dataflow::lower::lower;

use super::hand::Hand;
use super::log::Log;
use crate::checkpoint;
use crate::engine::{CheckpointConfig, Engine, EngineConfig, ViewSpec};
use crate::reader::SourceSpec;
use crate::recovery::{Definer, Made, Recovery};
use crate::status::{SourceStatus, Status};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;
/// 2026-11-22.
const NOW: i64 = 20_779 * DAY;
/// 2013-01-01.
const LONG_AGO: i64 = 15_706 * DAY;
const SOURCE: RelationId = RelationId(20000);
const OTHER: RelationId = RelationId(20001);
const VIEW: RelationId = RelationId(20002);
const VIEW_OF_OTHER: RelationId = RelationId(20003);
/// As the first, and made later.
const LATER: RelationId = RelationId(20004);

/// The watermark of sources, unless it is altered.
const DECLARED: Watermark = Watermark { column: 0, delay: 5 * SECOND, idle_timeout: 10 * SECOND, max_future: DAY };

/// A source of the event times that the test has put in so far, in one partition or more.
#[derive(Clone, Debug)]
struct Fed(Arc<Mutex<FedState>>);

#[derive(Debug)]
struct FedState {
    partitions: Vec<Vec<i64>>,
    /// Rows in a batch, at most.
    piece: usize,
    /// Partitions that are never at their end: more is on its way there, and does not come.
    coming: BTreeSet<usize>,
    unreachable: bool,
}

/// Reads each partition from the row at one place to that at another.
struct FedReader {
    fed: Fed,
    at: Vec<usize>,
    /// `None` where it is not to end.
    to: Option<Vec<usize>>,
    turn: usize,
}

fn moments() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true)]))
}

impl Fed {
    fn of(partitions: usize) -> Self {
        let partitions = vec![vec![]; partitions];
        Fed(Arc::new(Mutex::new(FedState { partitions, piece: usize::MAX, coming: BTreeSet::new(), unreachable: false })))
    }

    fn feed(&self, times: &[i64]) {
        self.feed_to(0, times);
    }

    fn feed_to(&self, partition: usize, times: &[i64]) {
        self.state().partitions[partition].extend(times);
    }

    fn state(&self) -> MutexGuard<'_, FedState> {
        self.0.lock().unwrap()
    }

    fn reader(&self, from: &Position, to: Option<&Position>) -> FedReader {
        let places = |position: &Position| -> Vec<usize> {
            if position.is_start() { vec![] } else { position.0.split(' ').map(|place| place.parse().unwrap()).collect() }
        };
        FedReader { fed: self.clone(), at: places(from), to: to.map(places), turn: 0 }
    }
}

impl Source for Fed {
    fn schema(&self) -> SchemaRef {
        moments()
    }
    fn finite(&self) -> bool {
        false
    }
    fn catches_up(&self) -> bool {
        true
    }
    fn open(&self, from: &Position) -> Result<Box<dyn SourceReader>> {
        Ok(Box::new(self.reader(from, None)))
    }
    fn between(&self, from: &Position, to: &Position) -> Result<Option<Box<dyn SourceReader>>> {
        let several = self.state().partitions.len() > 1;
        Ok(several.then(|| Box::new(self.reader(from, Some(to))) as Box<dyn SourceReader>))
    }
}

impl SourceReader for FedReader {
    fn next(&mut self) -> Result<Read> {
        let fed = self.fed.0.lock().unwrap();
        let partitions = self.to.as_ref().map_or(fed.partitions.len(), Vec::len);
        self.at.resize(partitions, 0);
        if fed.unreachable && self.to.is_none() {
            drop(fed);
            std::thread::sleep(Duration::from_millis(1));
            return Ok(Read::Unreachable);
        }
        for partition in 0..partitions {
            let from = self.at[partition];
            let end = self.to.as_ref().map_or(fed.partitions[partition].len(), |to| to[partition]);
            if from < end {
                let to = end.min(from.saturating_add(fed.piece));
                let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(fed.partitions[partition][from..to].to_vec()));
                self.at[partition] = to;
                let rows = RecordBatch::try_new(moments(), vec![times]).unwrap();
                let position = Position(self.at.iter().map(usize::to_string).collect::<Vec<_>>().join(" "));
                return Ok(Read::Batch(SourceBatch { partition: partition as u32, rows, origins: None, dead: vec![], position, bytes: 0 }));
            }
        }
        if self.to.is_some() {
            return Ok(Read::End);
        }
        // They come to their ends in turns.
        self.turn = (self.turn + 1) % partitions;
        let read = match &*fed {
            fed if fed.coming.is_empty() => Read::Idle,
            fed if fed.coming.contains(&self.turn) => {
                Read::PartitionIdle((0..partitions).find(|one| !fed.coming.contains(one)).unwrap() as u32)
            }
            _ => Read::PartitionIdle(self.turn as u32),
        };
        drop(fed);
        std::thread::sleep(Duration::from_millis(1));
        Ok(read)
    }

    fn partitions(&self) -> u32 {
        self.fed.state().partitions.len() as u32
    }
}

/// All that outlives an engine.
#[derive(Clone)]
struct World {
    hand: Hand,
    source: Fed,
    other: Fed,
    log: Log,
    store: MemoryStore,
    workers: usize,
}

impl Definer for World {
    fn made(&mut self, words: &[u8], _dropped: &BTreeSet<RelationId>) -> Result<Made> {
        if words.len() > 4 {
            let [delay, idle_timeout, max_future] = [4, 12, 20].map(|at| i64::from_le_bytes(words[at..at + 8].try_into().unwrap()));
            let source = RelationId(u32::from_le_bytes(words[..4].try_into().unwrap()));
            return Ok(Made::Source(source, Some(Watermark { column: 0, delay, idle_timeout, max_future })));
        }
        Ok(Made::View(self.view(RelationId(u32::from_le_bytes(words.try_into().unwrap())))))
    }
    fn condition(&mut self, _view: RelationId, words: &str) -> Result<Option<ExprRef>> {
        panic!("nothing is admitted, but {words}")
    }
    fn dropped(&mut self, _relations: &[RelationId]) {}
    fn numbers_below(&mut self, _next: RelationId) {}
}

impl World {
    fn new() -> Self {
        World::of(1)
    }

    /// One whose first source has so many partitions.
    fn of(partitions: usize) -> Self {
        let (log, store) = (Log::default(), MemoryStore::default());
        World { hand: Hand::at(NOW), source: Fed::of(partitions), other: Fed::of(1), log, store, workers: 2 }
    }

    fn start(&self) -> Engine {
        let position = checkpoint::position(&self.store).unwrap().unwrap_or(0);
        let records = self.log.records().into_iter().filter(move |record| record.epoch > position);
        let recovery = Recovery { records: Box::new(records.map(Ok)), dropped: BTreeSet::new(), definer: Box::new(self.clone()) };
        let store = Arc::new(self.store.clone());
        let checkpoints = CheckpointConfig { store, interval: Duration::from_secs(3600), bytes: u64::MAX, slice_rows: 1000 };
        let config = EngineConfig {
            workers: self.workers,
            clock: Arc::new(self.hand.clone()),
            log: Box::new(self.log.clone()),
            filling_rows_max: FILLING_ROWS_MAX,
            recovery: Some(recovery),
            checkpoints: Some(checkpoints),
            memory_limit: None,
            feeds: Default::default(),
        };
        Engine::start(config).unwrap().0
    }

    /// Rows counted by their event time, each of which begins a window of a minute that is shown when it closes.
    fn view(&self, id: RelationId) -> ViewSpec {
        let (source, fed) = if id == VIEW_OF_OTHER { (OTHER, &self.other) } else { (SOURCE, &self.source) };
        let event_times = vec![EventTime { column: 0, source, steps: vec![] }];
        let facts = Facts { append_only: true, event_times, ..Facts::default() };
        let import = Node {
            op: Op::Import { relation: source, name: format!("s{source}"), columns: vec![0] },
            inputs: vec![],
            schema: moments(),
            facts: facts.clone(),
        };
        let call = AggregateCall {
            function: AggregateFunction::Count,
            argument: None,
            distinct: false,
            filter: None,
            input: DataType::Null,
            output: DataType::Int64,
            name: "count(*)".into(),
        };
        let closing = Closing { source, steps: vec![], column: 0, end: WindowEnd::After(MINUTE) };
        let life = WindowLife { closing: closing.clone(), lateness: 0, emit: Emit::WindowClose, retention: None, keeps_closed: false };
        let mut fields = moments().fields().to_vec();
        fields.push(Arc::new(Field::new("n", DataType::Int64, true)));
        let plan = Node {
            op: Op::Aggregate { keys: 1, calls: vec![call], life: Some(life) },
            inputs: vec![import],
            schema: Arc::new(Schema::new(fields)),
            facts: Facts { append_only: false, key: Some(vec![0]), closes: Some(closing), ..facts },
        };
        let spec = SourceSpec { name: format!("s{source}"), source: Arc::new(fed.clone()), watermark: Some(DECLARED) };
        let name = format!("v{id}");
        let sources = BTreeMap::from([(source, spec)]);
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

    async fn create(&self, engine: &Engine, id: RelationId) {
        engine.create_view(self.view(id), id.0.to_le_bytes().to_vec()).await.unwrap();
    }
}

/// Alters the source.
async fn alter(engine: &Engine, watermark: Watermark) {
    let numbers = [watermark.delay, watermark.idle_timeout, watermark.max_future];
    let words = SOURCE.0.to_le_bytes().into_iter().chain(numbers.into_iter().flat_map(i64::to_le_bytes)).collect();
    engine.set_watermark(SOURCE, watermark, words).await.unwrap();
}

/// Kills nothing, but starts again: with what a checkpoint has, or by doing all epochs once more.
async fn again(engine: Engine, world: &World, with_checkpoint: bool) -> Engine {
    if with_checkpoint {
        engine.checkpoint().await.unwrap();
    }
    engine.stop();
    world.start()
}

/// Waits for a fact, and gives the status that tells it.
async fn until(engine: &Engine, fact: impl Fn(&Status) -> bool) -> Status {
    loop {
        let status = engine.status().await.unwrap();
        if fact(&status) && status.in_flight == 0 {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn reader(status: &Status, source: RelationId) -> &SourceStatus {
    status.sources.iter().find(|reader| reader.source == source).unwrap()
}

/// All rows that were put in have reached the views, and the source is silent.
async fn taken(engine: &Engine, source: RelationId, rows: u64) -> Status {
    until(engine, |status| {
        let found = status.sources.iter().find(|reader| reader.source == source);
        found.is_some_and(|reader| reader.rows + reader.dead_letters == rows && reader.at_end)
    })
    .await
}

/// As many rows have reached the views.
async fn given(engine: &Engine, source: RelationId, rows: u64) -> Status {
    until(engine, |status| reader(status, source).rows + reader(status, source).dead_letters == rows).await
}

fn watermark(status: &Status, source: RelationId) -> Option<i64> {
    reader(status, source).watermark
}

/// The windows that a view shows, with their counts.
async fn shown(engine: &Engine, world: &World, view: RelationId) -> Vec<(i64, i64)> {
    shown_at(engine, world, view).await.1
}

/// The same, and the commit.
async fn shown_at(engine: &Engine, world: &World, view: RelationId) -> (Epoch, Vec<(i64, i64)>) {
    let schema = world.view(view).plan.schema.clone();
    let (commit, snapshots) = engine.snapshot(&[(view, schema)]).await.unwrap();
    let mut found = vec![];
    for batch in snapshots[0].batches().unwrap() {
        let (times, counts) = (batch.column(0).as_primitive::<TimestampMicrosecondType>(), batch.column(1).as_primitive::<Int64Type>());
        found.extend(times.values().iter().copied().zip(counts.values().iter().copied()));
    }
    found.sort_unstable();
    (commit, found)
}

#[tokio::test]
async fn the_watermark_of_old_data_that_pauses_walks_on_from_where_it_stood() {
    let world = World::new();
    let engine = world.start();
    world.create(&engine, VIEW).await;
    world.source.feed(&[LONG_AGO, LONG_AGO + 2 * MINUTE]);
    let status = taken(&engine, SOURCE, 2).await;
    let stood = LONG_AGO + 2 * MINUTE - 5 * SECOND;
    assert_eq!(watermark(&status, SOURCE), Some(stood));
    assert_eq!(shown(&engine, &world, VIEW).await, [(LONG_AGO, 1)]);
    // Idle, but its last window is not over at the pace of the wall clock: no epoch comes for its sake.
    world.hand.forward(10 * SECOND + 30 * SECOND);
    let status = until(&engine, |status| reader(status, SOURCE).idle_since.is_some()).await;
    assert_eq!((watermark(&status, SOURCE), reader(&status, SOURCE).idle_since), (Some(stood), Some(NOW + 10 * SECOND)));
    // 65 seconds after it became idle the watermark reaches the end of its last window.
    world.hand.forward(35 * SECOND);
    let status = until(&engine, |status| watermark(status, SOURCE) > Some(stood)).await;
    assert_eq!(watermark(&status, SOURCE), Some(LONG_AGO + 3 * MINUTE));
    assert_eq!(shown(&engine, &world, VIEW).await, [(LONG_AGO, 1), (LONG_AGO + 2 * MINUTE, 1)]);
    // No window is open: nothing more happens, however late it gets.
    let epochs = status.epochs;
    world.hand.forward(DAY);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(engine.status().await.unwrap().epochs, epochs);
    // A row does not take it back, and ends the pause. It goes on with the epoch of the row: a view is told of what it has missed.
    world.source.feed(&[LONG_AGO + 4 * MINUTE]);
    let status = taken(&engine, SOURCE, 3).await;
    assert_eq!((watermark(&status, SOURCE), reader(&status, SOURCE).idle_since), (Some(LONG_AGO + 4 * MINUTE - 5 * SECOND), None));
    engine.stop();
}

#[tokio::test]
async fn a_watermark_never_walks_beyond_now_less_the_delay() {
    let world = World::new();
    let engine = world.start();
    world.create(&engine, VIEW).await;
    // Ahead of the wall clock, but not too far.
    world.source.feed(&[NOW + 60 * MINUTE]);
    let stood = NOW + 60 * MINUTE - 5 * SECOND;
    assert_eq!(watermark(&taken(&engine, SOURCE, 1).await, SOURCE), Some(stood));
    // 61 minutes and 5 seconds after NOW the end of its window is the delay ago.
    world.hand.forward(61 * MINUTE + 4 * SECOND);
    until(&engine, |status| reader(status, SOURCE).idle_since.is_some()).await;
    assert_eq!(shown(&engine, &world, VIEW).await, []);
    world.hand.forward(SECOND);
    let status = until(&engine, |status| watermark(status, SOURCE) > Some(stood)).await;
    assert_eq!(watermark(&status, SOURCE), Some(NOW + 61 * MINUTE));
    assert_eq!(shown(&engine, &world, VIEW).await, [(NOW + 60 * MINUTE, 1)]);
    engine.stop();
}

#[tokio::test]
async fn one_silent_source_walks_while_another_goes_by_its_rows() {
    let world = World::new();
    let engine = world.start();
    world.create(&engine, VIEW).await;
    world.create(&engine, VIEW_OF_OTHER).await;
    world.source.feed(&[NOW - 5 * MINUTE]);
    world.other.feed(&[NOW - 5 * MINUTE]);
    taken(&engine, SOURCE, 1).await;
    taken(&engine, OTHER, 1).await;
    for step in 1..=4 {
        world.hand.forward(5 * SECOND);
        world.other.feed(&[NOW - 5 * MINUTE + step]);
        taken(&engine, OTHER, 1 + step as u64).await;
    }
    let status = engine.status().await.unwrap();
    assert_eq!(reader(&status, SOURCE).idle_since, Some(NOW + 10 * SECOND));
    assert_eq!(reader(&status, OTHER).idle_since, None, "it was never silent for long enough");
    assert_eq!(watermark(&status, OTHER), Some(NOW - 5 * MINUTE + 4 - 5 * SECOND));
    // Told with the last epoch of the other one.
    assert_eq!(watermark(&status, SOURCE), Some(NOW - 5 * MINUTE - 5 * SECOND + 10 * SECOND));
    engine.stop();
}

#[tokio::test]
async fn a_row_dated_too_far_ahead_is_a_dead_letter_and_moves_nothing() {
    let world = World::new();
    let engine = world.start();
    world.create(&engine, VIEW).await;
    let in_2099 = NOW + 73 * 365 * DAY;
    world.source.feed(&[NOW - MINUTE, in_2099, NOW + DAY, NOW + DAY + 1]);
    let status = taken(&engine, SOURCE, 4).await;
    assert_eq!((reader(&status, SOURCE).rows, reader(&status, SOURCE).dead_letters), (2, 2));
    assert_eq!(watermark(&status, SOURCE), Some(NOW + DAY - 5 * SECOND));
    let letters: Vec<_> = status.dead_letters.iter().map(|letter| (letter.relation.as_str(), letter.reason)).collect();
    assert_eq!(letters, [("s20000", Reason::FutureEventTime); 2]);
    assert!(status.dead_letters[0].payload.starts_with("ts = 2099-"), "{:?}", status.dead_letters[0]);
    assert_eq!(status.dead_letter_counts.values().sum::<u64>(), 2);
    // A view with a reader of its own meets the same rows: they were told.
    let later = ViewSpec { id: RelationId(20004), name: "later".into(), ..world.view(VIEW) };
    engine.create_view(later, 20004u32.to_le_bytes().to_vec()).await.unwrap();
    let status = until(&engine, |status| status.views.len() == 2 && status.views.iter().all(|view| !view.filling)).await;
    assert_eq!(status.dead_letter_counts.values().sum::<u64>(), 2);
    engine.stop();
}

#[tokio::test]
async fn a_restart_brings_watermarks_and_dead_letters_back() {
    for with_checkpoint in [false, true] {
        let world = World::new();
        let engine = world.start();
        world.create(&engine, VIEW).await;
        world.source.feed(&[LONG_AGO, LONG_AGO + 2 * MINUTE, NOW + 2 * DAY]);
        taken(&engine, SOURCE, 3).await;
        world.hand.forward(10 * SECOND + 65 * SECOND);
        let before = until(&engine, |status| watermark(status, SOURCE) == Some(LONG_AGO + 3 * MINUTE)).await;
        if with_checkpoint {
            engine.checkpoint().await.unwrap();
        }
        let rows = shown(&engine, &world, VIEW).await;
        assert_eq!(rows.len(), 2);
        engine.stop();
        // It takes so long that by then the row is not dated too far ahead any more; what was, was.
        world.hand.forward(3 * DAY);
        let engine = world.start();
        let after = engine.status().await.unwrap();
        assert_eq!(watermark(&after, SOURCE), Some(LONG_AGO + 3 * MINUTE));
        assert_eq!((reader(&after, SOURCE).rows, reader(&after, SOURCE).dead_letters), (2, 1));
        assert_eq!(after.dead_letters, before.dead_letters);
        assert_eq!(shown(&engine, &world, VIEW).await, rows);
        // The restart was an outage: the source is not idle for the time before it.
        assert_eq!(reader(&after, SOURCE).idle_since, None);
        world.source.feed(&[LONG_AGO + 3 * MINUTE]);
        let status = taken(&engine, SOURCE, 4).await;
        assert_eq!(watermark(&status, SOURCE), Some(LONG_AGO + 3 * MINUTE));
        engine.stop();
    }
}

#[tokio::test]
async fn a_later_view_shows_the_windows_that_the_clock_has_closed_before_its_reader_joined() {
    for with_checkpoint in [false, true] {
        let world = World::new();
        let engine = world.start();
        world.create(&engine, VIEW).await;
        world.source.feed(&[LONG_AGO, LONG_AGO + 2 * MINUTE]);
        taken(&engine, SOURCE, 2).await;
        // The shared reader's watermark has walked over the last window.
        world.hand.forward(10 * SECOND + 65 * SECOND);
        until(&engine, |status| watermark(status, SOURCE) == Some(LONG_AGO + 3 * MINUTE)).await;
        world.create(&engine, LATER).await;
        until(&engine, |status| status.sources.len() == 1 && status.sources[0].at_end).await;
        let engine = again(engine, &world, with_checkpoint).await;
        let status = until(&engine, |status| status.sources.len() == 1).await;
        assert_eq!(watermark(&status, SOURCE), Some(LONG_AGO + 3 * MINUTE));
        // Something happens.
        world.source.feed(&[LONG_AGO + 4 * MINUTE]);
        taken(&engine, SOURCE, 3).await;
        let expected = [(LONG_AGO, 1), (LONG_AGO + 2 * MINUTE, 1)];
        assert_eq!(shown(&engine, &world, VIEW).await, expected);
        assert_eq!(shown(&engine, &world, LATER).await, expected, "with a checkpoint: {with_checkpoint}");
        engine.stop();
    }
}

#[tokio::test]
async fn a_shorter_idle_timeout_counts_from_when_the_source_fell_silent() {
    for with_checkpoint in [false, true] {
        let world = World::new();
        let engine = world.start();
        world.create(&engine, VIEW).await;
        alter(&engine, Watermark { idle_timeout: 60 * MINUTE, ..DECLARED }).await;
        world.source.feed(&[LONG_AGO, LONG_AGO + 2 * MINUTE]);
        let stood = LONG_AGO + 2 * MINUTE - 5 * SECOND;
        assert_eq!(watermark(&taken(&engine, SOURCE, 2).await, SOURCE), Some(stood));
        world.hand.forward(30 * MINUTE);
        let status = engine.status().await.unwrap();
        assert_eq!((watermark(&status, SOURCE), reader(&status, SOURCE).idle_since), (Some(stood), None));
        alter(&engine, Watermark { idle_timeout: 10 * MINUTE, ..DECLARED }).await;
        let walked = stood + 20 * MINUTE;
        let status = engine.status().await.unwrap();
        assert_eq!((watermark(&status, SOURCE), reader(&status, SOURCE).idle_since), (Some(walked), Some(NOW + 10 * MINUTE)));
        let rows = [(LONG_AGO, 1), (LONG_AGO + 2 * MINUTE, 1)];
        assert_eq!(shown(&engine, &world, VIEW).await, rows);
        // A longer one again: it is not idle any more, and stands where it walked to.
        alter(&engine, Watermark { idle_timeout: 60 * MINUTE, ..DECLARED }).await;
        world.hand.forward(20 * MINUTE);
        let status = engine.status().await.unwrap();
        assert_eq!((watermark(&status, SOURCE), reader(&status, SOURCE).idle_since), (Some(walked), None));
        let engine = again(engine, &world, with_checkpoint).await;
        let status = engine.status().await.unwrap();
        assert_eq!(watermark(&status, SOURCE), Some(walked));
        assert_eq!(shown(&engine, &world, VIEW).await, rows);
        // What was said last holds: after 30 minutes of silence it is not idle.
        world.hand.forward(30 * MINUTE);
        let status = engine.status().await.unwrap();
        assert_eq!((watermark(&status, SOURCE), reader(&status, SOURCE).idle_since), (Some(walked), None));
        engine.stop();
    }
}

#[tokio::test]
async fn a_shorter_delay_moves_the_watermark_at_once_and_a_longer_one_holds_it() {
    for with_checkpoint in [false, true] {
        let world = World::new();
        let engine = world.start();
        world.create(&engine, VIEW).await;
        world.source.feed(&[LONG_AGO, LONG_AGO + 2 * MINUTE]);
        taken(&engine, SOURCE, 2).await;
        assert_eq!(shown(&engine, &world, VIEW).await, [(LONG_AGO, 1)]);
        alter(&engine, Watermark { delay: 3 * MINUTE, ..DECLARED }).await;
        world.source.feed(&[LONG_AGO + 4 * MINUTE]);
        let status = taken(&engine, SOURCE, 3).await;
        assert_eq!(watermark(&status, SOURCE), Some(LONG_AGO + 2 * MINUTE - 5 * SECOND), "where it stood before");
        let engine = again(engine, &world, with_checkpoint).await;
        world.source.feed(&[LONG_AGO + 5 * MINUTE]);
        let status = taken(&engine, SOURCE, 4).await;
        assert_eq!(watermark(&status, SOURCE), Some(LONG_AGO + 2 * MINUTE));
        alter(&engine, Watermark { delay: 0, ..DECLARED }).await;
        let status = engine.status().await.unwrap();
        assert_eq!(watermark(&status, SOURCE), Some(LONG_AGO + 5 * MINUTE));
        let rows = [(LONG_AGO, 1), (LONG_AGO + 2 * MINUTE, 1), (LONG_AGO + 4 * MINUTE, 1)];
        assert_eq!(shown(&engine, &world, VIEW).await, rows);
        let engine = again(engine, &world, with_checkpoint).await;
        assert_eq!(watermark(&engine.status().await.unwrap(), SOURCE), Some(LONG_AGO + 5 * MINUTE));
        assert_eq!(shown(&engine, &world, VIEW).await, rows);
        engine.stop();
    }
}

#[tokio::test]
async fn a_delay_that_is_made_shorter_while_the_clock_walks_counts_from_where_it_stood() {
    let world = World::new();
    let engine = world.start();
    world.create(&engine, VIEW).await;
    alter(&engine, Watermark { delay: 60 * MINUTE, ..DECLARED }).await;
    world.source.feed(&[LONG_AGO]);
    taken(&engine, SOURCE, 1).await;
    world.hand.forward(10 * SECOND + 5 * MINUTE);
    alter(&engine, DECLARED).await;
    let status = engine.status().await.unwrap();
    assert_eq!(watermark(&status, SOURCE), Some(LONG_AGO - 5 * SECOND + 5 * MINUTE));
    engine.stop();
}

#[tokio::test]
async fn what_is_too_far_ahead_changes_from_the_next_row_on_and_a_restart_does_not_judge_again() {
    for with_checkpoint in [false, true] {
        let world = World::new();
        let engine = world.start();
        world.create(&engine, VIEW).await;
        world.source.feed(&[NOW + 2 * DAY]);
        let status = taken(&engine, SOURCE, 1).await;
        assert_eq!((reader(&status, SOURCE).rows, reader(&status, SOURCE).dead_letters), (0, 1));
        alter(&engine, Watermark { max_future: 3 * DAY, ..DECLARED }).await;
        world.source.feed(&[NOW + 2 * DAY]);
        taken(&engine, SOURCE, 2).await;
        alter(&engine, Watermark { max_future: MINUTE, ..DECLARED }).await;
        world.source.feed(&[NOW + 2 * MINUTE]);
        let status = taken(&engine, SOURCE, 3).await;
        assert_eq!((reader(&status, SOURCE).rows, reader(&status, SOURCE).dead_letters), (1, 2));
        let engine = again(engine, &world, with_checkpoint).await;
        let status = engine.status().await.unwrap();
        assert_eq!((reader(&status, SOURCE).rows, reader(&status, SOURCE).dead_letters), (1, 2));
        engine.stop();
    }
}

#[tokio::test]
async fn a_view_that_was_planned_before_the_source_was_altered_goes_by_what_was_said_last() {
    let world = World::new();
    let engine = world.start();
    alter(&engine, Watermark { max_future: 3 * DAY, ..DECLARED }).await;
    world.create(&engine, VIEW).await;
    world.source.feed(&[NOW + 2 * DAY]);
    let status = taken(&engine, SOURCE, 1).await;
    assert_eq!((reader(&status, SOURCE).rows, reader(&status, SOURCE).dead_letters), (1, 0));
    engine.stop();
}
