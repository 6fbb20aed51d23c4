//! What the benchmark shows in process, the service does over HTTP: from the same reports the same contexts, estimates, chances,
//! expected costs and price of a dollar. Calls are reported with what they cost and no tokens, as by callers who count none.

use std::sync::Arc;

use pointsman::domain::{
    Arm, ArmEstimate, ArmId, BudgetLimits, Context, Decision, EventBody, Multiplier, Preference, Seq, UnixMs,
};
use pointsman::embed::{Encoder, EncoderOptions};
use pointsman::offline::dataset::{Cell, Dataset, Row};
use pointsman::offline::routing_bench::{AsRecorded, Asked, Case, Live, LiveOptions, Parting, World};
use pointsman::routing::featurize::Featurizer;
use pointsman::routing::prior::shipped;
use pointsman::wire::chat::prompt_of_text;
use serde_json::json;

use crate::support::{TestApp, chat, read};

const PROMPTS: usize = 60;
const ARMS: [&str; 2] = ["fake/cheap", "fake/good"];
/// Between the two arms' costs.
const BUDGET_USD: f64 = 1.5e-4;
/// Shared out over the requests that are still expected this month: sixty within seconds make that thousands, or few in its last hours.
const MONTH_USD: f64 = 0.02;
const KINDS: [&str; 2] = ["Write a Rust function that", "Plan a dinner where one"];
const ENDS: [&str; 10] = [
    "sorts names by length",
    "counts words in a file",
    "finds the largest number",
    "joins two tables",
    "parses dates from text",
    "uses lemons and rice",
    "is ready within an hour",
    "feeds eight guests",
    "needs no oven at all",
    "pleases children too",
];

fn prompt(i: usize) -> String {
    format!("{} {}, attempt {i}", KINDS[i % 2], ENDS[i / 2 % 10])
}

/// The cheap model cannot write code; the good one costs ten times as much.
fn cell(i: usize, arm: &str) -> Cell {
    let (good, code) = (arm == "fake/good", i.is_multiple_of(2));
    let quality = match (good, code) {
        (true, _) => 0.9,
        (false, true) => 0.1,
        (false, false) => 0.85,
    };
    let cost_usd = if good { 4e-4 } else { 4e-5 } * (1.0 + 0.1 * (i % 5) as f64);
    Cell { quality, cost_usd: Some(cost_usd), input_tokens: None, output_tokens: None, latency_ms: None }
}

fn dataset() -> Dataset {
    let row =
        |i: usize| Row { id: i.to_string(), task: String::new(), fold: 1, split: None, prompt: prompt(i) };
    Dataset {
        name: "small".to_owned(),
        rows: (0..PROMPTS).map(row).collect(),
        models: ARMS.map(str::to_owned).to_vec(),
        cells: (0..PROMPTS).map(|i| ARMS.map(|arm| Some(cell(i, arm))).to_vec()).collect(),
    }
}

/// The set as the benchmark reads it, over the service's arms.
fn world(app: &TestApp) -> World {
    let set = dataset();
    let (featurizer, encoder) =
        (Featurizer::built_in().unwrap(), Encoder::start(EncoderOptions::default()).unwrap());
    let vectors: Vec<Arc<[f32]>> =
        set.rows.iter().map(|row| encoder.embed_blocking(&row.prompt, "").unwrap().vector).collect();
    let contexts: Vec<Context> = set
        .rows
        .iter()
        .zip(&vectors)
        .map(|(row, vector)| featurizer.context(vector, &prompt_of_text(&row.prompt)).unwrap())
        .collect();
    let mut world = World::new(&set, &contexts, &vectors, Parting::Rows(PROMPTS - 1)).unwrap();
    world.arms =
        ARMS.map(|id| Arm::clone(app.running.service().fleet.arm(&ArmId::from(id)).unwrap())).to_vec();
    world
}

async fn app(budget: &str) -> TestApp {
    TestApp::with_routes(&format!(
        "[learning]\npublish_every_events = 1\n\
         [routes.auto]\nmodels = [\"fake/good\", \"fake/cheap\"]\ndefault = \"fake/good\"\nweights = {{ quality = 1.0 }}\n{budget}"
    ))
    .await
}

