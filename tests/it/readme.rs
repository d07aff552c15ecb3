//! The README does what it says: its SQL runs, and the answers that it shows are those that come.

use std::path::Path;

use crate::harness::{Weir, printed, psql, until_filled};

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
    let page = std::fs::read_to_string(root.join("README.md")).unwrap();
    let page = page.replace("'sql/data/", &format!("'{}/sql/data/", root.display()));
    let weir = Weir::start(2);
    let mut last_statement = String::new();
    let mut shown = 0;
    for (fence, before, text) in blocks(&page) {
        if fence == "```sql" {
            let Some(output) = psql(weir.url(), &text) else { return };
            assert!(output.status.success(), "{}", printed(&output));
            last_statement = text.trim_end().trim_end_matches(';').rsplit(";\n").next().unwrap().to_string();
        } else if before.starts_with("<!-- output of the SELECT above") {
            // The README shows the answer once the file has been read.
            until_filled(&weir.connect().await).await;
            let output = psql(weir.url(), &format!("{last_statement};\n")).unwrap();
            let lines = |text: &str| text.trim_end().lines().map(|line| line.trim_end().to_string()).collect::<Vec<_>>();
            assert_eq!(lines(&printed(&output)), lines(&text), "README.md, after: {last_statement}");
            shown += 1;
        }
    }
    assert_eq!(shown, 2, "answers that the README shows");
    weir.stop();
}
