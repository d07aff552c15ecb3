//! Bytes into lines, whatever their length and wherever reads cut them.

use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;

use weir_common::limits::LINE_BYTES_MAX;

use crate::file::lines::{Blank, CHUNK_BYTES, Joined, Line, Lines};
use crate::file::place::Mark;

/// Gives at most `step` bytes a read, and after the last ones an error if there is one.
struct Slowly<'a> {
    bytes: &'a [u8],
    step: usize,
    failure: Option<io::ErrorKind>,
}

impl Read for Slowly<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let take = self.step.min(out.len()).min(self.bytes.len());
        if take == 0
            && let Some(kind) = self.failure
        {
            return Err(kind.into());
        }
        out[..take].copy_from_slice(&self.bytes[..take]);
        self.bytes = &self.bytes[take..];
        Ok(take)
    }
}

/// Each line with its number and the bytes up to it, read in steps.
fn lines(bytes: &[u8], step: usize) -> Vec<(u64, u64, String)> {
    let mut lines = Lines::new(Slowly { bytes, step, failure: None }, Mark::default(), Blank::Space, false);
    let mut all = Vec::new();
    loop {
        let text = match lines.next() {
            None => return all,
            Some(Line::Whole(line)) => String::from_utf8_lossy(line).into_owned(),
            other => panic!("{other:?}"),
        };
        all.push((lines.mark().lines, lines.mark().bytes, text));
    }
}

#[track_caller]
fn check(bytes: &[u8], expected: &[(u64, u64, &str)]) {
    for step in [1, 2, 3, 7, 1000] {
        let lines = lines(bytes, step);
        let lines: Vec<_> = lines.iter().map(|(number, bytes, text)| (*number, *bytes, text.as_str())).collect();
        assert_eq!(lines, expected, "in steps of {step}");
    }
}

#[test]
fn line_ends_blank_lines_and_the_last_line() {
    check(b"", &[]);
    check(b"\n \n\t\r\n", &[]);
    check(b"a", &[(1, 1, "a")]);
    check(b"a\n", &[(1, 2, "a")]);
    check(b"a\r\nb\r\n", &[(1, 3, "a"), (2, 6, "b")]);
    check(b"\n\na b\n\n \n\nc", &[(3, 6, "a b"), (7, 11, "c")]);
    check(b"a\rb\n\rc\r", &[(1, 4, "a\rb"), (2, 7, "\rc")]);
}

#[test]
fn a_byte_order_mark_at_the_start_is_no_text() {
    check(b"\xEF\xBB\xBFa\nb", &[(1, 5, "a"), (2, 6, "b")]);
    check(b"\xEF\xBB\xBF\n\xEF\xBB\xBFb", &[(2, 8, "\u{feff}b")]);
    check(b"\xEF\xBB\xBF", &[]);
}

