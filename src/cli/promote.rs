//! `pointsman promote`: a bundle takes over. It is written into the store's log; a running service goes over within a second.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::json;

use super::output;
use super::recorded::address;
use crate::domain::{
    CanaryGuard, CanaryGuards, Experiment, ExperimentEnd, ExperimentName, PolicyVersion, RouteName, Seq,
    Stage, share_of,
};
use crate::offline::admission::admitted;
use crate::offline::bundle::Bundle;
use crate::routing::Featurizer;
use crate::service::before;
use crate::store::{NewPolicy, Store, StoreOptions, stage};

/// Arguments of `promote`.
#[derive(Debug, Args)]
pub(super) struct PromoteArgs {
    /// The bundle's folder, as `train` wrote it.
    #[arg(required_unless_present_any = ["rollback", "list"], conflicts_with_all = ["rollback", "list"])]
    bundle: Option<PathBuf>,
    /// Take a running canary back; without one, go back to the bundle that was promoted before the one in place.
    #[arg(long, conflicts_with = "list")]
    rollback: bool,
    /// List what was promoted, the newest first.
    #[arg(long)]
    list: bool,
    /// Put it into the store and change nothing: experiments and the admin API find it there by its name.
    #[arg(long, requires = "bundle", conflicts_with = "canary")]
    keep: bool,
    /// Give it a share of the traffic first, for example 5%; more while every guard holds, none any more when one fails.
    #[arg(long, value_name = "SHARE", requires = "bundle", value_parser = share)]
    canary: Option<f64>,
    /// The route of the canary [default: every route that learns].
    #[arg(long, value_name = "ROUTE", requires = "canary")]
    route: Option<String>,
    /// What must hold, for example quality_drop=0.02; also error_rate_rise, cost_rise and latency_p95_rise. May be given several times
    /// [default: all four].
    #[arg(long = "guard", value_name = "NAME=LIMIT", requires = "canary", value_parser = guard)]
    guards: Vec<(CanaryGuard, f64)>,
    /// The store: a file, or a URL of Postgres [default: the one of the configuration].
    #[arg(long, value_name = "STORE", conflicts_with = "config")]
    store: Option<String>,
    /// The configuration that names the store; its provider keys are not needed.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    share_of(text).ok_or_else(|| "must be like 5% or 0.05".to_owned())
}

/// Puts an order that was carried out into the audit table.
fn noted(store: &Store, what: &'static str, subject: &str) -> anyhow::Result<()> {
    store.note_order_blocking("cli", what, subject).context("it is done, and not in the audit table")
}

fn guard(text: &str) -> Result<(CanaryGuard, f64), String> {
    let (name, limit) = text.split_once('=').ok_or("must be NAME=LIMIT, for example quality_drop=0.02")?;
    Ok((name.parse()?, limit.parse().map_err(|_| format!("{limit:?} is not a number"))?))
}

pub(super) fn run(args: &PromoteArgs) -> anyhow::Result<ExitCode> {
    let address = address(args.store.as_deref(), args.config.as_deref())?;
    if address.is_missing() {
        bail!("there is no store {address}: name it with --store or --config");
    }
    let store =
        Store::open(StoreOptions::at(address.clone())).with_context(|| format!("opening {address}"))?;
    let done = act(args, &store);
    store.close();
    done.map(|()| ExitCode::SUCCESS)
}

fn act(args: &PromoteArgs, store: &Store) -> anyhow::Result<()> {
    let bundle =
        args.bundle.as_deref().map(|folder| anyhow::Ok((Bundle::load(folder)?, Featurizer::built_in()?)));
    let policy = match bundle.transpose()? {
        Some((bundle, featurizer)) => admitted(&bundle, store, &featurizer)?,
        None if args.rollback => return roll_back(args, store),
        None => return list(args, store),
    };
    let (version, cut) = (policy.version.clone(), policy.cut);
    if args.keep {
        store.keep_policy(policy)?;
        noted(store, "policy_kept", version.as_str())?;
        return said(args, json!({"policy": version, "cut": cut}), format!("{version} is in the store"));
    }
    if let Some(share) = args.canary {
        return canary(args, store, policy, share);
    }
    let seq = store.promote(policy)?;
    noted(store, "policy_promoted", version.as_str())?;
    took_over(args, &version, seq, cut)
}

