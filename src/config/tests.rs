//! What a file with faults is told, and what a file without any becomes.

mod experiments;
mod joining;
mod providers;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;
use crate::domain::{ArmId, Capability, Preference, PriceSource};
use crate::routing::RouteStrategy;

const EXAMPLE: &str = include_str!("../../pointsman.example.toml");

fn env(pairs: &[(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> + use<> {
    let map: HashMap<&'static str, &'static str> = pairs.iter().copied().collect();
    move |name: &str| map.get(name).map(|v| (*v).to_owned())
}

fn all_keys(name: &str) -> Option<String> {
    name.ends_with("_API_KEY").then(|| format!("secret of {name}"))
}

fn good(text: &str) -> Settings {
    parse(text, Path::new("conf/pointsman.toml"), &all_keys).unwrap_or_else(|e| panic!("{e}"))
}

/// The faults as `line path: message`, with `-` for no line.
fn faults(text: &str) -> Vec<String> {
    let Err(faults) = parse(text, Path::new("pointsman.toml"), &all_keys) else {
        panic!("no fault in {text}")
    };
    let line = |f: &Fault| f.line.map_or("-".to_owned(), |l| l.to_string());
    faults.faults.iter().map(|f| format!("{} {}: {}", line(f), f.path, f.message)).collect()
}

/// Asserts exactly one fault, which starts with `place` and holds `words`.
fn one_fault(text: &str, place: &str, words: &str) {
    let found = faults(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with(&format!("{place}: ")) && found[0].contains(words), "{found:#?}");
}

const OPENAI: &str = "schema_version = 1\n[providers.openai]\nformat = \"openai\"\n";

/// A sound file with `more` from line 7 on.
fn with(more: &str) -> String {
    format!("{OPENAI}[models.\"openai/gpt-5-mini\"]\nprovider = \"openai\"\nmodel = \"gpt-5-mini\"\n{more}")
}

/// A sound file with one route, `more` from line 10 on.
fn with_route(more: &str) -> String {
    with(&format!("[routes.auto]\nmodels = [\"openai/gpt-5-mini\"]\ndefault = \"openai/gpt-5-mini\"\n{more}"))
}

#[test]
fn the_example_loads_and_says_what_it_means() {
    let s = good(EXAMPLE);
    assert_eq!(s.server, ServerSettings::default());
    assert_eq!(s.store.address, PathBuf::from("conf/pointsman.db").into());
    assert_eq!(s.learning, LearningSettings::default());
    assert_eq!(s.embedder, EmbedderSettings { threads: 2, ..EmbedderSettings::default() });
    let ids: Vec<_> = s.providers.iter().map(|p| p.id.as_str()).collect();
    assert_eq!(ids, ["anthropic", "gemini", "local", "openai", "openrouter"]);
    assert_eq!(s.providers[1].base_url, "https://generativelanguage.googleapis.com/v1beta");
    assert_eq!(s.catalog.arms().len(), 5, "the judge is one too");
    let local = s.catalog.get(&ArmId::from("local/qwen3-8b")).unwrap();
    assert_eq!((local.price.input, local.limits.context_window), (0.0, 32768));
    assert!(
        local.capabilities.contains(Capability::Tools) && !local.capabilities.contains(Capability::Images)
    );
    let implied = s.catalog.get(&ArmId::from("openrouter/deepseek/deepseek-v3.2")).unwrap();
    assert_eq!((implied.model.as_str(), implied.price.input), ("deepseek/deepseek-v3.2", 0.2288));
    let [auto, batch] = &s.routes[..] else { panic!("{:?}", s.routes) };
    let Preference::Weights(weights) = auto.preference else { panic!("{:?}", auto.preference) };
    assert!((weights.quality() - 0.7).abs() < 1e-12 && (weights.latency() - 0.1).abs() < 1e-12);
    assert_eq!(auto.conduct.timeouts, crate::provider::Timeouts::default());
    assert_eq!(auto.constraints.min_quality, Some(0.2));
    assert!(matches!(&batch.strategy, RouteStrategy::Weighted(shares) if shares.len() == 2));
}

#[test]
fn every_key_that_is_read_stands_in_the_example() {
    let read = include_str!("raw.rs");
    let readers = [
        "text(\"",
        "number(\"",
        "whole(\"",
        "texts(\"",
        "section(\"",
        "sections(\"",
        "numbers(\"",
        "flag(\"",
    ];
    let asked = readers.iter().flat_map(|r| read.split(r).skip(1)).filter_map(|rest| rest.split('"').next());
    let mut count = 0;
    for key in asked {
        assert!(EXAMPLE.contains(key), "`{key}` is not in the example");
        count += 1;
    }
    assert!(count > 50, "{count}");
}

#[test]
fn what_is_not_written_has_its_default_and_the_first_model_is_the_default_one() {
    let s =
        good(&with("[models.\"openai/a-first-by-name\"]\nprovider = \"openai\"\nmodel = \"gpt-5-nano\"\n"));
    assert_eq!(s.server.listen.to_string(), "127.0.0.1:8080");
    let [auto] = &s.routes[..] else { panic!("{:?}", s.routes) };
    assert_eq!((auto.name.as_str(), auto.default.as_str()), ("auto", "openai/gpt-5-mini"));
    assert_eq!(auto.arms[0].as_str(), "openai/a-first-by-name");
    assert_eq!(s.prices_from[&ArmId::from("openai/gpt-5-mini")], PriceSource::Catalog);
    assert_eq!(s.providers[0].base_url, "https://api.openai.com/v1");
    assert_eq!(s.providers[0].api_key.as_ref().unwrap().expose_secret(), "secret of OPENAI_API_KEY");
}

#[test]
fn the_environment_overrides_the_address_alone() {
    let listen = [("OPENAI_API_KEY", "k"), ("POINTSMAN_LISTEN", "0.0.0.0:9000")];
    let s = parse(&with("[server]\nlisten = \"127.0.0.1:1\"\n"), Path::new("f"), &env(&listen)).unwrap();
    assert_eq!(s.server.listen.to_string(), "0.0.0.0:9000");
    let bad = [("OPENAI_API_KEY", "k"), ("POINTSMAN_LISTEN", "everywhere")];
    let faults = parse(&with(""), Path::new("f"), &env(&bad)).unwrap_err();
    assert_eq!((faults.faults[0].line, faults.faults[0].path.as_str()), (None, "POINTSMAN_LISTEN"));
}

#[test]
fn the_catalogs_version_tells_one_set_of_prices_from_another() {
    let version = |price: &str| {
        let s = good(&with(&format!("price = {{ input = {price}, output = 2.0 }}\n")));
        s.catalog.version().to_owned()
    };
    assert_eq!(version("0.5"), version("0.5"));
    assert_ne!(version("0.5"), version("0.6"));
}

#[test]
fn g1_all_faults_of_a_file_come_at_once_in_the_order_of_their_lines() {
    let text = r#"schema_version = 2
[server]
lisen = "127.0.0.1:8080"
max_body_bytes = "lots"
[providers.openai]
format = "opanai"
[providers.local]
format = "openai-compatible"
base_url = "127.0.0.1:11434"
[models."local/qwen3-8b"]
provider = "locl"
model = "qwen3:8b"
[models."local/phi"]
provider = "local"
model = "phi"
price = { input = nan, output = -1 }
[routes.auto]
models = ["local/qwen3-8b", "local/qwen3-9b"]
default = "local/phi"
weights = { quality = 0, cost = 1 }
"#;
    let got = faults(text).join("\n");
    insta::assert_snapshot!(got, @r#"
    1 schema_version: is 2, this version reads 1; write `schema_version = 1`
    3 server.lisen: unknown key; did you mean `listen`?
    4 server.max_body_bytes: must be a whole number from 1024 to 1073741824, found the string "lots"
    6 providers.openai.format: "opanai" is none of "openai", "openai-compatible", "anthropic", "gemini", "cohere"; did you mean `openai`?
    9 providers.local.base_url: "127.0.0.1:11434" must start with http:// or https://
    11 models."local/qwen3-8b".provider: there is no provider `locl`; did you mean `local`?
    16 models."local/phi".price.input: must be a finite number >= 0 (USD per million tokens), got NaN
    16 models."local/phi".price.output: must be a finite number >= 0 (USD per million tokens), got -1
    18 routes.auto.models: there is no model `local/qwen3-9b`; did you mean `local/qwen3-8b`?
    19 routes.auto.default: `local/phi` is not among the route's `models`
    20 routes.auto.weights.quality: must be greater than 0, got 0
    "#);
}

#[test]
fn text_that_is_no_toml_is_refused_with_its_line() {
    one_fault("schema_version = 1\n[server\nlisten = 3\n", "2 ", "not TOML");
    assert!(faults("schema_version = = 1\nlisten = \"a\n")[0].starts_with("1 : not TOML"));
}

#[test]
fn g1_a_model_that_stands_twice_is_refused_and_hides_nothing() {
    let again =
        "[models.\"openai/gpt-5-mini\"]\nprovider = \"openai\"\nmodel = \"gpt-5-mini\"\n[server]\nport = 1\n";
    let found = faults(&with(again));
    assert!(found[0].starts_with("7 : not TOML: duplicate key"), "{found:#?}");
    assert!(found.iter().any(|f| f.contains("server.port: unknown key")), "{found:#?}");
    one_fault(
        &with("[models.twin]\nprovider = \"openai\"\nmodel = \"gpt-5-mini\"\n"),
        "7 models.twin",
        "the same model",
    );
}

#[test]
fn g1_a_missing_secret_names_its_variable() {
    let none = |_: &str| None;
    let faults = parse(&with(""), Path::new("f"), &none).unwrap_err();
    assert_eq!(faults.faults.len(), 1);
    assert!(faults.to_string().contains("OPENAI_API_KEY is not set"), "{faults}");
    assert_eq!(faults.faults[0].path, "providers.openai.api_key_env");
    let blank = parse(&with(""), Path::new("f"), &env(&[("OPENAI_API_KEY", " ")])).unwrap_err();
    assert_eq!(blank, faults);
}

#[test]
fn a_key_in_the_file_is_refused_and_not_repeated() {
    let found = faults(&with("[providers.x]\nformat = \"anthropic\"\napi_key = \"sk-secret\"\n"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("9 providers.x.api_key: keys are never written"), "{found:#?}");
    assert!(!found[0].contains("sk-secret"));
}

#[test]
fn settings_never_show_a_secret() {
    let shown =
        format!("{:?}", good(&with("[providers.x]\nformat = \"anthropic\"\nheaders = { x-y = \"hush\" }\n")));
    assert!(shown.contains("x-y") && !shown.contains("hush") && !shown.contains("secret of"), "{shown}");
}

#[test]
fn an_unknown_price_is_a_fault_and_a_written_zero_is_not() {
    let local = |price: &str| {
        with(&format!(
            "[providers.l]\nformat = \"openai-compatible\"\nbase_url = \"http://h:1/v1\"\n\
             [models.\"l/m\"]\nprovider = \"l\"\nmodel = \"m\"\n{price}"
        ))
    };
    one_fault(&local(""), "10 models.\"l/m\".price", "unknown is never zero");
    one_fault(&local("price = { input = 1 }"), "13 models.\"l/m\".price.output", "is missing");
    one_fault(&local("price = { input = 1, output = inf }"), "13 models.\"l/m\".price.output", "got inf");
    one_fault(&local("price = 3"), "13 models.\"l/m\".price", "must be a table");
    let free = good(&local("price = { input = 0, output = 0 }"));
    let arm = free.catalog.get(&ArmId::from("l/m")).unwrap();
    assert_eq!((arm.price.output, arm.limits.context_window), (0.0, 8192));
    assert_eq!(free.prices_from[&arm.id], PriceSource::Config);
}

#[test]
fn each_route_fault_is_named() {
    for (more, place, words) in [
        ("strategy = \"lerned\"\n", "10 routes.auto.strategy", "did you mean `learned`?"),
        ("strategy = \"least_busy\"\n", "10 routes.auto.strategy", "not supported in this version"),
        ("strategy = \"weighted\"\n", "7 routes.auto.shares", "is missing"),
        (
            "shares = { \"openai/gpt-5-mini\" = 1 }\n",
            "7 routes.auto.shares",
            "`strategy = \"weighted\"` alone",
        ),
        (
            "strategy = \"weighted\"\nshares = { \"openai/gpt-5-mini\" = 0 }\n",
            "11 routes.auto.shares.\"openai/gpt-5-mini\"",
            "> 0",
        ),
        ("strategy = \"weighted\"\nshares = { x = 1 }\n", "11 routes.auto.shares.x", "not among"),
        ("weights = { quality = 1 }\nvalue = { quality_usd = 1 }\n", "11 routes.auto.value", "keep one"),
        ("weights = { quality = 1, cost = nan }\n", "10 routes.auto.weights.cost", "got NaN"),
        ("value = { quality_usd = -1 }\n", "10 routes.auto.value.quality_usd", "> 0"),
        ("min_quality = 2\n", "10 routes.auto.min_quality", "between 0 and 1"),
        ("max_cost_usd = 0\n", "10 routes.auto.max_cost_usd", "> 0"),
        ("exploration = { floor = 0.5 }\n", "10 routes.auto.exploration.floor", "between 0 and 0.1"),
        ("timeouts = { total_ms = 0 }\n", "10 routes.auto.timeouts.total_ms", "whole number"),
        ("hedge = { after = \"p96\" }\n", "10 routes.auto.hedge.after", "\"p95\" or a number of seconds"),
        ("hedge = { after = 0 }\n", "10 routes.auto.hedge.after", "above 0"),
        ("hedge = { after = true }\n", "10 routes.auto.hedge.after", "a string or a number"),
        ("retry = { max = 11 }\n", "10 routes.auto.retry.max", "whole number from 0 to 10"),
        ("budget = { usd_per_day = 0 }\n", "10 routes.auto.budget.usd_per_day", "above 0"),
        ("budget = { usd_per_hour = -1.5 }\n", "10 routes.auto.budget.usd_per_hour", "above 0"),
        ("budget = { usd_per_day = nan }\n", "10 routes.auto.budget.usd_per_day", "above 0"),
        ("budget = { usd_per_week = 1 }\n", "10 routes.auto.budget.usd_per_week", "unknown key"),
        ("budget = {}\n", "10 routes.auto.budget", "limits nothing"),
        ("[[routes.auto.rules]]\nwhen = \"x\"\n", "10 routes.auto.rules", "not supported in this version"),
    ] {
        one_fault(&with_route(more), place, words);
    }
}

#[test]
fn each_fault_in_a_routes_models_is_named() {
    let route = |name: &str, models: &str, default: &str| {
        with(&format!("[routes.{name}]\nmodels = [{models}]\ndefault = \"{default}\"\n"))
    };
    let mini = "openai/gpt-5-mini";
    let twice = format!("\"{mini}\", \"{mini}\"");
    one_fault(&route("auto", &twice, mini), "8 routes.auto.models", "stands twice");
    let slip = format!("\"{mini}\", \"openai/gpt-5-mni\"");
    one_fault(&route("auto", &slip, mini), "8 routes.auto.models", "did you mean `openai/gpt-5-mini`?");
    let other = format!("\"{mini}\", \"anthropic/claude-haiku-4-5\"");
    one_fault(&route("auto", &other, mini), "8 routes.auto.models", "`[providers.anthropic]`");
    let quoted = format!("\"{mini}\"");
    one_fault(&route("auto", &quoted, "openai/gpt-5"), "9 routes.auto.default", "not among");
    one_fault(&route("\"a:b\"", &quoted, mini), "7 routes.\"a:b\"", "rename it");
    let empty = faults(&route("auto", "", mini));
    assert!(empty[0].starts_with("8 routes.auto.models: is empty"), "{empty:#?}");
    let clash = "[models.auto]\nprovider = \"openai\"\nmodel = \"gpt-5-nano\"\n";
    one_fault(&with_route(clash), "7 routes.auto", "id of a model");
}

#[test]
fn what_comes_later_is_refused_by_name() {
    one_fault(&with("[store]\nurl = \"postgres://h/db\"\n"), "8 store.url", "another machine");
    one_fault(&with("[embedder]\nkind = \"static\"\n"), "8 embedder.kind", "not supported in this version");
    one_fault(&with("[embedder]\nkind = \"studnet\"\n"), "8 embedder.kind", "did you mean `student`?");
    one_fault(&with("[server]\nlisten = \":8080\"\n"), "8 server.listen", "IP:PORT");
    one_fault(&with("[store]\nurl = \"mysql:x\"\n"), "8 store.url", "sqlite:");
    one_fault(&with("[store]\nstore_prompts = \"ful\"\n"), "8 store.store_prompts", "did you mean `full`?");
    one_fault(&with("[embedder]\nweights = \"nowhere\"\n"), "8 embedder.weights", "no folder");
}

#[test]
fn timeouts_and_bounds_reach_their_route() {
    let s = good(&with_route("max_latency_ms = 4000\ntimeouts = { first_byte_ms = 250 }\n"));
    assert_eq!(s.routes[0].conduct.timeouts.first_byte, Duration::from_millis(250));
    assert_eq!(s.routes[0].constraints.max_latency_ms, Some(4000.0));
}

#[test]
fn without_a_file_every_key_in_the_environment_counts() {
    let s = from_environment(&env(&[("ANTHROPIC_API_KEY", "a"), ("GROQ_API_KEY", "g")])).unwrap();
    let ids: Vec<_> = s.providers.iter().map(|p| p.id.as_str()).collect();
    assert_eq!(ids, ["anthropic", "groq"]);
    let [auto] = &s.routes[..] else { panic!("{:?}", s.routes) };
    assert_eq!(auto.default.as_str(), "anthropic/claude-haiku-4-5");
    assert_eq!(auto.arms.len(), s.catalog.arms().len());
    assert_eq!(s.store.address, PathBuf::from("pointsman.db").into());
}

#[test]
fn without_a_file_and_without_a_key_the_error_says_what_to_do() {
    let text = from_environment(&env(&[])).unwrap_err().to_string();
    for word in ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "CO_API_KEY", "pointsman init", "pointsman demo"] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn every_vendor_alone_makes_a_configuration() {
    for vendor in VENDORS {
        let only = |name: &str| (name == vendor.key_env).then(|| "key".to_owned());
        let s = from_environment(&only).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(s.providers.len(), 1);
        assert_eq!(s.routes[0].arms.len(), vendor.starters.len());
    }
}

#[test]
fn a_file_that_is_absent_or_too_large_is_one_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pointsman.toml");
    assert!(load(&path, &all_keys).unwrap_err().to_string().contains("pointsman init"));
    std::fs::write(&path, with("")).unwrap();
    assert_eq!(load(&path, &all_keys).unwrap().store.address, folder.path().join("pointsman.db").into());
    std::fs::write(&path, " ".repeat(5 << 20)).unwrap();
    assert!(load(&path, &all_keys).unwrap_err().to_string().contains("at most"));
}

#[test]
fn hostile_text_is_refused_without_a_crash() {
    let deep = format!("a = {}", "[".repeat(100_000));
    for text in
        ["\u{0}", "[[models]]", "models = 1\nroutes = []\nproviders = \"x\"", "[routes]\nauto = 3", &deep]
    {
        assert!(!faults(text).is_empty());
    }
}
