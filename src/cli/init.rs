//! `pointsman init`: a first configuration from the keys in the environment and the model servers on this machine.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::config::{self, DEFAULT_FILE, Env, Found, LocalModel, LocalServer, VENDORS};

/// Write a commented configuration from the keys in the environment and the local servers (Ollama, vLLM) that answer
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to write it
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub out: PathBuf,
    /// Overwrite a file that exists
    #[arg(long)]
    pub force: bool,
}

/// A place where a model server may listen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Probe {
    /// The id that its provider gets.
    id: &'static str,
    address: SocketAddr,
}

/// Longest wait for a connection and for each read.
const PATIENCE: Duration = Duration::from_millis(300);
/// Longest wait for a whole answer.
const TOTAL: Duration = Duration::from_secs(1);
/// The longest answer that is read.
const MAX_ANSWER: u64 = 1 << 20;
/// Models that are taken of one server.
const MAX_MODELS: usize = 20;

fn usual_places() -> [Probe; 2] {
    let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
    [Probe { id: "ollama", address: local(11434) }, Probe { id: "vllm", address: local(8000) }]
}

/// Looks around and writes the file.
///
/// # Errors
/// When nothing is found, the file exists already (without `--force`), or it cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    write_config(args, &config::process_env, &usual_places(), &mut std::io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

fn write_config(args: &Args, env: Env<'_>, places: &[Probe], out: &mut dyn Write) -> anyhow::Result<()> {
    if args.out.exists() && !args.force {
        bail!(
            "{} exists already; name another file with --out, or overwrite it with --force",
            args.out.display()
        );
    }
    let mut found = Found::in_environment(env);
    found.servers = places.iter().filter_map(look).collect();
    if found.is_empty() {
        let names: Vec<_> = VENDORS.iter().map(|v| v.key_env).collect();
        bail!(
            "nothing to route to: none of {} is set, and neither Ollama nor vLLM answers on this machine; \
             set a key or start a server, then run `pointsman init` again (`pointsman demo` needs neither)",
            names.join(", ")
        );
    }
    let text = found.to_toml();
    config::parse(&text, &args.out, env).context("the configuration made from what was found has faults")?;
    save(&args.out, &text, args.force).with_context(|| format!("writing {}", args.out.display()))?;
    tell(&found, &args.out, out)?;
    Ok(())
}

/// Never overwrites unless forced, also when the file appears in between.
pub(super) fn save(path: &Path, text: &str, is_forced: bool) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    if is_forced {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    options.open(path)?.write_all(text.as_bytes())
}

fn tell(found: &Found, path: &Path, out: &mut dyn Write) -> std::io::Result<()> {
    for v in &found.vendors {
        writeln!(out, "found {} in the environment: {} models", v.key_env, v.starters.len())?;
    }
    for s in &found.servers {
        writeln!(out, "found {} at {}: {} models", s.id, s.base_url, s.models.len())?;
    }
    writeln!(out, "wrote {0}; next: pointsman serve --config {0}", path.display())
}

/// The server at that place, if one answers with a list of models.
fn look(place: &Probe) -> Option<LocalServer> {
    let answer = get(place.address, "/v1/models").ok()?;
    let models = models_in(&answer);
    let base_url = format!("http://{}/v1", place.address);
    (!models.is_empty()).then(|| LocalServer { id: place.id.to_owned(), base_url, models })
}

/// The body of the answer to a GET.
fn get(address: SocketAddr, path: &str) -> std::io::Result<Vec<u8>> {
    let end = Instant::now() + TOTAL;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // HTTP/1.0: the server closes after the answer and sends it in one piece.
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    let mut piece = [0; 8192];
    let mut limited = stream.take(MAX_ANSWER);
    while Instant::now() < end {
        match limited.read(&mut piece)? {
            0 => return body(&answer),
            n => answer.extend_from_slice(&piece[..n]),
        }
    }
    Err(ErrorKind::TimedOut.into())
}

fn body(answer: &[u8]) -> std::io::Result<Vec<u8>> {
    let is_ok = answer.starts_with(b"HTTP/1.1 200") || answer.starts_with(b"HTTP/1.0 200");
    let start = answer.windows(4).position(|w| w == b"\r\n\r\n").filter(|_| is_ok);
    start.map(|at| answer[at + 4..].to_vec()).ok_or_else(|| ErrorKind::InvalidData.into())
}

/// Chat models in a list of OpenAI's form; names that say they are embedders are left out.
fn models_in(answer: &[u8]) -> Vec<LocalModel> {
    let list: Value = serde_json::from_slice(answer).unwrap_or_default();
    let models = list.get("data").and_then(Value::as_array).into_iter().flatten();
    models.filter_map(model_in).take(MAX_MODELS).collect()
}

fn model_in(entry: &Value) -> Option<LocalModel> {
    let name = entry.get("id")?.as_str()?;
    let is_usable = |c: char| !c.is_whitespace() && !c.is_control() && !"*?[]{}!,\\\"".contains(c);
    if name.is_empty() || name.len() > 120 || !name.chars().all(is_usable) || name.contains("embed") {
        return None;
    }
    let window = entry.get("max_model_len").and_then(Value::as_u64);
    let context_window = window.and_then(|w| u32::try_from(w).ok()).filter(|w| *w > 0);
    Some(LocalModel { name: name.to_owned(), context_window })
}

#[cfg(test)]
mod tests;
