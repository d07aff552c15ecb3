//! The timely adapter: fragments as timely operators that see epochs strictly in order. All timely code that touches data is here.
//!
//! A fragment that only reads imports of its own worker knows from the worker's head that an epoch is complete; it need not wait
//! for timely to hear the same of all workers. So workers drift apart by as many epochs as are open, and meet at exchanges.
//!
//! # Invariants
//! - Rows of the epoch that the frontier stands at may be pushed at once; later ones wait; no operator handles two epochs.
//! - Where times matter, no epoch begins on a worker that has not been told of its times, though rows of it may come from others.
//! - Apart from the head, an operator holds capabilities only for epochs whose rows it holds, and for its first epoch,
//!   which it closes even without rows: a global aggregate has a row over no input.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::{DistributorPact, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, Stream as TimelyStream};
use timely::progress::frontier::MutableAntichain;
use timely::scheduling::Activator;
use weir_common::dead_letter::DeadLetter;
use weir_common::delta::Delta;
use weir_common::error::{Error, Result};
use weir_common::ids::{Epoch, RelationId, StreamId};
use weir_common::limits::HYDRATION_SLICE_ROWS;
use weir_common::snapshot::Run;
use weir_common::state_store::StateStore;
use weir_dataflow::fragment::{Context, Fragment};
use weir_dataflow::lower::{From as InputFrom, InputSpec, Route};
use weir_dataflow::state::StateSize;
use weir_dataflow::times::{EpochTimes, TimeOf};

use crate::checkpoint::stored_rows::StoredPart;
use crate::chunk::{Chunk, HashScatter};
use crate::hub::{Hub, Queue, Stream, Subscription};
use crate::lane::{LateCount, NewView, Restoring};
use crate::late::kept;

/// The streams that a dataflow reads and the queues that it reads them through, in the order of its imports.
type Inputs = Rc<RefCell<Vec<(StreamId, Rc<Queue>)>>>;

/// A view's dataflow on one worker, from outside.
pub struct Dataflow {
    /// Set to end it.
    dropped: Rc<Cell<bool>>,
    head: Rc<Activator>,
    inputs: Inputs,
    imports: Rc<RefCell<Vec<Import>>>,
    fragments: Vec<Rc<RefCell<Fragment>>>,
    /// What the operators of its fragments hold.
    pub state: Vec<Sizes>,
    /// Why it stopped computing, if it did.
    pub failure: Rc<RefCell<Option<Error>>>,
    times: Rc<RefCell<Times>>,
    admitted: Rc<RefCell<BTreeMap<Epoch, RecordBatch>>>,
    late_limit: Rc<RefCell<LateLimit>>,
    /// How often timely has let one of its operators work.
    pub turns: Arc<AtomicU64>,
    /// Rows that came too late.
    pub late_rows: Arc<AtomicU64>,
    /// Whether it depends on the wall clock, besides its rows.
    pub is_timed: bool,
}

/// How many late rows are kept.
#[derive(Default)]
struct LateLimit {
    /// Epochs that are not over and add none.
    full: BTreeSet<Epoch>,
    /// How many entries of each epoch were not kept, until that is told.
    dropped: BTreeMap<Epoch, u64>,
}

/// The times of epochs that are not over, for a view that depends on them.
type Times = BTreeMap<Epoch, Arc<EpochTimes>>;
/// The state of a dataflow that a checkpoint has to copy.
pub struct Frozen {
    /// Those of the dataflow.
    pub fragments: Vec<Rc<RefCell<Fragment>>>,
    /// Why it stopped computing, if it did.
    pub failure: Rc<RefCell<Option<Error>>>,
}

/// The sizes of the operators of a fragment, as they were when it worked last.
pub type Sizes = Rc<RefCell<Vec<StateSize>>>;

struct Import {
    columns: Vec<usize>,
    source: Rc<RefCell<Stream>>,
    queue: Rc<Queue>,
    snapshot: VecDeque<Run>,
    /// Whether the view asks where in a source rows come from.
    origins: bool,
    /// All epochs before it have been sent on, on this worker.
    complete: Rc<Cell<Epoch>>,
}

impl Dataflow {
    /// Lets the head take in what its queues hold and move on to the latest open epoch.
    pub fn wake(&self) {
        self.head.activate();
    }

