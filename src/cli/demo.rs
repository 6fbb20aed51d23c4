//! `pointsman demo`: the simulated upstream, a real router in this process, and clients, all over loopback HTTP.
//!
//! Every figure of the summary comes from what the router itself answered (which model served, at what cost) and from the
//! playbook's truth about that model. Nothing is read out of the router's memory.

mod keep;
mod live;
mod router;
mod stage;
mod start;
mod summary;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;

use self::keep::Workplace;
use self::live::Live;
pub use self::router::{RouterSpec, RunningRouter, StartRouter};
use self::stage::Stage;
pub use self::start::AppStarter;
use self::summary::Summary;
use crate::sim::curve;
use crate::sim::playbook::Playbook;
use crate::sim::scoreboard::Scoreboard;
use crate::sim::traffic::{Record, TrafficReport, drive};
use crate::sim::upstream::{Served, Upstream, UpstreamSettings};

/// Shows the router learn: no key and no configuration needed.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Folder of recorded outcomes (prompts.jsonl.gz, outcomes.csv.gz) to play instead of the simulated world
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// With --data: only these models, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "data")]
    pub models: Vec<String>,
    /// How many prompts are asked, each once
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub requests: u32,
    /// Decides the prompts, the noise, who streams and what is rated
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many clients ask at the same time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub clients: u16,
    /// Share of answers that get a rating, between 0 and 1 [default: 0.3, with --data 1]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub rated: Option<f64>,
    /// Ratings come after at most so many further answers [default: 60, with --data 0]
    #[arg(long, value_name = "ANSWERS")]
    pub rating_delay: Option<u32>,
    /// Where the router listens; port 0 takes any free port
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The learning curve
    #[arg(long, value_name = "FILE", default_value = "pointsman-demo.svg")]
    pub out: PathBuf,
    /// Leave the log (pointsman.db) and what is needed to recompute the summary in this folder
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// End after the summary instead of serving on
    #[arg(long)]
    pub exit: bool,
    /// Print one JSON object with all figures
    #[arg(long)]
    pub json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if (0.0..=1.0).contains(&number) { Ok(number) } else { Err(format!("{number} is not between 0 and 1")) }
}

/// Runs the demo; `starter` starts the router from its specification.
///
/// # Errors
/// When the data cannot be played, an address is taken, a file cannot be written, or the router does not start.
pub async fn run(args: &DemoArgs, starter: &dyn StartRouter) -> anyhow::Result<()> {
    let stage = Stage::set(args)?;
    let mut workplace = Workplace::prepare(args.keep.as_deref(), &stage.playbook)?;
    let upstream = Upstream::start(stage.playbook.clone(), UpstreamSettings::default())
        .await
        .context("the simulated upstream cannot listen on loopback")?;
    let spec = stage.router_spec(&upstream.base_url(), workplace.database(), args.listen);
    let router = starter.start(spec).await.context("the router did not start")?;
    let summary = play(args, &stage, &mut workplace, &upstream, router.base_url()).await?;
    summary.print(args.json)?;
    if !args.exit && !summary.interrupted {
        summary::invite(router.base_url())?;
        tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    }
    router.stop().await.context("the router did not stop cleanly")?;
    upstream.stop().await;
    Ok(())
}

/// The traffic with the live table, then the curve and the figures.
async fn play(
    args: &DemoArgs,
    stage: &Stage,
    workplace: &mut Workplace,
    upstream: &Upstream,
    router: &str,
) -> anyhow::Result<Summary> {
    let mut board = Scoreboard::new(stage.playbook.clone(), stage.yardstick());
    let mut audit = Audit::default();
    let mut live = Live::start(stage, router)?;
    let began = Instant::now();
    let plan = stage.traffic_plan(args, router);
    let traffic = drive(&stage.playbook, &plan, |record| {
        audit.check(&record, upstream.served(&record.completion), &stage.playbook);
        board.push(&record);
        workplace.note(&record, &stage.playbook);
        live.show(&board);
    });
    let report = tokio::select! {
        report = traffic => Some(report?),
        stopped = tokio::signal::ctrl_c() => stopped.map(|()| None).context("cannot wait for Ctrl-C")?,
    };
    live.end();
    workplace.finish()?;
    let picture = curve::svg(&board, &stage.caption())?;
    std::fs::write(&args.out, picture).with_context(|| format!("cannot write {}", args.out.display()))?;
    Ok(Summary {
        interrupted: report.is_none(),
        traffic: report.unwrap_or_else(|| TrafficReport {
            answered: board.total().router.requests,
            ..Default::default()
        }),
        elapsed: began.elapsed(),
        board,
        audit,
        facts: stage.facts(args),
        curve: args.out.clone(),
        kept: args.keep.clone(),
        router: router.to_owned(),
    })
}

/// Whether the router's own words agree with what the upstream did.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Audit {
    /// Answers whose model, as the router says, is not the one that the upstream remembers for that prompt.
    pub wrong_model: usize,
    /// Answers whose cost, as the router says, is off by more than a millionth of the true one.
    pub wrong_cost: usize,
}

impl Audit {
    fn check(&mut self, record: &Record, served: Option<Served>, playbook: &Playbook) {
        let said = Served { play: Some(record.play), model: record.served };
        self.wrong_model += usize::from(served != Some(said));
        let truth = playbook.plays[record.play].truths[record.served].cost_usd;
        let off = record.cost_usd.is_some_and(|cost| (cost - truth).abs() > 1e-6 * truth + 1e-12);
        self.wrong_cost += usize::from(off);
    }
}

#[cfg(test)]
mod tests;
