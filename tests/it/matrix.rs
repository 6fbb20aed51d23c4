//! `tests/README.md`: which test covers which row of the fault matrix, read off the tests' names, so that the table stays true.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The rows of the design's fault matrix.
const ROWS: &[(&str, &str)] = &[
    ("U1", "upstream: connection refused, reset, black hole"),
    ("U2", "upstream: no first byte in time"),
    ("U3", "upstream: silence in the middle of a stream"),
    ("U4", "upstream: drips"),
    ("U5", "upstream: 429 and Retry-After"),
    ("U6", "upstream: 5xx"),
    ("U7", "upstream: refuses the request"),
    ("U8", "upstream: refuses our key"),
    ("U9", "upstream: what comes is no answer"),
    ("U10", "upstream: odd framing of events"),
    ("U11", "upstream: a stream breaks off"),
    ("U12", "upstream: invalid UTF-8"),
    ("U13", "upstream: huge bodies, lines, heads; gzip bombs"),
    ("U14", "upstream: redirects"),
    ("U15", "upstream: no such host, slow resolver"),
    ("U16", "upstream: TLS faults"),
    ("U17", "upstream: all candidates down"),
    ("C1", "client leaves"),
    ("C2", "client reads slowly"),
    ("C3", "client sends its head slowly; idle connections"),
    ("C4", "client sends too much, too deep, or what is no request"),
    ("D1", "store: locked by another process"),
    ("D2", "store: disk full"),
    ("D3", "store: damaged file"),
    ("D4", "store: read-only"),
    ("D5", "store: newer or half-done schema"),
    ("D6", "store: Postgres restarts"),
    ("X1", "process: kill -9"),
    ("X2", "process: SIGTERM"),
    ("X3", "process: a panic in a handler"),
    ("X4", "process: the clock jumps"),
    ("F1", "feedback: the same again"),
    ("F2", "feedback: another value"),
    ("F3", "feedback: late"),
    ("F4", "feedback: an unknown or another's id"),
    ("F5", "feedback: not finite, out of range"),
    ("F6", "feedback: numeric decay of the policy"),
    ("F7", "feedback: poisoning"),
    ("F8", "feedback: reward hacking from outcomes"),
    ("O1", "overload"),
    ("O2", "a dead provider holds requests"),
    ("O3", "the encoder is saturated or fails"),
    ("G1", "config: faults"),
    ("G2", "config: a bad reload"),
    ("G3", "canary: a worse strategy"),
    ("G4", "retraining: a bad model"),
    ("R1", "replicas: one dies"),
    ("R2", "replicas: two write"),
    ("R3", "replicas: split brain"),
    ("R4", "replicas: mixed versions"),
];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The row that a test's name begins with: `u11_stream_cut` is of U11.
fn row_of(name: &str) -> Option<String> {
    let (head, _) = name.split_once('_')?;
    let row = head.to_ascii_uppercase();
    ROWS.iter().any(|(known, _)| *known == row).then_some(row)
}

/// Tests by row: file and name of each function behind a line that ends in `test]` or opens a `test(...)` attribute.
fn covered(root: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut paths = Vec::new();
    files(&root.join("src"), &mut paths);
    files(&root.join("tests"), &mut paths);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let file = path.strip_prefix(root).unwrap().display().to_string();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            let name =
                line.trim_start_matches("async ").strip_prefix("fn ").and_then(|l| l.split('(').next());
            if let Some(row) = name.filter(|_| is_test).and_then(row_of) {
                found.entry(row).or_default().insert(format!("`{}` ({file})", name.unwrap_or_default()));
            }
            let is_attribute = line.starts_with("#[");
            is_test =
                (is_attribute && is_test) || line.ends_with("test]") || line.starts_with("#[tokio::test(");
        }
    }
    found
}

fn table(root: &Path) -> String {
    let covered = covered(root);
    let mut out = "# Tests\n\n\
        `tests/it` runs the whole service over HTTP: `TestApp` on a free port, a temporary store, and upstreams that misbehave\n\
        (`support/upstream.rs` by the model's name, `support/rogue.rs` on a bare socket). `tests/architecture.rs` holds the code to its\n\
        layers. `tests/sdk` runs real clients. Units, properties and recorded cases lie beside the code.\n\n\
        ## Which test covers which row of the fault matrix\n\n\
        Made from the tests' names by `tests/it/matrix.rs`: `UPDATE_GOLDEN=1 cargo test --test it matrix` writes it anew.\n\n\
        | row | fault | tests |\n| --- | --- | --- |\n"
        .to_owned();
    for (row, fault) in ROWS {
        let tests = covered.get(*row).map(|tests| tests.iter().cloned().collect::<Vec<_>>().join("<br>"));
        writeln!(
            out,
            "| {row} | {fault} | {} |",
            tests.as_deref().unwrap_or("**not covered by a test of this name**")
        )
        .unwrap();
    }
    out
}

#[test]
fn the_matrix_of_faults_is_the_committed_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (path, now) = (root.join("tests/README.md"), table(root));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &now).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(now == kept, "tests/README.md is out of date: UPDATE_GOLDEN=1 cargo test --test it matrix");
}
