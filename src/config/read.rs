//! Walking the parsed file: values with their lines, and a fault for whatever is not what it should be.

use std::cell::RefCell;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::faults::{ConfigFaults, Fault};
use super::suggest::hint;

/// Where something stands: its line, if it stands in the file, and its key path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Place {
    pub(super) line: Option<usize>,
    pub(super) path: String,
}

impl Place {
    /// A key that is nowhere in the file.
    pub(super) fn absent(path: &str) -> Self {
        Self { line: None, path: path.to_owned() }
    }

    /// The place of `key` within this one, on the same line until it is known better.
    pub(super) fn join(&self, key: &str) -> Self {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let quoted =
            if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { format!("{key:?}") };
        let path = if self.path.is_empty() { quoted } else { format!("{}.{quoted}", self.path) };
        Self { line: self.line, path }
    }
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// The text of a file, and the faults found in it so far.
#[derive(Debug)]
pub(super) struct Source {
    line_starts: Vec<usize>,
    faults: RefCell<Vec<Fault>>,
}

impl Source {
    pub(super) fn new(text: &str) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        Self { line_starts: std::iter::once(0).chain(after_breaks).collect(), faults: RefCell::default() }
    }

    /// Line of a byte offset, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    pub(super) fn fault(&self, place: &Place, message: impl Into<String>) {
        let fault = Fault { line: place.line, path: place.path.clone(), message: message.into() };
        self.faults.borrow_mut().push(fault);
    }

    /// Whether exactly this key has a fault already: a value that is wrong is not reported as absent as well.
    pub(super) fn has_fault_at(&self, path: &str) -> bool {
        self.faults.borrow().iter().any(|f| f.path == path)
    }

    /// Whether `path` itself or a key that starts with `below` has a fault already.
    pub(super) fn has_fault_within(&self, path: &str, below: &str) -> bool {
        self.faults.borrow().iter().any(|f| f.path == path || f.path.starts_with(below))
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_sound(&self) -> bool {
        self.faults.borrow().is_empty()
    }

    /// All faults, in the order of their lines.
    pub(super) fn into_faults(self, file: &Path) -> ConfigFaults {
        ConfigFaults::sorted(file, self.faults.into_inner())
    }
}

/// A table being read. It remembers what was asked for; the rest is unknown.
pub(super) struct Section<'s> {
    source: &'s Source,
    place: Place,
    table: Option<&'s DeTable<'s>>,
    asked: Vec<&'static str>,
}

