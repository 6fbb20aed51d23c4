//! `pointsman evaluate`: what a bundle would have been worth on the log, or is worth on a folder.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::ensure;
use clap::Args;
use serde_json::json;

use super::output;
use super::progress::Progress;
use super::recorded::{Folder, From};
use crate::domain::Seq;
use crate::offline::bundle::{Bundle, Origin};
use crate::offline::estimate::Evidence;
use crate::offline::exact::{self, Lesson};
use crate::offline::report;
use crate::offline::scenario::Scenario;
use crate::offline::traces::Traces;
use crate::policy::Policy;
use crate::routing::Featurizer;
use crate::store::Store;

/// Seed of the bootstrap.
const SEED: u64 = 1;

/// Arguments of `evaluate`.
#[derive(Debug, Args)]
pub(super) struct EvaluateArgs {
    /// The bundle's folder, as `train` wrote it.
    bundle: PathBuf,
    #[command(flatten)]
    from: From,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let bundle = Bundle::load(&args.bundle)?;
    let featurizer = Featurizer::built_in()?;
    match &args.from.data {
        Some(path) => {
            ensure!(
                *bundle.state.schema() == *featurizer.schema(),
                "the bundle has features of schema {}, this version makes {}",
                bundle.state.schema(),
                featurizer.schema()
            );
            let folder = Folder::load(path, args.from.cache.as_deref(), &featurizer)?;
            let lesson =
                Lesson { dataset: &folder.dataset, contexts: &folder.contexts, vectors: &folder.vectors };
            let score = exact::evaluate(&lesson, &bundle.state.snapshot(bundle.version()))?;
            if args.json {
                output::json(&score)?
            } else {
                output::line(score.table())
            }
            Ok(ExitCode::SUCCESS)
        }
        None => {
            let store = args.from.store()?;
            let evaluated = on_log(args, &bundle, &store);
            store.close();
            evaluated
        }
    }
}

/// Exit code 1 when there is no verdict.
fn on_log(args: &EvaluateArgs, bundle: &Bundle, store: &Store) -> anyhow::Result<ExitCode> {
    let end = *store.committed().borrow();
    let (after, note) = unseen(bundle, store, end)?;
    let mut bar = Progress::new("events");
    let shape = (bundle.state.schema(), bundle.state.dim());
    let traces = Traces::read(store, (after, end), shape, &mut |done, all| bar.at(done, all))?;
    drop(bar);
    let policy: Arc<dyn Policy> = bundle.state.snapshot(bundle.version());
    let scenario = Scenario::as_logged(&traces, shape.0, &policy)?;
    let evaluation = Evidence::new(&traces, &[])?.evaluate(&scenario, SEED)?;
    let verdict = evaluation.no_verdict.is_none();
    if args.json {
        output::json(&json!({"bundle": bundle.manifest.version, "events": note, "evaluation": evaluation}))?;
    } else {
        output::line(format!("bundle {} on {note}\n", bundle.manifest.version));
        output::line(report::evaluation(&evaluation));
    }
    Ok(if verdict { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The part of the log that the bundle was not trained on; all of it when there is none.
fn unseen(bundle: &Bundle, store: &Store, end: Seq) -> anyhow::Result<(Seq, String)> {
    if let Origin::Traces { cut, cut_sha256, .. } = &bundle.manifest.origin
        && store.fingerprint(*cut)?.as_ref() == Some(cut_sha256)
    {
        return Ok(if *cut < end {
            (*cut, format!("events {} to {end}, which came after its training", cut.0 + 1))
        } else {
            (
                Seq(0),
                format!(
                    "events 1 to {end}, on which it was TRAINED: its own manifest holds its scores on unseen ones"
                ),
            )
        });
    }
    Ok((Seq(0), format!("events 1 to {end}, none of which it was trained on")))
}
