//! What one encode costs: `cargo bench --bench encoder`. One thread, no cache. Figures and the machine are in `benches/README.md`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use pointsman::embed::{Embedder, MiniLm, Student, TokenWindow, WeightSource, Windower};

const TOKENIZER: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/models/all-MiniLM-L6-v2/tokenizer.json"));

/// A sequence of `tokens` tokens, `[CLS]` and `[SEP]` included; each number gives other words.
fn window(tokens: usize, number: usize) -> TokenWindow {
    let word = |i: usize| 2_000 + ((i * 7919 + number * 104_729) % 20_000) as u32;
    let mut ids = vec![101];
    ids.extend((0..tokens - 2).map(word));
    ids.push(102);
    TokenWindow { ids }
}

fn on_one_thread(work: impl FnOnce() + Send) {
    match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
        Ok(pool) => pool.install(work),
        Err(error) => unreachable!("no thread to measure on: {error}"),
    }
}

fn encode(c: &mut Criterion) {
    let model = match MiniLm::load(&WeightSource::BuiltIn) {
        Ok(model) => model,
        Err(error) => unreachable!("the built-in weights load: {error}"),
    };
    let mut group = c.benchmark_group("encode");
    group.sample_size(20);
    for (count, tokens) in [(1, 8), (1, 32), (1, 128), (8, 32)] {
        let windows: Vec<TokenWindow> = (0..count).map(|i| window(tokens, i)).collect();
        group.bench_function(format!("{count}x{tokens}"), |b| {
            on_one_thread(|| b.iter(|| model.embed(black_box(&windows))));
        });
    }
    group.finish();
}

fn tokenise(c: &mut Criterion) {
    let windower = match Windower::new(TOKENIZER, 128) {
        Ok(windower) => windower,
        Err(error) => unreachable!("the built-in tokenizer loads: {error}"),
    };
    let sentence = "The signalman lowers the gates before the express comes through the village. ";
    let mut group = c.benchmark_group("tokenise");
    for (name, times) in [("15_tokens", 1), ("120_tokens", 8), ("4000_tokens_cut", 267)] {
        let text = sentence.repeat(times);
        group.bench_function(name, |b| b.iter(|| windower.window(black_box(&text), "")));
    }
    group.finish();
}

fn student(c: &mut Criterion) {
    let student = match Windower::built_in(128).and_then(Student::built_in) {
        Ok(student) => student,
        Err(error) => unreachable!("the built-in student loads: {error}"),
    };
    let sentence = "The signalman lowers the gates before the express comes through the village. ";
    let mut group = c.benchmark_group("student");
    for (name, times) in [("15_tokens", 1), ("30_tokens", 2), ("120_tokens", 8)] {
        let text = sentence.repeat(times);
        group.bench_function(name, |b| b.iter(|| student.read(black_box(&text), "")));
    }
    group.finish();
}

criterion_group!(benches, encode, tokenise, student);
criterion_main!(benches);
