//! Runs a case: every view maintained in the simulator, and after each epoch compared with its query.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Once};

use arrow::array::UInt32Array;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use fastrand::Rng;
use tokio::runtime::Runtime;
use weir_common::dead_letter::Reason;
use weir_common::delta::Delta;
use weir_common::error::{Error, Result, SqlState};
use weir_common::ids::RelationId;
use weir_dataflow::consolidate::consolidate;
use weir_dataflow::explain::explain;
use weir_dataflow::lower::{DataflowPlan, lower};
use weir_dataflow::simulator::{Integral, Simulator};
use weir_sql::catalog::{Catalog, ColumnDef, MaterializedViewDef, Relation, RelationKind, ViewDef};
use weir_sql::lower::{WindowClauses, plan_view};
use weir_sql::parser;
use weir_sql::statement::Statement;

use crate::batch::{self, Batch, Stored};
use crate::case::{Case, Change, View};
use crate::compare::difference;
use crate::fault::{Fault, flipped};
use crate::relation::SourceRows;

/// What became of a case.
#[derive(Debug)]
pub enum Verdict {
    /// A view cannot be maintained.
    Refused(Error),
    /// Every view equalled its query after each epoch.
    Passed(Passed),
    /// It did not.
    Failed(Failure),
}

/// What was compared.
#[derive(Debug, Default)]
pub struct Passed {
    /// Answers that were compared.
    pub answers: usize,
    /// Of these, those with rows.
    pub with_rows: usize,
    /// Answers that failed as a batch, on a row that became a dead letter in the view.
    pub failing: usize,
    /// Whether the fault had anything to spoil.
    pub spoiled: bool,
}

/// A difference, or a panic.
#[derive(Debug)]
pub struct Failure {
    pub epoch: usize,
    pub message: String,
}

/// A maintained view.
struct Maintained {
    id: RelationId,
    plan: DataflowPlan,
    simulator: Simulator,
    batch: Batch,
    schema: SchemaRef,
    /// All rows, as the batch side reads them.
    rows: Delta,
    integral: Integral,
    dead: bool,
    sql: String,
}

thread_local! {
    /// Whether a panic of this thread is told by whoever catches it.
    static QUIET: Cell<bool> = const { Cell::new(false) };
    /// What the last such panic said, and where.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs a case, with a deliberate mistake or none.
pub fn run(case: &Case, fault: Fault, runtime: &Runtime) -> Verdict {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match QUIET.get() {
            true => {
                let trace = Backtrace::capture();
                PANIC.set(if trace.status() == BacktraceStatus::Captured { format!("{info}\n{trace}") } else { info.to_string() });
            }
            false => loud(info),
        }));
    });
    let epoch = Cell::new(0);
    QUIET.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| attempt(case, fault, runtime, &epoch)));
    QUIET.set(false);
    match outcome {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(error)) if error.sqlstate() == SqlState::FEATURE_NOT_SUPPORTED => Verdict::Refused(error),
        Ok(Err(error)) => Verdict::Failed(Failure { epoch: 0, message: format!("planning failed: {error:?}") }),
        Err(_) => Verdict::Failed(Failure { epoch: epoch.get(), message: PANIC.take() }),
    }
}

fn attempt(case: &Case, fault: Fault, runtime: &Runtime, at: &Cell<usize>) -> Result<Verdict> {
    let mut catalog = Catalog::default();
    let mut inputs = Vec::new();
    for input in &case.inputs {
        let columns = input.columns.iter().map(|(name, kind)| ColumnDef::new(name, kind.column_type()).field());
        let schema = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
        let rows = SourceRows { rows: Arc::new(Mutex::new(RecordBatch::new_empty(schema.clone()))), schema };
        let relation = input.relation(&catalog, &rows);
        inputs.push((relation.id, rows));
        catalog = catalog.with(relation);
    }
    let mut passed = Passed::default();
    let mut views = Vec::new();
    for view in &case.views {
        views.extend(create(&mut catalog, view, case.workers, fault, &mut passed.spoiled)?);
    }
    let mut stored = Stored::new();
    let mut rng = Rng::with_seed(case.seed ^ 0xEC0);
    for epoch in 0..case.epochs {
        at.set(epoch);
        let mut changes: Vec<(RelationId, Delta, usize)> = Vec::new();
        for Change { input, worker, rows } in case.deltas(epoch) {
            let (relation, SourceRows { schema, .. }) = &inputs[input];
            let mut rows = rows.as_slice();
            if fault == Fault::Lose && !passed.spoiled {
                passed.spoiled = true;
                rows = &rows[1..];
            }
            let weights: Vec<i64> = rows.iter().map(|(_, weight)| *weight).collect();
            let batch = batch::batch(schema, rows.iter().map(|(row, _)| row));
            let delta = if weights.iter().all(|weight| *weight == 1) { Delta::insert(batch) } else { Delta::weighted(batch, weights) };
            changes.push((*relation, delta, worker));
        }
        for (input, (relation, source)) in inputs.iter().enumerate() {
            let rows = batch::batch(&source.schema, case.rows(input, epoch).iter());
            *source.rows.lock().expect("no reader panics") = rows.clone();
            stored.insert(*relation, batch::snapshot(rows, epoch as u64 + 1));
        }
        let last = views.len() - 1;
        for (index, view) in views.iter_mut().enumerate() {
            let mut out = view.step(&changes);
            let spoilable = fault == Fault::Flip && index == last && !passed.spoiled;
            if let Some(delta) = out.iter_mut().find(|delta| spoilable && !delta.is_empty()) {
                *delta = flipped(delta);
                passed.spoiled = true;
            }
            view.keep(&out)?;
            stored.insert(view.id, batch::snapshot(view.rows.rows.clone(), epoch as u64 + 1));
            changes.extend(out.into_iter().map(|delta| (view.id, delta, rng.usize(..case.workers))));
            if let Some(message) = view.check(&stored, runtime, &mut passed)? {
                let message = format!("{message}\nof the view\n    {}\n{}", view.sql, explain(&view.plan));
                return Ok(Verdict::Failed(Failure { epoch, message }));
            }
        }
    }
    Ok(Verdict::Passed(passed))
}

