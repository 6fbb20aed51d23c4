//! Tests of the store, and sample events that tests of other modules use too.

mod faults;
mod feedback;
mod keys;
mod ledger;
mod log;
mod postgres;
mod subjects;
mod tail;

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::domain::*;

/// A store in a folder of its own; the folder goes with the value.
pub(crate) fn temporary() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    (folder, store)
}

pub(crate) fn options(folder: &Path) -> StoreOptions {
    StoreOptions { busy_timeout: Duration::from_millis(50), ..StoreOptions::at(folder.join("log.db")) }
}

pub(crate) fn open(folder: &Path) -> Result<Store, StoreError> {
    Store::open(options(folder))
}

/// Another connection to the same file, as another process would have it.
pub(crate) fn outsider(folder: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(folder.join("log.db")).unwrap()
}

pub(crate) fn decision_id(n: u128) -> DecisionId {
    DecisionId::from_uuid(Uuid::from_u128(n))
}

/// Numbers that only an exact round trip keeps.
pub(crate) fn decision(n: u128, arm: &str) -> Decision {
    let step = u32::try_from(n % 1000).unwrap();
    let features = vec![1.0 / (3.0 + step as f32), f32::MIN_POSITIVE / 2.0, -0.0, 1.0];
    let (a, b) = (ArmId::from("a"), ArmId::from("b"));
    let at = UnixMs(1_764_000_000_000 + i64::from(step));
    Decision {
        propensity: 0.1 + 0.2,
        distribution: ArmDistribution::new(vec![a, b], vec![0.1 + 0.2, 1.0 - (0.1 + 0.2)]).unwrap(),
        excluded: vec![Excluded { arm: ArmId::from("c"), why: Exclusion::Capability(Capability::Images) }],
        reason: Reason::Explore,
        context: Some(Context::new(FeatureSchema::new("test-v1"), features).unwrap()),
        encoding: Encoding { embedder: "minilm".into(), cut: None },
        input_tokens: 100 + step,
        session: Some("s".into()),
        tags: [("feature".to_owned(), "search".to_owned())].into(),
        ..Decision::certain(decision_id(n), at, "auto".into(), arm.into(), "learned@7".into())
    }
}

pub(crate) fn completed(n: u128, arm: &str) -> Completed {
    let attempt = Attempt {
        arm: ArmId::from(arm),
        end: AttemptEnd::Answered,
        status: Some(200),
        ms: 1.0 / 3.0,
        cost_usd: None,
    };
    Completed {
        decision: decision_id(n),
        at: UnixMs(1_764_000_000_500),
        served: Some(ArmId::from(arm)),
        completion_id: Some(format!("chatcmpl-{n}")),
        end: CompletionEnd::Complete,
        usage: Some(Usage { input_tokens: 90, output_tokens: 30, ..Usage::default() }),
        cost_usd: Some(1e-7 / 3.0),
        first_token_ms: Some(212.7),
        total_ms: 700.1,
        finish_reason: Some("stop".into()),
        attempts: vec![attempt],
        kind: None,
        billing: None,
    }
}

pub(crate) fn on(n: u128, value: f64) -> NewFeedback {
    NewFeedback {
        to: FeedbackRef::Decision(decision_id(n)),
        by: None,
        report: Report::quality(value),
        within_ms: None,
    }
}

pub(crate) fn decided(decision: Decision) -> EventBody {
    EventBody::Decided(Box::new(decision))
}

pub(crate) fn ended(completed: Completed) -> EventBody {
    EventBody::Completed(Box::new(completed))
}

/// A decision and its answer by `served`.
pub(crate) async fn serve(store: &Store, n: u128, drawn: &str, served: &str) {
    store.append(decided(decision(n, drawn))).await.unwrap();
    store.append(ended(completed(n, served))).await.unwrap();
}

/// The reports in the log, in order.
pub(crate) fn reports(store: &Store) -> Vec<Feedback> {
    let rows = store.scan(Seq(0), 10_000).unwrap();
    let bodies = rows.into_iter().filter_map(|row| row.event.ok()).map(|event| event.body);
    bodies.filter_map(|b| if let EventBody::Feedback(f) = b { Some(*f) } else { None }).collect()
}
