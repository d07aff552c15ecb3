//! `weir demo`, as it runs where nobody watches.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{finish, printed};

#[test]
fn it_ends_by_itself_with_a_plain_table() {
    let start = Instant::now();
    let output = finish(Command::new(env!("CARGO_BIN_EXE_weir")).args(["demo", "--for", "5s"]));
    let took = start.elapsed();
    let text = printed(&output);
    assert!(output.status.success(), "{text}");
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(60), "{took:?}");
    assert!(text.contains("psql postgres://weir@127.0.0.1:"), "{text}");
    for word in ["window_start", "origin", "flights", "mean_delay", "2013-01-01 05:00:00"] {
        assert!(text.contains(word), "no {word} in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "escape sequences where nobody watches:\n{text}");
}
