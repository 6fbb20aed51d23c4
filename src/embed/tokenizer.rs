//! Words to token ids, and the windows through which a long text is read.
//!
//! One sequence of at most `max_tokens` is made from the ask and its context:
//! `[CLS] ask [SEP]`, or `[CLS] ask [SEP] context [SEP]` when the ask leaves room, or
//! `[CLS] head [SEP] middle .. [SEP] tail [SEP]` when the ask is longer than the room.

use std::borrow::Cow;
use std::sync::Arc;

use tokenizers::Tokenizer;

use super::ascii::AsciiReader;
use super::weights::tokenizer_file;
use super::{EmbedError, WeightSource};
use crate::domain::Cut;

/// Raise it when the same text becomes another sequence or another vector: vectors kept on disk are then made anew.
pub const READING_VERSION: u32 = 1;

const CLS: u32 = 101;
const SEP: u32 = 102;

/// Fewest tokens that a sequence may have room for: a window plan needs a few each.
pub(super) const MIN_TOKENS: usize = 16;
/// Most positions that the network knows.
pub(super) const MAX_TOKENS: usize = 512;

/// Middle windows of a long ask.
const MIDDLE_WINDOWS: usize = 4;
/// Bytes of the ask that are tokenised; of a longer one, pieces. Tokenising costs about 0.4 us a byte.
const MAX_ASK_BYTES: usize = 16 * 1024;
/// The same for who must answer at once.
const QUICK_ASK_BYTES: usize = 2 * 1024;
/// Pieces that a longer ask is tokenised in.
const PIECES: usize = 8;
/// A short ask gets at least this many tokens of context; a longer one at most its own length, lest the context drown it.
const MIN_CONTEXT_TOKENS: usize = 8;
/// Bytes of context worth tokenising for a token of room.
const CONTEXT_BYTES_PER_TOKEN: usize = 12;

/// Token ids of one sequence, `[CLS]` and `[SEP]` included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenWindow {
    /// The ids, shape `[t]`.
    pub ids: Vec<u32>,
}

/// What one text became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokenized {
    /// What the network reads.
    pub window: TokenWindow,
    /// Set when the ask was longer than the room.
    pub cut: Option<Cut>,
}

/// The tokenizer with a budget; clones share it.
#[derive(Clone)]
pub struct Windower {
    tokenizer: Arc<Tokenizer>,
    ascii: Option<Arc<AsciiReader>>,
    max_tokens: usize,
}

impl Windower {
    /// Reads a `tokenizer.json`. Sequences will have at most `max_tokens`.
    ///
    /// # Errors
    /// When it is no tokenizer, or the budget is outside 16..=512.
    pub fn new(json: &[u8], max_tokens: usize) -> Result<Self, EmbedError> {
        if !(MIN_TOKENS..=MAX_TOKENS).contains(&max_tokens) {
            let fix = "give 16 to 512";
            return Err(EmbedError::BadOption { option: "max_tokens", value: max_tokens, fix });
        }
        let mut tokenizer = Tokenizer::from_bytes(json)?;
        // The file asks for padding and cutting to a fixed length; both are ours to do.
        tokenizer.with_truncation(None)?;
        tokenizer.with_padding(None);
        let ascii = AsciiReader::of(json).map(Arc::new);
        Ok(Self { tokenizer: Arc::new(tokenizer), ascii, max_tokens })
    }

    /// The one that is built into the binary.
    ///
    /// # Errors
    /// When the budget is outside 16..=512.
    pub fn built_in(max_tokens: usize) -> Result<Self, EmbedError> {
        Self::new(&tokenizer_file(&WeightSource::BuiltIn)?, max_tokens)
    }

    /// Tokens of its vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// The budget, separators included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// The sequence for an ask and its context.
    ///
    /// # Errors
    /// When the tokenizer refuses the text.
    pub fn window(&self, ask: &str, context: &str) -> Result<Tokenized, EmbedError> {
        self.window_of(ask, context, MAX_ASK_BYTES)
    }

    /// The same from fewer bytes, so that it costs at most a millisecond: of a long ask the windows lie only about where
    /// [`Windower::window`] would put them.
    ///
    /// # Errors
    /// When the tokenizer refuses the text.
    pub fn quick_window(&self, ask: &str, context: &str) -> Result<Tokenized, EmbedError> {
        self.window_of(ask, context, QUICK_ASK_BYTES)
    }

    fn window_of(&self, ask: &str, context: &str, most_bytes: usize) -> Result<Tokenized, EmbedError> {
        let room = self.max_tokens - 2;
        let read = readable(ask, most_bytes);
        let tokens = self.tokens(&read)?;
        if tokens.len() > room || read.len() < ask.len() {
            let total = scaled(tokens.len(), ask.len(), read.len());
            let slices = plan(tokens.len(), room);
            return Ok(cut_sequence(&tokens, &slices, total));
        }
        let mut ids = vec![CLS];
        ids.extend_from_slice(&tokens);
        ids.push(SEP);
        self.add_context(&mut ids, context)?;
        Ok(Tokenized { window: TokenWindow { ids }, cut: None })
    }

