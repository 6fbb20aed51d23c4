//! To come.

pub mod train;
