//! TLS on both sides, with certificates of our own making: what is trusted, what is refused, and never in the clear.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pointsman::app;
use pointsman::config::{self, EmbedderKind};
use pointsman::http::Tls;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use reqwest::{Certificate, Client, ClientBuilder};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::binary::Home;
use crate::support::{FakeUpstream, LEARNED, TestApp, chat, config_text, events, fault, upstream};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, PEM.
struct Identity {
    cert: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn vouch_for(&self, name: &str) -> Identity {
        self.vouch_until(name, 2099)
    }

    fn vouch_until(&self, name: &str, year: i32) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { cert, key: key.serialize_pem() }
    }
}

/// Stands before `upstream` with this certificate; gives its base URL.
async fn encrypted(upstream: &FakeUpstream, identity: &Identity) -> String {
    let chain =
        CertificateDer::pem_slice_iter(identity.cert.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let versions =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let acceptor =
        TlsAcceptor::from(Arc::new(versions.with_no_client_auth().with_single_cert(chain, key).unwrap()));
    let behind = upstream.base.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                if let Ok(mut outside) = acceptor.accept(socket).await {
                    let mut inside = TcpStream::connect(behind).await.unwrap();
                    // How either side ends is not what is looked at here.
                    let _ = copy_bidirectional(&mut outside, &mut inside).await;
                }
            });
        }
    });
    base
}

#[tokio::test]
async fn u16_a_certificate_that_is_not_good_is_a_502_and_a_private_authority_is_trusted_when_it_is_named() {
    let (ours, foreign, folder) = (Authority::new(), Authority::new(), TempDir::new().unwrap());
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &ours.pem).unwrap();
    let target = FakeUpstream::start().await;
    let named = format!("ca_file = {ca:?}\n");
    let cases = [
        ("sound", ours.vouch_for("127.0.0.1"), named.as_str()),
        ("expired", ours.vouch_until("127.0.0.1", 2021), &named),
        ("misnamed", ours.vouch_for("example.org"), &named),
        ("foreign", foreign.vouch_for("127.0.0.1"), &named),
        ("unnamed", ours.vouch_for("127.0.0.1"), ""),
    ];
    let mut text = LEARNED.to_owned();
    for (name, identity, more) in &cases {
        let base = encrypted(&target, identity).await;
        text += &format!(
            "[providers.{name}]\nformat = \"openai-compatible\"\nbase_url = \"{base}/v1\"\nretry = {{ max = 0 }}\n{more}\
             [models.\"{name}/good\"]\nprovider = \"{name}\"\nmodel = \"good\"\nprice = {{ input = 1.0, output = 1.0 }}\n\
             context_window = 8000\nmax_output = 4000\n"
        );
    }
    let app = TestApp::built(&text, |settings| settings.embedder.kind = EmbedderKind::Student).await;
    for (name, ..) in &cases[1..] {
        let answer = fault(app.complete(&format!("{name}/good"), "Hello").await).await;
        assert_eq!(answer, (502, "upstream_error".into(), None), "{name}");
    }
    assert!(target.calls().is_empty(), "nothing went out, encrypted or in the clear");
    assert_eq!(app.complete("sound/good", "Hello").await.status(), 200);
    assert_eq!(target.calls().len(), 1);
}

/// A service behind TLS, and a client that trusts its authority.
async fn secure(change: impl FnOnce(&mut config::Settings)) -> (TestApp, String, ClientBuilder) {
    let authority = Authority::new();
    let identity = authority.vouch_for("127.0.0.1");
    let app = TestApp::built(LEARNED, |settings| {
        settings.embedder.kind = EmbedderKind::Student;
        settings.tls = Some(Tls::from_pem(identity.cert.as_bytes(), identity.key.as_bytes()).unwrap());
        change(settings);
    })
    .await;
    let base = format!("https://{}", app.running.addr);
    let trusted = Certificate::from_pem(authority.pem.as_bytes()).unwrap();
    (app, base, Client::builder().tls_certs_only([trusted]).https_only(true))
}

#[tokio::test]
async fn clients_are_served_over_tls_and_not_in_the_clear() {
    let (app, base, trusting) = secure(|_| {}).await;
    let client = trusting.build().unwrap();
    let mut body = chat("auto", "Hello");
    for stream in [false, true] {
        body["stream"] = json!(stream);
        let request =
            client.post(format!("{base}/v1/chat/completions")).header("content-type", "application/json");
        let response = request.body(body.to_string()).send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, reqwest::Version::HTTP_11));
        let text = response.text().await.unwrap();
        assert!(
            if stream { events(&text).last() == Some(&"[DONE]") } else { text.contains("Fine weather") },
            "{text}"
        );
    }
    let untrusting = Client::builder().tls_certs_only([]).build().unwrap();
    assert!(untrusting.get(format!("{base}/healthz")).send().await.is_err());
    let mut clear = TcpStream::connect(app.running.addr).await.unwrap();
    clear.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // A reset is as good as an end.
    let _ = clear.read_to_end(&mut answer).await;
    assert!(!answer.windows(4).any(|w| w == b"HTTP"), "no answer in the clear: {answer:?}");
}

