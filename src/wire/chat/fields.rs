//! Typed access to JSON objects, with errors that name the field.

use std::fmt;

use serde_json::{Map, Value};

use crate::wire::WireError;

/// Fields of an object that is looked through.
const FEW: usize = 16;

/// Where something stands in the request, for example `messages[2]`; empty at the top. Put into words only for an error.
#[derive(Debug, Clone, Copy)]
pub(in crate::wire) struct Path<'a> {
    list: &'a str,
    at: Option<usize>,
}

impl<'a> Path<'a> {
    /// The item `at` of a list.
    pub(in crate::wire) fn item(list: &'a str, at: usize) -> Self {
        Self { list, at: Some(at) }
    }
}

impl<'a> From<&'a str> for Path<'a> {
    fn from(name: &'a str) -> Self {
        Self { list: name, at: None }
    }
}

impl<'a> From<&'a String> for Path<'a> {
    fn from(name: &'a String) -> Self {
        Self::from(name.as_str())
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.list)?;
        self.at.map_or(Ok(()), |at| write!(f, "[{at}]"))
    }
}

/// An object and where it stands in the request.
#[derive(Debug, Clone, Copy)]
pub(in crate::wire) struct Fields<'a> {
    object: &'a Map<String, Value>,
    path: Path<'a>,
}

impl<'a> Fields<'a> {
    /// # Errors
    /// When `value` is no object.
    pub(in crate::wire) fn of(value: &'a Value, path: impl Into<Path<'a>>) -> Result<Self, WireError> {
        let path = path.into();
        value
            .as_object()
            .map(|object| Self { object, path })
            .ok_or_else(|| WireError::must(path.to_string(), "an object"))
    }

    /// The full name of a field.
    pub(in crate::wire) fn path(&self, name: &str) -> String {
        if self.path.list.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The field, when it is there and not null: SDKs send nulls for what they leave out.
    pub(in crate::wire) fn get(&self, name: &str) -> Option<&'a Value> {
        let found = match self.object.len() {
            // Looking through a few names is faster than hashing one.
            ..=FEW => self.object.iter().find_map(|(key, value)| (key == name).then_some(value)),
            _ => self.object.get(name),
        };
        found.filter(|v| !v.is_null())
    }

    /// # Errors
    /// When it is there and no string.
    pub(in crate::wire) fn text(&self, name: &str) -> Result<Option<&'a str>, WireError> {
        self.typed(name, || "a string".into(), Value::as_str)
    }

    /// # Errors
    /// When it is missing or no string.
    pub(in crate::wire) fn required_text(&self, name: &str) -> Result<&'a str, WireError> {
        self.text(name)?.ok_or_else(|| WireError::must(self.path(name), "given, as a string"))
    }

    /// # Errors
    /// When it is there and no boolean.
    pub(in crate::wire) fn flag(&self, name: &str) -> Result<Option<bool>, WireError> {
        self.typed(name, || "true or false".into(), Value::as_bool)
    }

    /// # Errors
    /// When it is there and no array.
    pub(in crate::wire) fn list(&self, name: &str) -> Result<&'a [Value], WireError> {
        Ok(self.typed(name, || "an array".into(), Value::as_array)?.map_or(&[][..], Vec::as_slice))
    }

    /// A whole number of at least `min`; larger than `u32` is cut to it.
    ///
    /// # Errors
    /// When it is there and anything else.
    pub(in crate::wire) fn count(&self, name: &str, min: u32) -> Result<Option<u32>, WireError> {
        let at_least = |v: &Value| v.as_i64().filter(|n| *n >= i64::from(min));
        let read = |v: &Value| at_least(v).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        self.typed(name, || format!("a whole number of at least {min}"), read)
    }

    /// A number in `low..=high`.
    ///
    /// # Errors
    /// When it is there and anything else.
    pub(in crate::wire) fn number(&self, name: &str, low: f64, high: f64) -> Result<Option<f64>, WireError> {
        let read = |v: &Value| v.as_f64().filter(|n| (low..=high).contains(n));
        self.typed(name, || format!("a number between {low} and {high}"), read)
    }

    fn typed<T>(
        &self,
        name: &str,
        must_be: impl FnOnce() -> String,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, WireError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| WireError::must(self.path(name), &must_be()))
    }
}
