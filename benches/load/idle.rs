//! Ten thousand connections that say nothing: the others must not notice.

use std::time::{Duration, Instant};

use crate::http::{Connection, post};
use crate::service::Service;
use crate::{Options, Verdict, upstream};

/// Requests by which a latency is told.
const SAMPLE: usize = 300;

pub(crate) async fn run(options: &Options) -> anyhow::Result<Verdict> {
    let count: usize = options.get("connections", 10_000)?;
    let (mock, _) = upstream::start(Duration::ZERO)?;
    // One more than they are together with the one that asks.
    let server = format!("max_open_connections = {}\nheader_timeout_ms = 300000", count + 8);
    let service = Service::start(options, mock, &server).await?;
    let mut asking = Connection::open(service.address).await?;
    latency(&mut asking).await?;
    let (before, idle) = (latency(&mut asking).await?, service.held().await?);
    println!("alone: p50 {:.2} ms, p99 {:.2} ms, {idle:?}", before.0, before.1);
    let began = Instant::now();
    let mut silent = Vec::with_capacity(count);
    for _ in 0..count {
        silent.push(Connection::open(service.address).await?);
    }
    let opened = began.elapsed();
    let (beside, held) = (latency(&mut asking).await?, service.held().await?);
    println!("beside {count} opened in {opened:?}: p50 {:.2} ms, p99 {:.2} ms, {held:?}", beside.0, beside.1);
    let mut verdict = Verdict::default();
    verdict.must(held.descriptors >= idle.descriptors + count, "all of them are open");
    let each = (held.rss_mib - idle.rss_mib) * 1024.0 / count as f64;
    verdict.must(each < 20.0, &format!("{each:.1} KiB of memory for each"));
    verdict.must(beside.0 < 2.0 * before.0, "the median of the others is less than twice what it was");
    let mut over = Vec::new();
    for _ in 0..16 {
        over.push(Connection::open(service.address).await?);
    }
    let mut turned_away = 0;
    for connection in &mut over {
        let answer = connection.ask(&crate::http::get("/healthz")).await;
        turned_away +=
            usize::from(answer.is_ok_and(|a| a.status == 503 && a.header("retry-after").is_some()));
    }
    verdict.must(turned_away >= 8, &format!("{turned_away} of 16 beyond the bound were told to come later"));
    drop((silent, over));
    let after = service.back_to(idle, Duration::from_secs(20)).await?;
    verdict.must(
        after.descriptors <= idle.descriptors && after.tasks <= idle.tasks,
        &format!("afterwards: {after:?}"),
    );
    verdict.must(service.stop()?.success(), "it stops cleanly");
    Ok(verdict)
}

/// Median and 99th percentile of plain requests one after the other, ms.
async fn latency(connection: &mut Connection) -> anyhow::Result<(f64, f64)> {
    let mut took = Vec::with_capacity(SAMPLE);
    for n in 0..SAMPLE {
        let body = format!(
            r#"{{"model":"auto","messages":[{{"role":"user","content":"Tell me about number #{n}"}}]}}"#
        );
        let since = Instant::now();
        let answer = connection.ask(&post("/v1/chat/completions", &body)).await?;
        anyhow::ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
        took.push(since.elapsed().as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    Ok((took[SAMPLE / 2], took[SAMPLE * 99 / 100]))
}
