//! The `pointsman` binary: parses arguments, calls [`pointsman::cli`], gives its exit code.

use std::process::ExitCode;

/// A request makes a few hundred small allocations on several threads; ARCHITECTURE.md has what this saves.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    pointsman::cli::main()
}
