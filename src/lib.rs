//! Pointsman, the learned LLM router.
//!
//! Modules are ranked and may import lower ranks only; `tests/architecture.rs` checks it. ARCHITECTURE.md tells the path of a
//! request and of a feedback event through them.

pub mod cli;

pub mod app;

pub mod config;

pub mod http;
pub mod sim;

pub mod offline;
pub mod service;

pub mod dispatch;
pub mod learning;
pub mod routing;

pub mod embed;
pub mod provider;
pub mod store;

pub mod ope;
pub mod policy;

pub mod math;
pub mod telemetry;
pub mod wire;

pub mod domain;
