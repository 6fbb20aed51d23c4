//! The upstream over real HTTP.

use super::*;
use crate::sim::playbook::Billing;

async fn started(playbook: Playbook, ledger: usize) -> (Upstream, Arc<Playbook>) {
    let playbook = Arc::new(playbook);
    let settings = UpstreamSettings { time_scale: 1e6, ledger, ..UpstreamSettings::default() };
    (Upstream::start(Arc::clone(&playbook), settings).await.unwrap(), playbook)
}

async fn post(upstream: &Upstream, body: &Value) -> (u16, String) {
    post_through(&reqwest::Client::new(), upstream, body).await
}

async fn post_through(client: &reqwest::Client, upstream: &Upstream, body: &Value) -> (u16, String) {
    let url = format!("{}/chat/completions", upstream.base_url());
    let answer = client.post(url).body(body.to_string()).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn ask(playbook: &Playbook, i: usize, k: usize) -> Value {
    json!({"model": playbook.models[k].name, "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": playbook.plays[i].text},
    ]})
}

fn never_failing(mut playbook: Playbook) -> Playbook {
    playbook.models.iter_mut().for_each(|m| m.faults = crate::sim::world::Faults::NONE);
    playbook
}

#[tokio::test]
async fn a_plain_answer_bears_the_tokens_of_the_truth_and_is_in_the_ledger() {
    let (upstream, book) = started(never_failing(Playbook::simulated(20, 1)), 8).await;
    let (status, body) = post(&upstream, &ask(&book, 3, 2)).await;
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    let truth = book.plays[3].truths[2];
    assert_eq!(body["usage"]["prompt_tokens"], truth.input_tokens);
    assert_eq!(body["usage"]["completion_tokens"], truth.output_tokens);
    assert!(body["usage"].get("cost").is_none(), "a simulated model states no cost");
    assert_eq!(body["model"], "sim/coder-medium");
    let id = body["id"].as_str().unwrap();
    assert_eq!(upstream.served(id), Some(Served { play: Some(3), model: 2 }));
    upstream.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_usage_when_asked_and_done() {
    let (upstream, book) = started(never_failing(Playbook::simulated(20, 1)), 8).await;
    let mut body = ask(&book, 0, 0);
    body["stream"] = json!(true);
    let (_, without) = post(&upstream, &body).await;
    assert!(!without.contains("usage") && without.ends_with("data: [DONE]\n\n"), "{without}");
    body["stream_options"] = json!({"include_usage": true});
    let (_, with) = post(&upstream, &body).await;
    let events: Vec<&str> = with.split("\n\n").filter_map(|e| e.strip_prefix("data: ")).collect();
    let usage: Value = serde_json::from_str(events[events.len() - 2]).unwrap();
    assert_eq!(usage["usage"]["completion_tokens"], book.plays[0].truths[0].output_tokens);
    assert_eq!(usage["choices"], json!([]));
    let text: String = events[..events.len() - 2]
        .iter()
        .map(|e| serde_json::from_str::<Value>(e).unwrap())
        .filter_map(|e| e["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    assert!(text.starts_with("This answer is simulated:"), "{text}");
    assert_eq!(text.split(' ').count(), book.plays[0].truths[0].output_tokens.min(400) as usize);
    upstream.stop().await;
}

#[tokio::test]
async fn a_recorded_cost_is_stated_to_the_last_bit_and_max_tokens_cuts_simulated_answers() {
    let mut book = never_failing(Playbook::simulated(5, 1));
    let (upstream, book_plain) = started(book.clone(), 8).await;
    let mut body = ask(&book_plain, 1, 1);
    body["max_tokens"] = json!(5);
    let cut: Value = serde_json::from_str(&post(&upstream, &body).await.1).unwrap();
    assert_eq!(
        (&cut["usage"]["completion_tokens"], &cut["choices"][0]["finish_reason"]),
        (&json!(5), &json!("length"))
    );
    upstream.stop().await;
    book.billing = Billing::Stated;
    let (upstream, book) = started(book, 8).await;
    let stated: Value = serde_json::from_str(&post(&upstream, &body).await.1).unwrap();
    assert_eq!(stated["usage"]["cost"].as_f64(), Some(book.plays[1].truths[1].cost_usd));
    upstream.stop().await;
}

#[tokio::test]
async fn one_to_three_in_a_hundred_calls_fail_and_the_same_ones_each_time() {
    let (upstream, book) = started(Playbook::simulated(700, 1), 8).await;
    let client = reqwest::Client::new();
    let mut failures = Vec::new();
    for i in 0..book.plays.len() {
        let (status, body) = post_through(&client, &upstream, &ask(&book, i, 5)).await;
        if status != 200 {
            assert!(matches!(status, 429 | 500 | 503), "{status} {body}");
            failures.push((i, status));
        }
    }
    assert!((7..=42).contains(&failures.len()), "{}", failures.len());
    for (i, status) in failures.into_iter().take(3) {
        assert_eq!(post(&upstream, &ask(&book, i, 5)).await.0, status);
    }
    upstream.stop().await;
}

#[tokio::test]
async fn bad_requests_get_openais_error_shape() {
    let (upstream, _) = started(Playbook::simulated(5, 1), 8).await;
    let (status, body) =
        post(&upstream, &json!({"model": "sim/none", "messages": [{"role": "user", "content": "x"}]})).await;
    assert_eq!(status, 404);
    assert!(body.contains("model_not_found"), "{body}");
    let (status, body) = post(&upstream, &json!({"model": "sim/none", "messages": []})).await;
    assert_eq!(status, 400);
    assert!(body.contains("`messages` is empty"), "{body}");
    let models = reqwest::get(format!("{}/models", upstream.base_url())).await.unwrap().text().await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&models).unwrap()["data"].as_array().unwrap().len(), 6);
    upstream.stop().await;
}