    fn add_context(&self, ids: &mut Vec<u32>, context: &str) -> Result<(), EmbedError> {
        let left = self.max_tokens.saturating_sub(ids.len() + 1);
        let share = (self.max_tokens / 4).min((ids.len() - 2).max(MIN_CONTEXT_TOKENS));
        let room = left.min(share);
        if room == 0 || context.trim().is_empty() {
            return Ok(());
        }
        let tokens = self.tokens(head_of(context, room * CONTEXT_BYTES_PER_TOKEN))?;
        ids.extend(tokens.iter().take(room));
        ids.push(SEP);
        Ok(())
    }

    fn tokens(&self, text: &str) -> Result<Vec<u32>, EmbedError> {
        match self.ascii.as_ref().and_then(|ascii| ascii.tokens(text)) {
            Some(ids) => Ok(ids),
            None => Ok(self.tokenizer.encode_fast(text, false)?.get_ids().to_vec()),
        }
    }
}

/// Half-open ranges of the tokens that are read, in order: head, middle windows, tail. Short texts are one range.
fn plan(tokens: usize, room: usize) -> Vec<(usize, usize)> {
    // One token a window goes to the [SEP] that ends it; the last one is already accounted for.
    let windows = if room >= 8 * (MIDDLE_WINDOWS + 2) { MIDDLE_WINDOWS } else { 1 };
    let room = room - windows - 1;
    if tokens <= room {
        return vec![(0, tokens)];
    }
    let head = room * 3 / 8;
    let each = room / 4 / windows;
    let tail = room - head - each * windows;
    let between = tokens - head - tail;
    let mut slices = vec![(0, head)];
    for i in 0..windows {
        // Centres at (i + 1/2) / windows of what lies between head and tail.
        let centre = head + between * (2 * i + 1) / (2 * windows);
        let start = (centre - (each / 2).min(centre - head)).min(tokens - tail - each);
        slices.push((start, start + each));
    }
    slices.push((tokens - tail, tokens));
    slices
}

fn cut_sequence(tokens: &[u32], slices: &[(usize, usize)], total: usize) -> Tokenized {
    let mut ids = vec![CLS];
    for &(from, to) in slices {
        ids.extend_from_slice(&tokens[from..to]);
        ids.push(SEP);
    }
    let used: usize = slices.iter().map(|(from, to)| to - from).sum();
    let cut = Cut { total_tokens: total as u32, used_tokens: used as u32 };
    Tokenized { window: TokenWindow { ids }, cut: Some(cut) }
}

/// The tokens of the whole, estimated from those of a part.
fn scaled(tokens: usize, whole: usize, part: usize) -> usize {
    (tokens as f64 * whole as f64 / part.max(1) as f64).round() as usize
}

/// The text itself, or evenly spaced pieces of a very long one, the first at its start and the last at its end.
fn readable(text: &str, most_bytes: usize) -> Cow<'_, str> {
    if text.len() <= most_bytes {
        return Cow::Borrowed(text);
    }
    let piece = most_bytes / PIECES;
    let step = (text.len() - piece) / (PIECES - 1);
    let mut out = String::with_capacity(most_bytes + PIECES);
    for i in 0..PIECES {
        let from = if i + 1 == PIECES { text.len() - piece } else { i * step };
        out.push_str(&text[text.ceil_char_boundary(from)..text.floor_char_boundary(from + piece)]);
        out.push('\n');
    }
    Cow::Owned(out)
}

fn head_of(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn windows_are_in_order_within_the_room_and_reach_both_ends(tokens in 1usize..20_000, room in 14usize..511) {
            let slices = plan(tokens, room);
            prop_assert_eq!(slices[0].0, 0);
            prop_assert_eq!(slices.last().unwrap().1, tokens);
            prop_assert!(slices.windows(2).all(|w| w[0].1 <= w[1].0), "{:?}", slices);
            prop_assert!(slices.iter().all(|(from, to)| from < to), "{:?}", slices);
            let with_separators = slices.iter().map(|(from, to)| to - from + 1).sum::<usize>();
            prop_assert!(with_separators <= room + 1, "{with_separators} > {room} + 1");
        }

        #[test]
        fn a_very_long_text_is_cut_at_characters(text in "[aé列🚂 ]{9000,12000}") {
            let read = readable(&text, MAX_ASK_BYTES);
            prop_assert!(read.len() <= MAX_ASK_BYTES + PIECES);
            let opening = read.chars().next();
            prop_assert_eq!(opening, text.chars().next());
        }
    }
}
