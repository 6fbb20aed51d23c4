//! `pointsman import`: another gateway's configuration as `pointsman.toml`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use serde_json::json;

use super::init::save;
use crate::config::{self, DEFAULT_FILE, import_litellm};

/// Largest file that is read.
const MAX_BYTES: u64 = 4 << 20;

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    /// A LiteLLM proxy's config.yaml: `model_list`, `router_settings` and what of the rest has a place here
    Litellm(LitellmArgs),
}

/// Arguments of `import litellm`.
#[derive(Debug, Args)]
struct LitellmArgs {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where to write the new configuration
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    out: PathBuf,
    /// Overwrite a file that exists
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Writes the file and says what was left.
///
/// # Errors
/// When the file cannot be read or holds nothing to carry over, or the new one exists already (without `--force`).
pub fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let From::Litellm(args) = &args.from;
    litellm(args, &mut std::io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

fn litellm(args: &LitellmArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    if args.out.exists() && !args.force {
        let path = args.out.display();
        bail!("{path} exists already; name another file with --out, or overwrite it with --force");
    }
    let imported = import_litellm(&read(&args.file)?).with_context(|| args.file.display().to_string())?;
    // Which variables are set here says nothing of where it will run.
    let any_secret = |name: &str| (name != "POINTSMAN_LISTEN").then(|| "set".to_owned());
    let faults: Vec<String> = match config::parse(&imported.toml, &args.out, &any_secret) {
        Ok(_) => Vec::new(),
        Err(found) => found.faults.iter().map(ToString::to_string).collect(),
    };
    save(&args.out, &imported.toml, args.force).with_context(|| format!("writing {}", args.out.display()))?;
    if args.json {
        let told = json!({"out": args.out, "left": imported.left, "faults": faults});
        writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?;
        return Ok(());
    }
    writeln!(out, "{} written", args.out.display())?;
    list(out, "not carried over", &imported.left)?;
    list(out, "still to be filled in or changed there", &faults)?;
    writeln!(out, "next: pointsman check --config {}", args.out.display())?;
    Ok(())
}

fn list(out: &mut dyn Write, what: &str, lines: &[String]) -> std::io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "{what}:")?;
    lines.iter().try_for_each(|line| writeln!(out, "  {line}"))
}

fn read(path: &Path) -> anyhow::Result<String> {
    let name = || format!("reading {}", path.display());
    let size = std::fs::metadata(path).with_context(name)?.len();
    ensure!(size <= MAX_BYTES, "{} has {size} bytes; at most {MAX_BYTES} are read", path.display());
    std::fs::read_to_string(path).with_context(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_writes_what_check_accepts_says_what_it_left_and_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, include_str!("../../tests/fixtures/litellm.yaml")).unwrap();
        let mut args = LitellmArgs { file, out: folder.path().join("new.toml"), force: false, json: false };
        let mut told = Vec::new();
        litellm(&args, &mut told).unwrap();
        let told = String::from_utf8(told).unwrap();
        assert!(told.contains("not carried over:\n") && !told.contains("still to be filled in"), "{told}");
        let text = std::fs::read_to_string(&args.out).unwrap();
        assert!(!text.contains("sk-") && !told.contains("sk-"), "no secret is copied or shown");
        assert!(litellm(&args, &mut Vec::new()).unwrap_err().to_string().contains("--force"));
        (args.force, args.json) = (true, true);
        let mut told = Vec::new();
        litellm(&args, &mut told).unwrap();
        let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
        assert_eq!(told["faults"], json!([]));
        args.file = folder.path().join("none.yaml");
        assert!(litellm(&args, &mut Vec::new()).is_err());
    }
}