    /// An epoch opens at these times; before the head is woken.
    pub fn at(&self, epoch: Epoch, times: Arc<EpochTimes>) {
        self.times.borrow_mut().insert(epoch, times);
    }

    /// Late rows are admitted in an epoch that opens.
    pub fn admit(&self, epoch: Epoch, late: RecordBatch) {
        self.admitted.borrow_mut().insert(epoch, late);
    }

    /// No late rows are added in an epoch that opens: there are too many.
    pub fn is_full(&self, epoch: Epoch) {
        self.late_limit.borrow_mut().full.insert(epoch);
    }

    /// The late rows of the view as of the end of an epoch that is complete here; `late` is their stream.
    pub fn late_count(&self, view: RelationId, late: &Stream, epoch: Epoch) -> Option<LateCount> {
        let pending: i64 = late.pending.range(..=epoch).flat_map(|(_, deltas)| deltas).map(Delta::weight).sum();
        let entries = (late.shard.as_ref()?.live_rows() as i64 + pending) as u64;
        let mut limit = self.late_limit.borrow_mut();
        let later = limit.dropped.split_off(&(epoch + 1));
        let dropped = std::mem::replace(&mut limit.dropped, later).values().sum();
        Some(LateCount { view, entries, dropped })
    }

    /// Epochs before this one are over here.
    pub fn over_before(&self, epoch: Epoch) {
        let mut limit = self.late_limit.borrow_mut();
        limit.full = limit.full.split_off(&epoch);
        let mut times = self.times.borrow_mut();
        *times = times.split_off(&epoch);
    }

    /// What has changed in its state is to be copied as of the end of an epoch that is not open yet.
    pub fn freeze_after(&self, epoch: Epoch) {
        self.fragments.iter().for_each(|fragment| fragment.borrow_mut().freeze_after(epoch));
    }

    /// The epoch of `freeze_after` is over everywhere: what is to be copied, also if the dataflow ends meanwhile.
    pub fn frozen(&self) -> Frozen {
        for (fragment, sizes) in self.fragments.iter().zip(&self.state) {
            let mut fragment = fragment.borrow_mut();
            fragment.freeze();
            sizes.borrow_mut().iter_mut().zip(fragment.sizes()).for_each(|(size, now)| *size = now);
        }
        Frozen { fragments: self.fragments.clone(), failure: self.failure.clone() }
    }

    /// Rows that wait in its queues.
    pub fn waiting_rows(&self) -> usize {
        self.inputs.borrow().iter().map(|(_, queue)| queue.rows()).sum()
    }

    /// It computes no more, and lets go of all that it holds. Its inputs are still taken, and dropped, so that epochs go on.
    pub fn stop(&self, error: &Error) {
        self.failure.borrow_mut().get_or_insert_with(|| error.clone());
        self.fragments.iter().for_each(|fragment| fragment.borrow_mut().clear());
        self.state.iter().for_each(|sizes| sizes.borrow_mut().fill(StateSize::default()));
        self.imports.borrow_mut().iter_mut().for_each(|import| import.snapshot.clear());
        self.head.activate();
    }

    /// What will happen next although no row comes: at which times, and a moment of each before which it does not.
    pub fn due(&self) -> BTreeMap<TimeOf, i64> {
        let mut due = BTreeMap::new();
        if self.failure.borrow().is_some() {
            return due;
        }
        for (time, at) in self.fragments.iter().flat_map(|fragment| fragment.borrow().due().collect::<Vec<_>>()) {
            due.entry(time).and_modify(|first: &mut i64| *first = at.min(*first)).or_insert(at);
        }
        due
    }

    /// Bytes of its state.
    pub fn state_bytes(&self) -> usize {
        self.state.iter().map(|sizes| sizes.borrow().iter().map(|size| size.bytes).sum::<usize>()).sum()
    }

    /// Ends the dataflow: it lets go of its inputs and timely removes it.
    pub fn end(&self, hub: &Hub) {
        self.dropped.set(true);
        for (id, queue) in self.inputs.borrow().iter() {
            if hub.contains(*id) {
                hub.get(*id).borrow_mut().subscribers.retain(|subscriber| !Rc::ptr_eq(&subscriber.queue, queue));
            }
        }
        self.head.activate();
    }

