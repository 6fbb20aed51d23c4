//! The encoder as its callers see it. The network is loaded once; queue and faults are tried on a stand-in that the test controls.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use ndarray::Array2;
use serde::Deserialize;

use super::weights::Files;
use super::*;

const LONG: Duration = Duration::from_secs(600);

#[derive(Deserialize)]
struct Reference {
    max_tokens: usize,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    text: String,
    tokens: usize,
    vector: Vec<f32>,
}

fn encoder() -> &'static Encoder {
    static ENCODER: OnceLock<Encoder> = OnceLock::new();
    ENCODER.get_or_init(|| Encoder::start(EncoderOptions::default()).unwrap())
}

fn model() -> &'static MiniLm {
    static MODEL: OnceLock<MiniLm> = OnceLock::new();
    MODEL.get_or_init(|| MiniLm::load(&WeightSource::BuiltIn).unwrap())
}

fn windower(max_tokens: usize) -> Windower {
    Windower::new(&Files::load(&WeightSource::BuiltIn).unwrap().tokenizer, max_tokens).unwrap()
}

fn vector(ask: &str) -> Arc<[f32]> {
    encoder().embed_blocking(ask, "").unwrap().vector
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>().sqrt()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
}

/// Reference sequences: the text from its start, up to the fixture's length.
fn reference() -> (Vec<TokenWindow>, Vec<Item>) {
    let fixture: Reference =
        serde_json::from_str(include_str!("../../tests/fixtures/minilm_reference.json")).unwrap();
    let windower = windower(512);
    let windows = fixture.items.iter().map(|item| {
        let mut ids = windower.window(&item.text, "").unwrap().window.ids;
        if ids.len() > fixture.max_tokens {
            ids.truncate(fixture.max_tokens - 1);
            ids.push(102);
        }
        assert_eq!(ids.len(), item.tokens, "{:?}", item.text);
        TokenWindow { ids }
    });
    (windows.collect(), fixture.items)
}

#[test]
fn vectors_agree_with_the_original_weights() {
    let (windows, items) = reference();
    assert_eq!(items.len(), 20);
    for (window, item) in windows.iter().zip(&items) {
        let got = model().embed(std::slice::from_ref(window)).unwrap();
        let cosine = cosine(got.as_slice().unwrap(), &item.vector);
        assert!(cosine >= 0.9999, "cosine {cosine} for {:?}", item.text);
    }
}

#[test]
fn a_batch_of_mixed_lengths_gives_what_each_text_gives_alone() {
    let (windows, _) = reference();
    let batch = model().embed(&windows).unwrap();
    for (row, window) in batch.rows().into_iter().zip(&windows) {
        let alone = model().embed(std::slice::from_ref(window)).unwrap();
        let difference = largest_difference(row.as_slice().unwrap(), alone.as_slice().unwrap());
        assert!(difference < 1e-4, "{difference}");
    }
}

#[test]
fn the_pool_gives_what_the_model_gives_in_the_order_of_the_texts() {
    let (windows, items) = reference();
    let texts: Vec<Text<'_>> = items[..19].iter().map(|i| Text { ask: &i.text, context: "" }).collect();
    let embedded = encoder().embed_all(&texts).unwrap();
    for (embedded, window) in embedded.iter().zip(&windows) {
        let alone = model().embed(std::slice::from_ref(window)).unwrap();
        assert!(largest_difference(&embedded.vector, alone.as_slice().unwrap()) < 1e-4);
        assert_eq!((embedded.cut, embedded.tokens as usize), (None, window.ids.len()));
    }
}

#[tokio::test]
async fn the_same_text_again_comes_from_the_cache() {
    let first = encoder().embed("Which gauge has this track?", "", LONG).await.unwrap();
    let again = encoder().embed("Which gauge has this track?", "", LONG).await.unwrap();
    let other = encoder().embed("Which gauge has this track?", "A model railway.", LONG).await.unwrap();
    assert!(!first.cached && again.cached && !other.cached);
    assert_eq!(first.vector, again.vector);
    assert_ne!(first.vector, other.vector);
}

/// A long request of distinct sentences with one of them replaced.
fn long_request(sentences: usize, changed: Option<usize>) -> String {
    let sentence = |i: usize| {
        if Some(i) == changed {
            "The signalman forgot to lower the gates before the express came through. ".to_owned()
        } else {
            format!(
                "Entry {i}: wagon {} stood at siding {} waiting for its load. ",
                i * 37 % 101,
                i * 13 % 17
            )
        }
    };
    (0..sentences).map(sentence).collect()
}

