//! Several replicas on one Postgres (rows R1 to R4 and D6): processes of the real binary, a real server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use pointsman::domain::{FeedbackRef, Seq, hex};
use pointsman::store::{Store, StoreAddress, StoreOptions};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_blocking;

use crate::crash::{Acknowledged, JsonBody, check_log, check_state};
use crate::support::binary::{Binary, Home};
use crate::support::postgres::{PASSWORD, own, query, shared};
use crate::support::{FakeUpstream, LEARNED, chat, fault, header};

/// Checkpoints often, so that whoever leads has something to do.
const MORE: &str = "[learning]\ncheckpoint_every_events = 20\n";

/// A process of the service, and how to ask it.
struct Replica {
    binary: Binary,
    client: Client,
}

/// The configuration of every replica.
fn home(upstream: &FakeUpstream, url: &str) -> Home {
    let home = Home::new(&upstream.base, &format!("{LEARNED}{MORE}"));
    let text = std::fs::read_to_string(&home.config).unwrap();
    let of_file = format!("sqlite:{}", home.log.display());
    assert!(text.contains(&of_file));
    std::fs::write(&home.config, text.replace(&of_file, url)).unwrap();
    home
}

/// A database of the test's own in the server that all share, and an upstream. `None`: there is no server, which is told.
async fn stage(test: &str) -> Option<(String, FakeUpstream)> {
    let url = shared(test)?.database(test);
    Some((url, FakeUpstream::start().await))
}

impl Replica {
    async fn start(home: &Home) -> Self {
        let client = Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        Self { binary: Binary::start(home).await, client }
    }

    async fn post(&self, path: &str, body: &Value) -> reqwest::Result<Response> {
        post(&self.client, &self.binary.base, path, body).await
    }

    /// The id of the decision of a completion that was answered.
    async fn ask(&self) -> String {
        let answer = self.post("/v1/chat/completions", &chat("auto", "Which replica?")).await.unwrap();
        assert_eq!(answer.status(), 200);
        header(&answer, "x-pointsman-decision-id").to_owned()
    }

    async fn report(&self, id: &str, value: f64) -> Response {
        self.post("/feedback", &json!({"decision_id": id, "value": value})).await.unwrap()
    }

