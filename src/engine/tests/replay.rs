//! A restart: epochs done again give the same answers at the same commit numbers, whatever the number of workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use weir_common::clock::SystemClock;
use weir_common::delta::Delta;
use weir_common::epoch_log::{Definition, EpochLog, EpochRecord, Forgetful};
use weir_common::error::Result;
use weir_common::expr::ExprRef;
use weir_common::ids::{Epoch, RelationId};
use weir_common::limits::FILLING_ROWS_MAX;
use weir_common::source::{Position, Read, Source, SourceReader};
use weir_dataflow::lower::lower;

use super::log::Log;
use super::{Numbers, count, ints, read, rows};
use crate::engine::{Engine, EngineConfig, TableSpec, TableWrite, ViewSpec};
use crate::feed::FeedLimits;
use crate::reader::SourceSpec;
use crate::recovery::{Definer, Made, Recovered, Recovery};

const TABLE: RelationId = RelationId(20000);
const SOURCE: RelationId = RelationId(20001);
const OF_TABLE: RelationId = RelationId(20002);
const OF_SOURCE: RelationId = RelationId(20003);
const LATER: RelationId = RelationId(20004);
const GIVEN_UP: RelationId = RelationId(20005);

/// A source whose readers give nothing once they are opened behind its start, while it is held.
#[derive(Debug)]
struct Held {
    source: Arc<dyn Source>,
    held: Arc<AtomicBool>,
}

impl Source for Held {
    fn schema(&self) -> SchemaRef {
        self.source.schema()
    }
    fn finite(&self) -> bool {
        true
    }
    fn open(&self, from: &Position) -> Result<Box<dyn SourceReader>> {
        let reader = self.source.open(from)?;
        Ok(Box::new(HeldReader { reader, held: (!from.is_start()).then(|| self.held.clone()) }))
    }
}

struct HeldReader {
    reader: Box<dyn SourceReader>,
    held: Option<Arc<AtomicBool>>,
}

impl SourceReader for HeldReader {
    fn next(&mut self) -> Result<Read> {
        if self.held.as_ref().is_some_and(|held| held.load(Ordering::Relaxed)) {
            std::thread::sleep(Duration::from_millis(1));
            return Ok(Read::Idle);
        }
        self.reader.next()
    }
}

/// Knows what the test makes: a definition's words are the relation's number.
struct World {
    held: Arc<AtomicBool>,
    gone: Arc<Mutex<BTreeSet<RelationId>>>,
}

impl World {
    fn table(&self) -> TableSpec {
        TableSpec { id: TABLE, name: "t".into(), schema: ints(&["k", "n"]), key: Some(vec![1]), key_name: None, watermark: None }
    }

    fn view(&self, workers: usize, id: RelationId) -> ViewSpec {
        let spec = Numbers::with_bad_records(150_000);
        let source = Arc::new(Held { source: spec.source.clone(), held: self.held.clone() });
        let spec = SourceSpec { source, ..spec };
        let (over, schema) = if id == OF_TABLE { (TABLE, ints(&["k", "n"])) } else { (SOURCE, spec.source.schema()) };
        let sources = if id == OF_TABLE { BTreeMap::new() } else { BTreeMap::from([(SOURCE, spec)]) };
        let name = format!("v{id}");
        let plan = Arc::new(lower(&count(over, &schema, id != OF_TABLE), &name, workers).unwrap());
        ViewSpec { id, late: None, late_entries_max: 0, plan, name, sources, keep: true, temporary: false }
    }
}

struct Remembering(World, usize);

impl Definer for Remembering {
    fn made(&mut self, words: &[u8], _dropped: &BTreeSet<RelationId>) -> Result<Made> {
        let id = RelationId(u32::from_le_bytes(words.try_into().unwrap()));
        Ok(if id == TABLE { Made::Table(self.0.table()) } else { Made::View(self.0.view(self.1, id)) })
    }
    fn condition(&mut self, _view: RelationId, words: &str) -> Result<Option<ExprRef>> {
        panic!("nothing is admitted, but {words}")
    }
    fn dropped(&mut self, relations: &[RelationId]) {
        self.0.gone.lock().unwrap().extend(relations);
    }
    fn numbers_below(&mut self, _next: RelationId) {}
}

fn words(id: RelationId) -> Vec<u8> {
    id.0.to_le_bytes().to_vec()
}

fn start(workers: usize, log: Box<dyn EpochLog>, recovery: Option<Recovery>) -> (Engine, Recovered) {
    let (clock, filling_rows_max) = (Arc::new(SystemClock), FILLING_ROWS_MAX);
    Engine::start(EngineConfig {
        workers,
        clock,
        log,
        filling_rows_max,
        recovery,
        checkpoints: None,
        memory_limit: None,
        feeds: FeedLimits::default(),
    })
    .unwrap()
}

