//! The simulated world: models with fictional names behind a real HTTP server, prompts of a dozen kinds, and the clients.
//!
//! For the demo, for statistical tests and for benches. The truth about every prompt and model is in one [`playbook`], made up
//! ([`world`], [`prompts`]) or recorded (a folder of outcomes); the [`upstream`] serves it, the [`traffic`] asks and rates, the
//! [`scoreboard`] judges and the [`curve`] shows.
//!
//! Invariant: the router under test is reached over HTTP alone, and is told no more than any deployment would be. Nothing here
//! knows of policies, features or the log.

pub mod curve;
pub mod hash;
pub mod playbook;
pub mod prompts;
pub mod scoreboard;
pub mod traffic;
pub mod upstream;
pub mod world;

#[cfg(test)]
pub mod relay;
