//! The plan of a view, interpreted over whole relations, gives the rows and types of the same query read ad hoc. (That the
//! operators maintain what a plan says is shown elsewhere; here it is that the plan says what the query means.)

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, TimestampMicrosecondArray, UInt32Array, new_empty_array};
use arrow::compute::{cast, concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Schema, TimeUnit, TimestampMicrosecondType};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::ScalarValue;
use weir_common::moments::{FloatMoments, IntegerMoments};
use weir_common::numeric::average;
use weir_common::plan::{AggregateCall, AggregateFunction, Node, Op};
use weir_common::temporal::{ClockCondition, Comparison, TimeCondition};

use super::{World, header, lines, world};
use crate::catalog::RelationKind;

/// All rows of a step, with its types.
fn run(world: &World, node: &Node) -> RecordBatch {
    let inputs: Vec<RecordBatch> = node.inputs.iter().map(|input| run(world, input)).collect();
    let rows = match &node.op {
        Op::Import { relation, columns, .. } => {
            let all = match &world.catalog.by_id(*relation).unwrap().kind {
                RelationKind::Source(source) => match source.source.open(&Default::default()).unwrap().next().unwrap() {
                    weir_common::source::Read::Batch(batch) => batch.rows,
                    _ => panic!("a source without rows"),
                },
                _ => world.rows[relation].batches().unwrap().remove(0),
            };
            all.project(columns).unwrap()
        }
        Op::Filter { predicate } => {
            let mask = predicate.evaluate(&inputs[0]).unwrap();
            filter_record_batch(&inputs[0], mask.as_boolean()).unwrap()
        }
        Op::TemporalFilter(condition) => filter_record_batch(&inputs[0], &at_now(condition, &inputs[0])).unwrap(),
        // No watermark ever passes here.
        Op::TakeLate(_) => inputs[0].clone(),
        Op::HoldBack(_) => inputs[0].slice(0, 0),
        Op::RequireEventTime { column } => {
            let times = inputs[0].column(*column);
            let mask: BooleanArray = (0..times.len()).map(|row| Some(times.is_valid(row))).collect();
            filter_record_batch(&inputs[0], &mask).unwrap()
        }
        Op::Windows { column, windows, .. } => {
            let times = inputs[0].column(*column).as_primitive::<TimestampMicrosecondType>();
            let (mut rows, mut edges) = (vec![], vec![]);
            for (row, time) in times.values().iter().enumerate() {
                windows.edges(*time, |edge| {
                    rows.push(row as u32);
                    edges.push(edge);
                });
            }
            let copied = take_record_batch(&inputs[0], &UInt32Array::from(rows)).unwrap();
            let mut columns = copied.columns().to_vec();
            columns[*column] = Arc::new(TimestampMicrosecondArray::from(edges).with_data_type(times.data_type().clone()));
            return typed(node, columns, copied.num_rows());
        }
        Op::Session { partition, column, gap, .. } => {
            let times = inputs[0].column(*column).as_primitive::<TimestampMicrosecondType>();
            let value = |column: usize, row: usize| ScalarValue::try_from_array(inputs[0].column(column), row).unwrap();
            let with = |a: usize, b: usize| partition.iter().all(|column| value(*column, a) == value(*column, b));
            let rows = 0..times.len();
            // What a row reaches, and what that reaches in turn.
            let session = |row: usize| {
                let (mut first, mut last) = (times.value(row), times.value(row));
                while let Some(near) = rows
                    .clone()
                    .filter(|other| with(row, *other))
                    .map(|other| times.value(other))
                    .find(|other| (*other < first && first - other < *gap) || (*other > last && other - last < *gap))
                {
                    (first, last) = (first.min(near), last.max(near));
                }
                (first, last + gap)
            };
            let (starts, ends): (Vec<i64>, Vec<i64>) = rows.clone().map(session).unzip();
            let edge = |edges| Arc::new(TimestampMicrosecondArray::from(edges).with_data_type(times.data_type().clone())) as ArrayRef;
            let columns = inputs[0].columns().iter().cloned().chain([edge(starts), edge(ends)]).collect();
            return typed(node, columns, inputs[0].num_rows());
        }
        Op::Project { exprs } => {
            let columns: Vec<ArrayRef> = exprs.iter().map(|expr| expr.evaluate(&inputs[0]).unwrap()).collect();
            for (column, expr) in columns.iter().zip(exprs) {
                assert_eq!(column.data_type(), expr.data_type(), "{}", expr.describe());
            }
            return typed(node, columns, inputs[0].num_rows());
        }
        Op::UnionAll => {
            let same: Vec<RecordBatch> = inputs.iter().map(|input| typed(node, input.columns().to_vec(), input.num_rows())).collect();
            concat_batches(&node.schema, &same).unwrap()
        }
        Op::Distinct => return aggregate(node, node.schema.fields().len(), &[], &inputs[0]),
        Op::Aggregate { keys, calls, .. } => return aggregate(node, *keys, calls, &inputs[0]),
    };
    typed(node, rows.columns().to_vec(), rows.num_rows())
}

