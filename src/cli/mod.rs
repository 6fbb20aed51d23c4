//! To come.

pub mod bench;
pub mod train;