#[test]
fn long_requests_that_differ_anywhere_keep_apart() {
    for sentences in [40, 200, 2_000] {
        let plain = encoder().embed_blocking(&long_request(sentences, None), "").unwrap();
        let cut = plain.cut.unwrap();
        assert!(cut.used_tokens <= 126 && cut.total_tokens as usize > sentences * 10, "{cut:?}");
        let places = [0, 1, sentences / 5, sentences / 3, sentences / 2, sentences - 7, sentences - 1];
        let mut seen = vec![plain.vector];
        for place in places {
            let vector = vector(&long_request(sentences, Some(place)));
            let nearest = seen.iter().map(|other| distance(other, &vector)).fold(f64::MAX, f64::min);
            // What little one sentence is of the whole, and far above rounding (1e-7).
            let least = 0.02 / sentences as f64;
            assert!(nearest > least, "sentence {place} of {sentences}: distance {nearest} <= {least}");
            seen.push(vector);
        }
    }
}

#[test]
fn a_question_after_a_shared_document_counts_like_a_question() {
    let document = long_request(300, None);
    let of = |question: &str| vector(&format!("{document}\n\n{question}"));
    let [sum, sum_again, poem] =
        ["Add up all wagon numbers.", "Sum the numbers of the wagons.", "Write a poem about rain."].map(of);
    assert!(cosine(&sum, &sum_again) > cosine(&sum, &poem));
}

#[test]
fn context_counts_a_little_and_not_more_than_the_ask() {
    let windower = windower(128);
    let system = "You are a patient teacher of physics. ".repeat(50);
    let tokens = |ask: &str, context: &str| windower.window(ask, context).unwrap().window.ids.len();
    assert_eq!(tokens("go on", &system), 2 + 2 + 8 + 1);
    assert_eq!(tokens(&"word ".repeat(60), &system), 60 + 2 + 32 + 1);
    assert_eq!(tokens(&"word ".repeat(120), &system), 120 + 2 + 5 + 1);
    assert_eq!(tokens(&"word ".repeat(126), &system), 128);
    assert_eq!(tokens(&"word ".repeat(500), &system), 128);
    assert_eq!(tokens("", ""), 2);
}

#[test]
fn options_out_of_range_are_named() {
    let start = |change: fn(&mut EncoderOptions)| {
        let mut options = EncoderOptions::default();
        change(&mut options);
        Encoder::start(options).unwrap_err().to_string()
    };
    assert!(start(|o| o.threads = 0).contains("threads"));
    assert!(start(|o| o.queue = 0).contains("queue"));
    assert!(start(|o| o.max_tokens = 4).contains("max_tokens"));
    assert!(start(|o| o.batch_tokens = 100).contains("batch_tokens"));
}

/// Says when it starts a batch, and waits for leave to go on; then does what the first token's text asks for.
struct Gated {
    entered: Mutex<Sender<usize>>,
    leave: Mutex<Receiver<Act>>,
}

enum Act {
    Answer,
    Nan,
    Panic,
}

impl Embedder for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn dim(&self) -> usize {
        2
    }

    fn embed(&self, inputs: &[TokenWindow]) -> Result<Array2<f32>, EmbedError> {
        self.entered.lock().unwrap().send(inputs.len()).unwrap();
        // The receiver outlives its lock guard, so a panic below does not poison it.
        let act = self.leave.lock().unwrap().recv().unwrap();
        let value = match act {
            Act::Answer => std::f32::consts::FRAC_1_SQRT_2,
            Act::Nan => f32::NAN,
            Act::Panic => panic!("asked to"),
        };
        Ok(Array2::from_elem((inputs.len(), 2), value))
    }
}

struct Bench {
    encoder: Encoder,
    entered: Receiver<usize>,
    leave: Sender<Act>,
}

fn bench(queue: usize) -> Bench {
    let (entered_tx, entered) = channel();
    let (leave, leave_rx) = channel();
    let gated = Gated { entered: Mutex::new(entered_tx), leave: Mutex::new(leave_rx) };
    let options = EncoderOptions { queue, ..EncoderOptions::default() };
    let encoder = Encoder::with_embedder(options, Box::new(gated), windower(128)).unwrap();
    Bench { encoder, entered, leave }
}

