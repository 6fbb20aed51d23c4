//! Anthropic's Messages, both ways: requests, answers, event streams.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;
use pointsman::wire::anthropic::client::{MessagesWriter, NativeReader, body, parse, reply};
use pointsman::wire::anthropic::{AnthropicReader, cannot_say, translate_reply, translate_request};
use pointsman::wire::chat::read_completion;

fuzz_target!(|data: &[u8]| {
    let Some((mode, bytes)) = common::split(data) else { return };
    match mode {
        0 => {
            let Some(request) = common::request(bytes) else { return };
            let sent = translate_request(&request, "m", Some(100));
            assert!(sent.is_err() || cannot_say(&request).is_none());
            let _ = sent.map(|sent| common::json(&sent));
        }
        1 => {
            let Ok(request) = parse(bytes) else { return };
            common::json(&body(&request, "m", None).expect("its own format passes through"));
            common::json(&request.openai_body("m", "max_tokens"));
            let _ = request.prompt();
        }
        2 => {
            let Ok((answer, _)) = translate_reply(bytes, 1) else { return };
            common::json(&answer);
            read_completion(&answer).expect("what we translate we read");
        }
        3 => {
            if let Ok(answer) = reply(bytes) {
                common::json(&answer);
            }
        }
        4 => common::stream(bytes, || AnthropicReader::new(1), vec![Box::new(MessagesWriter::default())]),
        5 => common::stream(bytes, || NativeReader::new(1), vec![]),
        _ => common::openai_stream(bytes, vec![Box::new(MessagesWriter::default())]),
    }
});
