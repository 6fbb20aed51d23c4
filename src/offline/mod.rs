//! To come.

pub mod dataset;