    /// Reports until the report is taken.
    async fn report_until_taken(&self, id: &str, value: f64) {
        while self.report(id, value).await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn post(client: &Client, base: &str, path: &str, body: &Value) -> reqwest::Result<Response> {
    client.post(format!("{base}{path}")).json_body(body).send().await
}

/// Process of the one that leads by a lease that has not run out.
fn leader(url: &str) -> Option<String> {
    let sql = "SELECT split_part(holder, '-', 1) FROM pointsman.leadership WHERE until > now()";
    query(url, sql).pop()
}

async fn leader_other_than(url: &str, pid: &str) -> String {
    loop {
        match leader(url) {
            Some(leader) if leader != pid => return leader,
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Looks at the log in the database, as no replica does any more.
async fn with_store<T: Send + 'static>(url: &str, look: impl FnOnce(&Store) -> T + Send + 'static) -> T {
    let address = StoreAddress::named(url, None).unwrap();
    spawn_blocking(move || {
        let store = Store::open(StoreOptions::at(address)).unwrap();
        let seen = look(&store);
        store.close();
        seen
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r1_any_replica_takes_feedback_on_any_decision_and_one_that_dies_takes_nothing_with_it() {
    let Some((url, upstream)) = stage("r1_any_replica").await else { return };
    let home = home(&upstream, &url);
    let replicas = join_all((0..3).map(|_| Replica::start(&home))).await;
    let mut reported = Vec::new();
    for turn in 0..15 {
        let id = replicas[turn % 3].ask().await;
        replicas[(turn + 1) % 3].report_until_taken(&id, 0.5).await;
        reported.push(id);
    }
    let known = replicas[0].ask().await;
    replicas[1].report_until_taken(&known, 0.25).await;
    reported.push(known);
    let unknown = replicas[2].report("019aca75-0000-7000-8000-000000000000", 0.5).await;
    assert_eq!(unknown.status(), 404);
    let mut replicas = replicas;
    drop(replicas.remove(0)); // kill -9
    for turn in 0..10 {
        let id = replicas[turn % 2].ask().await;
        replicas[(turn + 1) % 2].report_until_taken(&id, 0.75).await;
        reported.push(id);
    }
    for id in &reported {
        let view =
            replicas[0].client.get(format!("{}/v1/decisions/{id}", replicas[0].binary.base)).send().await;
        assert_eq!(view.unwrap().status(), 200, "{id}");
    }
    let secret = replicas.iter().any(|replica| replica.binary.said().contains(PASSWORD));
    assert!(!secret, "the password of the database is in a log");
    drop(replicas);
    with_store(&url, move |store| {
        for id in reported {
            let record = store.record(&FeedbackRef::Decision(id.parse().unwrap()), None).unwrap().unwrap();
            assert_eq!(record.feedback.len(), 1);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r1_a_key_made_on_one_replica_opens_and_once_revoked_closes_the_others() {
    let Some((url, upstream)) = stage("r1_a_key").await else { return };
    let home = home(&upstream, &url);
    let replicas = join_all((0..2).map(|_| Replica::start(&home))).await;
    let keys = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(["keys", "--json", "--store", &url]).args(args);
        let out = command.output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice::<Value>(&out.stdout).unwrap_or_default()
    };
    // Without any key this machine may ask.
    keys(&["create", "--name", "another"]);
    let made = keys(&["create", "--name", "shared"]);
    let (id, key) = (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned());
    let status = async |replica: &Replica, key: &str| {
        let asked = replica.client.get(format!("{}/v1/models", replica.binary.base)).bearer_auth(key).send();
        asked.await.unwrap().status().as_u16()
    };
    for replica in &replicas {
        while status(replica, "none of ours").await != 401 {}
        // The other key may have been seen a moment before this one.
        while status(replica, &key).await != 200 {}
    }
    keys(&["revoke", &id]);
    for replica in &replicas {
        while status(replica, &key).await != 401 {}
    }
}

/// Asks one replica and reports to another, for as long as it is told to. A replica that is killed may fail, the others may not.
async fn load(
    bases: Arc<Vec<String>>,
    dying: Arc<Vec<AtomicBool>>,
    stop: Arc<AtomicBool>,
    worker: usize,
    done: Acknowledged,
) {
    let client = Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (one, other) = ((worker + turn) % bases.len(), (worker + turn * 2 + 1) % bases.len());
        let ask = chat("auto", &format!("Question {} of {worker}", turn % 5));
        let Some(answer) = tried(post(&client, &bases[one], "/v1/route", &ask).await, &dying[one]) else {
            continue;
        };
        let Some(text) = tried(answer.text().await, &dying[one]) else { continue };
        let body: Value = serde_json::from_str(&text).unwrap();
        let id = body["decision_id"].as_str().unwrap().to_owned();
        let value = f64::from(u32::try_from(turn % 11).unwrap()) / 10.0;
        let report = json!({"decision_id": id, "value": value});
        let Some(answer) = tried(post(&client, &bases[other], "/feedback", &report).await, &dying[other])
        else {
            continue;
        };
        // 404: the one that decided was killed before it had written the decision.
        match answer.status().as_u16() {
            200 => drop(done.lock().unwrap().insert(id, value)),
            404 | 503 => {}
            other => panic!("{other}: {}", answer.text().await.unwrap()),
        }
    }
}

fn tried<T>(result: reqwest::Result<T>, is_dying: &AtomicBool) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(is_dying.load(Ordering::SeqCst), "a replica that lives fails: {error}");
            None
        }
    }
}

/// `POINTSMAN_LEADER_KILLS` says how often; the figures are printed (`--nocapture`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r2_the_leader_killed_under_load_again_and_again_loses_and_doubles_nothing() {
    let kills: usize = std::env::var("POINTSMAN_LEADER_KILLS").map_or(8, |k| k.parse().unwrap());
    let Some((url, upstream)) = stage("r2_the_leader_killed").await else { return };
    let homes: Vec<Home> = (0..3).map(|_| home(&upstream, &url)).collect();
    let mut replicas = Vec::new();
    for home in &homes {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = std::fs::read_to_string(&home.config).unwrap();
        std::fs::write(&home.config, text.replace("127.0.0.1:0\"", &format!("127.0.0.1:{port}\""))).unwrap();
        replicas.push(Some(Replica::start(home).await));
    }
    let bases: Vec<String> = replicas.iter().flatten().map(|r| r.binary.base.clone()).collect();
    let dying: Arc<Vec<AtomicBool>> = Arc::new((0..3).map(|_| AtomicBool::new(false)).collect());
    let (bases, stop, done) = (Arc::new(bases), Arc::<AtomicBool>::default(), Acknowledged::default());
    let workers: Vec<_> = (0..4)
        .map(|w| tokio::spawn(load(bases.clone(), dying.clone(), stop.clone(), w, done.clone())))
        .collect();
    let mut killed = String::new();
    for _ in 0..kills {
        killed = leader_other_than(&url, &killed).await;
        let pids: Vec<String> = replicas.iter().flatten().map(|r| r.binary.pid()).collect();
        let at = pids.iter().position(|pid| *pid == killed).expect("the leader is one of ours");
        dying[at].store(true, Ordering::SeqCst);
        replicas[at] = None; // kill -9
        replicas[at] = Some(Replica::start(&homes[at]).await);
        dying[at].store(false, Ordering::SeqCst);
    }
    leader_other_than(&url, &killed).await;
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    for replica in replicas.into_iter().flatten() {
        replica.binary.terminate();
        let (code, said) = replica.binary.ended().await;
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains(PASSWORD), "the password of the database is in a log");
    }
    let acknowledged = done.lock().unwrap().clone();
    let epoch: usize = query(&url, "SELECT epoch FROM pointsman.leadership")[0].parse().unwrap();
    assert!(epoch > kills, "{epoch}");
    let counted: usize =
        query(&url, "SELECT coalesce(sum(n), 0) FROM pointsman.arm_ticks")[0].parse().unwrap();
    with_store(&url, move |store| {
        let logged = check_log(store, &acknowledged);
        assert_eq!(counted, logged, "every report moved the clock of one arm");
        check_state(store);
        let end = store.committed().borrow().0;
        println!(
            "{kills} leaders killed, epoch {epoch}: {} acknowledged reports, all there once; {logged} in the log; {end} events",
            acknowledged.len()
        );
        assert!(acknowledged.len() > kills, "the load was too light to show anything");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r3_a_leader_that_was_stopped_and_wakes_up_leads_no_longer_and_holds_up_nobody() {
    let Some((url, upstream)) = stage("r3_a_leader_stopped").await else { return };
    let home = home(&upstream, &url);
    let replicas = join_all((0..2).map(|_| Replica::start(&home))).await;
    let first = leader_other_than(&url, "").await;
    let at = replicas.iter().position(|r| r.binary.pid() == first).unwrap();
    let (stopped, other) = (&replicas[at], &replicas[1 - at]);
    let id = stopped.ask().await;
    stopped.binary.signal("-STOP");
    let second = leader_other_than(&url, &first).await;
    assert_eq!(second, other.binary.pid());
    for _ in 0..30 {
        let id = other.ask().await;
        other.report_until_taken(&id, 1.0).await;
    }
    let saved = || query(&url, "SELECT max(seq) FROM pointsman.checkpoints").pop();
    while saved().is_none() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stopped.binary.signal("-CONT");
    while !stopped.binary.said().contains("leads no longer") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // It is a replica like any other again: it answers, and what it had in its queue is written.
    stopped.report_until_taken(&id, 0.5).await;
    let after = stopped.ask().await;
    other.report_until_taken(&after, 0.5).await;
    assert_eq!(leader(&url), Some(second));
    stopped.binary.terminate();
    while leader(&url) != Some(other.binary.pid()) {}
    drop(replicas);
    with_store(&url, check_state).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_a_state_of_a_newer_version_is_refused_and_learning_resumes_from_what_is_known() {
    let Some((url, upstream)) = stage("r4_a_newer_state").await else { return };
    let home = home(&upstream, &url);
    let replica = Replica::start(&home).await;
    for _ in 0..5 {
        let id = replica.ask().await;
        replica.report_until_taken(&id, 1.0).await;
    }
    leader_other_than(&url, "").await;
    replica.binary.terminate();
    assert_eq!(replica.binary.ended().await.0, Some(0));
    let (seq, mut state) = with_store(&url, |store| {
        let newest = store.checkpoints().unwrap().remove(0);
        (newest.seq, newest.state.unwrap())
    })
    .await;
    assert!(seq > Seq(0));
    // The same state as a version after this one would write it: whole, its checksum right, and not for us.
    let magic = state.windows(2).position(|w| w[1] < 32).expect("the version ends the magic") + 1;
    state[magic] += 1;
    let sum = Sha256::new().chain_update(seq.0.to_le_bytes()).chain_update(&state).finalize();
    let (state, sum) = (hex(&state), hex(&sum));
    query(
        &url,
        &format!(
            "INSERT INTO pointsman.checkpoints (seq, state, sha256, at_ms) VALUES ({seq}, '\\x{state}', '\\x{sum}', 1)"
        ),
    );
    let again = Replica::start(&home).await;
    let said = again.binary.said();
    assert!(said.contains("checkpoint passed over"), "{said}");
    let id = again.ask().await;
    again.report_until_taken(&id, 0.5).await;
    drop(again);
}

/// Feedback cannot be stored: 503, and when to come again.
async fn assert_refused(refused: Response) {
    assert_eq!(header(&refused, "retry-after"), "1");
    assert_eq!(fault(refused).await, (503, "store_unavailable".into(), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d6_postgres_restarts_completions_go_on() {
    let Some(server) = own("d6_postgres_restarts") else { return };
    let url = server.database("d6_restarts");
    let upstream = FakeUpstream::start().await;
    let replica = Arc::new(Replica::start(&home(&upstream, &url)).await);
    let (stop, asked) = (Arc::<AtomicBool>::default(), Arc::clone(&replica));
    let stopping = Arc::clone(&stop);
    let completions = tokio::spawn(async move {
        let mut ids = Vec::new();
        while !stopping.load(Ordering::Relaxed) {
            ids.push(asked.ask().await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ids
    });
    let before = replica.ask().await;
    replica.report_until_taken(&before, 0.5).await;
    let server = Arc::new(server);
    for _ in 0..2 {
        let restarting = Arc::clone(&server);
        spawn_blocking(move || restarting.restart()).await.unwrap();
        let id = replica.ask().await;
        replica.report_until_taken(&id, 0.5).await;
    }
    let down = Arc::clone(&server);
    spawn_blocking(move || down.stop()).await.unwrap();
    for _ in 0..3 {
        assert_refused(replica.report(&before, 0.75).await).await;
    }
    let meanwhile = replica.ask().await;
    let up = Arc::clone(&server);
    spawn_blocking(move || up.start_again()).await.unwrap();
    replica.report_until_taken(&before, 0.75).await;
    replica.report_until_taken(&meanwhile, 0.25).await;
    stop.store(true, Ordering::Relaxed);
    let ids = completions.await.unwrap();
    replica.report_until_taken(ids.last().unwrap(), 1.0).await;
    let metrics = replica.client.get(format!("{}/metrics", replica.binary.base)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let dropped =
        metrics.lines().find_map(|l| l.strip_prefix("pointsman_store_dropped_events_total ")).unwrap();
    let lost: usize = dropped.trim().parse::<f64>().unwrap() as usize;
    let logged: usize = query(&url, "SELECT count(*) FROM pointsman.decisions")[0].parse().unwrap();
    assert!(logged + lost >= ids.len(), "{logged} of {} are there, {lost} were counted as lost", ids.len());
    assert!(logged > 0 && lost < ids.len(), "what was decided while it was away was kept");
}

/// Passes bytes on, until it is told to hold them.
async fn proxy(to: u16) -> (u16, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, holds) = (listener.local_addr().unwrap().port(), Arc::<AtomicBool>::default());
    let held = Arc::clone(&holds);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let held = Arc::clone(&held);
            tokio::spawn(async move {
                let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                    (client.into_split(), server.into_split());
                let up = async {
                    let mut bytes = vec![0; 65_536];
                    loop {
                        let n =
                            tokio::io::AsyncReadExt::read(&mut from_client, &mut bytes).await.unwrap_or(0);
                        while held.load(Ordering::Relaxed) {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        let sent = tokio::io::AsyncWriteExt::write_all(&mut to_server, &bytes[..n]).await;
                        if n == 0 || sent.is_err() {
                            return;
                        }
                    }
                };
                tokio::select! { () = up => {}, _ = copy(&mut from_server, &mut to_client) => {} }
            });
        }
    });
    (port, holds)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d6_a_database_that_takes_everything_and_answers_nothing_is_given_up_in_time() {
    let Some(server) = shared("d6_answers_nothing") else { return };
    let url = server.database("d6_answers_nothing");
    let (port, holds) = proxy(server.port).await;
    let upstream = FakeUpstream::start().await;
    let through = url.replace(&format!(":{}/", server.port), &format!(":{port}/"));
    let replica = Replica::start(&home(&upstream, &through)).await;
    let id = replica.ask().await;
    replica.report_until_taken(&id, 0.5).await;
    holds.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        replica.ask().await;
        assert_refused(replica.report(&id, 0.75).await).await;
    }
    holds.store(false, Ordering::Relaxed);
    replica.report_until_taken(&id, 0.75).await;
    let later = replica.ask().await;
    replica.report_until_taken(&later, 0.75).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d6_a_start_without_the_database_names_the_setting_and_not_the_password() {
    let upstream = FakeUpstream::start().await;
    let home = home(&upstream, &format!("postgres://ann:{PASSWORD}@127.0.0.1:1/logs"));
    let (code, said) = spawn_blocking(move || home.refused()).await.unwrap();
    assert_ne!(code, Some(0));
    assert!(said.contains("store.url") && said.contains("postgres://ann@127.0.0.1:1/logs"), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
}
