//! Hours of ordinary traffic: plain answers, streams, clients that leave, upstreams that fail, reports. Nothing may grow, stay behind, or
//! fail without a reason.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::LocalSet;

use crate::http::{Answer, Connection, post};
use crate::service::{Held, Service};
use crate::{Options, Verdict, upstream};

/// How long a client that leaves has waited.
const PATIENCE: Duration = Duration::from_millis(20);
/// In this time everything must be back at the idle level.
const SETTLE: Duration = Duration::from_secs(20);
/// Points of the run at which the process is looked at.
const LOOKS: u64 = 50;
/// The share of the run after which memory must be flat, and the requests before which it cannot be: until then the tables fill that are
/// bounded by their entries, that of 100,000 conversations last.
const WARM: f64 = 0.4;
const FULL: f64 = 150_000.0;

/// What a client does; the shares are those of the issue: 30 % streams, 5 % leave, 2 % faults, 20 % reports, the rest plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    Plain,
    Stream,
    LeavePlain,
    LeaveStream,
    Report,
    /// The upstream fails once; another model or attempt must answer.
    FailsOnce(&'static str),
    /// A stream that breaks off after its first content: an error event, no end mark.
    Cut,
    /// A model that is limited: 429 with a wait.
    Limited,
}

impl Deed {
    fn drawn(rng: &mut StdRng) -> Self {
        match rng.random_range(0..1000) {
            0..300 => Self::Stream,
            300..325 => Self::LeavePlain,
            325..350 => Self::LeaveStream,
            350..355 => Self::FailsOnce("500"),
            355..360 => Self::FailsOnce("reset"),
            360..365 => Self::Cut,
            365..370 => Self::Limited,
            370..570 => Self::Report,
            _ => Self::Plain,
        }
    }

    /// The request of number `n`.
    fn request(self, n: u64) -> Vec<u8> {
        let (fault, stream, model) = match self {
            Self::Stream => ("", true, "auto"),
            Self::LeavePlain => (" slow", false, "auto"),
            Self::LeaveStream => (" slow", true, "auto"),
            Self::FailsOnce(fault) => return chat("auto", &format!("{n} {fault}"), false),
            Self::Cut => (" cut", true, "auto"),
            Self::Limited => (" limited", false, "mock/limited"),
            Self::Plain | Self::Report => ("", false, "auto"),
        };
        chat(model, &format!("{n}{fault}"), stream)
    }
}

