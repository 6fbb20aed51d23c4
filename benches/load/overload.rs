//! Ten times what the service can take: it must go on doing what it can, tell the rest to come later, and be well at once when it is over.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use crate::http::{Answer, Connection, post};
use crate::service::Service;
use crate::{Options, Verdict, upstream};

/// Connections of the open loop; an arrival that finds none free counts as not sent.
const CONNECTIONS: usize = 1024;
/// How often those who are due are sent off.
const TICK: Duration = Duration::from_millis(5);

/// Prompts that are read before anything is measured: more than are kept, so that filling the caches is not taken for what an overload
/// costs.
const READ_BEFORE: u64 = 12_000;

/// What came of a phase.
#[derive(Default)]
struct Phase {
    took: Duration,
    good: Vec<Duration>,
    shed: u64,
    /// Sheds without a status of 429 or 503, or without Retry-After.
    rude: u64,
    broken: Vec<String>,
    not_sent: u64,
}

impl Phase {
    fn goodput(&self) -> f64 {
        self.good.len() as f64 / self.took.as_secs_f64()
    }

    /// Milliseconds.
    fn quantile(&mut self, at: f64) -> f64 {
        self.good.sort();
        let index = (self.good.len() as f64 * at) as usize;
        self.good
            .get(index.min(self.good.len().saturating_sub(1)))
            .map_or(f64::NAN, |d| d.as_secs_f64() * 1e3)
    }

    fn add(&mut self, answered: anyhow::Result<Answer>, since: Instant) {
        match answered {
            Ok(answer) if answer.status == 200 && answer.whole => self.good.push(since.elapsed()),
            Ok(answer) if matches!(answer.status, 429 | 503) && answer.header("retry-after").is_some() => {
                self.shed += 1
            }
            Ok(answer) if matches!(answer.status, 429 | 503) => self.rude += 1,
            Ok(answer) => self.broken.push(format!("{} {}", answer.status, answer.body)),
            Err(error) => self.broken.push(format!("{error:#}")),
        }
    }

    fn print(&mut self, name: &str) {
        let (p50, p99) = (self.quantile(0.5), self.quantile(0.99));
        println!(
            "{name}: {:.0}/s answered (p50 {p50:.0} ms, p99 {p99:.0} ms), {} shed, {} not sent, {:.0} s",
            self.goodput(),
            self.shed,
            self.not_sent,
            self.took.as_secs_f64()
        );
        for sample in self.broken.iter().take(5) {
            println!("  {sample}");
        }
    }
}

fn request(n: u64) -> Vec<u8> {
    ask("/v1/chat/completions", n)
}

