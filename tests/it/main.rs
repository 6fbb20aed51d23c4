//! The service as a whole: the real application on a free port, a temporary store, and an upstream that can misbehave.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on must fail"
)]

mod auth;
mod budgets;
mod cache;
mod canary;
mod chat;
mod crash;
mod decisions;
mod embedders;
mod exploration;
mod faults;
mod feedback;
mod formats;
mod golden;
mod joining;
mod keys;
mod ledger;
mod matrix;
mod messages;
mod outbound;
mod refusals;
mod reload;
mod replicas;
mod reproduces;
mod secrets;
mod sessions;
mod signals;
mod strategies;
mod support;
mod tls;
mod walk;
