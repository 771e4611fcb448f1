//! The sources, in `lvsctl status`.

use super::table::Table;
use super::{Paint, ago};
use crate::core::view::SourceView;

/// Services that are not served and have a line each; of the others there is the number.
const SHOWN: usize = 20;

/// A table of the sources, after an empty line; nothing when there are none.
pub(super) fn table(sources: &[SourceView], paint: Paint) -> String {
    if sources.is_empty() {
        return String::new();
    }
    let mut table = Table::new(paint, ["SOURCE", "TYPE", "STATE", "SINCE", "POOLS", "SERVICES", "WHY"]);
    for source in sources {
        let state = match source.state.as_str() {
            "live" => paint.good("live"),
            "away" => paint.bad("away"),
            other => paint.odd(other),
        };
        table.row([
            source.name.clone(),
            source.kind.clone(),
            state,
            source.since.map(ago).unwrap_or_default(),
            source.pools.to_string(),
            source.services.to_string(),
            source.error.clone().unwrap_or_default(),
        ]);
    }
    let mut text = format!("\n{table}");
    for source in sources {
        for refused in source.refused.iter().take(SHOWN) {
            let mark = paint.odd("!");
            text +=
                &format!("{mark} {} of {} is not served: {}\n", refused.name, source.name, refused.reason);
        }
        let more = source.refused.len().saturating_sub(SHOWN);
        if more > 0 {
            text += &format!("{} {more} more of {} are not served\n", paint.odd("!"), source.name);
        }
    }
    text
}
