//! The decoder of event streams: any cut of the bytes gives the same events, or the same refusal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pointsman::wire::sse::{Decoder, Event, encode};

const CAP: usize = 256;

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, bool) {
    let (mut decoder, mut events) = (Decoder::with_cap(CAP), Vec::new());
    for piece in pieces {
        match decoder.push(piece) {
            Ok(more) => events.extend(more),
            Err(_) => return (events, true),
        }
    }
    events.extend(decoder.finish());
    (events, false)
}

fuzz_target!(|data: &[u8]| {
    let Some((step, bytes)) = data.split_first() else { return };
    let (whole, refused) = decode(std::iter::once(bytes));
    for length in [1, usize::from(*step).max(2)] {
        let (cut, cut_refused) = decode(bytes.chunks(length));
        assert_eq!(refused, cut_refused);
        // What came before the refusal may have been given out already; what is whole is the same.
        let whole = if refused { &whole[..whole.len().min(cut.len())] } else { &whole[..] };
        assert_eq!(whole, &cut[..whole.len()]);
        assert!(refused || whole.len() == cut.len());
    }
    for event in whole {
        let (again, _) = decode(std::iter::once(encode(&event.data).as_bytes()));
        assert!(again.len() <= 1 && again.iter().all(|e| e.data == event.data));
    }
});
