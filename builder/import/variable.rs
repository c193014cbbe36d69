//! `$NAME` and `${NAME}` in command lines, as systemd fills them in (systemd.service(5), "Command lines").

/// The names in a text; none if it has a `$` of any other kind.
pub fn names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    filled(text, |name| {
        names.push(name.to_owned());
        Some("")
    })
    .map_or_else(Vec::new, |_| names)
}

/// The name, if the text is one variable and nothing else.
pub fn alone(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('$')?;
    let name = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(rest);
    is_name(name).then_some(name)
}

/// The text with its variables filled in; `None` where one is not known. Only a word that is `$NAME` may be without
/// braces.
pub fn filled<'v>(text: &str, mut value: impl FnMut(&str) -> Option<&'v str>) -> Option<String> {
    if let Some(name) = alone(text) {
        return value(name).map(str::to_owned);
    }
    let (mut made, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        let (name, after) = after.strip_prefix('{')?.split_once('}')?;
        made.push_str(before);
        made.push_str(value(name).filter(|_| is_name(name))?);
        rest = after;
    }
    Some(made + rest)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in_as_systemd_does() {
        let value = |name: &str| (name == "A").then_some("x");
        for (text, wanted) in [
            ("$A", Some("x")),
            ("${A}", Some("x")),
            ("https://${A}:2380,${A}", Some("https://x:2380,x")),
            ("${B}", None),
            ("a$A", None),
            ("$$A", None),
            ("plain", Some("plain")),
        ] {
            assert_eq!(filled(text, value).as_deref(), wanted, "{text}");
        }
        assert_eq!(names("${A}-${B}"), ["A", "B"]);
        assert!(names("a$A").is_empty() && names("$(hostname)").is_empty());
        assert_eq!(alone("${A}"), Some("A"));
        assert_eq!(alone("$"), None);
    }
}
