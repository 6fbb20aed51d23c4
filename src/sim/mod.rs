//! To come.

pub mod hash;
pub mod playbook;
pub mod prompts;
pub mod upstream;
pub mod world;
