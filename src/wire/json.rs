//! JSON limits that the parser does not keep by itself.

use super::WireError;

/// Deepest nesting that is read. `RawValue` skips over values without a limit, so it is checked before.
pub(super) const MAX_DEPTH: usize = 128;

/// UTF-8, and not nested deeper than [`MAX_DEPTH`].
///
/// # Errors
/// A malformed body, named.
pub(super) fn checked_text(bytes: &[u8]) -> Result<&str, WireError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| WireError::malformed("the body must be JSON in valid UTF-8"))?;
    if is_too_deep(bytes) {
        let message = format!("the body is nested deeper than {MAX_DEPTH} levels; flatten it");
        return Err(WireError::malformed(message));
    }
    Ok(text)
}

/// Counts brackets outside strings; needs no stack. Strings, which are most of a body, are leapt over.
pub(super) fn is_too_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut rest) = (0usize, bytes);
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'"' => rest = after_string(rest),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// What follows the string that has begun; nothing when it does not end.
fn after_string(mut bytes: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', bytes) {
        if bytes[at] == b'"' {
            return &bytes[at + 1..];
        }
        bytes = bytes.get(at + 2..).unwrap_or_default();
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_strings_only() {
        assert!(checked_text(&[b'['; 128]).is_ok());
        assert!(checked_text(&[b'['; 129]).is_err());
        let quoted = format!("\"{}\\\"[\"", "[".repeat(1000));
        assert!(checked_text(quoted.as_bytes()).is_ok());
        let after = format!("[\"a\\\\\",\"\\\"\"{}", "[".repeat(128));
        assert!(checked_text(after.as_bytes()).is_err(), "{after}");
        assert!(checked_text(b"\"never ends [[").is_ok());
        assert!(checked_text(&[b'{', 0xff]).is_err());
    }
}
