//! The `pointsman` binary: parses arguments, calls [`pointsman::cli`], gives its exit code.

use std::process::ExitCode;

/// A fifth of a request's processor time went to the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pointsman::cli::main()
}
