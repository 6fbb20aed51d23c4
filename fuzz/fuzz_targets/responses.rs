//! OpenAI's Responses and text completions as clients speak them: requests, answers, event streams.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use pointsman::wire::completions::{self, CompletionsWriter};
use pointsman::wire::responses::{Echo, ResponsesWriter, parse, reply};

fuzz_target!(|data: &[u8]| {
    let Some((mode, bytes)) = common::split(data) else { return };
    match mode {
        0 | 1 => {
            let Ok((request, echo)) = parse(bytes) else { return };
            common::json(&request.openai_body("m", "max_tokens"));
            let _ = request.prompt();
            let answer = br#"{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}"#;
            common::json(&reply(answer, &echo).expect("an answer is one"));
        }
        2 => {
            if let Ok(answer) = reply(bytes, &Echo::default()) {
                common::json(&answer);
            }
        }
        3 => {
            if let Ok(request) = completions::parse(bytes) {
                common::json(&request.openai_body("m", "max_tokens"));
                let _ = request.prompt();
            }
        }
        4 => {
            if let Ok(answer) = completions::reply(bytes) {
                common::json(&answer);
            }
        }
        _ => common::openai_stream(
            bytes,
            vec![Box::new(ResponsesWriter::new(Echo::default())), Box::new(CompletionsWriter)],
        ),
    }
});
