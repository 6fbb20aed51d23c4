//! The service as a whole: the real application on a free port, a temporary store, and an upstream that can misbehave.

mod auth;
mod chat;
mod crash;
mod decisions;
mod feedback;
mod golden;
mod refusals;
mod strategies;
mod support;