#[test]
fn a_line_may_be_as_long_as_the_limit() {
    for (extra, end, whole) in [(0, "\n", true), (0, "\r\n", true), (0, "", true), (1, "\n", false), (1, "\r\n", false), (1, "", false)] {
        let mut bytes = vec![b'x'; LINE_BYTES_MAX + extra];
        bytes.extend(end.as_bytes());
        let mut lines = Lines::new(Slowly { bytes: &bytes, step: usize::MAX, failure: None }, Mark::default(), Blank::Space, false);
        match lines.next() {
            Some(Line::Whole(line)) => assert!(whole && line.len() == LINE_BYTES_MAX),
            Some(Line::TooLong { head, bytes }) => {
                assert!(!whole && bytes == LINE_BYTES_MAX as u64 + 1, "{bytes}");
                assert_eq!(head, [b'x'; 1024]);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!((lines.mark().lines, lines.mark().bytes), (1, bytes.len() as u64));
        assert!(lines.next().is_none());
    }
}

#[test]
fn a_line_of_any_length_is_passed_in_bounded_memory() {
    let length = 100 << 20;
    let input = b"a\n".chain(io::repeat(b'y').take(length)).chain(&b"\nb\n"[..]).chain(io::repeat(b'z').take(length));
    let mut lines = Lines::new(input, Mark::default(), Blank::Space, false);
    assert!(matches!(lines.next(), Some(Line::Whole(b"a"))));
    assert!(matches!(lines.next(), Some(Line::TooLong { head, bytes }) if head[0] == b'y' && bytes == length));
    assert!(lines.buffer.len() <= LINE_BYTES_MAX + 2 * CHUNK_BYTES, "{}", lines.buffer.len());
    assert!(matches!(lines.next(), Some(Line::Whole(b"b"))));
    assert_eq!((lines.mark().lines, lines.mark().bytes), (3, length + 5));
    assert!(matches!(lines.next(), Some(Line::TooLong { head, bytes }) if head[0] == b'z' && bytes == length));
    assert!(lines.next().is_none());
    assert_eq!((lines.mark().lines, lines.mark().bytes), (4, 2 * length + 5));
}

#[test]
fn memory_for_a_long_line_is_given_back() {
    let mut bytes = vec![b'x'; LINE_BYTES_MAX];
    bytes.extend(b"\n".iter().chain(&b"short\n".repeat(2 * CHUNK_BYTES)));
    let mut lines = Lines::new(&bytes[..], Mark::default(), Blank::Space, false);
    while lines.next().is_some() {}
    assert!(lines.buffer.capacity() <= 4 * CHUNK_BYTES, "{}", lines.buffer.capacity());
}

#[test]
fn a_failing_input_gives_its_lines_first() {
    for step in [1, 5, 1000] {
        let mut lines =
            Lines::new(Slowly { bytes: b"a\nbc", step, failure: Some(io::ErrorKind::StorageFull) }, Mark::default(), Blank::Space, false);
        assert!(matches!(lines.next(), Some(Line::Whole(b"a"))));
        assert!(matches!(lines.next(), Some(Line::Broken(failure)) if failure.kind() == io::ErrorKind::StorageFull));
        assert_eq!(lines.record(), b"bc");
        assert_eq!(lines.mark().lines, 2);
        assert!(lines.next().is_none());
    }
}

#[test]
fn which_lines_are_blank() {
    let text = b"a\n\n \n\r\nb";
    for (blank, expected) in
        [(Blank::Space, vec!["a", "b"]), (Blank::Empty, vec!["a", " ", "b"]), (Blank::Never, vec!["a", "", " ", "", "b"])]
    {
        let mut lines = Lines::new(&text[..], Mark::default(), blank, false);
        let mut found = Vec::new();
        while let Some(Line::Whole(line)) = lines.next() {
            found.push(String::from_utf8(line.to_vec()).unwrap());
        }
        assert_eq!(found, expected, "{blank:?}");
    }
}

#[test]
fn lines_are_joined_and_taken_apart_again() {
    for step in [1, 2, 5, 1000] {
        let input = Slowly { bytes: b"\xEF\xBB\xBFa\r\nb\r\n\r\nc\nd", step, failure: None };
        let mut lines = Lines::new(input, Mark::default(), Blank::Empty, false);
        assert!(matches!(lines.next(), Some(Line::Whole(b"a"))));
        assert!(matches!(lines.join(), Joined::Line(b"b")));
        assert!(matches!(lines.join(), Joined::Line(b"")));
        assert!(matches!(lines.join(), Joined::Line(b"c")));
        assert_eq!((lines.record(), lines.number(), lines.mark().lines), (&b"a\r\nb\r\n\r\nc"[..], 1, 4));
        lines.unjoin();
        assert_eq!((lines.record(), lines.number(), lines.mark()), (&b"a"[..], 1, Mark { bytes: 6, lines: 1 }));
        lines.take_back();
        assert_eq!(lines.mark(), Mark::default());
        assert!(matches!(lines.next(), Some(Line::Whole(b"a"))));
        assert!(matches!(lines.next(), Some(Line::Whole(b"b"))));
        assert!(matches!(lines.next(), Some(Line::Whole(b"c"))));
        assert!(matches!(lines.join(), Joined::Line(b"d")));
        assert!(matches!(lines.join(), Joined::End));
        assert_eq!((lines.record(), lines.number(), lines.mark().lines), (&b"c\nd"[..], 4, 5));
        assert!(lines.next().is_none());
    }
}

#[test]
fn what_is_joined_is_no_longer_than_a_line_may_be() {
    let bytes = b"y\n".repeat(LINE_BYTES_MAX);
    let mut lines = Lines::new(&bytes[..], Mark::default(), Blank::Empty, false);
    lines.next();
    let joined = (0..).take_while(|_| matches!(lines.join(), Joined::Line(_))).count();
    assert_eq!(joined, LINE_BYTES_MAX / 2 - 1);
    assert!(matches!(lines.join(), Joined::TooLong));
    assert!(lines.buffer.len() <= LINE_BYTES_MAX + 2 * CHUNK_BYTES, "{}", lines.buffer.len());
    lines.unjoin();
    assert_eq!((lines.record(), lines.mark().lines), (&b"y"[..], 1));
    let mut rest = 0;
    while lines.next().is_some() {
        rest += 1;
    }
    assert_eq!(rest, LINE_BYTES_MAX - 1);
}

/// What a file holds so far; a test appends to it between reads.
#[derive(Clone, Default)]
struct Growing(Rc<RefCell<(Vec<u8>, usize)>>);

impl Growing {
    fn append(&self, bytes: &[u8]) {
        self.0.borrow_mut().0.extend_from_slice(bytes);
    }
}

impl Read for Growing {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let (bytes, at) = &mut *self.0.borrow_mut();
        let take = out.len().min(bytes.len() - *at);
        out[..take].copy_from_slice(&bytes[*at..*at + take]);
        *at += take;
        Ok(take)
    }
}

#[test]
fn a_line_without_an_end_waits_while_the_input_grows() {
    let input = Growing::default();
    let mut lines = Lines::new(input.clone(), Mark::default(), Blank::Space, true);
    assert!(lines.next().is_none());
    input.append(b"a\nb");
    assert!(matches!(lines.next(), Some(Line::Whole(b"a"))));
    assert!(lines.next().is_none() && lines.next().is_none());
    assert_eq!(lines.mark(), Mark { bytes: 2, lines: 1 });
    input.append(b"c\nd");
    assert!(matches!(lines.next(), Some(Line::Whole(b"bc"))));
    assert!(matches!(lines.join(), Joined::End));
    lines.take_back();
    assert_eq!(lines.mark(), Mark { bytes: 2, lines: 1 });
    input.append(b"\n");
    assert!(matches!(lines.next(), Some(Line::Whole(b"bc"))));
    assert!(matches!(lines.join(), Joined::Line(b"d")));
    // A line that is too long is passed as it comes.
    for _ in 0..3 {
        input.append(&vec![b'x'; LINE_BYTES_MAX / 2]);
        assert!(lines.next().is_none());
        assert_eq!(lines.mark().lines, 3);
    }
    input.append(b"\nlast");
    assert!(matches!(lines.next(), Some(Line::TooLong { bytes, .. }) if bytes == LINE_BYTES_MAX as u64 / 2 * 3));
    assert_eq!(lines.mark().lines, 4);
    assert!(lines.next().is_none());
    lines.stop_growing();
    assert!(matches!(lines.next(), Some(Line::Whole(b"last"))));
    assert!(lines.next().is_none());
}
