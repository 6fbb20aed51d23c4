//! Tokens of ASCII text, which most prompts are: what the library's tokenizer makes of it, without its bookkeeping of where each
//! letter came from. That takes two thirds of what a decision with the student costs.
//!
//! Only for the tokenizer of uncased BERT; anything else, in the file or in a text, is the library's affair.

use std::collections::HashMap;

use serde::Deserialize;

/// Pieces by their bytes.
type Pieces = HashMap<Box<[u8]>, u32>;

/// Reads ASCII text.
#[derive(Debug)]
pub(super) struct AsciiReader {
    /// Pieces that begin a word.
    first: Pieces,
    /// Pieces that go on with one.
    further: Pieces,
    longest_piece: usize,
    longest_word: usize,
    unknown: u32,
    /// Texts that are tokens of their own, wherever they stand.
    special: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    added_tokens: Vec<Added>,
    normalizer: Normalizer,
    pre_tokenizer: Kind,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    content: String,
}

#[derive(Deserialize)]
struct Normalizer {
    r#type: String,
    clean_text: bool,
    lowercase: bool,
}

#[derive(Deserialize)]
struct Kind {
    r#type: String,
}

#[derive(Deserialize)]
struct Model {
    r#type: String,
    unk_token: String,
    continuing_subword_prefix: String,
    max_input_chars_per_word: usize,
    vocab: HashMap<String, u32>,
}

impl AsciiReader {
    /// From a `tokenizer.json`; `None` when it is not of the kind.
    pub(super) fn of(json: &[u8]) -> Option<Self> {
        let File { added_tokens, normalizer, pre_tokenizer, model } = serde_json::from_slice(json).ok()?;
        let is_ours = normalizer.r#type == "BertNormalizer"
            && normalizer.clean_text
            && normalizer.lowercase
            && pre_tokenizer.r#type == "BertPreTokenizer"
            && model.r#type == "WordPiece";
        if !is_ours {
            return None;
        }
        let unknown = *model.vocab.get(&model.unk_token)?;
        let (mut first, mut further) = (Pieces::new(), Pieces::new());
        for (piece, id) in &model.vocab {
            first.insert(piece.as_bytes().into(), *id);
            if let Some(rest) = piece.strip_prefix(&model.continuing_subword_prefix) {
                further.insert(rest.as_bytes().into(), *id);
            }
        }
        Some(Self {
            longest_piece: model.vocab.keys().map(String::len).max()?,
            longest_word: model.max_input_chars_per_word,
            first,
            further,
            unknown,
            special: added_tokens.into_iter().map(|token| token.content).collect(),
        })
    }

    /// The ids; `None`: the text is not for this reader.
    pub(super) fn tokens(&self, text: &str) -> Option<Vec<u32>> {
        if !text.is_ascii() || self.special.iter().any(|special| text.contains(special.as_str())) {
            return None;
        }
        let mut ids = Vec::with_capacity(text.len() / 3);
        let mut word = Vec::with_capacity(32);
        for byte in text.bytes() {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.end(&mut word, &mut ids),
                // Other control characters are nothing, not even an end.
                _ if byte.is_ascii_control() => {}
                _ if byte.is_ascii_punctuation() => {
                    self.end(&mut word, &mut ids);
                    word.push(byte);
                    self.end(&mut word, &mut ids);
                }
                _ => word.push(byte.to_ascii_lowercase()),
            }
        }
        self.end(&mut word, &mut ids);
        Some(ids)
    }

    /// Adds the pieces of a word, the longest first; of a word that has none, the unknown token alone.
    fn end(&self, word: &mut Vec<u8>, ids: &mut Vec<u32>) {
        let (mut rest, before) = (word.as_slice(), ids.len());
        if rest.len() > self.longest_word {
            ids.push(self.unknown);
            rest = &[];
        }
        while !rest.is_empty() {
            let pieces = if rest.len() == word.len() { &self.first } else { &self.further };
            let lengths = (1..=rest.len().min(self.longest_piece)).rev();
            let found = lengths.into_iter().find_map(|n| Some((n, *pieces.get(&rest[..n])?)));
            if let Some((length, id)) = found {
                ids.push(id);
                rest = &rest[length..];
            } else {
                ids.truncate(before);
                ids.push(self.unknown);
                break;
            }
        }
        word.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use tokenizers::Tokenizer;

    use super::*;
    use crate::embed::WeightSource;
    use crate::embed::weights::tokenizer_file;

    static BOTH: LazyLock<(AsciiReader, Tokenizer)> = LazyLock::new(|| {
        let json = tokenizer_file(&WeightSource::BuiltIn).unwrap();
        let mut library = Tokenizer::from_bytes(&json).unwrap();
        library.with_truncation(None).unwrap();
        library.with_padding(None);
        (AsciiReader::of(&json).unwrap(), library)
    });

    fn same(text: &str) -> Result<(), TestCaseError> {
        let (ours, library) = &*BOTH;
        let theirs = library.encode_fast(text, false).unwrap().get_ids().to_vec();
        prop_assert_eq!(ours.tokens(text), Some(theirs), "{:?}", text);
        Ok(())
    }

    #[test]
    fn prompts_code_and_oddities_are_read_as_the_library_does() {
        let long = "a".repeat(100) + " " + &"b".repeat(101) + " end";
        for text in [
            "",
            " \t\r\n ",
            "Write a haiku about RUST's borrow-checker, please!",
            "fn main() { println!(\"{}\", 1e-9_f64); } // ok? [x](y) #hash $5.00 a\u{b}b\u{0}c\u{7f}d",
            "unaffable antidisestablishmentarianism xqzjkvwp 3.14159 0xdeadbeef",
            long.as_str(),
        ] {
            same(text).unwrap();
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_library() {
        let (ours, _) = &*BOTH;
        for text in ["caf\u{e9}", "a [SEP] b", "[MASK]", "\u{5217}"] {
            assert_eq!(ours.tokens(text), None, "{text}");
        }
        assert!(ours.tokens("[sep] [ SEP ]").is_some());
        assert!(AsciiReader::of(b"{}").is_none());
    }

    proptest! {
        #[test]
        fn any_ascii_is_read_as_the_library_does(text in "[\\x00-\\x7f]{0,300}") {
            same(&text)?;
        }

        #[test]
        fn words_are_read_as_the_library_does(words in prop::collection::vec("[a-zA-Z]{1,12}|[0-9]{1,6}|[.,;:!?'\"()-]", 0..60)) {
            same(&words.join(" "))?;
        }
    }
}
