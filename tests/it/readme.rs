//! The README and the page on time do what they say: their SQL runs, and the answers that they show are those that come.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Weir, finish, printed, psql, until_filled};

/// How long what was appended to a file may take to be in an answer.
const SOON: Duration = Duration::from_secs(20);

/// The fenced blocks of a page: the line that opens each, the line before it, and its text.
pub fn blocks(page: &str) -> Vec<(String, String, String)> {
    let mut blocks = Vec::new();
    let mut before = "";
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            blocks.push((line.to_string(), before.to_string(), text.join("\n")));
        }
        before = line;
    }
    blocks
}

#[tokio::test]
async fn its_statements_give_the_answers_that_it_shows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    answers("README.md", &[("'sql/data/", &format!("'{}/sql/data/", root.display()))], 2).await;
}

#[tokio::test]
async fn the_page_on_time_gives_the_answers_that_it_shows() {
    let directory = tempfile::tempdir().unwrap();
    answers("docs/time.md", &[("/tmp/weir-time", directory.path().to_str().unwrap())], 14).await;
}

/// Runs a page: its SQL, its commands except those that start a server, and then waits for each of the answers that it shows.
async fn answers(page: &str, places: &[(&str, &str)], expected: usize) {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let text = places.iter().fold(text, |text, (name, path)| text.replace(name, path));
    let weir = Weir::start(2);
    let mut last_statement = String::new();
    let mut shown = 0;
    for (fence, before, text) in blocks(&text) {
        if fence == "```sql" {
            let Some(output) = psql(weir.url(), &text) else { return };
            assert!(output.status.success(), "{}", printed(&output));
            last_statement = text.trim_end().trim_end_matches(';').rsplit(";\n").next().unwrap().to_string();
        } else if fence == "```sh" && !text.contains("make ") {
            let output = finish(Command::new("sh").args(["-c", &text]));
            assert!(output.status.success(), "{}", printed(&output));
        } else if before.starts_with("<!-- output of the SELECT above") {
            // The page shows the answer once the file has been read.
            until_filled(&weir.connect().await).await;
            let lines = |text: &str| text.trim_end().lines().map(|line| line.trim_end().to_string()).collect::<Vec<_>>();
            let start = Instant::now();
            loop {
                let found = lines(&printed(&psql(weir.url(), &format!("{last_statement};\n")).unwrap()));
                if found == lines(&text) {
                    break;
                }
                assert!(start.elapsed() < SOON, "{page}, after: {last_statement}\n{}", found.join("\n"));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            shown += 1;
        }
    }
    assert_eq!(shown, expected, "answers that {page} shows");
    weir.stop();
}