/// Routes every prompt and reports at once what the call cost and how good it was; then waits until the next request sees it.
async fn live(app: &TestApp) {
    for i in 0..PROMPTS {
        let (status, answer) =
            read(app.post("/v1/route", &chat("auto", &prompt(i))).send().await.unwrap()).await;
        assert_eq!(status, 200, "{answer}");
        let Cell { quality, cost_usd, .. } = cell(i, answer["model"].as_str().unwrap());
        let report =
            json!({"decision_id": answer["decision_id"], "value": quality, "cost_usd": cost_usd.unwrap()});
        let (status, receipt) = read(app.post("/feedback", &report).send().await.unwrap()).await;
        assert_eq!((status, &receipt["applied"]), (200, &json!(true)));
        let service = &app.running.service();
        let end = *service.store.committed().borrow();
        service.learning.watch().wait_for(|s| s.published >= end).await.unwrap();
    }
}

fn near(what: &str, ours: f64, theirs: f64) {
    let most = 1e-9 * ours.abs().max(theirs.abs()) + 1e-12;
    assert!((ours - theirs).abs() <= most, "{what}: {ours} in process, {theirs} over HTTP");
}

/// The benchmark reads the prompt as the service did.
fn reads_alike(case: &Case, decision: &Decision) {
    let theirs = decision.context.as_ref().unwrap();
    assert_eq!(case.context.schema(), theirs.schema());
    for (ours, theirs) in case.context.features().iter().zip(theirs.features()) {
        assert!((ours - theirs).abs() < 1e-4, "a feature is {ours} in process, {theirs} over HTTP");
    }
    assert_eq!(case.input_tokens, decision.input_tokens);
}

/// Lives through the service's log in process and compares every decision. Gives the decisions.
async fn compared(app: &TestApp, limits: Option<BudgetLimits>) -> Vec<Decision> {
    let rows = app.running.service().store.scan(Seq(0), 10_000).unwrap();
    let events: Vec<EventBody> = rows.into_iter().map(|row| row.event.unwrap().body).collect();
    let decided = |body: &EventBody| match body {
        EventBody::Decided(decision) => Some(decision.as_ref().clone()),
        _ => None,
    };
    let decisions: Vec<Decision> = events.iter().filter_map(decided).collect();
    assert_eq!(decisions.len(), PROMPTS);
    let world = world(app);
    let mut cases: Vec<Case> = world.training.iter().chain(&world.scored).cloned().collect();
    for (case, decision) in cases.iter_mut().zip(&decisions) {
        reads_alike(case, decision);
        // The last bits may depend on what else was embedded at that time.
        case.context = decision.context.clone().unwrap();
    }
    let options = LiveOptions { default_arm: 1, ..LiveOptions::default() };
    let prior = Arc::new(shipped(cases[0].context.schema()).unwrap());
    let mut live = Live::new(&world, options, &AsRecorded, 0).unwrap().supposing(prior).unwrap();
    if let Some(limits) = &limits {
        let stats = read(app.get("/admin/stats").await).await.1;
        live = live.with_budget(limits, UnixMs(stats["from_ms"].as_i64().unwrap()));
    }
    let mut pairs = cases.iter().zip(&decisions);
    let (mut asked, mut reported_at) = (None, None);
    for event in &events {
        match event {
            EventBody::Decided(_) => {
                let (case, theirs) = pairs.next().unwrap();
                let ours = live.ask(case, &Preference::best(), theirs.at).unwrap();
                same(&ours, theirs);
                asked = Some((ours, theirs));
            }
            EventBody::Completed(completed) => reported_at = Some(completed.at),
            EventBody::Feedback(_) => {
                let ((asked, theirs), at) = (asked.take().unwrap(), reported_at.take().unwrap());
                let k = ARMS.iter().position(|id| *id == theirs.arm.as_str()).unwrap();
                let outcome = asked.case.outcomes[k];
                live.answered(&asked, &theirs.arm, outcome.cost_usd, at);
                live.pupil.rate(asked.case, k, outcome.quality);
            }
            EventBody::Admin(_) => {}
        }
    }
    decisions
}

