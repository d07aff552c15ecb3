//! Every byte of a log is changed once: it is told, and never given back.

use super::*;

/// A log of several segments, the last of them with several batches of several records.
fn sample() -> FaultyFiles {
    let files = disk(1);
    let (mut log, _) = open(&files).unwrap();
    for number in 1..=33 {
        log.append(number, &payload(number)).unwrap();
        if number % 3 != 1 {
            log.sync().unwrap();
        }
    }
    assert!(log.segments() > 3);
    files
}

fn bytes_of(files: &FaultyFiles, name: &str) -> Vec<u8> {
    files.read(&dir().join(name)).unwrap()
}

#[test]
fn a_changed_byte_anywhere_is_told() {
    let files = sample();
    let names = names(&files);
    let mut places = 0;
    for name in &names {
        let path = dir().join(name);
        for offset in 0..bytes_of(&files, name).len() as u64 {
            for by in [1, 0x80, 0xff] {
                files.damage(&path, offset, by);
                let error = open(&files).err().unwrap_or_else(|| panic!("{name} at {offset} by {by} went unseen"));
                assert_eq!(error.sqlstate(), DATA_CORRUPTED, "{error}");
                assert!(error.message().contains(name.as_str()), "{error}");
                files.damage(&path, offset, 0u8.wrapping_sub(by));
                places += 1;
            }
        }
    }
    assert!(places > 3 * 1000, "{places}");
    let (log, recovered) = open(&files).unwrap();
    assert_eq!(recovered.cut, None);
    assert_eq!(numbers(&log, 1), (1..=33).collect::<Vec<_>>());
}

#[test]
fn a_file_that_ends_early_is_damage_unless_it_is_the_last_one() {
    let names = names(&sample());
    for (place, name) in names.iter().enumerate() {
        let whole = bytes_of(&sample(), name).len() as u64;
        for len in 0..whole {
            let files = sample();
            files.resize(&dir().join(name), len);
            let opened = open(&files);
            if place + 1 < names.len() {
                assert_eq!(opened.err().unwrap().sqlstate(), DATA_CORRUPTED, "{name} cut to {len}");
                continue;
            }
            // Nothing can tell that there was more; what is left is right.
            let (log, recovered) = opened.unwrap();
            let last = recovered.last.unwrap();
            assert!(last < 33);
            assert_eq!(numbers(&log, 1), (1..=last).collect::<Vec<_>>());
            if let Some(cut) = recovered.cut {
                assert_eq!((cut.offset + cut.bytes, cut.path), (len, dir().join(name)));
            }
        }
    }
}

#[test]
fn zeros_behind_the_end_are_cut_off_and_zeros_before_a_later_batch_are_damage() {
    let files = sample();
    let names = names(&files);
    let last = names.last().unwrap();
    let path = dir().join(last);
    let whole = bytes_of(&files, last).len() as u64;
    files.resize(&path, whole + 5000);
    let (log, recovered) = open(&files).unwrap();
    assert_eq!(recovered.cut.as_ref().map(|cut| (cut.offset, cut.bytes)), Some((whole, 5000)));
    assert_eq!(numbers(&log, 1).len(), 33);
    assert_eq!(bytes_of(&files, last).len() as u64, whole);

    // Sectors that a disk lost after they had been synced.
    let files = disk(1);
    let (mut log, _) = Log::open(Arc::new(files.clone()), dir(), Options::default()).unwrap();
    let record = vec![b'x'; 2000];
    for number in 1..=3 {
        log.append(number, &record).unwrap();
        log.sync().unwrap();
    }
    let name = names_of_one(&files);
    let bytes = bytes_of(&files, &name);
    for sector in 0..bytes.len() / 512 {
        let mut file = files.open_write(&dir().join(&name)).unwrap();
        file.write_all_at(&[0; 512], sector as u64 * 512).unwrap();
        let opened = Log::open(Arc::new(files.clone()), dir(), Options::default());
        // The third batch begins here; nothing came after it.
        let third = 64 + 2 * 2032;
        if (sector + 1) * 512 <= third {
            let error = opened.err().unwrap();
            assert_eq!(error.sqlstate(), DATA_CORRUPTED, "sector {sector}: {error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("written after this")), "{error}");
        } else {
            let (_, recovered) = opened.unwrap();
            // The sector with the end of the second and the beginning of the third took the proof along.
            assert_eq!(recovered.last, Some(if sector * 512 < third { 1 } else { 2 }), "sector {sector}");
        }
        let mut file = files.open_write(&dir().join(&name)).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
    }
}

fn names_of_one(files: &FaultyFiles) -> String {
    let mut names = names(files);
    assert_eq!(names.len(), 1);
    names.remove(0)
}

#[test]
fn a_missing_segment_is_told_where_it_can_be() {
    let all = names(&sample());
    for (place, name) in all.iter().enumerate() {
        let files = sample();
        files.remove(&dir().join(name)).unwrap();
        let opened = open(&files);
        if place == 0 {
            // As after a checkpoint; who needs its records is told.
            let (log, _) = opened.unwrap();
            let error = log.records(1).err().unwrap();
            assert_eq!(error.sqlstate(), DATA_CORRUPTED);
            assert_eq!(
                error.message(),
                format!("the log begins with record {}, and does not hold record 1 any more", log.first().unwrap())
            );
        } else if place + 1 < all.len() {
            let error = opened.err().unwrap();
            assert_eq!(error.sqlstate(), DATA_CORRUPTED);
            assert!(error.hint().is_some_and(|hint| hint.contains("missing")), "{error}");
        } else {
            assert!(opened.unwrap().1.last.unwrap() < 33, "nobody but a checkpoint knows");
        }
    }
}

#[test]
fn a_segment_under_another_name_is_told() {
    let files = sample();
    let names = names(&files);
    files.rename(&dir().join(&names[1]), &dir().join(format::file_name(1000))).unwrap();
    assert_eq!(open(&files).err().unwrap().sqlstate(), DATA_CORRUPTED);
}

#[test]
fn a_record_that_holds_a_log_is_no_log() {
    let inner = sample();
    let inner: Vec<u8> = names(&inner).iter().flat_map(|name| bytes_of(&inner, name)).collect();
    let files = disk(1);
    let (mut log, _) = Log::open(Arc::new(files.clone()), dir(), Options::default()).unwrap();
    log.append(1, b"before").unwrap();
    log.sync().unwrap();
    log.append(2, &inner).unwrap();
    log.append(3, b"after").unwrap();
    log.sync().unwrap();
    let name = names_of_one(&files);
    // The header of the second record is lost: what is inside must not be taken for records of a later batch.
    let start = 64 + 32 + 6;
    files.open_write(&dir().join(&name)).unwrap().write_all_at(&vec![0; 512 - start], start as u64).unwrap();
    let (log, recovered) = Log::open(Arc::new(files.clone()), dir(), Options::default()).unwrap();
    assert_eq!(recovered.cut.map(|cut| cut.offset), Some(start as u64));
    assert_eq!(log.records(0).unwrap().count(), 1);
}

#[test]
fn damage_found_while_reading_is_told_once_and_ends_the_records() {
    let files = sample();
    let (log, _) = open(&files).unwrap();
    let name = &names(&files)[1];
    let path = dir().join(name);
    files.damage(&path, 64 + 40, 1);
    let mut records = log.records(1).unwrap();
    let error = records.by_ref().find_map(Result::err).unwrap();
    assert_eq!(error.message(), format!("log file \"{}\" is damaged at offset 64", path.display()));
    assert!(records.next().is_none());
}
