//! What clients and operators build on, kept as it is: the API's document and the metrics' names.

use std::collections::BTreeSet;

use crate::support::{TestApp, header};

/// Run with `UPDATE_GOLDEN=1` to accept a change, and look at the difference before it is committed.
#[test]
fn the_openapi_document_is_the_committed_one() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/openapi.json");
    let now = pointsman::http::openapi_document() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(
        now == kept,
        "the document has changed: UPDATE_GOLDEN=1 cargo test --test it openapi, then look at git diff"
    );
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let app = TestApp::start().await;
    let response = app.complete("auto", "Count me").await;
    let arm = header(&response, "x-pointsman-model").to_owned();
    let text = app.get("/metrics").await.text().await.unwrap();
    for line in [
        format!("pointsman_attempts_total{{arm=\"{arm}\",end=\"answered\"}} 1"),
        format!("pointsman_tokens_total{{arm=\"{arm}\",kind=\"input\"}} 100"),
        "pointsman_store_dropped_events_total 0".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    let families: BTreeSet<_> =
        text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(families.iter().all(|f| f.starts_with("pointsman_")), "{families:?}");
}
