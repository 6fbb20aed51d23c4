//! A section of foreign keys: what is not taken is named.

use serde_json::{Map, Value};

/// The keys of a section that were not taken yet, and where to say what is left.
pub(super) struct Section<'a> {
    path: String,
    keys: Map<String, Value>,
    left: &'a mut Vec<String>,
}

impl<'a> Section<'a> {
    /// A value that is no map has no keys, and is named.
    pub(super) fn of(value: Value, path: &str, left: &'a mut Vec<String>) -> Self {
        let mut section = Self { path: path.to_owned(), keys: Map::new(), left };
        match value {
            Value::Object(keys) => section.keys = keys,
            Value::Null => {}
            _ => section.left.push(format!("{path}: is no map of keys")),
        }
        section
    }

    /// Where something in here stands.
    pub(super) fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn left(&mut self) -> &mut Vec<String> {
        self.left
    }

    /// Says why something in here is not carried over.
    pub(super) fn leave(&mut self, name: &str, why: &str) {
        let at = if name.is_empty() { self.path.clone() } else { self.at(name) };
        self.left.push(format!("{at}: {why}"));
    }

    /// A null counts as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.keys.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            _ => {
                self.leave(name, "is no text");
                None
            }
        }
    }

    /// Finite and not negative; texts of numbers count, as YAML's `1e-6` may be read as one.
    pub(super) fn number(&mut self, name: &str) -> Option<f64> {
        let number = match self.take(name)? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let fit = number.filter(|number| number.is_finite() && *number >= 0.0);
        if fit.is_none() {
            self.leave(name, "is no number of at least 0");
        }
        fit
    }

    pub(super) fn list(&mut self, name: &str) -> Vec<Value> {
        match self.take(name) {
            None => Vec::new(),
            Some(Value::Array(list)) => list,
            Some(_) => {
                self.leave(name, "is no list");
                Vec::new()
            }
        }
    }

    /// Names whatever was not taken.
    pub(super) fn finish(mut self, why: &str) {
        for (name, value) in std::mem::take(&mut self.keys) {
            if !value.is_null() {
                self.leave(&name, why);
            }
        }
    }
}

/// The texts of a list, or a text alone.
pub(super) fn texts(value: Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.into_iter().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}
