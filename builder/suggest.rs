//! "Did you mean": the one place that decides which known word was probably meant.

/// The word of `known` nearest to `given`, when it is near enough: at most a third of its letters differ, or the two
/// differ only in `_`, `-` and capitals.
pub fn nearest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // The time grows with the product of the two lengths, and no known word is nearly as long as this one.
    if given.len() > 100 {
        return None;
    }
    let plain = |word: &str| word.to_ascii_lowercase().replace('_', "-");
    let given = plain(given);
    let distance = |word: &str| strsim::damerau_levenshtein(&given, &plain(word));
    known
        .into_iter()
        .map(|word| (distance(word), !word.starts_with(&given), word))
        .filter(|(distance, _, word)| *distance <= (word.len().max(given.len()) / 3).max(1))
        .min_by_key(|(distance, is_other, _)| (*distance, *is_other))
        .map(|(_, _, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_words_are_suggested() {
        let cases = [
            ("adress", Some("address")),
            ("data_dir", Some("data-dir")),
            ("Name", Some("name")),
            ("heartbeet-interval", Some("heartbeat-interval")),
            ("zzz", None),
            ("", None),
            (&*"name".repeat(100), None),
        ];
        let known = ["name", "address", "data-dir", "heartbeat-interval", "mac"];
        for (given, want) in cases {
            assert_eq!(nearest(given, known), want, "{given}");
        }
    }
}