fn ask(
    encoder: &Encoder,
    text: &str,
    deadline: Duration,
) -> tokio::task::JoinHandle<Result<Embedded, EmbedError>> {
    let (encoder, text) = (encoder.clone(), text.to_owned());
    tokio::spawn(async move { encoder.embed(&text, "", deadline).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_an_error_at_once_and_waiting_jobs_are_batched() {
    let bench = bench(2);
    let first = ask(&bench.encoder, "first", LONG);
    assert_eq!(bench.entered.recv().unwrap(), 1);
    let second = ask(&bench.encoder, "second", LONG);
    let third = ask(&bench.encoder, "third", LONG);
    while bench.encoder.queue_len() < 2 {
        tokio::task::yield_now().await;
    }
    let refused = bench.encoder.embed("fourth", "", LONG).await;
    assert!(matches!(refused, Err(EmbedError::QueueFull { capacity: 2 })), "{refused:?}");
    bench.leave.send(Act::Answer).unwrap();
    assert_eq!(bench.entered.recv().unwrap(), 2);
    bench.leave.send(Act::Answer).unwrap();
    for handle in [first, second, third] {
        assert_eq!(handle.await.unwrap().unwrap().vector.len(), 2);
    }
    assert_eq!(bench.encoder.queue_len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passed_deadline_is_an_error_and_the_job_is_skipped() {
    let bench = bench(8);
    let first = ask(&bench.encoder, "first", LONG);
    bench.entered.recv().unwrap();
    let late = bench.encoder.embed("late", "", Duration::from_millis(1)).await;
    assert!(matches!(late, Err(EmbedError::DeadlineExceeded { after_ms: 1 })), "{late:?}");
    let next = ask(&bench.encoder, "next", LONG);
    while bench.encoder.queue_len() < 2 {
        tokio::task::yield_now().await;
    }
    bench.leave.send(Act::Answer).unwrap();
    assert_eq!(bench.entered.recv().unwrap(), 1, "the late job must not be embedded");
    bench.leave.send(Act::Answer).unwrap();
    first.await.unwrap().unwrap();
    next.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_an_error_to_its_callers_and_the_worker_lives_on() {
    let bench = bench(8);
    bench.leave.send(Act::Panic).unwrap();
    let lost = bench.encoder.embed("boom", "", LONG).await;
    assert!(matches!(lost, Err(EmbedError::WorkerLost)), "{lost:?}");
    bench.leave.send(Act::Answer).unwrap();
    assert!(bench.encoder.embed("fine", "", LONG).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn o3_a_vector_that_is_not_finite_is_an_error_and_is_not_kept() {
    let bench = bench(8);
    bench.leave.send(Act::Nan).unwrap();
    let refused = bench.encoder.embed("text", "", LONG).await;
    assert!(matches!(refused, Err(EmbedError::NotFinite)), "{refused:?}");
    bench.leave.send(Act::Answer).unwrap();
    assert!(!bench.encoder.embed("text", "", LONG).await.unwrap().cached);
}

fn student() -> Student {
    Student::built_in(windower(128)).unwrap()
}

#[test]
fn the_built_in_student_fits_its_manifest_and_says_about_what_the_teacher_says() {
    let student = student();
    let glance = student.read("Which gauge has this track?", "").unwrap();
    assert!(glance.components.len() == 32 && glance.components.iter().all(|x| x.is_finite()));
    assert_eq!(glance.cut, None);
    assert!(student.read(&long_request(300, None), "").unwrap().cut.is_some());
    assert!(student.read("", "").unwrap().components.iter().all(|x| x.is_finite()));
}

#[test]
fn a_quick_window_is_the_same_for_short_asks_and_reads_both_ends_of_long_ones() {
    let windower = windower(128);
    let ids = |tokenized: Tokenized| tokenized.window.ids;
    let short = "Which gauge has this track?";
    let both = [windower.window(short, "A model."), windower.quick_window(short, "A model.")];
    let [full, quick] = both.map(|w| ids(w.unwrap()));
    assert_eq!(full, quick);
    let long = long_request(400, None);
    let (full, quick) = (windower.window(&long, "").unwrap(), windower.quick_window(&long, "").unwrap());
    let (a, b) = (full.cut.unwrap().total_tokens, quick.cut.unwrap().total_tokens);
    assert!(a.abs_diff(b) < a / 5, "{a} {b}");
    let (full, quick) = (ids(full), ids(quick));
    assert_eq!(full.len(), quick.len());
    assert_eq!((&full[..40], &full[full.len() - 20..]), (&quick[..40], &quick[quick.len() - 20..]));
}

#[test]
fn a_student_whose_table_was_changed_is_refused() {
    let manifest = include_bytes!("../../models/student/manifest.json");
    let mut table = include_bytes!("../../models/student/table.bin").to_vec();
    table[1000] ^= 1;
    let error = Student::parse(manifest, table.into(), windower(128)).unwrap_err().to_string();
    assert!(error.contains("table.bin") && error.contains("train encoder"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_with_too_much_before_it_says_so_at_once_but_gives_what_it_keeps() {
    let bench = bench(8);
    let known = ask(&bench.encoder, "known", LONG);
    bench.entered.recv().unwrap();
    std::thread::sleep(Duration::from_millis(20));
    bench.leave.send(Act::Answer).unwrap();
    known.await.unwrap().unwrap();
    let soon = Duration::from_millis(1);
    let before = ask(&bench.encoder, "before", LONG);
    bench.entered.recv().unwrap();
    let refused = bench.encoder.embed_if_soon("next", "", soon).await;
    assert!(matches!(refused, Err(EmbedError::Busy { expected_ms: 1.. })), "{refused:?}");
    assert!(bench.encoder.embed_if_soon("known", "", soon).await.unwrap().cached);
    bench.leave.send(Act::Answer).unwrap();
    before.await.unwrap().unwrap();
}
