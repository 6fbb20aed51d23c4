//! `init` against servers of the test's own.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;

use super::*;
use crate::domain::ArmId;

/// A server that answers one request with `answer`; gives its address.
fn serve_once(answer: String) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while lines.next().is_some_and(|l| !l.unwrap().is_empty()) {}
        (&stream).write_all(answer.as_bytes()).unwrap();
    });
    address
}

fn list(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{body}")
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

fn args(folder: &tempfile::TempDir, force: bool) -> Args {
    Args { out: folder.path().join("pointsman.toml"), force }
}

fn one_key(name: &str) -> Option<String> {
    (name == "OPENAI_API_KEY").then(|| "sk-hush".to_owned())
}

#[test]
fn keys_and_servers_become_a_file_that_passes_the_check_and_holds_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let answer = r#"{"data": [{"id": "qwen3:8b"}, {"id": "org/Big-Model", "max_model_len": 40960}, {"id": "nomic-embed-text"}]}"#;
    let places =
        [Probe { id: "ollama", address: serve_once(list(answer)) }, Probe { id: "vllm", address: nobody() }];
    let args = args(&folder, false);
    let mut out = Vec::new();
    write_config(&args, &one_key, &places, &mut out).unwrap();
    let text = std::fs::read_to_string(&args.out).unwrap();
    assert!(text.contains("OPENAI_API_KEY") && !text.contains("sk-hush"), "{text}");
    let settings = config::load(&args.out, &one_key).unwrap();
    assert_eq!(settings.routes[0].default.as_str(), "openai/gpt-5-mini");
    let window = |id| settings.catalog.get(&ArmId::from(id)).unwrap().limits.context_window;
    assert_eq!((window("ollama/qwen3:8b"), window("ollama/org/Big-Model")), (8192, 40960));
    assert!(settings.catalog.arms().iter().all(|a| !a.model.contains("embed")));
    assert!(String::from_utf8(out).unwrap().contains("ollama"));
}

#[test]
fn a_server_alone_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let places = [Probe { id: "vllm", address: serve_once(list(r#"{"data": [{"id": "m"}]}"#)) }];
    write_config(&args(&folder, false), &|_| None, &places, &mut Vec::new()).unwrap();
    let settings = config::load(&folder.path().join("pointsman.toml"), &|_| None).unwrap();
    assert_eq!(settings.routes[0].default.as_str(), "vllm/m");
    assert!(settings.providers[0].api_key.is_none());
}

#[test]
fn a_file_that_exists_stays_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let kept = args(&folder, false);
    std::fs::write(&kept.out, "mine").unwrap();
    let error = write_config(&kept, &one_key, &[], &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("--force"), "{error}");
    assert_eq!(std::fs::read_to_string(&kept.out).unwrap(), "mine");
    assert!(save(&kept.out, "yours", false).is_err());
    write_config(&args(&folder, true), &one_key, &[], &mut Vec::new()).unwrap();
    assert!(std::fs::read_to_string(&kept.out).unwrap().starts_with("# Pointsman"));
}

#[test]
fn nothing_found_writes_nothing_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let places = [Probe { id: "ollama", address: nobody() }];
    let error = write_config(&args(&folder, false), &|_| None, &places, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("ANTHROPIC_API_KEY") && error.to_string().contains("demo"), "{error}");
    assert!(!folder.path().join("pointsman.toml").exists());
}

#[test]
fn what_is_no_list_of_models_is_no_server() {
    for answer in
        ["", "HTTP/1.1 404 Not Found\r\n\r\n{}", "HTTP/1.1 200 OK\r\n\r\n<html>", "SSH-2.0-x\r\n\r\n"]
    {
        assert_eq!(look(&Probe { id: "x", address: serve_once(answer.to_owned()) }), None, "{answer}");
    }
    let hostile = list(r#"{"data": [{"id": "a\"]\nx = 1"}, {"id": ""}, {"id": 5}, {}]}"#);
    assert_eq!(look(&Probe { id: "x", address: serve_once(hostile) }), None);
}
