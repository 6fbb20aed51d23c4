//! One file per sub-command. Each has clap `Args` and a `run` that answers with an exit code.

pub mod check;
pub mod init;
pub mod keys;
