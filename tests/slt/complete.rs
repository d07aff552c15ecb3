//! `--complete`: writes what the server answers into a file's expectations.

use std::path::Path;

use libtest_mimic::Failed;
use sqllogictest::parser::{ExpectedError, QueryExpect, StatementExpect};
use sqllogictest::{
    DefaultColumnType, MakeConnection, Record, RecordOutput, Runner, default_normalizer, default_validator, update_record_with_output,
};

use crate::database::{Database, SqlError};
use crate::file::{Directives, SltRecord, Stage, Target, block_on, records};

/// An answer that comes so often in a row is the last one: what was appended to a file is not seen at once.
const SAME_ANSWERS: usize = 10;

/// Runs a file and rewrites it. What already agrees stays as its author wrote it.
pub fn run(path: &Path, directives: &Directives, target: Target) -> Result<(), Failed> {
    block_on(async {
        let stage = Stage::open(target).await?;
        let mut runner = stage.runner();
        let mut text = String::new();
        let mut halted = false;
        for record in records(path)? {
            halted |= matches!(record, Record::Halt { .. });
            let mut updated = record.clone();
            if !halted {
                if matches!(record, Record::Query { .. }) {
                    stage.settle().await?;
                }
                let output = settled(&mut runner, &stage, &record).await;
                updated = update(&record, &output).unwrap_or(updated);
            }
            text.push_str(&format!("{updated}\n"));
        }
        if directives.batch && !stage.is_postgres() {
            stage.settle().await?;
            stage.check_views(None).await?;
        }
        runner.shutdown_async().await;
        drop(runner);
        stage.close().await?;
        std::fs::write(path, format!("{}\n", text.trim_end()))?;
        Ok(())
    })
}

/// The answer to a record. One that says `retry` is asked again: until it answers what is expected, or the same several times in a row, or
/// the tries are over.
async fn settled<M: MakeConnection<Conn = Database>>(
    runner: &mut Runner<Database, M>,
    stage: &Stage,
    record: &SltRecord,
) -> RecordOutput<DefaultColumnType> {
    let retry = match record {
        Record::Query { retry, .. } | Record::Statement { retry, .. } => retry.clone(),
        _ => None,
    };
    let written = |output: &RecordOutput<DefaultColumnType>| update(record, output).unwrap_or_else(|| record.clone()).to_string();
    let mut output = runner.apply_record(stage.concrete(record)).await;
    let Some(retry) = retry else { return output };
    // What nobody has written yet is not what is expected.
    let is_new = matches!(record, Record::Query { expected: QueryExpect::Results { results, .. }, .. } if results.is_empty());
    let (expected, mut same) = (record.to_string(), 1);
    for _ in 0..retry.attempts {
        let before = written(&output);
        if same == SAME_ANSWERS || !is_new && before == expected {
            break;
        }
        tokio::time::sleep(retry.backoff).await;
        output = runner.apply_record(stage.concrete(record)).await;
        same = if written(&output) == before { same + 1 } else { 1 };
    }
    output
}

/// The library's update, except that an error is expected by its SQLSTATE unless the author asked for its text.
fn update(record: &SltRecord, output: &RecordOutput<DefaultColumnType>) -> Option<SltRecord> {
    let error = match output {
        RecordOutput::Statement { error, .. } | RecordOutput::Query { error, .. } => error.as_ref(),
        _ => None,
    };
    let code = error.and_then(|error| error.downcast_ref::<SqlError>()).and_then(|error| error.code.clone());
    let by_text = |expected: &ExpectedError| matches!(expected, ExpectedError::Inline(_) | ExpectedError::Multiline(_));
    let mut updated = record.clone();
    match (&mut updated, code) {
        (Record::Statement { expected, .. }, Some(code)) if !matches!(&*expected, StatementExpect::Error(e) if by_text(e)) => {
            *expected = StatementExpect::Error(ExpectedError::SqlState(code));
            Some(updated)
        }
        (Record::Query { expected, .. }, Some(code)) if !matches!(&*expected, QueryExpect::Error(e) if by_text(e)) => {
            *expected = QueryExpect::Error(ExpectedError::SqlState(code));
            Some(updated)
        }
        _ => update_record_with_output(record, output, " ", default_validator, default_normalizer, |a, e| a.len() == e.len()),
    }
}