    /// Reads from another stream from now on. Both stand at the same position and no epoch is in flight.
    pub fn rebind(&self, hub: &Hub, from: StreamId, to: StreamId) {
        for (index, (id, queue)) in self.inputs.borrow_mut().iter_mut().enumerate() {
            if *id == from {
                hub.get(from).borrow_mut().subscribers.retain(|subscriber| !Rc::ptr_eq(&subscriber.queue, queue));
                let target = hub.get(to);
                target.borrow_mut().subscribers.push(Subscription { queue: queue.clone(), head: self.head.clone() });
                self.imports.borrow_mut()[index].source = target;
                *id = to;
            }
        }
    }
}

/// A view's fragments on one worker, as they begin, or as a checkpoint has them; `store` is where checkpoints of the view will be.
pub fn fragments(view: &NewView, index: usize, peers: usize, store: Option<&Arc<dyn StateStore>>) -> Result<Vec<Fragment>> {
    let mut fragments: Vec<Fragment> = view.plan.fragments.iter().map(|spec| spec.build(index, peers, store.is_some())).collect();
    let restoring = view.restoring.as_ref().filter(|_| view.stopped.is_none());
    for spec in &view.plan.states {
        let fragment = fragments.iter_mut().find(|fragment| fragment.has_state(spec.state));
        let fragment = fragment.ok_or_else(|| Error::internal(format!("no fragment of \"{}\" has state {}", view.name, spec.state)))?;
        match (restoring, store.filter(|_| spec.left_in_store)) {
            (_, Some(store)) => {
                fragment.look_up(spec.state, spec.part, Arc::new(StoredPart::new(store.clone(), view.id, spec)?))?;
            }
            (Some(Restoring { loader, .. }), None) => {
                loader.state(view.id, spec, (index, peers), |columns, rows| fragment.load(spec.state, spec.part, columns, rows))?;
            }
            (None, None) => {}
        }
    }
    if restoring.is_some() {
        fragments.iter_mut().for_each(Fragment::resume);
    }
    Ok(fragments)
}

/// Builds a view's dataflow of these fragments; its output goes to `view_stream`. Every worker builds the same, at the same lane
/// position.
pub fn build(
    worker: &mut timely::worker::Worker,
    hub: &Hub,
    view: &NewView,
    fragments: Vec<Fragment>,
    view_stream: Rc<RefCell<Stream>>,
    late: Option<Rc<RefCell<Stream>>>,
    dead: Rc<RefCell<Vec<DeadLetter>>>,
) -> Dataflow {
    let fragments: Vec<Rc<RefCell<Fragment>>> = fragments.into_iter().map(|fragment| Rc::new(RefCell::new(fragment))).collect();
    worker.dataflow_named::<Epoch, _, _>(&view.name, |scope| {
        let (dropped, at) = (Rc::new(Cell::new(false)), view.at);
        let (times, admitted, late_limit) = (Rc::<RefCell<Times>>::default(), Rc::default(), Rc::default());
        if view.plan.is_timed() && view.restoring.is_none() {
            let start = EpochTimes { wall_micros: view.wall_micros, ..EpochTimes::NONE };
            times.borrow_mut().insert(at, Arc::new(start));
        }
        let shared = Shared {
            dropped,
            failure: Rc::default(),
            turns: Arc::default(),
            late_rows: Arc::default(),
            dead,
            late,
            times,
            admitted,
            late_limit,
            at,
        };
        let (imports, streams, ticks, head) = head(scope, hub, view, &shared);
        let mut outputs: Vec<TimelyStream<Epoch, Chunk>> = vec![];
        let mut state = vec![];
        let last = view.plan.fragments.len() - 1;
        for (number, spec) in view.plan.fragments.iter().enumerate() {
            let mut builder = OperatorBuilder::new(format!("{}: {}", view.name, spec.name), scope);
            let mut ports = vec![];
            let of_import = |input: &InputSpec| match (input.from, &input.route) {
                (InputFrom::Import(import), Route::Local) => Some(imports.borrow()[import].complete.clone()),
                _ => None,
            };
            let own: Option<Vec<_>> = spec.inputs.iter().map(of_import).collect();
            for input in &spec.inputs {
                let stream = match input.from {
                    InputFrom::Import(import) => streams[import].clone(),
                    InputFrom::Fragment(fragment) => outputs[fragment].clone(),
                };
                ports.push(port(&mut builder, stream, &input.route));
            }
            if let Some(ticks) = &ticks {
                ports.push(port(&mut builder, ticks.clone(), &Route::Local));
            }
            let (output, stream) = builder.new_output::<Chunk>();
            outputs.push(stream);
            let sizes = Sizes::new(RefCell::new(fragments[number].borrow().sizes().collect()));
            state.push(sizes.clone());
            let sink = (number == last).then(|| view_stream.clone());
            let takes_late = view.plan.late.as_ref().is_some_and(|late| late.fragment == number);
            let fragment = fragments[number].clone();
            let opened = view.plan.is_timed().then(|| hub.opened.clone());
            let shared = shared.clone();
            builder.build_reschedule(move |capabilities| {
                let mut first = capabilities.into_iter().next().expect("one output, one capability");
                first.downgrade(&shared.at);
                let mut runner = Runner {
                    fragment,
                    ports,
                    own,
                    output: OutputBuilder::from(output),
                    pending: BTreeMap::new(),
                    current: Some((shared.at, first)),
                    opened,
                    sink,
                    takes_late,
                    sizes,
                    shared,
                };
                move |frontiers: &[MutableAntichain<Epoch>]| {
                    runner.run(frontiers);
                    false
                }
            });
        }
        let inputs = imports.borrow().iter().zip(&view.imports).map(|(import, id)| (*id, import.queue.clone())).collect();
        let inputs = Rc::new(RefCell::new(inputs));
        let Shared { dropped, failure, turns, late_rows, times, admitted, late_limit, .. } = shared;
        let is_timed = view.plan.is_timed();
        Dataflow { dropped, head, inputs, imports, fragments, state, failure, turns, late_rows, times, admitted, late_limit, is_timed }
    })
}

