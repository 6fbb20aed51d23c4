//! The `pointsman` binary: parses arguments and calls [`pointsman::cli`].

fn main() {}
