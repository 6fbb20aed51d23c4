//! `pointsman keys`: client keys. A key is shown once, when it is made; the store keeps its SHA-256.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::check::write_table;
use super::recorded::address;
use crate::domain::{BudgetLimits, KeyId, RouteName};
use crate::service::{self, KeyOrder, KeyView, make_key};
use crate::store::{Scope, Store, StoreOptions};

/// Who orders what is ordered here, for the audit table.
const WHO: &str = "cli";

/// Make, list and revoke the keys that clients call with
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
    /// The configuration that names the store; its provider keys are not needed
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "store")]
    pub config: Option<PathBuf>,
    /// The store itself: a file, or a URL of Postgres
    #[arg(long, value_name = "STORE", global = true)]
    pub store: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do with keys
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key and show it, this once
    Create(Create),
    /// List all keys; never the keys themselves
    List,
    /// Revoke a key; a running service knows within a second
    Revoke {
        /// Its id, as `list` shows it
        id: String,
    },
}

/// A key to be made
#[derive(Debug, clap::Args)]
pub struct Create {
    /// What you call it, for example the application that gets it
    #[arg(long, default_value = "")]
    pub name: String,
    /// What it may be used for
    #[arg(long = "scope", value_enum, value_delimiter = ',', default_values_t = [KeyScope::Infer, KeyScope::Feedback, KeyScope::Read])]
    pub scopes: Vec<KeyScope>,
    /// When it ends; without it never
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
    pub expires_in_days: Option<u16>,
    /// Routes that it may ask for, and models by name that are on one of them; without it all
    #[arg(long, value_name = "ROUTE", value_delimiter = ',')]
    pub routes: Vec<String>,
    /// Requests per minute
    #[arg(long, value_name = "N")]
    pub rpm: Option<u32>,
    /// Tokens per minute, input and output together
    #[arg(long, value_name = "N")]
    pub tpm: Option<u32>,
    /// What may be spent with it, for example usd_per_day=5; also usd_per_request, usd_per_hour, usd_per_month
    #[arg(long = "budget", value_name = "LIMIT=USD", value_delimiter = ',')]
    pub budget: Vec<String>,
}

impl Create {
    fn order(&self) -> anyhow::Result<KeyOrder> {
        let routes: Vec<_> = self.routes.iter().map(|name| RouteName::from(name.as_str())).collect();
        Ok(KeyOrder {
            name: Some(self.name.clone()),
            scopes: Some(self.scopes.iter().map(|s| s.scope()).collect()),
            expires: None,
            expires_in_days: self.expires_in_days,
            routes: (!routes.is_empty()).then_some(Some(routes)),
            rpm: self.rpm.map(Some),
            tpm: self.tpm.map(Some),
            budget: Some(Some(limits(&self.budget)?)),
        })
    }
}

/// What a key may be used for
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyScope {
    /// Completions, embeddings, decisions
    Infer,
    /// Quality reports
    Feedback,
    /// Reading decisions
    Read,
    /// Everything under /admin
    Admin,
}

impl KeyScope {
    fn scope(self) -> Scope {
        match self {
            Self::Infer => Scope::Infer,
            Self::Feedback => Scope::Feedback,
            Self::Read => Scope::Read,
            Self::Admin => Scope::Admin,
        }
    }
}

/// Does it and prints the result on standard output. Starts its own runtime: not to be called within one.
///
/// # Errors
/// When the configuration or the store cannot be read or written, or when there is no key of that id.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    execute(args, &mut std::io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

