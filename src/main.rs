//! The `pointsman` binary: parses arguments, calls [`pointsman::cli`], gives its exit code.

use std::process::ExitCode;

/// With the system's allocator a request takes a seventh more processor time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pointsman::cli::main()
}
