//! The `pointsman` binary: parses arguments, calls [`pointsman::cli`], gives its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    pointsman::cli::main()
}
