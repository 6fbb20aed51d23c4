//! `pointsman explain DECISION_ID`: reads the log, so it works while the service runs and when it does not.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;

use super::recorded::named;
use super::{output, serve};
use crate::service::{DecisionView, reference, view};
use crate::store::{Store, StoreOptions};

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// A decision's id (header x-pointsman-decision-id) or a completion's.
    id: String,
    /// The configuration that names the store.
    #[arg(long, value_name = "FILE", conflicts_with = "store")]
    config: Option<PathBuf>,
    /// The store: a file, or a URL of Postgres.
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let address = match &args.store {
        Some(text) => named(text)?,
        None => serve::settings(args.config.as_deref())?.store.address,
    };
    if address.is_missing() {
        bail!("there is no store {address}: name it with --store or --config");
    }
    let store = Store::open(StoreOptions::at(address))?;
    let record = store.record(&reference(&args.id), None);
    store.close();
    let record = record?.with_context(|| format!("no decision or completion has the id {:?}", args.id))?;
    let view = view(record.decision, record.completed, record.feedback);
    if args.json {
        output::json(&view)?
    } else {
        print(&view)
    }
    Ok(ExitCode::SUCCESS)
}

fn print(view: &DecisionView) {
    let decision = &view.decision;
    output::line(format!("{}  route {}  policy {}", decision.id, decision.route, decision.policy));
    output::line(&view.explanation.summary);
    if let Some(budget) = &view.explanation.budget {
        output::line(budget);
    }
    if !view.ranking.is_empty() {
        output::line("");
        output::line(format!(
            "{:<40} {:>7} {:>6} {:>12} {:>9} {:>9} {:>7}",
            "model", "quality", "sd", "cost USD", "p50 ms", "utility", "p"
        ));
    }
    for arm in &view.ranking {
        output::line(format!(
            "{:<40} {:>7.3} {:>6.3} {:>12.7} {:>9.0} {:>9.4} {:>7.4}",
            arm.model.as_str(),
            arm.quality.mean,
            arm.quality.sd,
            arm.cost_usd,
            arm.latency_ms.p50,
            arm.utility,
            arm.propensity
        ));
    }
    for other in &view.explanation.alternatives {
        let quality = other.quality_needed.map(|q| format!("with quality {q:.3}"));
        let cost = other.cost_factor_needed.map(|f| format!("at {:.0} % of its expected cost", f * 100.0));
        let ways: Vec<_> = quality.into_iter().chain(cost).collect();
        let ways = if ways.is_empty() { "by no quality or price".to_owned() } else { ways.join(" or ") };
        output::line(format!("{} would have been first {ways}.", other.model));
    }
    for out in &view.excluded {
        output::line(format!("{} was not eligible: {}.", out.model, out.why));
    }
    if let Some(done) = &view.completed {
        let served = done.served.as_ref().map_or("nobody", |a| a.as_str());
        let cost = done.cost_usd.map_or_else(|| "unknown".into(), |c| format!("${c:.7}"));
        output::line(format!(
            "It ended as {:?}: served by {served}, cost {cost}, {:.0} ms, {} calls.",
            done.end,
            done.total_ms,
            done.attempts.len()
        ));
    }
    for report in &view.feedback {
        let value = report.value.map_or_else(|| "no value".into(), |v| format!("{v:.3}"));
        output::line(format!("Feedback {}: {value} from {}.", report.name, report.source.as_str()));
    }
}
