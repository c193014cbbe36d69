//! Texts of a profile with placeholders: `{{node}}-server.crt`.

/// The text with each `{{NAME}}` of these replaced by its value.
pub fn fill(text: &str, placeholders: &[(&str, &str)]) -> String {
    let one = |text: String, (name, value): &(&str, &str)| text.replace(&format!("{{{{{name}}}}}"), value);
    placeholders.iter().fold(text.to_owned(), one)
}
