//! SESSION: a GROUP BY of whole sessions keeps their sums, anything else their rows.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use weir_common::error::{Error, Result};
use weir_common::expr::{Column, ExprRef};
use weir_common::lateness::SessionLife;
use weir_common::plan::{AggregateCall, Closing, EventTime, Facts, Node, Op};

use super::{Lowering, Open, Spread, hashable};
use crate::lower::StepOp;
use crate::operator::aggregate::session::SessionSpec;
use crate::operator::aggregate::session::gate::GateSpec;
use crate::operator::aggregate::session::rows::SessionRowsSpec;
use crate::operator::aggregate::{AggregateSpec, Stage};

/// A GROUP BY whose groups are the sessions of each partition.
pub(super) struct Grouped<'a> {
    /// What the sessions are of.
    input: &'a Node,
    partition: &'a [usize],
    column: usize,
    gap: i64,
    /// When they close, if they do.
    life: Option<&'a SessionLife>,
    /// For each key, its column among those of the partition, the start and the end.
    keys: Vec<usize>,
    /// The other columns of the aggregate's input, over the rows of `input`.
    arguments: Vec<ExprRef>,
}

/// The aggregate over sessions that `node` is, if its groups are whole sessions and nothing else is asked of their windows. Sessions
/// that close are summed up where rows are only added, and nothing is asked of closed ones: else their rows tell more.
pub(super) fn grouped<'a>(node: &'a Node, keys: usize, calls: &[AggregateCall]) -> Option<Grouped<'a>> {
    let [below] = node.inputs.as_slice() else { return None };
    let (session, exprs) = match &below.op {
        Op::Project { exprs } => (below.inputs.first()?, exprs.clone()),
        _ => (below, passed(&below.schema)),
    };
    let Op::Session { partition, column, gap, life } = &session.op else { return None };
    let input = session.inputs.first()?;
    if life.as_ref().is_some_and(|life| !input.facts.append_only || life.windows.keeps_closed) {
        return None;
    }
    let width = input.schema.fields().len();
    let place = |expr: &ExprRef| {
        let column = expr.as_column()?;
        match column.checked_sub(width) {
            Some(edge) => Some(partition.len() + edge),
            None => partition.iter().position(|by| *by == column),
        }
    };
    let places: Vec<usize> = exprs.get(..keys)?.iter().map(place).collect::<Option<_>>()?;
    let arguments = exprs[keys..].to_vec();
    let whole = (0..partition.len()).all(|by| places.contains(&by)) && places.iter().any(|place| *place >= partition.len());
    let of_rows = arguments.iter().all(|expr| expr.columns().iter().all(|column| *column < width));
    let read = calls.iter().flat_map(|call| call.argument.into_iter().chain(call.filter)).all(|column| column >= keys);
    (whole && of_rows && read && !calls.iter().any(|call| call.distinct)).then_some(Grouped {
        input,
        partition,
        column: *column,
        gap: *gap,
        life: life.as_ref(),
        keys: places,
        arguments,
    })
}

/// All columns as they are.
fn passed(schema: &Schema) -> Vec<ExprRef> {
    (0..schema.fields().len()).map(|column| of_column(schema, column)).collect()
}

fn of_column(schema: &Schema, index: usize) -> ExprRef {
    let field = schema.field(index);
    Arc::new(Column { index, name: field.name().clone(), data_type: field.data_type().clone() })
}

