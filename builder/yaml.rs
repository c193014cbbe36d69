//! YAML that programs parse back to exactly the same values.
//!
//! Every string is in double quotes (JSON's quoting, which YAML 1.2 shares) or, when it has several plain lines, a
//! literal block: etcd's YAML 1.1 parser would read an unquoted `no`, `on`, `12:30` or `1_000` as a boolean, a number
//! or a time, and refuse it.

use serde_json::Value;

/// A block-style YAML document of a map or a list, ending in a newline.
pub fn document(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0);
    text
}

fn block(text: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                text.push_str(&format!("{indent}{}:", plain_key(key)));
                child(text, value, depth);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for value in list {
                text.push_str(&format!("{indent}-"));
                child(text, value, depth);
            }
        }
        other => text.push_str(&format!("{indent}{}\n", scalar(other))),
    }
}

fn child(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            block(text, value, depth + 1);
        }
        // A list of scalars fits on the line; one with objects or lists is written as a block.
        Value::Array(list) if list.iter().any(|v| v.is_object() || v.is_array() || is_literal(v)) => {
            text.push('\n');
            block(text, value, depth + 1);
        }
        Value::String(lines) if is_literal(value) => {
            let indent = "  ".repeat(depth + 1);
            text.push_str(" |\n");
            for line in lines.lines() {
                match line {
                    "" => text.push('\n'),
                    line => text.push_str(&format!("{indent}{line}\n")),
                }
            }
        }
        other => text.push_str(&format!(" {}\n", scalar(other))),
    }
}

/// Several lines that a literal block preserves: printable, none beginning or ending in a space, the first not empty,
/// with exactly one newline at the end.
fn is_literal(value: &Value) -> bool {
    let Value::String(text) = value else { return false };
    let plain =
        |line: &str| !line.ends_with([' ', '\t']) && !line.chars().any(|c| c.is_control() || c == '\u{feff}');
    text.ends_with('\n')
        && !text.ends_with("\n\n")
        && text.lines().count() > 1
        && !text.starts_with([' ', '\n', '\t'])
        && text.lines().all(plain)
        && !text.contains(['\u{85}', '\u{2028}', '\u{2029}'])
}

fn scalar(value: &Value) -> String {
    let json = value.to_string();
    // JSON allows these unescaped in a string; in YAML they are not printable characters, or are line breaks.
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                text.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => text.push(c),
        }
    }
    text
}

/// Keys are Kiln's and etcd's own: unquoted where that is safe, quoted otherwise.
fn plain_key(key: &str) -> String {
    let safe = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        && !["y", "n", "yes", "no", "on", "off", "true", "false", "null"]
            .contains(&key.to_lowercase().as_str());
    if safe { key.to_owned() } else { scalar(&Value::from(key)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_blocks_with_quoted_strings() {
        let value = json!({
            "name": "on",
            "empty": {},
            "on": 1,
            "urls": ["a", "b"],
            "nested": {"flag": true, "list": [{"a": 1, "b": "x"}, ["-c", "one\ntwo\n"]]},
        });
        let want = r#"name: "on"
empty: {}
"on": 1
urls: ["a","b"]
nested:
  flag: true
  list:
    -
      a: 1
      b: "x"
    -
      - "-c"
      - |
        one
        two
"#;
        assert_eq!(document(&value), want);
    }

    #[test]
    fn what_a_literal_block_would_change_is_quoted() {
        for text in ["a\nb", "a\nb\n\n", " a\nb\n", "a \nb\n", "\na\n", "a\n\tb\u{7}\n", "one\n"] {
            assert!(!document(&json!({ "k": text })).contains('|'), "{text:?}");
        }
        assert_eq!(document(&json!({"k": "\u{7f}\u{2028}"})), "k: \"\\u007f\\u2028\"\n");
    }
}