type Answers = Vec<BTreeSet<Vec<i64>>>;

async fn answers(engine: &Engine, views: &[RelationId]) -> (Epoch, Answers) {
    let schema = ints(&["k", "n"]);
    let wanted: Vec<_> = views.iter().map(|view| (*view, schema.clone())).collect();
    let (epoch, snapshots) = engine.snapshot(&wanted).await.unwrap();
    (epoch, snapshots.iter().map(read).collect())
}

#[tokio::test]
async fn every_commit_has_its_answers_again() {
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("WEIR_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let log = Log::default();
    let world = || World { held: Arc::new(AtomicBool::new(true)), gone: Arc::default() };
    let made = world();
    made.held.store(false, Ordering::Relaxed);
    let (engine, recovered) = start(2, Box::new(log.clone()), None);
    assert_eq!(recovered, Recovered::default());
    let first = Delta::insert(rows(&ints(&["k", "n"]), &[vec![1, 1], vec![2, 2]]));
    engine.create_table(made.table(), Some(first), words(TABLE)).await.unwrap();
    engine.create_view(made.view(2, OF_TABLE), words(OF_TABLE)).await.unwrap();
    engine.create_view(made.view(2, OF_SOURCE), words(OF_SOURCE)).await.unwrap();
    let mut told: BTreeMap<Epoch, Answers> = BTreeMap::new();
    let (mut views, mut numbers) = (vec![OF_TABLE, OF_SOURCE], 3..);
    for round in 0..200 {
        if round == 20 {
            // Its own reader begins at the start, behind the shared one, and joins it in the end.
            engine.create_view(made.view(2, LATER), words(LATER)).await.unwrap();
            views.push(LATER);
        }
        let row = vec![random.i64(0..5), numbers.next().unwrap()];
        let delta = Delta::insert(rows(&ints(&["k", "n"]), &[row]));
        engine.write(vec![TableWrite { table: TABLE, delta }]).await.unwrap();
        let (epoch, now) = answers(&engine, &views).await;
        told.insert(epoch, now);
    }
    engine.stop();

    let records = log.records();
    let mut chosen: Vec<Epoch> = told.keys().copied().collect();
    random.shuffle(&mut chosen);
    chosen.truncate(12);
    // The last one too: readers have joined by then, or the source has ended.
    chosen.extend(told.keys().last());
    for epoch in chosen {
        let workers = random.usize(1..=4);
        let again = world();
        let records: Vec<_> = records.iter().take_while(|record| record.epoch <= epoch).cloned().map(Ok).collect();
        let recovery =
            Recovery { records: Box::new(records.into_iter()), dropped: BTreeSet::new(), definer: Box::new(Remembering(again, workers)) };
        let (engine, recovered) = start(workers, Box::new(Forgetful), Some(recovery));
        assert_eq!(recovered.committed, epoch);
        let views = &[OF_TABLE, OF_SOURCE, LATER][..told[&epoch].len()];
        let (_, now) = answers(&engine, views).await;
        assert_eq!(now, told[&epoch], "commit {epoch}, now with {workers} workers");
        engine.stop();
    }
}

#[tokio::test]
async fn a_view_that_was_not_filled_is_given_up_and_the_log_says_so() {
    let made = World { held: Arc::new(AtomicBool::new(false)), gone: Arc::default() };
    let definition = Definition::Made { relation: GIVEN_UP, words: words(GIVEN_UP) };
    let record = EpochRecord { epoch: 1, wall_micros: 1, definitions: vec![definition], ..EpochRecord::default() };
    let gone = made.gone.clone();
    let recovery =
        Recovery { records: Box::new([Ok(record)].into_iter()), dropped: BTreeSet::new(), definer: Box::new(Remembering(made, 1)) };
    let log = Log::default();
    let (engine, recovered) = start(1, Box::new(log.clone()), Some(recovery));
    assert_eq!((recovered.committed, recovered.epochs), (1, 1));
    assert_eq!(*gone.lock().unwrap(), BTreeSet::from([GIVEN_UP]));
    // Any message opens the epoch that drops it for good.
    assert!(engine.status().await.unwrap().views.is_empty());
    engine.stop();
    let dropped = Definition::Dropped(vec![GIVEN_UP]);
    let log = log.records();
    assert_eq!(log.iter().map(|record| (record.epoch, record.definitions.clone())).collect::<Vec<_>>(), [(2, vec![dropped])]);
}