/// What the operators of one dataflow share.
#[derive(Clone)]
struct Shared {
    dropped: Rc<Cell<bool>>,
    failure: Rc<RefCell<Option<Error>>>,
    turns: Arc<AtomicU64>,
    late_rows: Arc<AtomicU64>,
    dead: Rc<RefCell<Vec<DeadLetter>>>,
    /// Where late rows go.
    late: Option<Rc<RefCell<Stream>>>,
    times: Rc<RefCell<Times>>,
    /// Late rows that are admitted, by epoch, until that begins.
    admitted: Rc<RefCell<BTreeMap<Epoch, RecordBatch>>>,
    late_limit: Rc<RefCell<LateLimit>>,
    /// The epoch of the snapshot that the view starts from.
    at: Epoch,
}

/// Adds to the late rows of a view, as far as more are kept.
fn publish_late(stream: &Rc<RefCell<Stream>>, limit: &RefCell<LateLimit>, epoch: Epoch, late: Vec<Delta>) -> Result<()> {
    let full = limit.borrow().full.contains(&epoch);
    for entries in late {
        let (entries, dropped) = kept(&stream.borrow(), entries, full)?;
        if dropped > 0 {
            *limit.borrow_mut().dropped.entry(epoch).or_default() += dropped;
        }
        stream.borrow_mut().publish(epoch, entries);
    }
    Ok(())
}