/// Checks the step's declared types on the way.
fn typed(node: &Node, columns: Vec<ArrayRef>, rows: usize) -> RecordBatch {
    RecordBatch::try_new_with_options(node.schema.clone(), columns, &RecordBatchOptions::new().with_row_count(Some(rows))).unwrap()
}

fn aggregate(node: &Node, keys: usize, calls: &[AggregateCall], input: &RecordBatch) -> RecordBatch {
    let value = |column: usize, row: usize| ScalarValue::try_from_array(input.column(column), row).unwrap();
    let mut groups: HashMap<Vec<ScalarValue>, Vec<usize>> = HashMap::new();
    if keys == 0 {
        groups.insert(Vec::new(), Vec::new());
    }
    for row in 0..input.num_rows() {
        groups.entry((0..keys).map(|key| value(key, row)).collect()).or_default().push(row);
    }
    let mut columns: Vec<Vec<ScalarValue>> = vec![Vec::new(); keys + calls.len()];
    for (key, rows) in &groups {
        for (column, value) in key.iter().enumerate() {
            columns[column].push(value.clone());
        }
        for (index, call) in calls.iter().enumerate() {
            let counted =
                rows.iter().filter(|row| call.filter.is_none_or(|filter| value(filter, **row) == ScalarValue::Boolean(Some(true))));
            let values: Vec<ScalarValue> = match call.argument {
                Some(argument) => counted.map(|row| value(argument, *row)).filter(|value| !value.is_null()).collect(),
                None => counted.map(|_| ScalarValue::Null).collect(),
            };
            let mut seen = HashSet::new();
            let values = values.into_iter().filter(|value| !call.distinct || seen.insert(value.clone())).collect();
            columns[keys + index].push(result(call, values));
        }
    }
    let arrays = columns.into_iter().zip(node.schema.fields()).map(|(values, field)| match values.is_empty() {
        true => new_empty_array(field.data_type()),
        false => ScalarValue::iter_to_array(values).unwrap(),
    });
    typed(node, arrays.collect(), groups.len())
}

fn result(call: &AggregateCall, values: Vec<ScalarValue>) -> ScalarValue {
    let null = ScalarValue::try_from(&call.output).unwrap();
    let count = values.len() as i64;
    match call.function {
        AggregateFunction::Count => ScalarValue::Int64(Some(count)),
        _ if values.is_empty() => null,
        AggregateFunction::Min => values.into_iter().reduce(|a, b| if b < a { b } else { a }).unwrap(),
        AggregateFunction::Max => values.into_iter().reduce(|a, b| if b > a { b } else { a }).unwrap(),
        AggregateFunction::Sum | AggregateFunction::Avg => match (&call.output, sum(&values)) {
            (DataType::Float64, Sum::Float(sum)) if call.function == AggregateFunction::Avg => {
                ScalarValue::Float64(Some(sum / count as f64))
            }
            (DataType::Float64, Sum::Float(sum)) => ScalarValue::Float64(Some(sum)),
            (DataType::Int64, Sum::Exact(sum, _)) => ScalarValue::Int64(Some(sum as i64)),
            (DataType::Decimal128(p, s), Sum::Exact(sum, scale)) if call.function == AggregateFunction::Avg => {
                ScalarValue::Decimal128(average(sum, scale, count, *s), *p, *s)
            }
            (DataType::Decimal128(p, s), Sum::Exact(sum, _)) => ScalarValue::Decimal128(Some(sum), *p, *s),
            (other, _) => panic!("no sum is {other}"),
        },
        AggregateFunction::BoolAnd => ScalarValue::Boolean(Some(values.iter().all(|value| *value == ScalarValue::Boolean(Some(true))))),
        AggregateFunction::BoolOr => ScalarValue::Boolean(Some(values.contains(&ScalarValue::Boolean(Some(true))))),
        AggregateFunction::Deviation(measure) => match &call.output {
            DataType::Float64 => {
                let mut moments = FloatMoments::default();
                values.iter().for_each(|value| {
                    if let Sum::Float(value) = sum(std::slice::from_ref(value)) {
                        moments.add(value, 1)
                    }
                });
                ScalarValue::Float64(moments.measure(measure))
            }
            DataType::Decimal128(precision, to) => {
                let (mut moments, mut from) = (IntegerMoments::default(), 0);
                for value in &values {
                    let Sum::Exact(value, scale) = sum(std::slice::from_ref(value)) else { panic!("{value:?} is not exact") };
                    moments.add(value, 1);
                    from = scale;
                }
                ScalarValue::Decimal128(moments.measure(measure, from, *to).unwrap(), *precision, *to)
            }
            other => panic!("no variance is {other}"),
        },
    }
}

