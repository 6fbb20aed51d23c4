//! Cohere as an upstream: requests, answers, event streams.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use pointsman::wire::chat::read_completion;
use pointsman::wire::cohere::{CohereReader, cannot_say, translate_reply, translate_request};

fuzz_target!(|data: &[u8]| {
    let Some((mode, bytes)) = common::split(data) else { return };
    match mode {
        0 | 1 => {
            let Some(request) = common::request(bytes) else { return };
            let sent = translate_request(&request, "m", Some(100));
            assert!(sent.is_err() || cannot_say(&request).is_none());
            let _ = sent.map(|sent| common::json(&sent));
        }
        2 | 3 => {
            let Ok((answer, _)) = translate_reply(bytes, 1, "m") else { return };
            read_completion(&answer).expect("what we translate we read");
        }
        _ => common::stream(bytes, || CohereReader::new(1, "m"), vec![]),
    }
});