/// The one operator that holds capabilities of its own: it brings snapshots and deltas of all imports into the dataflow.
#[allow(clippy::type_complexity)] // four things that are made together
fn head<'scope>(
    scope: Scope<'scope, Epoch>,
    hub: &Hub,
    view: &NewView,
    shared: &Shared,
) -> (Rc<RefCell<Vec<Import>>>, Vec<TimelyStream<'scope, Epoch, Chunk>>, Option<TimelyStream<'scope, Epoch, Chunk>>, Rc<Activator>) {
    let mut builder = OperatorBuilder::new(format!("{}: head", view.name), scope);
    let activator = Rc::new(scope.activator_for(builder.operator_info().address));
    let mut imports = vec![];
    let mut outputs = vec![];
    let mut streams = vec![];
    for (spec, id) in view.plan.imports.iter().zip(&view.imports) {
        let source = hub.get(*id);
        // Who comes back has seen it.
        let new = view.restoring.is_none();
        let snapshot = source.borrow().shard.as_ref().filter(|_| new).map(|shard| shard.runs()).unwrap_or_default();
        let queue = Rc::<Queue>::default();
        source.borrow_mut().subscribers.push(Subscription { queue: queue.clone(), head: activator.clone() });
        let complete = Rc::new(Cell::new(shared.at));
        let origins = view.plan.late.as_ref().is_some_and(|late| late.positions);
        imports.push(Import { columns: spec.columns.clone(), source, queue, snapshot: snapshot.into(), origins, complete });
        let (output, stream) = builder.new_output::<Chunk>();
        outputs.push(OutputBuilder::<Epoch, NoopBuilder<Chunk>>::from(output));
        streams.push(stream);
    }
    // A view that depends on times is told of each epoch, with rows or without.
    let (mut ticks, tick_stream) = match view.plan.is_timed() {
        true => {
            let (output, stream) = builder.new_output::<Chunk>();
            (Some(OutputBuilder::<Epoch, NoopBuilder<Chunk>>::from(output)), Some(stream))
        }
        false => (None, None),
    };
    let imports = Rc::new(RefCell::new(imports));
    let (held, again, opened, shared) = (imports.clone(), activator.clone(), hub.opened.clone(), shared.clone());
    builder.build_reschedule(move |mut capabilities| {
        capabilities.iter_mut().for_each(|capability| capability.downgrade(&shared.at));
        move |_: &[MutableAntichain<Epoch>]| {
            shared.turns.fetch_add(1, Ordering::Relaxed);
            if shared.dropped.get() {
                capabilities.clear();
                held.borrow_mut().clear();
                return false;
            }
            let mut held = held.borrow_mut();
            let mut budget = HYDRATION_SLICE_ROWS;
            // That of the ticks comes after those of the imports.
            let (capabilities, tick_capability) = capabilities.split_at_mut(held.len());
            let tick_capability = tick_capability.first_mut();
            let mut ports: Vec<_> = held.iter_mut().zip(&mut outputs).zip(capabilities).collect();
            for ((import, output), capability) in &mut ports {
                if let Err(error) = feed_snapshot(import, output, capability, &mut budget) {
                    shared.failure.borrow_mut().get_or_insert(error);
                }
            }
            // Deltas stay in their queues, where they are counted, until they can be worked off.
            if ports.iter().any(|((import, _), _)| !import.snapshot.is_empty()) {
                again.activate();
                return false;
            }
            for ((import, output), capability) in &mut ports {
                if shared.failure.borrow().is_some() {
                    // Nobody computes with them.
                    import.queue.take();
                }
                if let Err(error) = feed_deltas(import, output, capability, opened.get()) {
                    shared.failure.borrow_mut().get_or_insert(error);
                }
            }
            if let Some((output, capability)) = ticks.as_mut().zip(tick_capability) {
                feed_ticks(&shared.times.borrow(), output, capability, opened.get());
            }
            // What was sent lies in the queues of this worker's fragments by now.
            for ((import, _), capability) in &ports {
                import.complete.set(*capability.time());
            }
            false
        }
    });
    activator.activate();
    (imports, streams, tick_stream, activator)
}

/// Tells of the epochs that have begun.
fn feed_ticks(times: &Times, output: &mut OutputBuilder<Epoch, NoopBuilder<Chunk>>, capability: &mut Capability<Epoch>, opened: Epoch) {
    let mut session = output.activate();
    for epoch in times.range(*capability.time()..).map(|(epoch, _)| *epoch) {
        capability.downgrade(&epoch);
        let nothing = Delta::insert(RecordBatch::new_empty(Arc::new(Schema::empty())));
        session.session_with_builder(&capability).give_container(&mut Chunk(Some(nothing)));
    }
    if opened > *capability.time() {
        capability.downgrade(&opened);
    }
}

/// Sends the next slice of an import's snapshot.
fn feed_snapshot(
    import: &mut Import,
    output: &mut OutputBuilder<Epoch, NoopBuilder<Chunk>>,
    capability: &Capability<Epoch>,
    budget: &mut usize,
) -> Result<()> {
    let mut session = output.activate();
    while *budget > 0
        && let Some(run) = import.snapshot.pop_front()
    {
        let rows = run.batch()?.project(&import.columns)?;
        *budget = budget.saturating_sub(rows.num_rows().max(1));
        session.session_with_builder(&capability).give_container(&mut Chunk(Some(Delta::insert(rows))));
    }
    Ok(())
}

