//! To come.

pub mod bench;
