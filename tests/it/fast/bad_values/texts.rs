//! Texts that are invalid in a field.

/// Texts that no field accepts: terminal control characters, and endless texts.
pub fn bad_texts(good: &str) -> Vec<String> {
    let steering = [
        '\0', '\u{7}', '\t', '\n', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{61c}', '\u{200e}',
        '\u{200f}', '\u{2028}', '\u{2029}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}',
    ];
    let mut all: Vec<String> = steering.iter().map(|c| format!("{good}{c}")).collect();
    all.extend(steering.iter().map(|c| format!("{c}{good}")));
    all.extend([
        format!("{good}\nnetns exec x /bin/sh"),
        "\u{1b}[2J\u{1b}[1;1H".to_owned(),
        "\u{1b}]0;x\u{7}".to_owned(),
        "a".repeat(5000),
        format!("{good}{}", "/x".repeat(3000)),
    ]);
    all
}

/// Texts that only fields for people accept.
pub fn odd_texts(good: &str) -> Vec<String> {
    let mut all: Vec<String> = [
        "",
        " ",
        "../x",
        "a/../b",
        "$(id)",
        "`id`",
        "%n",
        "{{x}}",
        "a,b=c",
        "a b",
        "'",
        "\"",
        "\\",
        "<x>",
        "&amp;",
        "é",
        "а",
        "*",
        "file=/etc/shadow,x=",
        "user@host",
        "x:y",
        "x;y",
        "x|y",
        "#",
    ]
    .map(str::to_owned)
    .into();
    all.extend([format!("{good} "), format!(" {good}"), format!("{good}/"), format!("{good}\u{feff}")]);
    all
}