impl Lowering {
    pub(super) fn session(
        &mut self,
        grouped: Grouped,
        keys: usize,
        calls: &[AggregateCall],
        schema: SchemaRef,
        facts: Facts,
    ) -> Result<Open> {
        let Grouped { input, partition, column, gap, life, keys: places, arguments } = grouped;
        let input = self.node(input)?.windowed();
        check(&input.schema, partition, column, gap)?;
        // The columns of the partition, the time, what is aggregated.
        let by = partition.len();
        let mut exprs: Vec<ExprRef> = partition.iter().chain([&column]).map(|column| of_column(&input.schema, *column)).collect();
        let mut fields: Vec<Field> = partition.iter().chain([&column]).map(|column| input.schema.field(*column).clone()).collect();
        fields.extend(arguments.iter().map(|expr| Field::new(expr.describe(), expr.data_type().clone(), true)));
        exprs.extend(arguments);
        let moved = |column: usize| column - keys + by + 1;
        let moved =
            |call: &AggregateCall| AggregateCall { argument: call.argument.map(moved), filter: call.filter.map(moved), ..call.clone() };
        let calls: Vec<AggregateCall> = calls.iter().map(moved).collect();
        let (append_only, state) = (input.facts.append_only, self.state_number()?);
        let moments = |stage| AggregateSpec { keys: by + 1, calls: calls.clone(), stage, append_only, state, life: None };
        let of_rows = Arc::new(Schema::new(fields));
        let mut stage = Stage::Whole;
        let mut gate = None;
        let mut open = match life {
            Some(life) => {
                // What is late is told of as it came.
                let open = self.gathered(input, partition);
                self.take_late(&open.schema, column, life.positions, append_only, Some(open.spread.columns().to_vec()))?;
                let (life, input, rows) = (life.clone(), open.schema.clone(), of_rows.clone());
                gate = Some(GateSpec { life, input, partition: partition.to_vec(), time: column, exprs, rows });
                open
            }
            None => {
                let spread = input.spread.projected(&exprs);
                let rows = Facts { append_only, ..Facts::default() };
                input.add(StepOp::Project(exprs), of_rows.clone(), rows, spread)
            }
        };
        let together = gate.is_some() || open.gathers(|column| column < by);
        if gate.is_none() && !calls.iter().any(|call| moments(Stage::Whole).keeps_values(call)) {
            // Each moment is summed up once in an epoch: messages, that are never taken back.
            let (schema, before) = (moments(Stage::Partial).partial_schema(&of_rows)?, open.spread.clone());
            let messages = Facts { append_only: true, ..Facts::default() };
            let spread = if together { before } else { Spread::Anywhere };
            open = open.add(StepOp::Aggregate(moments(Stage::Partial)), schema, messages, spread);
            stage = Stage::Final;
        }
        if !together {
            open = self.exchange(open, (0..by).collect());
        }
        // The columns of the partition, the window, the results.
        let edge = |name: &str| of_rows.field(by).clone().with_name(name);
        let mut fields: Vec<Field> = of_rows.fields()[..by].iter().map(|field| field.as_ref().clone()).collect();
        fields.extend([edge("window_start"), edge("window_end")]);
        fields.extend(calls.iter().map(|call| Field::new(&call.name, call.output.clone(), true)));
        let of_sessions = Arc::new(Schema::new(fields));
        // Where the columns of the partition are.
        let place = |column: &usize| partition.iter().position(|of| of == column);
        let spread = match (&gate, &open.spread) {
            (Some(_), Spread::By(columns)) => columns.iter().map(place).collect::<Option<_>>().map_or(Spread::Anywhere, Spread::By),
            (_, spread) => spread.clone(),
        };
        let session = SessionSpec { moments: moments(stage), gap, gate };
        session.check(&of_rows)?;
        self.states.extend(session.state_specs(&of_rows, &of_sessions, spread.columns())?);
        let place = |column: usize| if column < keys { places[column] } else { column - keys + by + 2 };
        let known = Facts {
            append_only: facts.append_only,
            // One session may begin where a closed one did, and none ends where another one does.
            key: Some(if life.is_some() { (0..by).chain([by + 1]).collect() } else { (0..=by).collect() }),
            event_times: facts.event_times.iter().map(|time| EventTime { column: place(time.column), ..time.clone() }).collect(),
            closes: facts.closes.as_ref().map(|closes| Closing { column: place(closes.column), ..closes.clone() }),
        };
        let open = open.add(StepOp::Session(session), of_sessions.clone(), known, spread);
        let columns: Vec<usize> = (0..schema.fields().len()).map(place).collect();
        if columns.iter().copied().eq(0..of_sessions.fields().len()) {
            return Ok(Open { schema, facts, ..open });
        }
        let exprs: Vec<ExprRef> = columns.into_iter().map(|column| of_column(&of_sessions, column)).collect();
        if !exprs.iter().map(|expr| expr.data_type()).eq(schema.fields().iter().map(|field| field.data_type())) {
            return Err(Error::internal("an aggregate's columns are not what the plan says"));
        }
        let spread = open.spread.projected(&exprs);
        Ok(open.add(StepOp::Project(exprs), schema, facts, spread))
    }

    /// The rows of each partition on one worker.
    fn gathered(&mut self, input: Open, partition: &[usize]) -> Open {
        match input.gathers(|column| partition.contains(&column)) {
            true => input,
            false => self.exchange(input, partition.to_vec()),
        }
    }

    #[allow(clippy::too_many_arguments)] // what the step says, and what goes out of it
    pub(super) fn session_rows(
        &mut self,
        input: Open,
        partition: &[usize],
        column: usize,
        gap: i64,
        life: Option<&SessionLife>,
        schema: SchemaRef,
        facts: Facts,
    ) -> Result<Open> {
        check(&input.schema, partition, column, gap)?;
        let time = input.schema.field(column).data_type();
        let types = input.schema.fields().iter().map(|field| field.data_type()).chain([time, time]);
        if !types.eq(schema.fields().iter().map(|field| field.data_type())) {
            return Err(Error::internal("the columns of SESSION are not what the plan says"));
        }
        let spec = SessionRowsSpec { partition: partition.to_vec(), time: column, gap, state: self.state_number()?, life: life.cloned() };
        spec.check(&input.schema)?;
        let input = self.gathered(input, partition);
        let spread = input.spread.clone();
        if let Some(life) = life {
            self.take_late(&input.schema, column, life.positions, input.facts.append_only, Some(spread.columns().to_vec()))?;
        }
        self.states.extend(spec.state_specs(&input.schema, spread.columns()));
        Ok(input.add(StepOp::SessionRows(spec), schema, facts, spread))
    }
}

fn check(input: &Schema, partition: &[usize], column: usize, gap: i64) -> Result<()> {
    let time = input.fields().get(column).map(|field| field.data_type());
    let known = partition.iter().all(|column| *column < input.fields().len());
    if !matches!(time, Some(DataType::Timestamp(TimeUnit::Microsecond, _))) || !known || gap < 1 {
        return Err(Error::internal(format!("column {column} cannot be put into sessions with gaps of {gap}")));
    }
    match partition.iter().map(|column| input.field(*column).data_type()).find(|data_type| !hashable(data_type)) {
        Some(data_type) => Err(Error::unsupported(format!("sessions of values of type {data_type} cannot be maintained yet"))
            .with_hint("Partition by a cast of it, such as to text.")),
        None => Ok(()),
    }
}
