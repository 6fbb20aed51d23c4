//! Loads on the real binary, each with what must hold; the process fails when something does not.
//!
//! `cargo bench --bench load -- soak [--requests N]`, `-- overload`, `-- idle`. Starts the service in a folder of its own and a fast upstream
//! that can fail. Without a command it does nothing, so that a plain `cargo bench` stays short. Linux only: it reads `/proc`.

#![expect(clippy::print_stdout, reason = "a bench prints")]

mod http;
mod idle;
mod overload;
mod service;
mod soak;
mod upstream;

use std::process::ExitCode;

use anyhow::{Context as _, bail};

/// `--name value` pairs.
pub(crate) struct Options(Vec<String>);

impl Options {
    /// The value of `--name`, or `default`.
    pub(crate) fn get<T: std::str::FromStr>(&self, name: &str, default: T) -> anyhow::Result<T> {
        let Some(at) = self.0.iter().position(|word| word.strip_prefix("--") == Some(name)) else {
            return Ok(default);
        };
        let value = self.0.get(at + 1).with_context(|| format!("--{name} wants a value"))?;
        value.parse().ok().with_context(|| format!("--{name}: {value:?} cannot be read"))
    }
}

/// What must hold at the end of a load.
#[derive(Default)]
pub(crate) struct Verdict {
    missed: usize,
}

impl Verdict {
    /// Prints `what` and counts it when it does not hold.
    pub(crate) fn must(&mut self, holds: bool, what: &str) {
        println!("{} {what}", if holds { "ok    " } else { "MISSED" });
        self.missed += usize::from(!holds);
    }

    pub(crate) fn holds(&self) -> bool {
        self.missed == 0
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let Some((command, rest)) = words.split_first() else {
        println!("nothing asked: -- soak, -- overload or -- idle");
        return ExitCode::SUCCESS;
    };
    match run(command, Options(rest.to_vec())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &str, options: Options) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let verdict = match command {
        "soak" => runtime.block_on(soak::run(&options))?,
        "overload" => runtime.block_on(overload::run(&options))?,
        "idle" => runtime.block_on(idle::run(&options))?,
        other => bail!("there is no load {other:?}: soak, overload or idle"),
    };
    Ok(verdict.holds())
}
