//! Writing fails: the error is told, the log is not written to again, and what was acknowledged is there afterwards.

use super::*;

/// Writes until something fails; returns the last number that was acknowledged.
fn write_until_error(log: &mut Log) -> (u64, Error) {
    let mut acknowledged = 0;
    for number in 1..=60 {
        let done = log.append(number, &payload(number)).and_then(|()| if number % 3 == 0 { log.sync() } else { Ok(()) });
        match done {
            Err(error) => return (acknowledged, error),
            Ok(()) if number % 3 == 0 => acknowledged = number,
            Ok(()) => {}
        }
        if number % 20 == 0
            && let Err(error) = log.drop_before(acknowledged - 10)
        {
            return (acknowledged, error);
        }
    }
    panic!("nothing failed");
}

#[test]
fn whatever_fails_at_whatever_operation_the_acknowledged_records_stay() {
    let files = disk(1);
    let (mut log, _) = open(&files).unwrap();
    let before = files.changes();
    for number in 1..=60 {
        log.append(number, &payload(number)).unwrap();
        if number % 3 == 0 {
            log.sync().unwrap();
        }
        if number % 20 == 0 {
            log.drop_before(number / 3 * 3 - 10).unwrap();
        }
    }
    let operations = files.changes() - before;
    assert!(operations > 50);
    for fault in [Fault::NoSpace, Fault::Io, Fault::ShortWrite, Fault::ReadOnly] {
        for nth in 1..=operations {
            for crash in [false, true] {
                let files = disk(nth);
                let (mut log, _) = open(&files).unwrap();
                files.fail(None, nth, fault);
                let (acknowledged, error) = write_until_error(&mut log);
                let code = match fault {
                    Fault::NoSpace | Fault::ShortWrite => "53100",
                    Fault::Io => "58030",
                    _ => "42501",
                };
                assert_eq!(error.sqlstate().0, code, "{error}");
                if crash {
                    files.crash()
                } else {
                    files.kill()
                }
                let (mut log, recovered) = open(&files).unwrap();
                let last = recovered.last.unwrap_or(0);
                assert!(last >= acknowledged, "{fault:?} at {nth}: {last} of {acknowledged}");
                let first = log.first().unwrap_or(1);
                assert!(first <= acknowledged.saturating_sub(10).max(1), "{fault:?} at {nth}: from {first}");
                assert_eq!(numbers(&log, first), (first..=last).collect::<Vec<_>>(), "{fault:?} at {nth}");
                write(&mut log, last + 1..last + 5);
            }
        }
    }
}

#[test]
fn after_an_error_nothing_is_written_any_more() {
    for operation in [Operation::Create, Operation::Write, Operation::Sync, Operation::SyncDir] {
        let files = disk(1);
        let (mut log, _) = open(&files).unwrap();
        files.fail(Some(operation), 1, Fault::Io);
        log.append(1, b"lost").unwrap();
        let error = log.sync().unwrap_err();
        assert_eq!(error.sqlstate(), SqlState::IO_ERROR);
        assert!(error.hint().is_some_and(|hint| hint.contains("until Weir is started again")), "{error}");
        let changes = files.changes();
        assert_eq!(log.append(2, b""), Err(error.clone()));
        assert_eq!(log.sync(), Err(error.clone()));
        assert_eq!(log.drop_before(9), Err(error.clone()));
        assert_eq!(log.failed(), Some(&error));
        assert_eq!(files.changes(), changes, "{operation:?}");
    }
}

#[test]
fn a_segment_that_cannot_be_removed_is_removed_the_next_time() {
    let files = disk(1);
    let (mut log, _) = open(&files).unwrap();
    write(&mut log, 1..=40);
    files.fail(Some(Operation::Remove), 2, Fault::Denied);
    let error = log.drop_before(40).unwrap_err();
    assert_eq!(error.sqlstate().0, "42501");
    assert!(log.segments() > 1 && log.failed().is_none());
    write(&mut log, [41]);
    log.drop_before(40).unwrap();
    files.crash();
    assert_eq!(open(&files).unwrap().1.last, Some(41));
}

#[test]
fn a_directory_that_cannot_be_read_is_an_error() {
    let files = FaultyFiles::new(1);
    let error = open(&files).err().unwrap();
    assert_eq!(error.sqlstate(), SqlState::UNDEFINED_FILE, "{error}");
}
