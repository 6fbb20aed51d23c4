//! The fit on a few made-up prompts, with the real teacher.

use super::super::dataset::Row;
use super::*;
use crate::embed::{EncoderOptions, WeightSource};

fn dataset(rows: usize) -> Dataset {
    let nouns = ["signal", "ferry", "river", "ledger", "violin", "glacier", "orchard", "comet"];
    let asks = ["What is a", "Write a poem about the", "Compute the weight of one", "Translate into French:"];
    let row = |i: usize| Row {
        id: format!("row-{i}"),
        task: "t".into(),
        fold: (i % 4 + 1) as u8,
        split: None,
        prompt: format!("{} {} and a {}", asks[i / 4 % 4], nouns[i / 16 % 8], nouns[(i / 128 + i % 3) % 8]),
    };
    Dataset { name: "made-up".into(), rows: (0..rows).map(row).collect(), models: vec![], cells: vec![] }
}

#[test]
fn a_fitted_student_predicts_the_teacher_on_prompts_it_has_not_seen_and_the_fit_repeats_itself() {
    let set = dataset(256);
    let encoder = Encoder::start(EncoderOptions::default()).unwrap();
    let featurizer = Featurizer::built_in().unwrap();
    let model = MiniLm::load(&WeightSource::BuiltIn).unwrap();
    let teacher = Teacher { encoder: &encoder, model: &model, featurizer: &featurizer };
    let corpus = Corpus::gather(&[set], &[], teacher, None, &mut |_, _, _| {}).unwrap();
    let options = StudentOptions {
        buckets: 64,
        frequency: 0.01,
        ridge: 0.1,
        iterations: 20,
        date: "2026-11-27".into(),
        command: "test".into(),
        cache_dir: None,
    };
    let shape = Shape { vocabulary: encoder.windower().vocabulary(), buckets: 64, components: 32 };
    // No prior: the teacher would take a minute over all tokens.
    let alone = vec![0.0; shape.vocabulary * 32];
    let fitted = || numbers(&corpus, &alone, shape, &options, &mut |_, _, _| {}).unwrap();
    let table = pack(shape, &fitted());
    assert_eq!(table, pack(shape, &fitted()));
    assert_eq!(table.len(), shape.bytes());
    let manifest = manifest(&table, shape);
    let student = Student::parse(&manifest, Cow::Owned(table), encoder.windower().clone()).unwrap();
    let r2 = corpus.r2(&student);
    let mean = r2.iter().sum::<f64>() / 32.0;
    assert!(mean > 0.6, "{mean}: {r2:?}");
}

#[test]
fn the_shipped_student_predicts_the_teacher_on_prompts_of_another_make() {
    let encoder = Encoder::start(EncoderOptions::default()).unwrap();
    let featurizer = Featurizer::built_in().unwrap();
    let student = Student::built_in(encoder.windower().clone()).unwrap();
    featurizer.check_student(student.schema()).unwrap();
    let model = MiniLm::load(&WeightSource::BuiltIn).unwrap();
    let teacher = Teacher { encoder: &encoder, model: &model, featurizer: &featurizer };
    let corpus = Corpus::gather(&[dataset(256)], &[], teacher, None, &mut |_, _, _| {}).unwrap();
    let r2 = corpus.r2(&student);
    // These asks differ far less among each other than real prompts do: .49 was seen, beside .78 on fold 1.
    let mean = r2.iter().sum::<f64>() / r2.len() as f64;
    assert!(mean > 0.35, "{mean}: {r2:?}");
}

fn manifest(table: &[u8], shape: Shape) -> Vec<u8> {
    let manifest = StudentManifest {
        schema: "s".into(),
        date: "2026-11-27".into(),
        command: "test".into(),
        encoder_sha256: ENCODER_SHA256.into(),
        max_tokens: 128,
        components: shape.components,
        vocabulary: shape.vocabulary,
        buckets: shape.buckets,
        frequency: 0.01,
        ridge: 0.1,
        sources: vec![],
        held_out: 0,
        r2_first8: 0.0,
        r2_all: 0.0,
        table_sha256: sha256_hex(table),
    };
    serde_json::to_vec(&manifest).unwrap()
}
