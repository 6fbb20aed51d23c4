//! `pointsman promote`: a bundle takes over. It is written into the store's log; a running service goes over within a second.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde_json::json;

use super::output;
use crate::config::{self, DEFAULT_FILE, DEFAULT_STORE_FILE};
use crate::domain::{PolicyVersion, Seq};
use crate::offline::bundle::{Bundle, Origin};
use crate::routing::Featurizer;
use crate::store::{NewPolicy, Store, StoreOptions};

/// Arguments of `promote`.
#[derive(Debug, Args)]
pub(super) struct PromoteArgs {
    /// The bundle's folder, as `train` wrote it.
    #[arg(required_unless_present_any = ["rollback", "list"], conflicts_with_all = ["rollback", "list"])]
    bundle: Option<PathBuf>,
    /// Go back to the bundle that was promoted before the one in place.
    #[arg(long, conflicts_with = "list")]
    rollback: bool,
    /// List what was promoted, the newest first.
    #[arg(long)]
    list: bool,
    /// Give it a share of the traffic first; not supported in this version.
    #[arg(long, value_name = "SHARE", hide = true)]
    canary: Option<String>,
    /// The store's file [default: the one of the configuration].
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    store: Option<PathBuf>,
    /// The configuration that names the store; its provider keys are not needed.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &PromoteArgs) -> anyhow::Result<ExitCode> {
    if args.canary.is_some() {
        bail!(
            "--canary: this version promotes a bundle for all of the traffic or not at all; look at `pointsman evaluate` first"
        );
    }
    let path = match (&args.store, &args.config) {
        (Some(path), _) => path.clone(),
        (None, Some(file)) => config::load_store(file)?.path,
        (None, None) if Path::new(DEFAULT_FILE).exists() => config::load_store(Path::new(DEFAULT_FILE))?.path,
        (None, None) => PathBuf::from(DEFAULT_STORE_FILE),
    };
    if !path.exists() {
        bail!("there is no store {}: name it with --store or --config", path.display());
    }
    let store =
        Store::open(StoreOptions::at(&path)).with_context(|| format!("opening {}", path.display()))?;
    let done = act(args, &store);
    store.close();
    done.map(|()| ExitCode::SUCCESS)
}

fn act(args: &PromoteArgs, store: &Store) -> anyhow::Result<()> {
    let policy = match &args.bundle {
        Some(folder) => Some(fitting(&Bundle::load(folder)?, store)?),
        None if args.rollback => Some(before(store)?),
        None => None,
    };
    let Some(policy) = policy else { return list(args, store) };
    let version = policy.version.clone();
    let cut = policy.cut;
    let seq = store.promote(policy)?;
    if args.json {
        return output::json(&json!({"policy": version, "event": seq, "cut": cut}));
    }
    output::line(format!(
        "{version} takes over at event {seq}: its state, and what the log says after event {cut}; a running service follows within a second"
    ));
    Ok(())
}

/// A bundle of this log or of recorded outcomes, with the features of this version.
fn fitting(bundle: &Bundle, store: &Store) -> anyhow::Result<NewPolicy> {
    let featurizer = Featurizer::built_in()?;
    ensure!(
        *bundle.state.schema() == *featurizer.schema() && bundle.state.dim() == featurizer.dim(),
        "the bundle has features of schema {}, this version makes {}: train it anew",
        bundle.state.schema(),
        featurizer.schema()
    );
    let cut = match &bundle.manifest.origin {
        Origin::Data { .. } => Seq(0),
        Origin::Traces { cut, cut_sha256, .. } => {
            ensure!(
                store.fingerprint(*cut)?.as_ref() == Some(cut_sha256),
                "the bundle was trained on another log (event {cut} differs here): promote it in the store that it was trained on"
            );
            *cut
        }
    };
    Ok(NewPolicy {
        version: bundle.version(),
        cut,
        manifest: serde_json::to_string(&bundle.manifest)?,
        state: bundle.bytes.clone(),
    })
}

/// What was in place before what is in place.
fn before(store: &Store) -> anyhow::Result<NewPolicy> {
    let promotions = store.promotions()?;
    let current = promotions.first().context("nothing was promoted yet")?;
    let earlier: Option<&PolicyVersion> =
        promotions.iter().map(|p| &p.version).find(|version| **version != current.version);
    let version =
        earlier.with_context(|| format!("no other bundle was promoted before {}", current.version))?;
    store.policy(version)?.with_context(|| format!("the store has lost {version}"))
}

fn list(args: &PromoteArgs, store: &Store) -> anyhow::Result<()> {
    let promotions = store.promotions()?;
    if args.json {
        let line = |p: &crate::store::Promotion| json!({"policy": p.version, "event": p.seq, "at_ms": p.at, "cut": p.cut});
        return output::json(&promotions.iter().map(line).collect::<Vec<_>>());
    }
    if promotions.is_empty() {
        output::line("nothing was promoted: the policy is what the log taught");
    }
    for (i, p) in promotions.iter().enumerate() {
        let place = if i == 0 { "  in place" } else { "" };
        output::line(format!("{:<32} event {:>9}  cut {:>9}{place}", p.version.as_str(), p.seq.0, p.cut.0));
    }
    Ok(())
}
