//! Two jsonb put together: `||`. Both are in canonical form.

use crate::error::Result;
use crate::json::{Kind, Raw, canonical};

/// The members of both objects, of equal names the second one's; or the elements of both, where what is no array is one element.
pub fn concat(first: Raw<'_>, second: Raw<'_>) -> Result<String> {
    if (first.kind(), second.kind()) == (Kind::Object, Kind::Object) {
        let members = first.members().chain(second.members()).map(|(name, value)| format!("{name}: {}", value.source()));
        return canonical(&format!("{{{}}}", members.collect::<Vec<_>>().join(", ")));
    }
    let mut elements = Vec::new();
    for value in [first, second] {
        match value.kind() {
            Kind::Array => elements.extend(value.elements().map(Raw::source)),
            _ => elements.push(value.source()),
        }
    }
    canonical(&format!("[{}]", elements.join(", ")))
}