#[tokio::test]
async fn tls_1_2_is_the_oldest_that_is_spoken() {
    let (_app, base, trusting) = secure(|_| {}).await;
    let old = trusting.max_tls_version(reqwest::tls::Version::TLS_1_2).build().unwrap();
    assert_eq!(old.get(format!("{base}/healthz")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_handshake_has_its_time_and_its_place_among_the_connections() {
    let (app, base, trusting) = secure(|settings| {
        settings.server.max_open_connections = 1;
        settings.server.header_timeout = Duration::from_millis(300);
    })
    .await;
    let mut idle = TcpStream::connect(app.running.addr).await.unwrap();
    let mut over = TcpStream::connect(app.running.addr).await.unwrap();
    for silent in [&mut over, &mut idle] {
        let mut answer = Vec::new();
        // Ends: the one at once, for there is no place, the other when its time for the handshake is over.
        let _ = silent.read_to_end(&mut answer).await;
        assert!(answer.is_empty());
    }
    let client = trusting.build().unwrap();
    while client.get(format!("{base}/healthz")).send().await.is_err() {
        tokio::task::yield_now().await;
    }
}

/// The faults of `[server.tls]` with these files.
fn faults(folder: &Path, files: [(&str, &str, u32); 2]) -> String {
    let mut section = String::from("[server.tls]\n");
    for (name, content, mode) in files {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        section += &format!("{name} = {name:?}\n");
    }
    let text = config_text("http://127.0.0.1:1", &folder.join("log.db"), LEARNED) + &section;
    let env = |name: &str| (name == "FAKE_KEY").then(|| upstream::SECRET.to_owned());
    config::parse(&text, &folder.join("pointsman.toml"), &env)
        .map_or_else(|f| f.to_string(), |_| String::new())
}

#[test]
fn a_key_that_others_can_read_or_that_does_not_fit_is_refused_by_name() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let (one, two) = (authority.vouch_for("127.0.0.1"), authority.vouch_for("127.0.0.1"));
    let faults =
        |cert: &str, key: &str, mode| faults(folder.path(), [("cert", cert, 0o644), ("key", key, mode)]);
    assert_eq!(faults(&one.cert, &one.key, 0o600), "");
    assert_eq!(faults(&one.cert, &one.key, 0o640), "", "a group may be meant to read it");
    let open = faults(&one.cert, &one.key, 0o644);
    assert!(open.contains("server.tls.key") && open.contains("chmod 600"), "{open}");
    let mixed = faults(&one.cert, &two.key, 0o600);
    assert!(mixed.contains("server.tls") && mixed.contains("cannot be used together"), "{mixed}");
    let no_cert = faults("nothing", &one.key, 0o600);
    assert!(no_cert.contains("server.tls.cert") && no_cert.contains("no certificate"), "{no_cert}");
    let no_key = faults(&one.cert, &one.cert, 0o600);
    assert!(no_key.contains("server.tls.key") && no_key.contains("no private key"), "{no_key}");
    assert!([open, mixed, no_cert, no_key].iter().all(|said| !said.contains("BEGIN")));
}

#[tokio::test]
async fn with_a_listener_of_its_own_admin_is_there_and_nowhere_else() {
    let app = TestApp::built(LEARNED, |settings| {
        settings.embedder.kind = EmbedderKind::Student;
        settings.server.admin_listen = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    let door = format!("http://{}", app.running.admin_addr.unwrap());
    for path in ["/admin/stats", "/admin/drift", "/admin/policies", "/admin/models"] {
        assert_eq!(fault(app.get(path).await).await, (404, "not_found".into(), None), "{path}");
        assert_eq!(app.client.get(format!("{door}{path}")).send().await.unwrap().status(), 200, "{path}");
    }
    assert_eq!(app.get("/healthz").await.status(), 200);
    assert_eq!(app.client.get(format!("{door}/healthz")).send().await.unwrap().status(), 200);
    assert!(app.running.stop().await.is_some(), "both end");
}

#[tokio::test]
async fn g2_a_renewed_certificate_is_shown_after_a_reload() {
    let (old, new, fake) = (Authority::new(), Authority::new(), FakeUpstream::start().await);
    let home =
        Home::new(&fake.base, &format!("{LEARNED}[server.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n"));
    let put = |identity: &Identity| {
        let key = home.folder.path().join("key.pem");
        std::fs::write(home.folder.path().join("cert.pem"), &identity.cert).unwrap();
        std::fs::write(&key, &identity.key).unwrap();
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    put(&old.vouch_for("127.0.0.1"));
    let env = |name: &str| (name == "FAKE_KEY").then(|| upstream::SECRET.to_owned());
    let (settings, file) = (config::load(&home.config, &env).unwrap(), home.config.clone());
    let again: app::ReadAgain = Box::new(move |before| config::reload(&file, &env, before));
    let running = app::start_from(settings, Some(again)).await.unwrap();
    let base = format!("https://{}", running.addr);
    let trusting = |authority: &Authority| {
        let trusted = Certificate::from_pem(authority.pem.as_bytes()).unwrap();
        Client::builder().tls_certs_only([trusted]).build().unwrap()
    };
    let is_served = async |client: Client| client.get(format!("{base}/healthz")).send().await.is_ok();
    let first = trusting(&old);
    put(&new.vouch_for("127.0.0.1"));
    let order =
        first.post(format!("{base}/admin/reload")).header("content-type", "application/json").body("{}");
    assert_eq!(order.send().await.unwrap().status(), 200);
    assert!(is_served(trusting(&new)).await && !is_served(trusting(&old)).await);
    assert!(is_served(first).await, "a connection that is open stays");
    running.stop().await;
}