/// Where a condition is true at the moment of these tests.
fn at_now(condition: &TimeCondition, rows: &RecordBatch) -> BooleanArray {
    let each = |parts: &[TimeCondition], all: bool| {
        let parts: Vec<BooleanArray> = parts.iter().map(|part| at_now(part, rows)).collect();
        let is_true = |part: &BooleanArray, row: usize| part.value(row);
        (0..rows.num_rows())
            .map(|row| Some(if all { parts.iter().all(|part| is_true(part, row)) } else { parts.iter().any(|part| is_true(part, row)) }))
            .collect()
    };
    match condition {
        TimeCondition::All(parts) => each(parts, true),
        TimeCondition::Any(parts) => each(parts, false),
        TimeCondition::Row(expr) => {
            let values = expr.evaluate(rows).unwrap();
            values.as_boolean().iter().map(|value| Some(value == Some(true))).collect()
        }
        TimeCondition::Clock(ClockCondition { from_now, comparison, value }) => {
            let values = cast(&value.evaluate(rows).unwrap(), &DataType::Timestamp(TimeUnit::Microsecond, None)).unwrap();
            let from_now = from_now.at(super::NOW);
            let compare = |value: i64| match comparison {
                Comparison::Before => from_now < value,
                Comparison::NotAfter => from_now <= value,
                Comparison::NotBefore => from_now >= value,
                Comparison::After => from_now > value,
            };
            values.as_primitive::<TimestampMicrosecondType>().iter().map(|value| Some(value.is_some_and(compare))).collect()
        }
    }
}

enum Sum {
    Exact(i128, i8),
    Float(f64),
}

fn sum(values: &[ScalarValue]) -> Sum {
    values.iter().fold(Sum::Exact(0, 0), |sum, value| match (sum, value) {
        (Sum::Exact(sum, _), ScalarValue::Int16(Some(value))) => Sum::Exact(sum + *value as i128, 0),
        (Sum::Exact(sum, _), ScalarValue::Int32(Some(value))) => Sum::Exact(sum + *value as i128, 0),
        (Sum::Exact(sum, _), ScalarValue::Int64(Some(value))) => Sum::Exact(sum + *value as i128, 0),
        (Sum::Exact(sum, _), ScalarValue::Decimal128(Some(value), _, scale)) => Sum::Exact(sum + value, *scale),
        (Sum::Exact(0, _), ScalarValue::Float64(Some(value))) => Sum::Float(*value),
        (Sum::Float(sum), ScalarValue::Float64(Some(value))) => Sum::Float(sum + value),
        (_, other) => panic!("cannot add {other:?}"),
    })
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    lines.sort();
    lines
}

