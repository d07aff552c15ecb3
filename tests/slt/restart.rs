//! The third way: a server that is killed between the records of a file, and started again, must answer as if nothing had been.

use sqllogictest::Record;

use crate::file::SltRecord;

/// Numbers of workers after the first kill, and the second, and so on.
const WORKERS: [usize; 2] = [3, 1];
/// Words that begin statements whose effect is the session's, and ends with it.
const OF_SESSIONS: [&str; 9] = ["BEGIN", "START", "SET", "RESET", "PREPARE", "DECLARE", "DISCARD", "SAVEPOINT", "LOCK"];
/// Words that begin statements after which something is there that must survive.
const OF_ALL: [&str; 8] = ["CREATE", "ALTER", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "COPY", "DROP"];

/// Whether killing the server in this file shows anything: it makes a materialized view or a table, and nothing in it is
/// about a session.
pub fn applies(records: &[SltRecord]) -> bool {
    let of_session = |record: &SltRecord| match record {
        Record::Connection(_) => true,
        record => first_word(record).is_some_and(|word| OF_SESSIONS.contains(&word.as_str())),
    };
    !records.iter().any(of_session) && !moments(records).is_empty()
}

/// Before which records the server is killed, and with how many workers it comes back: once in the middle of what is written,
/// and once behind all of it.
pub fn moments(records: &[SltRecord]) -> Vec<(usize, usize)> {
    let writes: Vec<usize> = records
        .iter()
        .enumerate()
        .filter(|(_, record)| {
            // Commands of the system write what is followed.
            matches!(record, Record::System { .. }) || first_word(record).is_some_and(|word| OF_ALL.contains(&word.as_str()))
        })
        .map(|(number, _)| number + 1)
        .collect();
    let Some(last) = writes.last() else { return vec![] };
    let mut moments = vec![writes[writes.len() / 2], *last];
    moments.dedup();
    moments.into_iter().zip(WORKERS).collect()
}

/// The first word of a statement that is expected to succeed.
fn first_word(record: &SltRecord) -> Option<String> {
    match record {
        Record::Statement { sql, expected: sqllogictest::StatementExpect::Ok | sqllogictest::StatementExpect::Count(_), .. } => {
            Some(sql.split_whitespace().next()?.trim_end_matches(';').to_uppercase())
        }
        _ => None,
    }
}
