//! Snapshots and finite sources as physical plans.

use std::fmt;
use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::{RecordBatchReceiverStreamBuilder, RecordBatchStreamAdapter};
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::stream;
use weir_common::limits::BATCH_ROWS_MAX;
use weir_common::snapshot::{Run, Snapshot};
use weir_common::source::{Position, Read, SourceRef};

use crate::context::external;

/// Batches that a reader of a source may be ahead of the query.
const SOURCE_BATCHES_AHEAD: usize = 4;

/// The live rows of a snapshot, without a copy where all rows of a run are live.
#[derive(Debug)]
pub(crate) struct SnapshotExec {
    name: String,
    runs: Vec<Run>,
    projection: Vec<usize>,
    limit: Option<usize>,
    properties: Arc<PlanProperties>,
}

impl SnapshotExec {
    pub(super) fn new(
        name: String,
        snapshot: Snapshot,
        schema: &SchemaRef,
        projection: Option<&[usize]>,
        limit: Option<usize>,
        partitions: usize,
    ) -> Result<Self> {
        let projection = projection.map_or_else(|| (0..schema.fields().len()).collect(), <[usize]>::to_vec);
        let schema = Arc::new(schema.project(&projection)?);
        let partitions = partitions.min(snapshot.runs.len()).max(1);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(SnapshotExec { name, runs: snapshot.runs, projection, limit, properties: Arc::new(properties) })
    }

    fn partitions(&self) -> usize {
        self.properties.output_partitioning().partition_count()
    }

    /// The runs of one partition: every n-th.
    fn runs(&self, partition: usize) -> impl Iterator<Item = &Run> {
        self.runs.iter().skip(partition).step_by(self.partitions())
    }
}

impl DisplayAs for SnapshotExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let schema = self.schema();
        let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let rows: usize = self.runs.iter().map(Run::live_rows).sum();
        write!(f, "SnapshotExec: {}, columns=[{}], rows={rows}", self.name, columns.join(", "))?;
        match self.limit {
            Some(limit) => write!(f, ", limit={limit}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for SnapshotExec {
    fn name(&self) -> &str {
        "SnapshotExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(&self, _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.is_empty() {
            true => Ok(self),
            false => internal_err!("a scan has no inputs"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match children.is_empty() {
            true => Ok(self),
            false => internal_err!("a scan has no inputs"),
        }
    }

    fn execute(&self, partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let runs: Vec<Run> = self.runs(partition).cloned().collect();
        let (projection, schema) = (self.projection.clone(), self.schema());
        let mut left = self.limit.unwrap_or(usize::MAX);
        let stamp = schema.clone();
        // Pieces of a run, so that what follows works on batches that fit caches and can stop early.
        let pieces = runs.into_iter().flat_map(|run| {
            let rows = run.rows.num_rows();
            (0..rows).step_by(BATCH_ROWS_MAX).map(move |offset| (run.clone(), offset, BATCH_ROWS_MAX.min(rows - offset)))
        });
        let batches = pieces.filter_map(move |(run, offset, len)| {
            if left == 0 {
                return None;
            }
            let batch = piece(&run, offset, len, &projection, &stamp).map(|batch| batch.slice(0, batch.num_rows().min(left)));
            if let Ok(batch) = &batch {
                left -= batch.num_rows();
            }
            match batch {
                Ok(batch) if batch.num_rows() == 0 => None,
                batch => Some(batch),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches))))
    }

    fn statistics_from_inputs(&self, _inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let rows: usize = match args.partition() {
            Some(partition) => self.runs(partition).map(Run::live_rows).sum(),
            None => self.runs.iter().map(Run::live_rows).sum(),
        };
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.num_rows = Precision::Exact(self.limit.map_or(rows, |limit| rows.min(limit)));
        Ok(Arc::new(statistics))
    }
}

fn piece(run: &Run, offset: usize, len: usize, projection: &[usize], schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = projection.iter().map(|column| run.rows.column(*column).slice(offset, len)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(len));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
    match &run.live {
        None => Ok(batch),
        Some(live) => Ok(filter_record_batch(&batch, &BooleanArray::new(live.slice(offset, len), None))?),
    }
}

/// A finite source, read from its start on a thread that may block.
#[derive(Debug)]
pub(crate) struct SourceStream {
    source: SourceRef,
    schema: SchemaRef,
}

impl SourceStream {
    pub(super) fn plan(
        source: SourceRef,
        schema: SchemaRef,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<StreamingTableExec> {
        let partition: Arc<dyn PartitionStream> = Arc::new(SourceStream { source, schema: schema.clone() });
        StreamingTableExec::try_new(schema, vec![partition], projection, [], false, limit)
    }
}

impl PartitionStream for SourceStream {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStreamBuilder::new(self.schema.clone(), SOURCE_BATCHES_AHEAD);
        let (sender, source, schema) = (builder.tx(), self.source.clone(), self.schema.clone());
        builder.spawn_blocking(move || {
            let mut reader = source.open(&Position::default()).map_err(external)?;
            loop {
                let batch = match reader.next().map_err(external)? {
                    Read::Batch(batch) => batch,
                    Read::PartitionIdle(_) | Read::Unreachable => continue,
                    Read::Idle | Read::End => break,
                };
                let options = RecordBatchOptions::new().with_row_count(Some(batch.rows.num_rows()));
                let rows = RecordBatch::try_new_with_options(schema.clone(), batch.rows.columns().to_vec(), &options)?;
                // The query may have had enough.
                if sender.blocking_send(Ok(rows)).is_err() {
                    break;
                }
            }
            Ok(())
        });
        builder.build()
    }
}
