//! The house's walls: one-way imports, fenced crates, file lengths. What ARCHITECTURE.md promises, this test keeps.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A module may import modules of lower rank only (and itself).
const RANKS: &[(&str, u32)] = &[
    ("domain", 0),
    ("math", 10),
    ("wire", 10),
    ("telemetry", 10),
    ("policy", 20),
    ("ope", 20),
    ("embed", 30),
    ("store", 30),
    ("provider", 30),
    ("learning", 40),
    ("dispatch", 40),
    ("routing", 45),
    ("service", 50),
    ("offline", 50),
    ("http", 60),
    ("sim", 60),
    ("config", 70),
    ("app", 80),
    ("cli", 90),
    ("main", 90),
];

/// Outside crates and the only modules that may name them.
const FENCES: &[(&str, &[&str])] = &[
    ("axum", &["http", "sim"]),
    ("hyper", &["http", "provider"]),
    ("hyper_rustls", &["provider"]),
    ("hyper_util", &["http", "provider"]),
    ("tokio_rustls", &["http", "provider", "store"]),
    ("rusqlite", &["store"]),
    ("rusqlite_migration", &["store"]),
    ("tokio_postgres", &["store"]),
    ("tokio_postgres_rustls", &["store"]),
    ("rustls_platform_verifier", &["store"]),
    ("candle_core", &["embed"]),
    ("candle_nn", &["embed"]),
    ("candle_transformers", &["embed"]),
    ("tokenizers", &["embed"]),
    ("pointsman_kernels", &["embed"]),
    ("reqwest", &["sim"]),
    ("rand", &["sim", "offline", "cli"]),
    ("plotters", &["sim", "offline"]),
    ("anyhow", &["cli", "main"]),
    ("clap", &["cli", "main"]),
    ("prometheus_client", &["telemetry"]),
    ("toml", &["config", "cli"]),
];

/// Pure modules: what they must not contain.
const PURE: &[&str] = &["domain", "math", "wire", "policy", "ope"];
const IMPURE_WORDS: &[&str] =
    &["async fn", ".await", "SystemTime", "Instant::now", "std::env", "std::fs", "now_v7"];

const LONGEST_FILE: usize = 600;

struct Source {
    module: String,
    /// Whether `crate::` in it is another crate: one of its own lies in that folder.
    is_other_crate: bool,
    path: PathBuf,
    /// Comments and strings' contents left in: the checks look for code that a comment would not hold.
    code: String,
    lines: usize,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![(root.clone(), false)];
    while let Some((folder, inside_other)) = folders.pop() {
        let is_other_crate = inside_other || folder.join("Cargo.toml").exists();
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push((path, is_other_crate));
            } else if path.extension().is_some_and(|e| e == "rs") {
                let inside = path.strip_prefix(&root).unwrap();
                let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source {
                    is_other_crate,
                    module: first.trim_end_matches(".rs").to_owned(),
                    lines: text.lines().count(),
                    code: text
                        .lines()
                        .filter(|l| !l.trim_start().starts_with("//"))
                        .collect::<Vec<_>>()
                        .join("\n"),
                    path: inside.to_owned(),
                });
            }
        }
    }
    assert!(found.len() > 50, "the walk found only {} files", found.len());
    found
}

fn rank(module: &str) -> u32 {
    RANKS.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("module {module} has no rank")).1
}

/// The words that follow `prefix` in `code`: for `use crate::{a, b::c}` both `a` and `b`.
fn heads_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let (mut depth, mut start) = (1, true);
            for (i, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => start = true,
                    c if start && depth == 1 && !c.is_whitespace() => {
                        found.insert(word(&group[i..]));
                        start = false;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            found.insert(word(rest));
        }
    }
    found.remove("");
    found
}

