//! What docs/subscribe.md shows is what psql prints.

use std::path::Path;

use crate::harness::{Weir, printed, psql};
use crate::readme::blocks;

#[tokio::test]
async fn the_page_shows_what_comes() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/subscribe.md")).unwrap();
    let weir = Weir::start_without_checkpoints(2);
    let (mut statements, mut shown) = (String::new(), 0);
    for (fence, before, text) in blocks(&page) {
        if fence == "```sql" {
            statements = text;
        } else if before == "<!-- what psql prints -->" {
            let Some(output) = psql(weir.url(), &statements) else { return };
            assert_eq!(printed(&output).trim_end(), text.trim_end());
            shown += 1;
        }
    }
    assert_eq!(shown, 2, "answers that the page shows");
    weir.stop();
}
