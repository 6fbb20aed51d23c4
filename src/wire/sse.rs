//! Server-sent events: an incremental decoder that does not care how the bytes are cut, and an encoder.
//!
//! After <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>: lines end with LF, CR or
//! CRLF; a colon starts a comment; one space after the colon of a field is dropped; `data` lines join with LF. Text is decoded per
//! event, so a character split over packets is whole again; invalid UTF-8 becomes U+FFFD.

/// Largest event that is read, in bytes; a picture in base64 fits.
pub const MAX_EVENT: usize = 8 * 1024 * 1024;

/// The end mark of OpenAI's streams, ready to send.
pub const DONE: &str = "data: [DONE]\n\n";

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// The `event` field; empty when not given.
    pub name: String,
    /// The `data` lines.
    pub data: String,
}

/// An event larger than the cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than {max_bytes} bytes")]
pub struct TooLarge {
    /// The cap.
    pub max_bytes: usize,
}

/// Decodes a byte stream into events. Memory is bounded by the cap on one event.
#[derive(Debug)]
pub struct Decoder {
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
    at_start: bool,
    max_bytes: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::with_cap(MAX_EVENT)
    }
}

impl Decoder {
    /// A decoder that refuses events larger than `max_bytes`.
    pub fn with_cap(max_bytes: usize) -> Self {
        Self {
            line: Vec::new(),
            name: Vec::new(),
            data: Vec::new(),
            has_data: false,
            after_cr: false,
            at_start: true,
            max_bytes,
        }
    }

    /// Takes the next bytes and gives the events that they complete.
    ///
    /// # Errors
    /// When an event, a line or a comment outgrows the cap; the decoder is of no use after that.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut events = Vec::new();
        let mut rest = bytes;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = memchr::memchr2(b'\n', b'\r', rest) {
            self.extend_line(&rest[..end])?;
            events.extend(self.end_line());
            let is_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if is_cr {
                self.after_cr = rest.is_empty();
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
        }
        self.extend_line(rest)?;
        Ok(events)
    }

    /// The event that the end of the bytes left without its blank line, if any. It may be cut: judge it by its content.
    pub fn finish(mut self) -> Option<Event> {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.dispatch()
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        if self.line.len() + self.data.len() + bytes.len() > self.max_bytes {
            return Err(TooLarge { max_bytes: self.max_bytes });
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Option<Event> {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.at_start) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if line.is_empty() {
            return self.dispatch();
        }
        let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            b"event" => self.name = value.to_vec(),
            _ => {}
        }
        // The line's memory is used again.
        line.clear();
        self.line = line;
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        std::mem::take(&mut self.has_data).then(|| Event { name: text(name), data: text(data) })
    }
}

/// The same memory, unless something in it is no UTF-8.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|invalid| String::from_utf8_lossy(invalid.as_bytes()).into_owned())
}

/// `data` as one event.
pub fn encode(data: &str) -> String {
    let mut out = String::with_capacity(data.len() + 8);
    push_data(&mut out, data);
    out
}

/// `data` as one event with a name.
pub fn encode_named(name: &str, data: &str) -> String {
    let mut out = String::with_capacity(name.len() + data.len() + 16);
    out.push_str("event: ");
    out.extend(name.chars().filter(|c| !matches!(c, '\n' | '\r')));
    out.push('\n');
    push_data(&mut out, data);
    out
}

/// A comment: it keeps a silent connection open and no client sees it.
pub fn comment(text: &str) -> String {
    let line: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    format!(": {line}\n\n")
}

fn push_data(out: &mut String, data: &str) {
    for line in data.split('\n') {
        out.push_str("data: ");
        // A bare CR would end the line for the reader.
        out.extend(line.chars().filter(|c| *c != '\r'));
        out.push('\n');
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ODD: &str = ": hello\r\n\r\nevent:ping\r\ndata: {}\r\n\r\ndata:no space\n\ndata: a\ndata: b\n\nid: 7\ndata\n\n\rdata: café 😀\r\rdata: [DONE]\n\n";

    fn decode(packets: &[&[u8]]) -> Vec<Event> {
        let mut decoder = Decoder::default();
        let mut events: Vec<Event> = packets.iter().flat_map(|p| decoder.push(p).unwrap()).collect();
        events.extend(decoder.finish());
        events
    }

    #[test]
    fn u10_odd_framing_is_read() {
        let events = decode(&[ODD.as_bytes()]);
        let data: Vec<&str> = events.iter().map(|e| e.data.as_str()).collect();
        assert_eq!(data, ["{}", "no space", "a\nb", "", "café 😀", "[DONE]"]);
        assert_eq!(events[0].name, "ping");
        assert_eq!(events[1].name, "");
    }

    #[test]
    fn u13_an_endless_line_is_refused() {
        let mut decoder = Decoder::with_cap(100);
        assert!(decoder.push(&[b'x'; 60]).is_ok());
        assert_eq!(decoder.push(&[b'x'; 60]), Err(TooLarge { max_bytes: 100 }));
        let mut lines = Decoder::with_cap(100);
        assert!(lines.push(b"data: 12345678901234567890\n".repeat(6).as_slice()).is_err());
    }

    #[test]
    fn u12_invalid_utf8_becomes_the_replacement_character() {
        assert_eq!(decode(&[b"data: a\xff\n\n"])[0].data, "a\u{fffd}");
    }

    #[test]
    fn an_event_without_its_blank_line_comes_at_the_end() {
        assert_eq!(decode(&[b"data: [DONE]"])[0].data, "[DONE]");
        assert!(decode(&[b": only a comment\n\n"]).is_empty());
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(cuts in prop::collection::vec(0usize..ODD.len(), 0..40)) {
            let mut cuts = cuts;
            cuts.extend([0, ODD.len()]);
            cuts.sort_unstable();
            let packets: Vec<&[u8]> = cuts.windows(2).map(|w| &ODD.as_bytes()[w[0]..w[1]]).collect();
            prop_assert_eq!(decode(&packets), decode(&[ODD.as_bytes()]));
        }

        #[test]
        fn any_bytes_in_any_split_give_the_same_events(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), Just(b'd'), any::<u8>()], 0..200), cut in 0usize..200) {
            let cut = cut.min(bytes.len());
            prop_assert_eq!(decode(&[&bytes[..cut], &bytes[cut..]]), decode(&[&bytes]));
        }

        #[test]
        fn what_is_encoded_is_decoded(data in "[^\r]{0,80}") {
            let events = decode(&[encode(&data).as_bytes()]);
            prop_assert_eq!(&events, &[Event { name: String::new(), data }]);
        }
    }
}