#[test]
fn modules_import_lower_ranks_only() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|s| s.module != "lib" && !s.is_other_crate) {
        for head in heads_after(&source.code, "crate::") {
            let known = RANKS.iter().any(|(name, _)| *name == head);
            if known && head != source.module && rank(&head) >= rank(&source.module) {
                faults.push(format!("{} ({}) imports {head}", source.path.display(), source.module));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_module_has_a_rank() {
    for source in sources().iter().filter(|s| s.module != "lib") {
        rank(&source.module);
    }
}

#[test]
fn outside_crates_stay_in_their_homes() {
    let mut faults = Vec::new();
    // A module's own tests may play the outside: seeds, another process that holds the database.
    let is_test =
        |path: &Path| path.components().any(|c| c.as_os_str() == "tests" || c.as_os_str() == "tests.rs");
    for source in sources().iter().filter(|s| !is_test(&s.path)) {
        for (outside, homes) in FENCES {
            let named = source.code.match_indices(&format!("{outside}::")).any(|(at, _)| {
                !source.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            });
            if named && !homes.contains(&source.module.as_str()) {
                faults.push(format!("{} names {outside}", source.path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pure_modules_do_no_io_and_read_no_clock() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|s| PURE.contains(&s.module.as_str())) {
        for word in IMPURE_WORDS.iter().filter(|w| source.code.contains(**w)) {
            faults.push(format!("{} contains {word}", source.path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<_> = sources()
        .iter()
        .filter(|s| s.lines > LONGEST_FILE)
        .map(|s| format!("{} {}", s.lines, s.path.display()))
        .collect();
    assert!(long.is_empty(), "split at the second reason to change:\n{}", long.join("\n"));
}

#[test]
fn sql_is_never_formatted() {
    for source in sources().iter().filter(|s| s.module == "store") {
        for (number, line) in source.code.lines().enumerate() {
            let formats = line.contains("format!(");
            let sql =
                ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "PRAGMA "].iter().any(|w| line.contains(w));
            assert!(!(formats && sql), "{}: {number}: {line}", source.path.display());
        }
    }
}

#[test]
fn the_checks_see_what_they_should() {
    let code = "use crate::{policy::Ask, domain::{Arm, ArmId}, store};\nlet x = crate::http::f();";
    let heads: Vec<_> = heads_after(code, "crate::").into_iter().collect();
    assert_eq!(heads, ["domain", "http", "policy", "store"]);
}

/// What SQL is recognised by inside of a text.
const SQL: &[&str] = &[
    "SELECT ", "INSERT ", "UPDATE ", "DELETE ", "PRAGMA ", "CREATE ", "DROP ", "WHERE ", "ORDER BY",
    "ATTACH ",
];

/// From the first parenthesis of `code` to the one that closes it.
fn inside_parentheses(code: &str) -> &str {
    let mut depth = 0;
    let end = code.char_indices().find(|(_, c)| {
        depth += i32::from(*c == '(') - i32::from(*c == ')');
        *c == ')' && depth == 0
    });
    end.map_or(code, |(end, _)| &code[..end])
}

/// Values reach the database as bound parameters only: no statement is put together from texts that are not constants.
#[test]
fn no_sql_is_built_from_values() {
    let mut seen = 0;
    for source in sources().iter().filter(|s| s.module == "store") {
        if source.path.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        for (at, _) in source.code.match_indices("format!(").chain(source.code.match_indices(".push_str(")) {
            let argument = inside_parentheses(&source.code[at..]).to_ascii_uppercase();
            let found = SQL.iter().find(|word| argument.contains(*word));
            assert!(found.is_none(), "{}: SQL inside of a format: {argument}", source.path.display());
        }
        for call in ["execute(", "execute_all(", ".query(", ".first(", "query_row(", ".say(", ".pick("] {
            for (at, _) in source.code.match_indices(call) {
                seen += 1;
                let argument = source.code[at + call.len()..].trim_start();
                let is_built =
                    ["&format!", "format!", "&[", "String::"].iter().any(|b| argument.starts_with(b));
                let is_bound = argument.starts_with("&[") && call == "execute(";
                assert!(
                    !is_built || is_bound,
                    "{}: {call}{}",
                    source.path.display(),
                    &argument[..40.min(argument.len())]
                );
            }
        }
    }
    assert!(seen > 20, "the walk saw only {seen} statements");
}

/// TLS is checked everywhere: nothing switches it off.
#[test]
fn no_certificate_goes_unchecked() {
    for source in sources() {
        for word in ["danger_accept_invalid", "tls_danger", "dangerous()", "ServerCertVerifier"] {
            assert!(!source.code.contains(word), "{}: {word}", source.path.display());
        }
    }
}