/// Sends what is in an import's queue, epoch by epoch, and says how far it is complete.
fn feed_deltas(
    import: &mut Import,
    output: &mut OutputBuilder<Epoch, NoopBuilder<Chunk>>,
    capability: &mut Capability<Epoch>,
    opened: Epoch,
) -> Result<()> {
    let mut session = output.activate();
    for (epoch, delta) in import.queue.take() {
        if epoch > *capability.time() {
            capability.downgrade(&epoch);
        }
        let rows = delta.rows.project(&import.columns)?;
        let delta = if import.origins { delta } else { delta.without_origins() };
        session.session_with_builder(&capability).give_container(&mut Chunk(Some(delta.with_rows(rows))));
    }
    let complete = import.source.borrow().complete_before(opened);
    if complete > *capability.time() {
        capability.downgrade(&complete);
    }
    Ok(())
}

/// Drains one input: calls back with the capability and the rows of each chunk.
type Port = Box<dyn FnMut(&mut dyn FnMut(Capability<Epoch>, Delta))>;

fn port<'scope>(builder: &mut OperatorBuilder<'scope, Epoch>, stream: TimelyStream<'scope, Epoch, Chunk>, route: &Route) -> Port {
    macro_rules! drain {
        ($input:expr) => {{
            let mut input = $input;
            Box::new(move |take: &mut dyn FnMut(Capability<Epoch>, Delta)| {
                input.for_each(|capability, chunk| {
                    if let Some(delta) = chunk.0.take() {
                        take(capability.retain(0), delta);
                    }
                })
            })
        }};
    }
    match route {
        Route::Local => drain!(builder.new_input(stream, Pipeline)),
        Route::Hash(columns) => {
            let columns = columns.clone();
            drain!(builder.new_input(stream, DistributorPact(move |_peers| HashScatter { columns })))
        }
    }
}

/// Rows of an epoch that is not at its turn yet, by port, and the right to send what comes of them.
type Waiting = (Capability<Epoch>, Vec<(usize, Delta)>);

/// Runs a fragment: epochs in order, each pushed, closed and sent on.
struct Runner {
    fragment: Rc<RefCell<Fragment>>,
    ports: Vec<Port>,
    /// How far the imports are complete, if it reads nothing else and they come without an exchange.
    own: Option<Vec<Rc<Cell<Epoch>>>>,
    output: OutputBuilder<Epoch, NoopBuilder<Chunk>>,
    /// Rows of epochs that are not at their turn yet.
    pending: BTreeMap<Epoch, Waiting>,
    /// The epoch that has begun and is not closed.
    current: Option<(Epoch, Capability<Epoch>)>,
    /// Where the times of epochs matter: all before it have been opened on this worker, so that their times are known. Rows may
    /// come of later ones, from workers that are ahead; the tick of their epoch wakes this one.
    opened: Option<Rc<Cell<Epoch>>>,
    /// Where the output goes if this is the last fragment.
    sink: Option<Rc<RefCell<Stream>>>,
    /// Whether late rows are taken out here.
    takes_late: bool,
    sizes: Sizes,
    shared: Shared,
}

impl Runner {
    fn run(&mut self, frontiers: &[MutableAntichain<Epoch>]) {
        self.shared.turns.fetch_add(1, Ordering::Relaxed);
        let pending = &mut self.pending;
        for (number, port) in self.ports.iter_mut().enumerate() {
            port(&mut |capability, delta| {
                pending.entry(*capability.time()).or_insert_with(|| (capability, vec![])).1.push((number, delta));
            });
        }
        if self.shared.dropped.get() {
            self.pending.clear();
            self.current = None;
            return;
        }
        let of_own = self.own.iter().flat_map(|own| own.iter().map(|complete| complete.get()).min()).next().unwrap_or(0);
        // An empty frontier: the inputs have ended, as they do only when the view is dropped.
        let of_all =
            frontiers.iter().map(|frontier| frontier.frontier().first().copied().unwrap_or(Epoch::MAX)).min().unwrap_or(Epoch::MAX);
        let frontier = of_all.max(of_own);
        let opened = self.opened.as_ref().map_or(Epoch::MAX, |opened| opened.get());
        let mut worked = false;
        loop {
            if let Some((epoch, _)) = &self.current {
                let epoch = *epoch;
                worked |= self.push_pending(epoch);
                if epoch >= frontier {
                    break;
                }
                self.close(epoch);
                worked = true;
            }
            match self.pending.first_entry() {
                Some(entry) if *entry.key() <= frontier && *entry.key() < opened => {
                    let epoch = *entry.key();
                    let (capability, deltas) = entry.remove();
                    self.current = Some((epoch, capability.clone()));
                    self.pending.insert(epoch, (capability, deltas));
                    self.admit(epoch);
                }
                _ => break,
            }
        }
        if worked {
            let (fragment, mut sizes) = (self.fragment.borrow(), self.sizes.borrow_mut());
            sizes.iter_mut().zip(fragment.sizes()).for_each(|(size, now)| *size = now);
        }
        if let Some(sink) = &self.sink {
            let sink = sink.borrow();
            let complete = sink.frontier.as_ref().expect("a view's stream has a frontier");
            // Timely starts every frontier at 0, before the epoch that the view starts from.
            debug_assert!(frontier >= complete.get() || complete.get() == self.shared.at, "a frontier never moves back");
            if frontier != Epoch::MAX && frontier > complete.get() {
                complete.set(frontier);
                sink.wake();
                if let Some(late) = &self.shared.late {
                    // Whoever takes them out is done with what this fragment is done with.
                    let late = late.borrow();
                    late.frontier.iter().for_each(|complete| complete.set(frontier));
                    late.wake();
                }
            }
        }
    }