fn chat(model: &str, tail: &str, stream: bool) -> Vec<u8> {
    let options = if stream { r#","stream":true,"stream_options":{"include_usage":true}"# } else { "" };
    post(
        "/v1/chat/completions",
        &format!(
            r#"{{"model":"{model}","messages":[{{"role":"user","content":"Tell me about number #{tail}"}}]{options}}}"#
        ),
    )
}

#[derive(Default)]
struct Tally {
    begun: u64,
    done: BTreeMap<Deed, u64>,
    unexplained: Vec<String>,
    looks: Vec<(u64, Held)>,
    slowest: Duration,
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<Verdict> {
    let requests: u64 = options.get("requests", 1_000_000)?;
    let clients: u64 = options.get("clients", 32)?;
    let seed: u64 = options.get("seed", 1)?;
    let (mock, counts) = upstream::start(Duration::ZERO)?;
    let service = Rc::new(Service::start(options, mock, "").await?);
    let idle = settled(&service).await?;
    println!("idle: {idle:?}");
    let (tally, began) = (Rc::new(RefCell::new(Tally::default())), Instant::now());
    let tasks = LocalSet::new();
    for client in 0..clients {
        let client = Client {
            tally: Rc::clone(&tally),
            requests,
            rng: StdRng::seed_from_u64(seed + client),
            to: service.address,
            at: None,
            decision: None,
        };
        tasks.spawn_local(client.run());
    }
    tasks.spawn_local(watch(Rc::clone(&tally), requests, Rc::clone(&service)));
    tasks.await;
    let took = began.elapsed();
    // Connections to the upstream are kept for 90 s; they are not what a soak asks after.
    let kept = usize::try_from(clients)?;
    let with_kept = Held { descriptors: idle.descriptors + kept, tasks: idle.tasks + clients, ..idle };
    let after = service.back_to(with_kept, SETTLE).await?;
    let tally = tally.take();
    let rate = tally.begun as f64 / took.as_secs_f64();
    println!(
        "{} requests by {clients} clients in {:.0} s: {rate:.0}/s, slowest {:?}",
        tally.begun,
        took.as_secs_f64(),
        tally.slowest
    );
    println!("{:?}", tally.done);
    println!("afterwards: {after:?}");
    let mut verdict = Verdict::default();
    for sample in tally.unexplained.iter().take(10) {
        println!("  {sample}");
    }
    verdict.must(
        tally.unexplained.is_empty(),
        &format!("{} answers that the plan does not explain", tally.unexplained.len()),
    );
    let left = tally.done.iter().filter(|(deed, _)| matches!(deed, Deed::LeavePlain | Deed::LeaveStream));
    let left: u64 = left.map(|(_, n)| n).sum();
    let (seen, waited) = (counts.left.load(Relaxed), counts.waited_for.load(Relaxed));
    verdict.must(waited == 0, &format!("{left} clients left: {seen} calls were cancelled, {waited} went on"));
    let open = counts.in_flight.load(Relaxed);
    verdict.must(open == 0, &format!("{open} calls in flight at the upstream"));
    verdict.must(after.tasks <= with_kept.tasks, &format!("{} tasks, idle {}", after.tasks, idle.tasks));
    verdict.must(
        after.descriptors <= with_kept.descriptors,
        &format!(
            "{} descriptors, idle {} and at most {clients} kept to the upstream",
            after.descriptors, idle.descriptors
        ),
    );
    flat(&tally.looks, &mut verdict);
    let lost = service.metric("pointsman_store_dropped_events_total").await?;
    verdict.must(lost == 0, &format!("{lost} events of the log lost"));
    let Ok(service) = Rc::try_unwrap(service) else { anyhow::bail!("a client goes on") };
    verdict.must(service.stop()?.success(), "it stops cleanly");
    Ok(verdict)
}

/// Prints memory by look and holds its second half to its first.
fn flat(looks: &[(u64, Held)], verdict: &mut Verdict) {
    let last = looks.last().map_or(0, |(n, _)| *n) as f64;
    for (n, held) in looks.iter().step_by((looks.len() / 10).max(1)) {
        println!(
            "  {n:>9} requests: {:>6.1} MiB, {:>4} descriptors, {:>4} tasks, log {:.0} MiB",
            held.rss_mib, held.descriptors, held.tasks, held.log_mib
        );
    }
    let warm: Vec<(f64, f64)> = looks
        .iter()
        .map(|(n, held)| (*n as f64, held.rss_mib))
        .filter(|(n, _)| *n >= FULL.max(WARM * last))
        .collect();
    let Some((_, first)) = warm.first() else {
        println!("memory is not judged: the run ends before {FULL} requests");
        return;
    };
    let peak = warm.iter().map(|(_, mib)| *mib).fold(0.0, f64::max);
    let per_million = slope(&warm) * 1e6;
    verdict.must(peak < 1.2 * first, &format!("memory peaks at {peak:.1} MiB, {first:.1} after the warm-up; slope {per_million:+.1} MiB per million requests"));
}

/// Least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
    let (xy, xx) =
        points.iter().fold((0.0, 0.0), |(xy, xx), p| (xy + (p.0 - x) * (p.1 - y), xx + (p.0 - x).powi(2)));
    if xx > 0.0 { xy / xx } else { 0.0 }
}

/// The idle level: after a first request, once tasks and descriptors stand still.
async fn settled(service: &Service) -> anyhow::Result<Held> {
    Connection::open(service.address).await?.ask(&chat("auto", "0", false)).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    service.held().await
}

async fn watch(tally: Rc<RefCell<Tally>>, requests: u64, service: Rc<Service>) {
    let step = (requests / LOOKS).max(1);
    let mut next = step;
    while next <= requests {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let begun = tally.borrow().begun;
        if begun < next {
            continue;
        }
        next = begun + step;
        match service.held().await {
            Ok(held) => tally.borrow_mut().looks.push((begun, held)),
            Err(error) => tally.borrow_mut().unexplained.push(format!("a look failed: {error:#}")),
        }
        println!("{begun} requests");
        if begun >= requests {
            return;
        }
    }
}

/// One client: one deed after the other over one connection, a new one where that is over.
struct Client {
    tally: Rc<RefCell<Tally>>,
    requests: u64,
    rng: StdRng,
    to: SocketAddr,
    at: Option<Connection>,
    /// What can be reported on.
    decision: Option<String>,
}

impl Client {
    async fn run(mut self) {
        loop {
            let n = {
                let mut tally = self.tally.borrow_mut();
                if tally.begun >= self.requests {
                    return;
                }
                tally.begun += 1;
                tally.begun
            };
            let (deed, began) = (Deed::drawn(&mut self.rng), Instant::now());
            let ended = self.act(deed, n).await;
            let mut tally = self.tally.borrow_mut();
            *tally.done.entry(deed).or_default() += 1;
            tally.slowest = tally.slowest.max(began.elapsed());
            if let Err(error) = ended {
                self.at = None;
                tally.unexplained.push(format!("{n} {deed:?}: {error:#}"));
            }
        }
    }

    async fn act(&mut self, deed: Deed, n: u64) -> anyhow::Result<()> {
        let mut connection = match self.at.take() {
            Some(connection) => connection,
            None => Connection::open(self.to).await?,
        };
        if matches!(deed, Deed::LeavePlain | Deed::LeaveStream) {
            connection.send(&deed.request(n)).await?;
            if deed == Deed::LeaveStream {
                connection.first_bytes().await?;
            }
            tokio::time::sleep(PATIENCE).await;
            return Ok(());
        }
        let request = match (deed, self.decision.take()) {
            (Deed::Report, Some(decision)) => {
                let value = self.rng.random_range(0..=10);
                post(
                    "/feedback",
                    &format!(r#"{{"decision_id":"{decision}","value":{}}}"#, f64::from(value) / 10.0),
                )
            }
            (Deed::Report, None) => return self.act_plain(connection, n).await,
            (deed, _) => deed.request(n),
        };
        let answer = connection.ask(&request).await?;
        judge(deed, n, &answer).map_err(|why| anyhow::anyhow!("{why}: {} {}", answer.status, answer.body))?;
        if answer.whole {
            self.at = Some(connection);
        }
        if deed != Deed::Report {
            self.decision = answer.header("x-pointsman-decision-id").map(str::to_owned);
        }
        Ok(())
    }

    /// In place of a report when there is nothing to report on.
    async fn act_plain(&mut self, mut connection: Connection, n: u64) -> anyhow::Result<()> {
        let answer = connection.ask(&Deed::Plain.request(n)).await?;
        judge(Deed::Plain, n, &answer)
            .map_err(|why| anyhow::anyhow!("{why}: {} {}", answer.status, answer.body))?;
        self.decision = answer.header("x-pointsman-decision-id").map(str::to_owned);
        self.at = Some(connection);
        Ok(())
    }
}

/// What is wrong with an answer.
fn judge(deed: Deed, n: u64, answer: &Answer) -> Result<(), &'static str> {
    let must = |holds: bool, what| if holds { Ok(()) } else { Err(what) };
    let is_cut = deed == Deed::Cut;
    must(
        answer.whole != is_cut,
        if is_cut { "a cut stream ended as a whole one" } else { "the answer was cut" },
    )?;
    match deed {
        Deed::Limited => {
            must(answer.status == 429, "a limited model did not give 429")?;
            must(answer.header("retry-after").is_some(), "no Retry-After")
        }
        Deed::Report => must(
            answer.status == 200 && answer.body.contains(r#""applied":true"#),
            "a report was not applied",
        ),
        Deed::Cut => {
            must(
                answer.status == 200 && answer.body.contains(r#""error""#),
                "a cut stream without an error event",
            )?;
            must(
                !answer.body.contains("[DONE]") && !answer.body.contains(r#""stop""#),
                "a cut stream with an end mark",
            )
        }
        Deed::Stream => {
            must(answer.status == 200, "a stream failed")?;
            must(answer.body.ends_with("data: [DONE]\n\n"), "no end mark")?;
            must(answer.body.contains(&format!(r#""content":"{n}""#)), "another's answer")?;
            must(answer.body.matches(r#""total_tokens":28"#).count() == 1, "usage is not there once")
        }
        _ => {
            must(answer.status == 200, "a request failed")?;
            must(answer.body.contains(&format!("the answer to {n}.")), "another's answer")?;
            let attempts = answer.header("x-pointsman-attempts").and_then(|a| a.parse::<u32>().ok());
            must(
                matches!(deed, Deed::Plain | Deed::Report) || attempts > Some(1),
                "a failure was not noticed",
            )
        }
    }
}
