//! What a change would do, as a table.

use super::Paint;
use super::table::Table;
use crate::core::change::{Preview, Word, in_source};
use crate::ctl::change::Changed;

/// What was done, and who has followed.
pub fn changed(changed: &Changed) -> String {
    let mut text = super::done(&changed.done);
    let Some(confirmation) = &changed.confirmation else { return text };
    if !confirmation.followed.is_empty() {
        text += &format!("obeyed by {}\n", confirmation.followed.join(", "));
    }
    for (name, why) in &confirmation.missing {
        text += &format!("not obeyed by {name}: {why}\n");
    }
    text
}

/// One line for each object: what it is and what it would be.
pub fn preview(preview: &Preview, to: Word) -> String {
    let mut table = Table::new(Paint::new(false), ["HOST", "POOL", "NOW", "THEN", "SERVICES"]);
    for one in &preview.objects {
        let now = format!("{}, weight {}", one.pooled, one.weight);
        let then = match to {
            Word::Pooled(admin) => format!("{}, weight {}", in_source(admin), one.weight),
            Word::Weight(weight) => format!("{}, weight {weight}", one.pooled),
        };
        let pool = format!("{}:{}", one.object.source, one.object.path);
        table.row([one.object.host.to_string(), pool, now, then, one.services.join(" ")]);
    }
    table.to_string()
}