    /// Late rows that are admitted in the epoch come before all others.
    fn admit(&mut self, epoch: Epoch) {
        if !self.takes_late {
            return;
        }
        let Some(late) = self.shared.admitted.borrow_mut().remove(&epoch) else { return };
        let mut out = vec![];
        self.attempt(epoch, &mut out, |fragment, context| fragment.admit(&late, context));
        self.send(epoch, out);
    }

    /// Pushes what has arrived for the current epoch; says whether there was anything.
    fn push_pending(&mut self, epoch: Epoch) -> bool {
        let Some((_, deltas)) = self.pending.remove(&epoch) else { return false };
        let mut out = vec![];
        for (port, delta) in deltas {
            // A tick has no rows, and no input of the fragment.
            if !delta.is_empty() {
                self.attempt(epoch, &mut out, |fragment, context| fragment.push(port, delta, context));
            }
        }
        self.send(epoch, out);
        true
    }

    /// Closes the current epoch and lets its capability go.
    fn close(&mut self, epoch: Epoch) {
        let mut out = vec![];
        self.attempt(epoch, &mut out, |fragment, context| fragment.close(context));
        self.send(epoch, out);
        self.current = None;
    }

    /// Runs a step of the fragment; after a failure the view computes no more, and says why.
    fn attempt(&mut self, epoch: Epoch, out: &mut Vec<Delta>, step: impl FnOnce(&mut Fragment, &mut Context) -> Result<()>) {
        if self.shared.failure.borrow().is_some() {
            return;
        }
        let mut dead = self.shared.dead.borrow_mut();
        let mut late = vec![];
        let times = self.shared.times.borrow().get(&epoch).cloned();
        debug_assert!(self.opened.is_none() || times.is_some() || epoch == self.shared.at, "epoch {epoch} began without its times");
        let none = EpochTimes::NONE;
        let times = times.as_deref().unwrap_or(&none);
        let mut context = Context { epoch, times, admitted: None, out, dead: &mut dead, late: &mut late };
        let result = step(&mut self.fragment.borrow_mut(), &mut context);
        let late_rows: usize = late.iter().map(Delta::num_rows).sum();
        self.shared.late_rows.fetch_add(late_rows as u64, Ordering::Relaxed);
        let result = result.and_then(|()| {
            self.shared.late.iter().try_for_each(|stream| publish_late(stream, &self.shared.late_limit, epoch, std::mem::take(&mut late)))
        });
        if let Err(error) = result {
            tracing::error!(%error, epoch, "a view stopped computing");
            self.shared.failure.borrow_mut().get_or_insert(error);
        }
    }

    fn send(&mut self, epoch: Epoch, deltas: Vec<Delta>) {
        let (_, capability) = self.current.as_ref().expect("only the current epoch sends");
        match &self.sink {
            Some(sink) => deltas.into_iter().for_each(|delta| sink.borrow_mut().publish(epoch, delta.without_origins())),
            None => {
                let mut session = self.output.activate();
                for delta in deltas.into_iter().filter(|delta| !delta.is_empty()) {
                    session.session_with_builder(capability).give_container(&mut Chunk(Some(delta)));
                }
            }
        }
    }
}