fn ask(path: &str, n: u64) -> Vec<u8> {
    let body =
        format!(r#"{{"model":"auto","messages":[{{"role":"user","content":"Tell me about number #{n}"}}]}}"#);
    post(path, &body)
}

pub(crate) async fn run(options: &Options) -> anyhow::Result<Verdict> {
    let places: usize = options.get("places", 16)?;
    let delay: u64 = options.get("delay-ms", 200)?;
    let seconds: u64 = options.get("seconds", 60)?;
    let times: f64 = options.get("times", 10.0)?;
    let (mock, _) = upstream::start(Duration::from_millis(delay))?;
    let server = format!("max_connections = {places}\nmax_in_flight_per_key = 100000");
    let service = Service::start(options, mock, &server).await?;
    let to = service.address;
    read(to, places).await?;
    let mut idle_phase = closed_loop(to, 1, Duration::from_secs(10)).await;
    idle_phase.print("one client");
    let mut peak = closed_loop(to, places, Duration::from_secs(seconds.min(20))).await;
    peak.print("as many clients as places");
    let idle = service.held().await?;
    let rate = times * peak.goodput();
    println!("{rate:.0} requests a second from now on, {times} times the peak; {idle:?}");
    let (mut over, most) = open_loop(&service, rate, Duration::from_secs(seconds)).await?;
    over.print("overload");
    let recovery = recovery(to, places).await;
    let mut after = closed_loop(to, places, Duration::from_secs(5)).await;
    after.print("after it");
    let mut verdict = Verdict::default();
    let share = over.goodput() / peak.goodput();
    verdict.must(share >= 0.9, &format!("{:.1} % of the peak is still answered", 100.0 * share));
    let sent = over.good.len() as u64 + over.shed + over.rude + over.broken.len() as u64;
    let offered = sent as f64 / over.took.as_secs_f64() / peak.goodput();
    verdict.must(offered >= 0.9 * times, &format!("{offered:.1} times the peak was sent"));
    verdict.must(
        over.rude == 0,
        &format!("{} of {} sheds without Retry-After", over.rude, over.shed + over.rude),
    );
    verdict.must(over.broken.is_empty(), &format!("{} other answers or none", over.broken.len()));
    let (p99, p99_idle) = (over.quantile(0.99), idle_phase.quantile(0.99));
    verdict.must(
        p99 < 2.0 * p99_idle,
        &format!("p99 of the answered {p99:.0} ms, {p99_idle:.0} ms with one client"),
    );
    verdict.must(
        most < 1.5 * idle.rss_mib,
        &format!("memory at most {most:.1} MiB, before it {:.1}", idle.rss_mib),
    );
    verdict.must(
        recovery < Duration::from_secs(5),
        &format!("well again after {:.1} s", recovery.as_secs_f64()),
    );
    verdict.must(service.stop()?.success(), "it stops cleanly");
    Ok(verdict)
}

/// Has [`READ_BEFORE`] prompts decided on without a call.
async fn read(to: SocketAddr, clients: usize) -> anyhow::Result<()> {
    let tasks = LocalSet::new();
    let reading = (0..clients).map(|client| {
        tasks.spawn_local(async move {
            let mut connection = Connection::open(to).await?;
            for n in (u64::MAX - READ_BEFORE..u64::MAX).skip(client).step_by(clients) {
                let status = connection.ask(&ask("/v1/route", n)).await?.status;
                anyhow::ensure!(status == 200, "a prompt was not read: {status}");
            }
            anyhow::Ok(())
        })
    });
    let reading: Vec<_> = reading.collect();
    tasks.await;
    for done in reading {
        done.await??;
    }
    Ok(())
}

/// `clients` connections, one request after the other on each.
async fn closed_loop(to: SocketAddr, clients: usize, time: Duration) -> Phase {
    let phase = Rc::new(RefCell::new(Phase::default()));
    let (tasks, began) = (LocalSet::new(), Instant::now());
    for client in 0..clients {
        let phase = Rc::clone(&phase);
        tasks.spawn_local(async move {
            let Ok(mut connection) = Connection::open(to).await else { return };
            let mut n = client as u64;
            while began.elapsed() < time {
                let since = Instant::now();
                let answered = connection.ask(&request(n)).await;
                phase.borrow_mut().add(answered, since);
                n += clients as u64;
            }
        });
    }
    tasks.await;
    let mut phase = phase.take();
    phase.took = began.elapsed();
    phase
}

/// Arrivals at a rate that does not care for the answers; gives the most memory held too, MiB.
async fn open_loop(service: &Service, rate: f64, time: Duration) -> anyhow::Result<(Phase, f64)> {
    let phase = Rc::new(RefCell::new(Phase::default()));
    // The longest unused first: else the service closes those that are never needed.
    let free = Rc::new(RefCell::new(VecDeque::new()));
    for _ in 0..CONNECTIONS {
        let connection = Connection::open(service.address).await?;
        free.borrow_mut().push_back(connection);
    }
    let (tasks, began, to) = (LocalSet::new(), Instant::now(), service.address);
    let mut most: f64 = 0.0;
    let due = async {
        let (mut sent, mut looked) = (0_u64, began);
        while began.elapsed() < time {
            let now = (began.elapsed().as_secs_f64() * rate) as u64;
            for n in sent..now {
                let Some(mut connection) = free.borrow_mut().pop_front() else {
                    phase.borrow_mut().not_sent += 1;
                    continue;
                };
                let (phase, free) = (Rc::clone(&phase), Rc::clone(&free));
                tokio::task::spawn_local(async move {
                    let since = Instant::now();
                    let answered = connection.ask(&request(n)).await;
                    let back = if answered.is_ok() { Ok(connection) } else { Connection::open(to).await };
                    phase.borrow_mut().add(answered, since);
                    free.borrow_mut().extend(back);
                });
            }
            sent = now;
            if looked.elapsed() > Duration::from_secs(1) {
                looked = Instant::now();
                most = most.max(service.rss_mib()?);
            }
            tokio::time::sleep(TICK).await;
        }
        anyhow::Ok(began.elapsed())
    };
    let took = tasks.run_until(due).await?;
    tasks.await;
    let mut phase = phase.take();
    phase.took = took;
    Ok((phase, most))
}

/// From the end of the overload until half of the places' worth of clients is answered for a second without a shed.
async fn recovery(to: SocketAddr, places: usize) -> Duration {
    let began = Instant::now();
    loop {
        let tried = began.elapsed();
        let phase = closed_loop(to, (places / 2).max(1), Duration::from_secs(1)).await;
        let is_well = phase.shed + phase.rude == 0 && phase.broken.is_empty() && !phase.good.is_empty();
        if is_well || tried > Duration::from_secs(60) {
            return tried;
        }
    }
}