fn execute(args: &Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let address = address(args.store.as_deref(), args.config.as_deref())?;
    if !matches!(args.command, Command::Create(_)) && address.is_missing() {
        bail!("there is no store at {address}; `pointsman keys create` makes one");
    }
    let store =
        Store::open(StoreOptions::at(address.clone())).with_context(|| format!("opening {address}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let done = runtime.block_on(command(args, &store, out));
    store.close();
    done
}

async fn command(args: &Args, store: &Store, out: &mut dyn Write) -> anyhow::Result<()> {
    match &args.command {
        Command::Create(wanted) => {
            let change = wanted.order()?.check(service::now(), None)?;
            let (made, key) = make_key(store, change, WHO).await.context("making the key")?;
            writeln!(out, "{}", created(&made, &key, args.json))?;
        }
        Command::List => {
            let rows = store.list_keys().context("reading the keys")?;
            list(rows.into_iter().map(KeyView::from).collect(), args.json, out)?;
        }
        Command::Revoke { id } => {
            if !store.revoke_key(KeyId::from(id.as_str()), WHO).await.context("revoking the key")? {
                bail!("there is no key `{id}` to revoke; `pointsman keys list` shows all");
            }
            let shown = if args.json {
                json!({"id": id, "revoked": true}).to_string()
            } else {
                format!("revoked {id}")
            };
            writeln!(out, "{shown}")?;
        }
    }
    Ok(())
}

/// Reads `usd_per_day=5` and its like.
fn limits(pairs: &[String]) -> anyhow::Result<BudgetLimits> {
    let mut limits = BudgetLimits::default();
    for pair in pairs {
        let known = BudgetLimits::FIELDS.join(", ");
        let (name, value) = pair
            .split_once('=')
            .with_context(|| format!("--budget {pair:?} must look like usd_per_day=5"))?;
        let usd: f64 =
            value.trim().parse().with_context(|| format!("--budget {pair:?}: no number of USD"))?;
        let limit = match name.trim() {
            "usd_per_request" => &mut limits.usd_per_request,
            "usd_per_hour" => &mut limits.usd_per_hour,
            "usd_per_day" => &mut limits.usd_per_day,
            "usd_per_month" => &mut limits.usd_per_month,
            other => bail!("--budget: there is no limit {other:?}; there are {known}"),
        };
        *limit = Some(usd);
    }
    limits.checked().context("--budget")
}

fn created(made: &KeyView, key: &str, is_json: bool) -> String {
    if is_json {
        let mut shown = json!(made);
        shown["key"] = key.into();
        return shown.to_string();
    }
    format!("{key}\n\nid {}; keep the key now: it is not stored and not shown again", made.id)
}

fn list(keys: Vec<KeyView>, is_json: bool, out: &mut dyn Write) -> std::io::Result<()> {
    if is_json {
        return writeln!(out, "{:#}", json!(keys));
    }
    let or = |value: Option<String>, none: &str| value.unwrap_or_else(|| none.to_owned());
    let cells = keys.into_iter().map(|key| {
        let scopes = key.scopes.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(",");
        let routes = key.routes.map(|r| r.iter().map(RouteName::as_str).collect::<Vec<_>>().join(","));
        let number = |limit: Option<u32>| or(limit.map(|n| n.to_string()), "-");
        let (rpm, tpm, budget) = (number(key.rpm), number(key.tpm), budget_text(&key.budget));
        let (expires, revoked, routes) = (or(key.expires, "never"), or(key.revoked, "-"), or(routes, "all"));
        vec![key.id.to_string(), key.name, scopes, routes, rpm, tpm, budget, key.created, expires, revoked]
    });
    let heads = ["id", "name", "scopes", "routes", "rpm", "tpm", "budget", "created", "expires", "revoked"];
    write_table(&heads, cells.collect(), out)
}

fn budget_text(limits: &BudgetLimits) -> String {
    let json = json!(limits);
    let parts = json.as_object().into_iter().flatten().map(|(name, usd)| format!("{name}={usd}"));
    let text = parts.collect::<Vec<_>>().join(",");
    if text.is_empty() { "-".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;
    use sha2::Digest;

    use super::*;

    fn run_in(folder: &Path, command: Command, json: bool) -> anyhow::Result<String> {
        let mut out = Vec::new();
        let args =
            Args { command, config: None, store: Some(folder.join("s.db").display().to_string()), json };
        execute(&args, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    fn create(name: &str) -> Command {
        Command::Create(Create {
            name: name.to_owned(),
            scopes: vec![KeyScope::Infer],
            expires_in_days: Some(30),
            routes: vec!["auto".into()],
            rpm: Some(60),
            tpm: None,
            budget: vec![],
        })
    }

    #[test]
    fn a_key_is_shown_once_and_only_its_hash_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let made: Value = serde_json::from_str(&run_in(folder.path(), create("app"), true).unwrap()).unwrap();
        let key = made["key"].as_str().unwrap();
        assert!(key.starts_with("pm-") && key.len() == 3 + 64, "{key}");
        let listed = run_in(folder.path(), Command::List, true).unwrap();
        assert!(listed.contains("app") && !listed.contains(key) && listed.contains("infer"), "{listed}");
        let row = &serde_json::from_str::<Value>(&listed).unwrap()[0];
        assert_eq!((&row["routes"], &row["rpm"], &row["tpm"]), (&json!(["auto"]), &json!(60), &Value::Null));
        let table = run_in(folder.path(), Command::List, false).unwrap();
        assert!(table.contains("rpm") && table.contains("60") && table.contains("auto"), "{table}");
        let on_disk: Vec<u8> = std::fs::read_dir(folder.path())
            .unwrap()
            .flat_map(|f| std::fs::read(f.unwrap().path()).unwrap())
            .collect();
        let holds = |needle: &[u8]| on_disk.windows(needle.len()).any(|w| w == needle);
        assert!(!holds(&key.as_bytes()[3..]));
        assert!(holds(&sha2::Sha256::digest(key.as_bytes())));
    }

    #[test]
    fn keys_differ_and_a_revoked_one_shows_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = run_in(folder.path(), create("a"), false).unwrap();
        let second = run_in(folder.path(), create("b"), false).unwrap();
        assert_ne!(first.lines().next(), second.lines().next());
        let rows: Value = serde_json::from_str(&run_in(folder.path(), Command::List, true).unwrap()).unwrap();
        let id = rows[0]["id"].as_str().unwrap().to_owned();
        let revoke = || Command::Revoke { id: id.clone() };
        assert!(run_in(folder.path(), revoke(), false).unwrap().contains(&id));
        assert!(run_in(folder.path(), revoke(), false).unwrap_err().to_string().contains("no key"));
        let rows: Value = serde_json::from_str(&run_in(folder.path(), Command::List, true).unwrap()).unwrap();
        assert!(rows[0]["revoked"].is_string() && rows[1]["revoked"].is_null(), "{rows}");
    }

    #[test]
    fn the_store_is_found_through_a_configuration_without_its_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.toml");
        std::fs::write(
            &file,
            "schema_version = 1\n[store]\nurl = \"sqlite:x.db\"\n[providers.openai]\nformat = \"openai\"\n",
        )
        .unwrap();
        let args = Args { command: create("a"), config: Some(file), store: None, json: false };
        execute(&args, &mut Vec::new()).unwrap();
        assert!(folder.path().join("x.db").exists());
    }

    #[test]
    fn listing_makes_no_store() {
        let folder = tempfile::tempdir().unwrap();
        assert!(run_in(folder.path(), Command::List, false).unwrap_err().to_string().contains("no store"));
        assert!(!folder.path().join("s.db").exists());
    }
}
