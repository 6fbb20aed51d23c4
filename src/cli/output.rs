//! Writing to the terminal. A reader that has gone (`pointsman ... | head`) is no error.

use std::fmt::Display;
use std::io::Write;

/// Writes a line to standard output.
pub(super) fn line(text: impl Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Writes a value as JSON to standard output.
pub(super) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Writes an error and its causes to standard error.
pub(super) fn problem(error: &anyhow::Error) {
    let mut told = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        // Many errors quote their cause; once is enough.
        if !told.contains(&text) {
            told.push_str(if told.is_empty() { "" } else { ": " });
            told.push_str(&text);
        }
    }
    let _ = writeln!(std::io::stderr(), "pointsman: {told}");
}
