//! A server of Postgres for the tests: in a folder of its own, on a port of its own, as a user of its own when the tests run as root. It
//! ends with the process that started it, however that ends.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// Set where a missing server is a fault and no reason to skip.
const REQUIRED: &str = "POINTSMAN_REQUIRE_POSTGRES";
/// `nobody`: the server refuses to run as root.
const NOBODY: u32 = 65_534;
/// The password of `postgres`; it must not appear anywhere.
pub const PASSWORD: &str = "pg-s3cret-word";
/// Starts the server in `$1/data`, says so, and takes it down with the folder once nobody holds the other end of the input.
const KEEPER: &str = r#"
"$0/pg_ctl" -D "$1/data" -l "$1/log" -o "$2" -w start >"$1/started" 2>&1 && echo ready || cat "$1/started" "$1/log"
read _
"$0/pg_ctl" -D "$1/data" -m immediate -w stop >/dev/null 2>&1
rm -rf "$1"
"#;

/// A running server.
pub struct Server {
    programs: PathBuf,
    folder: PathBuf,
    pub port: u16,
    /// Its input is what keeps the server.
    _keeper: Child,
}

/// The server that tests share; each has a database of its own in it. `None`: there is none on this machine, which is told.
pub fn shared(test: &str) -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| programs().map(|programs| Server::start(programs, "-c fsync=off")));
    if server.is_none() {
        skipped(test);
    }
    server.as_ref()
}

/// One for a test that stops it.
pub fn own(test: &str) -> Option<Server> {
    let server = programs().map(|programs| Server::start(programs, ""));
    if server.is_none() {
        skipped(test);
    }
    server
}

/// One that speaks TLS alone to the network, and the certificate of its authority, which is its own.
pub fn with_tls(test: &str) -> Option<(Server, PathBuf)> {
    let Some(programs) = programs() else {
        skipped(test);
        return None;
    };
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let folder = folder();
    for (name, text) in [("tls.crt", made.cert.pem()), ("tls.key", made.signing_key.serialize_pem())] {
        std::fs::write(folder.join(name), text).unwrap();
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
        if is_root() {
            chown(folder.join(name), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    let (certificate, at) = (folder.join("tls.crt"), folder.display());
    let options =
        format!("-c fsync=off -c ssl=on -c ssl_cert_file={at}/tls.crt -c ssl_key_file={at}/tls.key");
    Some((Server::start_in(folder.clone(), programs, &options), certificate))
}

/// On the terminal, also where the output of tests that pass is not shown.
fn skipped(test: &str) {
    let why = "there is no initdb beside postgres in PATH or /usr/lib/postgresql";
    assert!(std::env::var_os(REQUIRED).is_none(), "{test}: {REQUIRED} is set, and {why}");
    let line = format!("SKIPPED {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// The folder that holds all of the server's programs.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let installed = versions.map(|version| version.path().join("bin"));
    let has_all = |folder: &PathBuf| ["initdb", "postgres", "pg_ctl"].iter().all(|p| folder.join(p).exists());
    installed.chain(std::env::split_paths(&path)).find(has_all)
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

fn as_its_user(program: &Path) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.current_dir("/");
    command
}

/// A new one that belongs to the server.
fn folder() -> PathBuf {
    let folder = tempfile::Builder::new().prefix("pointsman-pg-").tempdir().unwrap().keep();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    if is_root() {
        chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    folder
}

impl Server {
    fn start(programs: PathBuf, options: &str) -> Self {
        Self::start_in(folder(), programs, options)
    }

    fn start_in(folder: PathBuf, programs: PathBuf, options: &str) -> Self {
        std::fs::write(folder.join("password"), PASSWORD).unwrap();
        if is_root() {
            chown(folder.join("password"), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let made = as_its_user(&programs.join("initdb"))
            .args([
                "--no-sync",
                "--auth=scram-sha-256",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ])
            .arg("--pwfile")
            .arg(folder.join("password"))
            .arg("-D")
            .arg(folder.join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        // Free now; nobody else is likely to take it before the server does.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c max_connections=60 {options}",
            folder.display()
        );
        let mut keeper = as_its_user(Path::new("/bin/sh"))
            .args(["-c", KEEPER])
            // What interrupts the tests must not end it before it has taken the server down.
            .process_group(0)
            .arg(&programs)
            .arg(&folder)
            .arg(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n", "the server does not start");
        Self { programs, folder, port, _keeper: keeper }
    }

    /// A new, empty database: its URL.
    pub fn database(&self, name: &str) -> String {
        let create = format!("CREATE DATABASE {name}");
        query(&self.url("postgres"), &create);
        self.url(name)
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// `pg_ctl restart -m immediate`: no session is let finish, and the server recovers from its log.
    pub fn restart(&self) {
        self.control(&["-m", "immediate", "restart"]);
    }

    pub fn stop(&self) {
        self.control(&["-m", "immediate", "stop"]);
    }

    pub fn start_again(&self) {
        self.control(&["start"]);
    }

    fn control(&self, what: &[&str]) {
        let data = self.folder.join("data");
        let mut command = as_its_user(&self.programs.join("pg_ctl"));
        command.arg("-D").arg(&data).arg("-l").arg(self.folder.join("log")).arg("-w").args(what);
        // It would keep our pipes open for as long as the server runs.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if what == ["start"] {
            let line = std::fs::read_to_string(data.join("postmaster.opts")).unwrap();
            let options: Vec<_> = line.split('"').skip(1).step_by(2).filter(|o| *o != "-D").collect();
            let own = options.iter().filter(|o| !o.contains("/data"));
            command.arg("-o").arg(own.map(|o| (*o).to_owned()).collect::<Vec<_>>().join(" "));
        }
        assert!(command.status().unwrap().success(), "pg_ctl {what:?}");
    }
}

/// Runs statements and gives the first column of every row as text. On a thread of its own, so that async tests may call it.
pub fn query(url: &str, statements: &str) -> Vec<String> {
    let (url, statements) = (url.to_owned(), statements.to_owned());
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            let rows = client.simple_query(&statements).await.unwrap();
            let first = |row| match row {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            };
            rows.into_iter().filter_map(first).collect()
        })
    };
    std::thread::spawn(run).join().unwrap()
}
