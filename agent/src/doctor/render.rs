//! Findings as text for people.

use super::{Finding, Severity};
use crate::ctl::render::Paint;

/// What is to be changed, and with `is_verbose` also what is as it should be; the last line counts.
pub fn text(findings: &[Finding], is_verbose: bool, paint: Paint) -> String {
    let mut text = String::new();
    for finding in findings.iter().filter(|finding| is_verbose || finding.severity > Severity::Ok) {
        let word = match finding.severity {
            Severity::Ok => paint.good("ok     "),
            Severity::Warning => paint.odd("warning"),
            Severity::Error => paint.bad("error  "),
        };
        text += &format!("{word}  {} is {}", finding.subject, finding.is);
        if finding.severity > Severity::Ok {
            text += &format!(", should be {}: {}", finding.should, finding.why);
        }
        text.push('\n');
        for (what, how) in [("run ", &finding.run), ("edit", &finding.edit)] {
            if let Some(how) = how {
                text += &format!("         {what} {how}\n");
            }
        }
    }
    text + &count(findings)
}

fn count(findings: &[Finding]) -> String {
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    match (of(Severity::Error), of(Severity::Warning)) {
        (0, 0) => format!("nothing to do: {} as they should be\n", plural(of(Severity::Ok), "thing")),
        (errors, warnings) => format!("{}, {}\n", plural(errors, "error"), plural(warnings, "warning")),
    }
}
