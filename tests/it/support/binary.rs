//! The real binary, as a process of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tempfile::TempDir;

use super::{config_text, upstream};

/// A folder with a configuration; the log lies in it.
pub struct Home {
    pub folder: TempDir,
    pub config: PathBuf,
    pub log: PathBuf,
}

impl Home {
    /// With the arms of [`config_text`] at `upstream`, the student for a reader, and `more` TOML.
    pub fn new(upstream: &str, more: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let (config, log) = (folder.path().join("pointsman.toml"), folder.path().join("log.db"));
        let text = config_text(upstream, &log, more)
            .replace("kind = \"minilm\"\ndeadline_ms = 20000\n", "kind = \"student\"\n");
        std::fs::write(&config, text).unwrap();
        Self { folder, config, log }
    }

    /// `pointsman serve` on this configuration.
    pub fn serve(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.arg("serve").arg("--config").arg(&self.config).env("FAKE_KEY", upstream::SECRET);
        command
    }

    /// A start that must not succeed: its exit code and what it said.
    pub fn refused(&self) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = self.serve().output().unwrap();
        let said = [stdout, stderr].concat();
        (status.code(), String::from_utf8(said).unwrap())
    }
}

/// A running one; killed when dropped.
pub struct Binary {
    pub base: String,
    child: Child,
    said: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

impl Binary {
    pub async fn start(home: &Home) -> Self {
        Self::run(home.serve(), "info").await
    }

    /// Starts `command` and waits until it serves. `filter` must let `pointsman=info` through.
    pub async fn run(mut command: Command, filter: &str) -> Self {
        let mut child = command
            .env("RUST_LOG", filter)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::<Mutex<String>>::default();
        let (tell, told) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap());
        let keep = Arc::clone(&said);
        let reading = std::thread::spawn(move || {
            for line in lines.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                if let Some(address) = line.contains(" serving ").then(|| address_in(&line)).flatten() {
                    let _ = tell.send(address);
                }
                *keep.lock().unwrap() += &(line + "\n");
            }
        });
        let address = tokio::task::spawn_blocking(move || Receiver::recv(&told)).await.unwrap();
        let base = match address {
            Ok(address) => format!("http://{address}"),
            Err(_) => panic!("it does not serve: {}", said.lock().unwrap()),
        };
        Self { base, child, said, reading: Some(reading) }
    }

    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// `-STOP`, `-CONT` ...
    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.pid()]).status().unwrap().success());
    }

    /// What it has logged so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Its exit code and all that it logged.
    pub async fn ended(mut self) -> (Option<i32>, String) {
        tokio::task::spawn_blocking(move || {
            let code = self.child.wait().unwrap().code();
            self.reading.take().unwrap().join().unwrap();
            let said = self.said.lock().unwrap().clone();
            (code, said)
        })
        .await
        .unwrap()
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address_in(line: &str) -> Option<String> {
    Some(line.split_once("addr=")?.1.split_whitespace().next()?.to_owned())
}

/// Runs a test of this binary by its name in a process of its own, with `variable` set to `path`.
pub fn again(test: &str, variable: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(variable, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
