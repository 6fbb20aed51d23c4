//! The log on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error(
        "RUST_LOG is {filter:?}: {source}; write for example \"info\" or \"info,pointsman::dispatch=debug\""
    )]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The process has a log already.
    #[error("the log is set up already")]
    Twice,
}

/// What is logged unless the operator says otherwise.
const DEFAULT_FILTER: &str = "info";

fn filter(rust_log: Option<&str>) -> Result<EnvFilter, TelemetryError> {
    let text = rust_log.map(str::trim).filter(|t| !t.is_empty()).unwrap_or(DEFAULT_FILTER);
    EnvFilter::try_new(text).map_err(|source| TelemetryError::Filter { filter: text.to_owned(), source })
}

/// Starts the log on standard error. `rust_log` is the value of `RUST_LOG`; without one it is `info`.
///
/// # Errors
/// When the filter cannot be read, or when it was started before.
pub fn init_tracing(format: LogFormat, rust_log: Option<&str>) -> Result<(), TelemetryError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(rust_log)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().with_ansi(false).try_init(),
    }
    .map_err(|_| TelemetryError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_info_unless_told_otherwise_and_a_bad_one_is_named() {
        assert_eq!(filter(None).unwrap().to_string(), "info");
        assert_eq!(filter(Some(" ")).unwrap().to_string(), "info");
        assert_eq!(filter(Some("warn")).unwrap().to_string(), "warn");
        let error = filter(Some("pointsman=loud")).unwrap_err().to_string();
        assert!(error.contains("RUST_LOG") && error.contains("loud"), "{error}");
    }
}