fn said(args: &PromoteArgs, json: serde_json::Value, text: String) -> anyhow::Result<()> {
    if args.json {
        return output::json(&json);
    }
    output::line(text);
    Ok(())
}

fn took_over(args: &PromoteArgs, version: &PolicyVersion, seq: Seq, cut: Seq) -> anyhow::Result<()> {
    let text = format!(
        "{version} takes over at event {seq}: its state, and what the log says after event {cut}; a running service follows within a second"
    );
    said(args, json!({"policy": version, "event": seq, "cut": cut}), text)
}

/// The experiment has the bundle's name.
fn canary(args: &PromoteArgs, store: &Store, policy: NewPolicy, share: f64) -> anyhow::Result<()> {
    let guards = match args.guards.is_empty() {
        true => CanaryGuards::from(CanaryGuard::ALL),
        false => args.guards.iter().copied().collect(),
    };
    let experiment = Experiment {
        name: ExperimentName::new(policy.version.as_str()),
        route: args.route.as_deref().map(RouteName::from),
        policy: policy.version.clone(),
        share,
        guards,
    };
    let experiment = experiment.checked()?;
    let name = experiment.name.clone();
    let seq = store.start_experiment(Some(policy), experiment)??;
    noted(store, "experiment_started", name.as_str())?;
    let text = format!(
        "{name} gets {:.1} % of the traffic from event {seq} on, more while every guard holds; GET /admin/policies shows what they say, \
         --rollback takes it back",
        100.0 * share
    );
    said(args, json!({"experiment": name, "event": seq, "share": share}), text)
}

/// The experiment that runs. What is committed is looked at and let go: held, it would hold up the next commit.
fn running(store: &Store) -> anyhow::Result<Option<Stage>> {
    let last = *store.committed().borrow();
    Ok(stage(&store.admin_events(last)?))
}

/// Takes a running challenger back; without one, what was in place before takes over.
fn roll_back(args: &PromoteArgs, store: &Store) -> anyhow::Result<()> {
    if let Some(running) = running(store)? {
        let ended = store.end_experiment(
            None,
            running.since,
            ExperimentEnd::RolledBack,
            "by an operator".to_owned(),
        )?;
        let name = running.experiment.name;
        let seq = ended.with_context(|| format!("the experiment {name} has just changed: look at --list"))?;
        noted(store, "experiment_rolled_back", name.as_str())?;
        let text =
            format!("the experiment {name} is over at event {seq}: the champion has all of the traffic");
        return said(args, json!({"experiment": name, "event": seq}), text);
    }
    let policy = before(store)?;
    let (version, cut) = (policy.version.clone(), policy.cut);
    let seq = store.promote(policy)?;
    noted(store, "policy_rolled_back", version.as_str())?;
    took_over(args, &version, seq, cut)
}

fn list(args: &PromoteArgs, store: &Store) -> anyhow::Result<()> {
    let promotions = store.promotions()?;
    if args.json {
        let line = |p: &crate::store::Promotion| json!({"policy": p.version, "event": p.seq, "at_ms": p.at, "cut": p.cut});
        return output::json(&promotions.iter().map(line).collect::<Vec<_>>());
    }
    if let Some(running) = running(store)? {
        let (name, share) = (running.experiment.name, 100.0 * running.share);
        output::line(format!(
            "the experiment {name} runs on {share:.1} % of the traffic since event {}",
            running.since
        ));
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: PromoteArgs,
    }

    #[test]
    fn orders_stand_in_the_audit_table() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(StoreOptions::at(folder.path().join("log.db"))).unwrap();
        let Line { args } = Line::parse_from(["promote", "--rollback"]);
        let version = PolicyVersion::from("bundle-1");
        let policy = NewPolicy { version, cut: Seq(0), manifest: "{}".to_owned(), state: Vec::new() };
        canary(&args, &store, policy, 0.05).unwrap();
        roll_back(&args, &store).unwrap();
        let rows = store.audit(None, 10).unwrap();
        let said: Vec<_> =
            rows.iter().map(|r| (r.who.as_str(), r.what.as_str(), r.subject.as_str())).collect();
        assert_eq!(
            said,
            [("cli", "experiment_rolled_back", "bundle-1"), ("cli", "experiment_started", "bundle-1")]
        );
        store.close();
    }
}
