//! The demo around a stand-in router.

use std::sync::Arc;

use async_trait::async_trait;
use clap::Parser;

use super::*;
use crate::sim::relay::Relay;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    demo: DemoArgs,
}

fn parse(args: &[&str]) -> Result<DemoArgs, String> {
    let line = std::iter::once("demo").chain(args.iter().copied());
    Command::try_parse_from(line).map(|c| c.demo).map_err(|e| e.to_string())
}

struct StartRelay;

struct RunningRelay(Relay);

#[async_trait]
impl StartRouter for StartRelay {
    async fn start(&self, spec: RouterSpec) -> anyhow::Result<Box<dyn RunningRouter>> {
        assert!(spec.arms.iter().any(|a| a.id == spec.default));
        std::fs::write(&spec.database, "log")?;
        let playbook = Arc::new(Playbook::simulated(1, 0));
        Ok(Box::new(RunningRelay(Relay::start(playbook, spec.upstream).await)))
    }
}

#[async_trait]
impl RunningRouter for RunningRelay {
    fn base_url(&self) -> &str {
        &self.0.base_url
    }

    async fn stop(self: Box<Self>) -> anyhow::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_run_leaves_the_curve_the_log_and_all_that_a_recomputation_needs() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let text = |name: &str| std::fs::read_to_string(at(name)).unwrap();
    let (svg, keep) = (at("curve.svg").display().to_string(), at("kept").display().to_string());
    let args = parse(&["--exit", "--json", "--requests", "60", "--out", &svg, "--keep", &keep]).unwrap();
    run(&args, &StartRelay).await.unwrap();
    assert!(text("curve.svg").contains("simulated"));
    assert_eq!(text("kept/pointsman.db"), "log");
    assert_eq!(text("kept/truth.jsonl").lines().count(), 60);
    let mut prompts: Vec<String> = text("kept/decisions.jsonl")
        .lines()
        .map(|l| {
            serde_json::from_str::<serde_json::Value>(l).unwrap()["prompt_id"].as_str().unwrap().to_owned()
        })
        .collect();
    prompts.sort();
    prompts.dedup();
    assert_eq!(prompts.len(), 60);
    let again = run(&args, &StartRelay).await.unwrap_err().to_string();
    assert!(again.contains("exists already"), "{again}");
}

#[test]
fn wrong_arguments_are_named() {
    assert!(parse(&["--rated", "1.5"]).unwrap_err().contains("1.5 is not between 0 and 1"));
    assert!(parse(&["--models", "a,b"]).unwrap_err().contains("--data"));
    assert!(parse(&["--requests", "0"]).unwrap_err().contains("--requests"));
    let args = parse(&["--data", "d", "--models", "a,b"]).unwrap();
    assert_eq!(args.models, ["a", "b"]);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = Stage::set(&parse(&["--data", "no/such/folder"]).unwrap()).err().unwrap();
    assert!(format!("{error:#}").contains("no/such/folder"), "{error:#}");
}

#[test]
fn the_audit_counts_what_the_router_got_wrong() {
    let playbook = Playbook::simulated(3, 1);
    let record = |cost| Record { play: 1, served: 2, cost_usd: Some(cost), ..Record::default() };
    let truth = playbook.plays[1].truths[2].cost_usd;
    let mut audit = Audit::default();
    audit.check(&record(truth), Some(Served { play: Some(1), model: 2 }), &playbook);
    assert_eq!(audit, Audit::default());
    audit.check(&record(truth * 1.01), Some(Served { play: Some(1), model: 3 }), &playbook);
    audit.check(&record(truth), None, &playbook);
    assert_eq!(audit, Audit { wrong_model: 2, wrong_cost: 1 });
}
