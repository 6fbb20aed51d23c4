//! `pointsman train`: a new policy from the log or from recorded outcomes, gated, as a bundle.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use super::output;
use super::progress::Progress;
use super::recorded::{Folder, From};
use crate::domain::Seq;
use crate::offline::bundle::{Account, Bundle, Origin};
use crate::offline::report;
use crate::offline::train::{TrainOptions, Trained, pictures, train};
use crate::offline::{exact, exact::Lesson};
use crate::routing::Featurizer;
use crate::store::Store;

/// Seed of the bootstrap.
const SEED: u64 = 1;

/// Arguments of `train` without a sub-command.
#[derive(Debug, Args)]
pub(super) struct RetrainArgs {
    #[command(flatten)]
    from: From,
    /// Bundles go into a folder of their own under this one.
    #[arg(long, value_name = "DIR", default_value = "models/policy")]
    out: PathBuf,
    /// How much lower than the log's the utility may be at worst (95 %) for the bundle to be written.
    #[arg(long, default_value_t = 0.02, value_name = "U")]
    margin: f64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A bundle that passed, or the reason why there is none; and what is told of it.
struct Outcome {
    bundle: Option<Bundle>,
    refused: Option<String>,
    metrics: Value,
    text: String,
    pictures: Vec<(&'static str, Vec<u8>)>,
}

pub(super) fn run(args: &RetrainArgs) -> anyhow::Result<ExitCode> {
    let featurizer = Featurizer::built_in()?;
    let outcome = match &args.from.data {
        Some(_) => from_folder(args, &featurizer)?,
        None => {
            let store = args.from.store()?;
            let outcome = from_log(args, &store, &featurizer);
            store.close();
            outcome?
        }
    };
    let saved = outcome.bundle.as_ref().map(|bundle| save(args, bundle, &outcome)).transpose()?;
    if args.json {
        let manifest = outcome.bundle.as_ref().map(|b| &b.manifest);
        output::json(
            &json!({"bundle": saved, "refused": outcome.refused, "manifest": manifest, "metrics": outcome.metrics}),
        )?;
    } else {
        output::line(&outcome.text);
        match (&saved, &outcome.refused) {
            (Some(path), _) => output::line(format!("bundle {}", path.display())),
            (None, Some(why)) => output::line(format!("REFUSED, nothing was written: {why}")),
            (None, None) => {}
        }
    }
    Ok(if saved.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn save(args: &RetrainArgs, bundle: &Bundle, outcome: &Outcome) -> anyhow::Result<PathBuf> {
    let mut files: Vec<(&str, Vec<u8>)> = vec![
        ("report.txt", outcome.text.clone().into_bytes()),
        ("report.json", serde_json::to_vec_pretty(&outcome.metrics)?),
    ];
    files.extend(outcome.pictures.iter().cloned());
    bundle.save(&args.out, &files).context("writing the bundle")
}

fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

fn from_log(args: &RetrainArgs, store: &Store, featurizer: &Featurizer) -> anyhow::Result<Outcome> {
    let options = TrainOptions { grid: TrainOptions::grid(), seed: SEED, margin: args.margin };
    let mut bar = Progress::new("events");
    let shape = (featurizer.schema(), featurizer.dim());
    let trained = train(store, shape, &options, &mut |done, all| bar.at(done, all))?;
    drop(bar);
    let text = text(&trained);
    let metrics = json!({"scores": &trained.scores[..trained.scores.len().min(5)], "gate": &trained.gate});
    let refused = trained.refused.clone();
    let (mut bundle, mut drawn) = (None, Vec::new());
    if refused.is_none() {
        let account = Account {
            date: today(),
            seed: SEED,
            origin: origin(store, trained.cut)?,
            metrics: metrics.clone(),
        };
        bundle = Some(Bundle::new(&trained.state, trained.settings, account)?);
        drawn = pictures(&trained, featurizer.schema())?;
    }
    Ok(Outcome { bundle, refused, metrics, text, pictures: drawn })
}

/// Which log, and how far.
fn origin(store: &Store, cut: Seq) -> anyhow::Result<Origin> {
    let time = |seq: Seq| -> anyhow::Result<crate::domain::UnixMs> {
        let row = store.scan(Seq(seq.0.saturating_sub(1)), 1)?.pop().context("the log is empty")?;
        Ok(row.event.map(|event| event.at).unwrap_or_default())
    };
    let cut_sha256 = store.fingerprint(cut)?.context("the log has lost its last event")?;
    Ok(Origin::Traces { cut, cut_sha256, from: time(Seq(1))?, to: time(cut)? })
}

fn text(trained: &Trained) -> String {
    let mut text = format!(
        "trained on events 1 to {}\n\ncandidates by utility (DR) on the decisions that choose\n",
        trained.cut
    );
    for score in trained.scores.iter().take(5) {
        let s = &score.settings;
        text += &format!(
            "  {:+.4} +- {:.4}  slope_sd {:.4}  common_slope_sd {:.3}  decay {:.6}  gamma {:.0}\n",
            score.utility.mean,
            score.utility.standard_error,
            s.heads.quality.slope_sd,
            s.heads.common_slope_sd,
            s.heads.decay,
            s.gamma
        );
    }
    text + "\nthe first of them on the last decisions of the log, which it had not seen\n"
        + &report::evaluation(&trained.gate)
}

fn from_folder(args: &RetrainArgs, featurizer: &Featurizer) -> anyhow::Result<Outcome> {
    let path = args.from.data.as_deref().context("--data is missing")?;
    let folder = Folder::load(path, args.from.cache.as_deref(), featurizer)?;
    let lesson = Lesson { dataset: &folder.dataset, contexts: &folder.contexts, vectors: &folder.vectors };
    let mut bar = Progress::new("fits");
    let learned = exact::train(&lesson, &mut |done, all| bar.at(done, all))?;
    drop(bar);
    let text = format!(
        "trained on {} ({} prompts of folds 2 to 4, every model's outcome)\n{}",
        folder.dataset.name,
        learned.prompts,
        learned.score.table()
    );
    let metrics = json!({"scores": &learned.scores, "gate": &learned.score});
    let (mut bundle, mut drawn) = (None, Vec::new());
    if learned.refused.is_none() {
        let origin = Origin::Data {
            name: folder.dataset.name.clone(),
            prompts: learned.prompts,
            sha256: exact::fingerprint(&folder.dataset),
        };
        let account = Account { date: today(), seed: SEED, origin, metrics: metrics.clone() };
        bundle = Some(Bundle::new(&learned.state, learned.settings, account)?);
        drawn = learned.score.pictures()?;
    }
    Ok(Outcome { bundle, refused: learned.refused, metrics, text, pictures: drawn })
}