impl<'s> Section<'s> {
    /// The whole file.
    pub(super) fn root(source: &'s Source, table: &'s DeTable<'s>) -> Self {
        Self { source, place: Place::default(), table: Some(table), asked: Vec::new() }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn is_present(&self) -> bool {
        self.table.is_some()
    }

    fn find(&mut self, key: &'static str) -> Option<(Place, &'s DeValue<'s>)> {
        self.asked.push(key);
        let (name, value) = self.table?.iter().find(|(name, _)| name.get_ref() == key)?;
        Some((self.place_of(name.get_ref(), name.span().start), value.get_ref()))
    }

    fn place_of(&self, key: &str, offset: usize) -> Place {
        Place { line: Some(self.source.line(offset)), ..self.place.join(key) }
    }

    fn wrong(&self, place: &Place, wanted: &str, found: &DeValue<'_>) {
        self.source.fault(place, format!("must be {wanted}, found {}", describe(found)));
    }

    /// A string.
    pub(super) fn text(&mut self, key: &'static str) -> Option<At<String>> {
        let (place, value) = self.find(key)?;
        match value.as_str() {
            Some(text) => Some(At { value: text.to_owned(), place }),
            None => {
                self.wrong(&place, "a string", value);
                None
            }
        }
    }

    /// A number, whole or not; it may be NaN or infinite.
    pub(super) fn number(&mut self, key: &'static str) -> Option<At<f64>> {
        let (place, value) = self.find(key)?;
        let number = number(value);
        if number.is_none() {
            self.wrong(&place, "a number", value);
        }
        number.map(|value| At { value, place })
    }

    /// A string or a number.
    pub(super) fn word_or_number(&mut self, key: &'static str) -> Option<At<WordOrNumber>> {
        let (place, value) = self.find(key)?;
        let word = value.as_str().map(|word| WordOrNumber::Word(word.to_owned()));
        let either = word.or_else(|| number(value).map(WordOrNumber::Number));
        if either.is_none() {
            self.wrong(&place, "a string or a number", value);
        }
        either.map(|value| At { value, place })
    }

    /// A whole number within bounds.
    pub(super) fn whole(&mut self, key: &'static str, least: u64, most: u64) -> Option<At<u64>> {
        let (place, value) = self.find(key)?;
        let digits = value.as_integer().and_then(|i| u64::from_str_radix(i.as_str(), i.radix()).ok());
        match digits.filter(|n| (least..=most).contains(n)) {
            Some(value) => Some(At { value, place }),
            None => {
                self.wrong(&place, &format!("a whole number from {least} to {most}"), value);
                None
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<At<bool>> {
        let (place, value) = self.find(key)?;
        let flag = value.as_bool();
        if flag.is_none() {
            self.wrong(&place, "true or false", value);
        }
        flag.map(|value| At { value, place })
    }

    /// A list of strings.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<At<Vec<At<String>>>> {
        let (place, value) = self.find(key)?;
        let Some(items) = value.as_array() else {
            self.wrong(&place, "a list of strings", value);
            return None;
        };
        let texts = items.iter().filter_map(|item| self.list_item(&place, item)).collect();
        Some(At { value: texts, place })
    }

    fn list_item(&self, list: &Place, item: &Spanned<DeValue<'_>>) -> Option<At<String>> {
        let place = Place { line: Some(self.source.line(item.span().start)), path: list.path.clone() };
        let text = item.get_ref().as_str();
        if text.is_none() {
            self.wrong(&place, "a list of strings", item.get_ref());
        }
        text.map(|text| At { value: text.to_owned(), place })
    }

    /// A table; an empty one when it is absent or no table.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'s> {
        let place = self.place.join(key);
        let Some((place, value)) = self.find(key) else { return self.sub(place, None) };
        if !value.is_table() {
            self.wrong(&place, "a table", value);
        }
        self.sub(place, value.as_table())
    }

    fn sub(&self, place: Place, table: Option<&'s DeTable<'s>>) -> Section<'s> {
        Section { source: self.source, place, table, asked: Vec::new() }
    }

    /// Tables whose names the user chooses, in the order of the file.
    pub(super) fn named_sections(&mut self, key: &'static str) -> Vec<(String, Section<'s>)> {
        let all = self.section(key);
        let entries = all.table.into_iter().flatten();
        entries
            .filter_map(|(name, value)| {
                let place = all.place_of(name.get_ref(), name.span().start);
                if !value.get_ref().is_table() {
                    all.wrong(&place, "a table", value.get_ref());
                }
                let table = value.get_ref().as_table()?;
                Some((name.get_ref().to_string(), all.sub(place, Some(table))))
            })
            .collect()
    }

    /// All entries of a table whose keys the user chooses, with strings for values.
    pub(super) fn named_texts(&mut self, key: &'static str) -> Vec<(String, At<String>)> {
        self.named(key, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// All entries of a table whose keys the user chooses, with numbers for values.
    pub(super) fn named_numbers(&mut self, key: &'static str) -> Vec<(String, At<f64>)> {
        self.named(key, "a number", number)
    }

    fn named<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        read: impl Fn(&DeValue<'_>) -> Option<T>,
    ) -> Vec<(String, At<T>)> {
        let all = self.section(key);
        let mut found = Vec::new();
        for (name, value) in all.table.into_iter().flatten() {
            let place = all.place_of(name.get_ref(), name.span().start);
            match read(value.get_ref()) {
                Some(value) => found.push((name.get_ref().to_string(), At { value, place })),
                None => all.wrong(&place, wanted, value.get_ref()),
            }
        }
        found
    }

    /// A key that exists in our plans only: refused, never ignored.
    pub(super) fn unsupported(&mut self, key: &'static str, advice: &str) {
        if let Some((place, _)) = self.find(key) {
            self.source.fault(&place, format!("not supported in this version; {advice}"));
        }
    }

    /// A key that people try and that has another name here.
    pub(super) fn misplaced(&mut self, key: &'static str, advice: &str) {
        if let Some((place, _)) = self.find(key) {
            self.source.fault(&place, advice);
        }
    }

    /// Reports every key that was not asked for.
    pub(super) fn finish(&self) {
        for (name, _) in self.table.into_iter().flatten() {
            let key = name.get_ref().as_ref();
            if !self.asked.contains(&key) {
                let place = self.place_of(key, name.span().start);
                let hint = hint(key, self.asked.iter().copied());
                self.source.fault(&place, format!("unknown key{hint}"));
            }
        }
    }
}

/// What [`Section::word_or_number`] reads.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum WordOrNumber {
    Word(String),
    Number(f64),
}

fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix()).ok().map(|i| i as f64),
        DeValue::Float(f) => f.as_str().parse().ok(),
        _ => None,
    }
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string {:?}", text.chars().take(60).collect::<String>()),
        DeValue::Integer(i) => format!("{i}"),
        DeValue::Float(f) => format!("{f}"),
        DeValue::Boolean(b) => format!("{b}"),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
