//! "Did you mean": the nearest known name, when it is near enough to be a slip.

/// The known name that is nearest to `name`, within a third of its length and at most 3 edits.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (name.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|k| (edits(&name.to_lowercase(), &k.to_lowercase()), k))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}

/// `; did you mean ...?`, or nothing.
pub(super) fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or_else(String::new, |k| format!("; did you mean `{k}`?"))
}

/// What to do about a name that nobody knows: the nearest one, else `advice`.
pub(super) fn or_else<'a>(name: &str, known: impl IntoIterator<Item = &'a str>, advice: &str) -> String {
    let hint = hint(name, known);
    if hint.is_empty() { format!("; {advice}") } else { hint }
}

/// Edit distance in which a swap of neighbours counts once (optimal string alignment).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let swap = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j - 1] + swap).min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let known = ["listen", "max_body_bytes", "default"];
        assert_eq!(nearest("lsiten", known), Some("listen"));
        assert_eq!(nearest("max_body_byte", known), Some("max_body_bytes"));
        assert_eq!(nearest("Default", known), Some("default"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(hint("lisen", known), "; did you mean `listen`?");
    }
}
