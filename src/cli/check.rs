//! `pointsman check`: every fault of a configuration at once, or what it comes to.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::config::{self, ConfigFaults, DEFAULT_FILE, Env, Settings};
use crate::domain::{Arm, Capability, CapabilitySet, PriceSource};
use crate::routing::Route;

/// The exit code for a configuration with faults.
const FAULTY: u8 = 2;

/// Check a configuration: prints every fault with its line and key, exit code 2 when there is one
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub config: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Checks the file and prints the verdict on standard output.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let code = report(args, &config::process_env, &mut std::io::stdout().lock())?;
    Ok(ExitCode::from(code))
}

fn report(args: &Args, env: Env<'_>, out: &mut dyn Write) -> anyhow::Result<u8> {
    let verdict = config::load(&args.config, env);
    match (&verdict, args.json) {
        (Ok(settings), true) => writeln!(out, "{:#}", sound_json(args, settings))?,
        (Ok(settings), false) => write_summary(args, settings, out)?,
        (Err(faults), true) => writeln!(out, "{:#}", faults_json(faults))?,
        (Err(faults), false) => writeln!(out, "{faults}")?,
    }
    Ok(if verdict.is_ok() { 0 } else { FAULTY })
}

fn faults_json(faults: &ConfigFaults) -> Value {
    let each = |f: &config::Fault| json!({"line": f.line, "path": f.path, "message": f.message});
    let list: Vec<_> = faults.faults.iter().map(each).collect();
    json!({"ok": false, "file": faults.file, "faults": list})
}

fn sound_json(args: &Args, settings: &Settings) -> Value {
    let routes: Vec<_> = settings.routes.iter().map(route_json).collect();
    let models: Vec<_> = settings.catalog.arms().iter().map(|arm| arm_json(arm, settings)).collect();
    json!({
        "ok": true,
        "file": args.config,
        "listen": settings.server.listen,
        "store": settings.store.address.to_string(),
        "catalog_version": settings.catalog.version(),
        "routes": routes,
        "models": models,
    })
}

fn route_json(route: &Route) -> Value {
    json!({
        "name": route.name,
        "strategy": route.strategy.kind(),
        "default": route.default,
        "models": route.arms,
        "preference": route.preference,
        "constraints": route.constraints,
    })
}

fn arm_json(arm: &Arm, settings: &Settings) -> Value {
    json!({
        "id": arm.id,
        "provider": arm.provider,
        "model": arm.model,
        "price_usd_per_mtok": arm.price,
        "price_from": price_from(arm, settings),
        "context_window": arm.limits.context_window,
        "max_output": arm.limits.max_output,
        "capabilities": arm.capabilities,
    })
}

fn price_from(arm: &Arm, settings: &Settings) -> &'static str {
    match settings.prices_from.get(&arm.id) {
        Some(PriceSource::Catalog) => "catalog",
        Some(PriceSource::Config) | None => "config",
    }
}

fn write_summary(args: &Args, settings: &Settings, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "{}: no faults", args.config.display())?;
    writeln!(out, "listens on {}, store {}\n", settings.server.listen, settings.store.address)?;
    let routes = settings.routes.iter().map(|route| {
        let count = format!("{} models", route.arms.len());
        let strategy = route.strategy.kind().as_str().to_owned();
        vec![route.name.to_string(), strategy, count, format!("default {}", route.default)]
    });
    write_table(&["route", "strategy", "models", "default"], routes.collect(), out)?;
    writeln!(out)?;
    let arms = settings.catalog.arms().iter().map(|arm| arm_row(arm, settings)).collect();
    write_table(&["model", "USD/Mtok in", "out", "cached", "window", "can", "price from"], arms, out)
}

fn arm_row(arm: &Arm, settings: &Settings) -> Vec<String> {
    let cached = arm.price.cached_input.map_or("-".to_owned(), |p| p.to_string());
    vec![
        arm.id.to_string(),
        arm.price.input.to_string(),
        arm.price.output.to_string(),
        cached,
        arm.limits.context_window.to_string(),
        words(arm.capabilities),
        price_from(arm, settings).to_owned(),
    ]
}

fn words(set: CapabilitySet) -> String {
    let words: Vec<_> =
        Capability::ALL.into_iter().filter(|c| set.contains(*c)).map(Capability::as_str).collect();
    if words.is_empty() { "text".to_owned() } else { words.join(" ") }
}

/// Columns as wide as their widest cell.
pub(super) fn write_table(head: &[&str], rows: Vec<Vec<String>>, out: &mut dyn Write) -> std::io::Result<()> {
    let head = head.iter().map(ToString::to_string).collect();
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| lines.iter().filter_map(|l| l.get(i)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|i| width(i).unwrap_or(0)).collect();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str, json: bool) -> (u8, String) {
        let folder = tempfile::tempdir().unwrap();
        let args = Args { config: folder.path().join("pointsman.toml"), json };
        std::fs::write(&args.config, text).unwrap();
        let mut out = Vec::new();
        let env = |name: &str| name.ends_with("_API_KEY").then(|| "hush".to_owned());
        let code = report(&args, &env, &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_sound_file_is_summed_up() {
        let example = include_str!("../../pointsman.example.toml");
        let (code, text) = checked(example, false);
        assert_eq!(code, 0);
        assert!(text.contains("no faults") && text.contains("default openai/gpt-5-mini"), "{text}");
        assert!(text.contains("local/qwen3-8b") && !text.contains("hush"), "{text}");
        let (code, text) = checked(example, true);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((code, &value["ok"]), (0, &json!(true)));
        assert_eq!(value["models"][2]["price_from"], "catalog");
        assert_eq!(value["routes"][0]["models"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn g1_every_fault_is_printed_and_the_code_is_two() {
        let text = "schema_version = 1\n[server]\nlisen = 1\n[store]\nurl = 5\n";
        let (code, printed) = checked(text, false);
        assert_eq!(code, 2);
        assert!(
            printed.contains("line 3: server.lisen") && printed.contains("line 5: store.url"),
            "{printed}"
        );
        let (code, printed) = checked(text, true);
        let value: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!((code, &value["ok"]), (2, &json!(false)));
        assert_eq!(
            value["faults"][0],
            json!({"line": 3, "path": "server.lisen",
            "message": "unknown key; did you mean `listen`?"})
        );
    }

    #[test]
    fn an_absent_file_is_a_fault() {
        let args = Args { config: PathBuf::from("/nowhere/pointsman.toml"), json: false };
        let mut out = Vec::new();
        assert_eq!(report(&args, &|_| None, &mut out).unwrap(), 2);
        assert!(String::from_utf8(out).unwrap().contains("pointsman init"));
    }
}