/// Adds a view to the catalog, as CREATE does; a materialized one with what maintains it.
fn create(catalog: &mut Catalog, view: &View, workers: usize, fault: Fault, spoiled: &mut bool) -> Result<Option<Maintained>> {
    let (id, name, sql) = (catalog.next_id(), view.name.clone(), view.query.clone());
    if !view.materialized {
        let plan = batch::context(catalog).plan_plain_view(&batch::query(&sql)?, &sql, &[])?;
        let kind = RelationKind::View(ViewDef { query: sql.clone() });
        *catalog = catalog.with(Relation { id, name, kind, columns: plan.columns, sql, depends_on: plan.depends_on });
        return Ok(None);
    }
    let text = format!("CREATE MATERIALIZED VIEW {name} AS {sql}");
    let Statement::CreateMaterializedView(create) = parser::parse(&text)?.remove(0).statement else {
        panic!("not a materialized view: {text}")
    };
    let mut plan = plan_view(catalog, &name, &create.query, &text, &[], &WindowClauses::default())?;
    let batch = Batch::plan(catalog, &sql)?;
    let types = |schema: &SchemaRef| schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
    assert_eq!(types(&plan.schema), types(batch.schema()), "the types of view and query");
    let facts = plan.root.facts.clone();
    *spoiled |= fault.plan(&mut plan.root);
    let dataflow = lower(&plan.root, &name, workers)?;
    let relation = Relation {
        id,
        name,
        kind: RelationKind::MaterializedView(MaterializedViewDef {
            query: create.query_text.clone(),
            facts,
            late: None,
            late_positions: true,
            admits_late: false,
            life: None,
        }),
        columns: plan.columns,
        sql: text.clone(),
        depends_on: plan.depends_on,
    };
    let schema = relation.schema();
    *catalog = catalog.with(relation);
    Ok(Some(Maintained {
        id,
        simulator: Simulator::new(&dataflow, workers),
        plan: dataflow,
        batch,
        rows: Delta::insert(RecordBatch::new_empty(schema.clone())),
        schema,
        integral: Integral::new(),
        dead: false,
        sql: text,
    }))
}

impl Maintained {
    /// An epoch: what comes in, and what the view puts out.
    fn step(&mut self, changes: &[(RelationId, Delta, usize)]) -> Vec<Delta> {
        for (relation, delta, worker) in changes {
            for import in 0..self.plan.imports.len() {
                if self.plan.imports[import].relation == *relation {
                    let rows = delta.rows.project(&self.plan.imports[import].columns).expect("the relation has the columns");
                    self.simulator.push(import, delta.with_rows(rows), *worker);
                }
            }
        }
        let out = self.simulator.close_epoch();
        self.dead |= self.simulator.take_dead_letters().iter().any(|letter| letter.reason == Reason::Expression);
        out
    }

    /// Adds an epoch's output to the view's rows.
    fn keep(&mut self, out: &[Delta]) -> Result<()> {
        out.iter().for_each(|delta| self.integral.add(delta));
        let named = out.iter().map(|delta| {
            let columns = delta.rows.columns().to_vec();
            Ok(delta.with_rows(weir_common::delta::batch(self.schema.clone(), columns, delta.num_rows())?))
        });
        let all: Vec<Delta> = std::iter::once(Ok(self.rows.clone())).chain(named).collect::<Result<_>>()?;
        let net = consolidate(&Delta::concat(&self.schema, &all)?)?;
        let copies = (0..net.num_rows() as u32).flat_map(|row| std::iter::repeat_n(row, net.weights.get(row as usize).max(0) as usize));
        self.rows = Delta::insert(net.rows).take(&UInt32Array::from_iter_values(copies))?;
        Ok(())
    }

    /// What is different between the view and its query.
    fn check(&self, stored: &Stored, runtime: &Runtime, passed: &mut Passed) -> Result<Option<String>> {
        let answer = match self.batch.run(stored, runtime) {
            Ok(answer) => answer,
            // A row on which the query fails is a dead letter of the view.
            Err(error) if error.sqlstate().0.starts_with("22") && self.dead => {
                passed.failing += 1;
                return Ok(None);
            }
            Err(error) => return Ok(Some(format!("the batch answer is an error: {error:?}"))),
        };
        let mut integral = Integral::new();
        answer.into_iter().for_each(|rows| integral.add(&Delta::insert(rows)));
        passed.answers += 1;
        passed.with_rows += !integral.is_empty() as usize;
        Ok(difference(&self.schema, &self.integral, &integral))
    }
}