#[test]
fn a_view_computes_what_its_query_reads() {
    let world = world().materialized(
        "totals",
        "SELECT name, sum(price) AS total, count(*) AS n FROM t GROUP BY name",
        "one | 1.50 | 1\ntwo | 2.25 | 1\n- | - | 1",
    );
    for sql in [
        "SELECT * FROM t",
        "SELECT id + n AS a, price * 2, x / 2, name || '!', at - INTERVAL '1 day' FROM t",
        "SELECT id FROM t WHERE n > 5 AND (ok OR price > 2)",
        "SELECT name, count(*) FROM t GROUP BY name",
        "SELECT count(*) FROM t",
        "SELECT count(*), count(n), sum(n), sum(id), sum(s), sum(price), sum(x), avg(n), avg(id), avg(price), avg(x), min(name), max(at) FROM t",
        "SELECT count(*), sum(n), avg(n), min(n) FROM t WHERE false",
        "SELECT count(DISTINCT name), count(DISTINCT 7), sum(DISTINCT n) FILTER (WHERE ok), avg(DISTINCT price), max(DISTINCT at), stddev(DISTINCT x) FROM t",
        "SELECT ok, variance(n), var_samp(s), var_pop(id), stddev(price), stddev_pop(x), stddev_samp(n) FILTER (WHERE n > 1) FROM t GROUP BY ok",
        "SELECT bool_and(ok), bool_or(ok), every(n > 5), bool_or(DISTINCT n > 50) FROM t",
        "SELECT variance(n), stddev(n), bool_and(ok), count(DISTINCT n) FROM t WHERE false",
        "SELECT DISTINCT channel, price > 60 FROM bids",
        "SELECT DISTINCT ok FROM t WHERE n IS NOT NULL",
        "SELECT DISTINCT id, name FROM t",
        "SELECT channel FROM bids UNION SELECT name FROM t",
        "SELECT count(*) FROM (SELECT DISTINCT channel FROM bids UNION ALL SELECT DISTINCT name FROM t) x",
        "SELECT ok, sum(n) FILTER (WHERE price > 2) AS a, count(*) FILTER (WHERE x IS NULL) AS b FROM t GROUP BY ok",
        "SELECT n % 3, max(id) FROM t GROUP BY n % 3 HAVING max(id) > 1",
        "SELECT avg(price) + 1, sum(id) / count(*) FROM t",
        "SELECT CASE WHEN n > 10 THEN 'big' ELSE 'small' END AS size, count(*) FROM t GROUP BY 1",
        "SELECT auction, channel, count(*), sum(price), avg(price) FROM bids GROUP BY auction, channel",
        "SELECT window_start, window_end, count(*) FROM TUMBLE(bids, at, INTERVAL '1 minute') WHERE price > 40 GROUP BY window_start, window_end",
        "SELECT window_start, channel, max(price) FROM TUMBLE((SELECT price, channel, at + INTERVAL '1 hour' AS later FROM bids), later, INTERVAL '1 hour') GROUP BY 1, 2",
        "SELECT window_start FROM TUMBLE(bids, at, INTERVAL '1 month') GROUP BY window_start",
        "SELECT window_start, window_end, channel, count(*) FROM SESSION(bids PARTITION BY channel, at, INTERVAL '30 seconds') GROUP BY window_start, window_end, channel",
        "SELECT window_end, max(price) FROM SESSION(bids, at, INTERVAL '20 seconds') GROUP BY window_end",
        "SELECT window_start, window_end, count(*), sum(price) FROM CUMULATE(bids, at, INTERVAL '20 seconds', INTERVAL '1 minute') GROUP BY window_start, window_end",
        "SELECT n, name FROM t WHERE id = 1 UNION ALL SELECT price, channel FROM bids UNION ALL SELECT id, 'x' FROM cheap",
        "SELECT k, sum(v) FROM (SELECT ok AS k, n AS v FROM t UNION ALL SELECT price > 60, price FROM bids) u GROUP BY k",
        "SELECT max(total), sum(n) FROM totals",
        "SELECT most FROM (SELECT name, max(id) AS most FROM t GROUP BY name) x WHERE name = 'one'",
        "WITH w AS (SELECT id, n FROM t WHERE n IS NOT NULL) SELECT sum(n) AS total FROM w",
        "SELECT upper(name), length(name), coalesce(n, 0), round(x), date_trunc('minute', at), extract(hour FROM at) FROM t",
        "SELECT id FROM t WHERE at > now() - INTERVAL '12 hours' + INTERVAL '1 minute'",
        "SELECT id FROM t WHERE at BETWEEN now() - INTERVAL '11:58:50' AND now() OR NOT (at <= current_timestamp - INTERVAL '12 hours')",
        "SELECT id FROM t WHERE at::date = CURRENT_DATE AND n IS NOT NULL",
        "SELECT id FROM t WHERE at + n * INTERVAL '1 hour' > now() OR ok",
        "SELECT id FROM t WHERE at NOT BETWEEN now() - INTERVAL '1 month' AND date_trunc('day', now()) + INTERVAL '1 minute'",
        "SELECT ok, count(*) FROM t WHERE CURRENT_DATE IN (at::date, DATE '2020-01-01') GROUP BY ok HAVING max(at) < now()",
        "SELECT count(*) FROM t WHERE at > now() AND at > now()",
        "SELECT id, at - INTERVAL '1 hour' AS a, at - INTERVAL '1 hour' AS b FROM t WHERE now() - INTERVAL '13 hours' < at - INTERVAL '1 hour' OR now() - INTERVAL '13 hours' < at",
        "SELECT n::text, price::int, x::numeric(10,1), at::date, id::varchar(1) FROM t WHERE id = '2' OR name ILIKE 'O%'",
    ] {
        // Columns need names of their own in a view.
        let names: Vec<String> = (0..world.prepare(sql).unwrap().schema.fields().len()).map(|column| format!("c{column}")).collect();
        let plan =
            crate::lower::plan_view(&world.catalog, "v", &super::parse_query(sql), sql, &names, &crate::lower::WindowClauses::default())
                .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let read = world.prepare(sql).unwrap();
        let types = |schema: &Schema| schema.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        assert_eq!(types(&plan.schema), types(&read.schema), "{sql}");
        let renamed = Schema::new(
            read.schema.fields().iter().zip(&names).map(|(field, name)| field.as_ref().clone().with_name(name)).collect::<Vec<_>>(),
        );
        assert_eq!(header(&plan.schema), header(&Arc::new(renamed)), "{sql}");
        let rows = run(&world, &plan.root);
        assert_eq!(sorted(&lines(&[rows])), sorted(&world.values(sql)), "{sql}");
    }
}
