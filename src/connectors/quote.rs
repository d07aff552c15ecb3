//! Values in error messages.

/// Characters of a value that an error quotes.
const QUOTED_CHARS_MAX: usize = 64;

/// Text for an error message, cut to a length that can be read.
pub(crate) fn shorten(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(4 * QUOTED_CHARS_MAX)]);
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.into_owned(),
    }
}

/// The same in quotes.
pub(crate) fn quote(text: &[u8]) -> String {
    format!("\"{}\"", shorten(text))
}
