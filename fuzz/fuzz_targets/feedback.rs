//! Bodies of `/feedback`: what is let through is finite and in range.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::domain::{Feedback, UnixMs};
use pointsman::http::parts;
use pointsman::store::Report;

const ID: &str = "0192f0c1-0000-7000-8000-000000000000";

/// As the store writes it.
fn written(report: Report) -> Feedback {
    Feedback {
        id: ID.parse().expect("an id"),
        at: UnixMs(0),
        decision: ID.parse().expect("an id"),
        name: report.name,
        value: report.value,
        verdict: report.verdict,
        source: report.source,
        weight: report.weight,
        comment: report.comment,
        idempotency_key: report.idempotency_key,
        usage: report.usage,
        cost_usd: report.cost_usd,
        latency_ms: report.latency_ms,
        error: report.error,
        key: None,
        arm: None,
        tick: 1,
        replaces: None,
        versus: None,
        episode: None,
        judged: None,
        overlaps: Vec::new(),
    }
}

fuzz_target!(|data: &[u8]| {
    for report in parts::reports(data).into_iter().flatten() {
        let Ok(good) = written(report).checked() else { continue };
        assert!(good.value.is_none_or(|v| (0.0..=1.0).contains(&v)), "{good:?}");
        assert!(good.weight > 0.0 && good.weight <= 1.0, "{good:?}");
        assert!(good.cost_usd.is_none_or(|c| c.is_finite() && c >= 0.0), "{good:?}");
        assert!(good.latency_ms.is_none_or(|l| l.is_finite() && l >= 0.0), "{good:?}");
        let text = serde_json::to_string(&good).expect("it is written as JSON");
        assert_eq!(serde_json::from_str::<Feedback>(&text).expect("and read back"), good);
    }
});
