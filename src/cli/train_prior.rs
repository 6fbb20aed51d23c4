//! `pointsman train prior`: fits what is supposed of models that nobody has reported on.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::bench::load::{Loaded, Loader, ReadBy};
use crate::offline::prior::{Recorded, fit};

/// `pointsman train prior`: fits what is supposed of models that nobody has reported on.
///
/// It is built into the binary: build again after the fit. Whatever was learned under another prior is not continued.
#[derive(Debug, Clone, Args)]
pub struct TrainPriorArgs {
    /// Folders of recorded outcomes (prompts.jsonl.gz, outcomes.csv.gz); folds 2 to 4 are used.
    #[arg(long, required = true, num_args = 1.., value_name = "DIR")]
    pub data: Vec<PathBuf>,
    /// Where prior.json goes.
    #[arg(long, value_name = "DIR", default_value = "models/prior")]
    pub out: PathBuf,
    /// Folder to keep the prompts' vectors in.
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Print the manifest as JSON.
    #[arg(long)]
    pub json: bool,
}

/// # Errors
/// When a folder cannot be read, there is nothing to fit on, or the file cannot be written.
pub fn run(args: TrainPriorArgs) -> anyhow::Result<()> {
    let loader = Loader::new(args.cache, Vec::new())?;
    let sets = args
        .data
        .iter()
        .map(|dir| loader.load(dir, ReadBy::Minilm))
        .collect::<anyhow::Result<Vec<Loaded>>>()?;
    let recorded: Vec<Recorded<'_>> = sets.iter().map(Loaded::recorded).collect();
    let manifest = fit(&recorded, &jiff::Timestamp::now().strftime("%Y-%m-%d").to_string())?;
    let path = args.out.join("prior.json");
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let text = serde_json::to_string_pretty(&manifest)? + "\n";
    std::fs::write(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    if args.json {
        say(text.trim_end());
        return Ok(());
    }
    say(&format!("{} written to {}; build again to use it", manifest.prior.name, path.display()));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result of a command goes to standard output")]
fn say(line: &str) {
    println!("{line}");
}