fn same(ours: &Asked<'_>, theirs: &Decision) {
    let price = theirs.budget.as_ref().map_or(Multiplier::FREE, |b| b.multiplier);
    near("price", ours.allowance.multiplier.low, price.low);
    near("price", ours.allowance.multiplier.high, price.high);
    near("share", ours.allowance.multiplier.share_high, price.share_high);
    let proposal = &ours.proposal;
    near("propensity", proposal.distribution.of(&theirs.arm), theirs.propensity);
    for (ours, theirs) in proposal.distribution.p().iter().zip(theirs.distribution.p()) {
        near("chance", *ours, *theirs);
    }
    assert_eq!(proposal.estimates.len(), ARMS.len());
    for (ours, theirs) in proposal.estimates.iter().zip(&theirs.estimates) {
        assert_eq!(ours.arm, theirs.arm);
        near("quality", ours.quality.mean, theirs.quality.mean);
        near("its spread", ours.quality.sd, theirs.quality.sd);
        near("cost", ours.cost_usd, theirs.cost_usd);
        near("utility", ours.utility, theirs.utility);
    }
}

#[tokio::test]
async fn the_service_does_over_http_what_the_benchmark_does_in_process() {
    let app = app("").await;
    live(&app).await;
    let decisions = compared(&app, None).await;
    // Something was learned. Which arm is asked how often is left to the draws; one of the two was asked twenty times before the last
    // twenty requests, so its estimates there must be near what was reported.
    let (first, last) = decisions.split_at(PROMPTS - 20);
    let calls = |arm: &&str| first.iter().filter(|d| d.arm.as_str() == *arm).count();
    let arm = ARMS.into_iter().max_by_key(calls).unwrap();
    let mean = |of: &dyn Fn(&ArmEstimate) -> f64| {
        let all: Vec<f64> =
            last.iter().flat_map(|d| &d.estimates).filter(|e| e.arm.as_str() == arm).map(of).collect();
        all.iter().sum::<f64>() / all.len() as f64
    };
    let reported =
        |of: &dyn Fn(Cell) -> f64| (0..PROMPTS).map(|i| of(cell(i, arm))).sum::<f64>() / PROMPTS as f64;
    let (ours, theirs) = (mean(&|e| e.cost_usd), reported(&|c| c.cost_usd.unwrap()));
    assert!((ours / theirs - 1.0).abs() < 0.25, "{arm}: {ours} USD expected, {theirs} reported");
    let (ours, theirs) = (mean(&|e| e.quality.mean), reported(&|c| c.quality));
    assert!((ours - theirs).abs() < 0.15, "{arm}: quality {ours} expected, {theirs} reported");
}

#[tokio::test]
async fn a_budget_puts_the_same_price_on_a_dollar_over_http_as_in_process() {
    let app = app(&format!("budget = {{ usd_per_request = {BUDGET_USD} }}\n")).await;
    live(&app).await;
    let limits = BudgetLimits { usd_per_request: Some(BUDGET_USD), ..BudgetLimits::default() };
    let decisions = compared(&app, Some(limits)).await;
    let priced = |d: &&Decision| d.budget.as_ref().is_some_and(|b| b.multiplier != Multiplier::FREE);
    assert!(decisions[PROMPTS / 2..].iter().filter(priced).count() > PROMPTS / 4, "the budget binds");
}

/// What a period has left for a request shrinks as more come than it could expect.
#[tokio::test]
async fn a_months_limit_is_shared_out_over_http_as_in_process() {
    let app = app(&format!("budget = {{ usd_per_month = {MONTH_USD} }}\n")).await;
    live(&app).await;
    let limits = BudgetLimits { usd_per_month: Some(MONTH_USD), ..BudgetLimits::default() };
    let decisions = compared(&app, Some(limits)).await;
    assert!(decisions.iter().all(|d| d.budget.is_some()));
}
