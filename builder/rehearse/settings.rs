//! The values of a unit's settings, as systemd reads them.

use super::unit::{Assignment, value};
use crate::failure::{Failure, Result};

pub fn umask(assignments: &[Assignment]) -> Result<u32> {
    octal(assignments, "UMask", 0o022)
}

pub fn octal(assignments: &[Assignment], key: &str, default: u32) -> Result<u32> {
    let Some(text) = value(assignments, key) else { return Ok(default) };
    match u32::from_str_radix(text, 8) {
        Ok(bits) if bits <= 0o7777 && !text.starts_with('+') => Ok(bits),
        _ => Err(Failure::wrong(format!("{key}={text} is not an octal mode; systemd would ignore it"))),
    }
}

/// `etcd`, `etcd/wal`, and `etcd:link`, whose second part is a link that a rehearsal does not need.
pub fn directory(key: &str, base: &str, word: &str) -> Result<String> {
    let name = word.split(':').next().unwrap_or(word);
    let fine = |part: &str| !part.is_empty() && part != "." && part != "..";
    match name.split('/').all(fine) {
        true => Ok(format!("{base}/{name}")),
        false => {
            Err(Failure::wrong(format!("{key}={word} is not a path below {base}; systemd would ignore it")))
        }
    }
}

pub fn boolean(key: &str, text: &str) -> Result<bool> {
    is_true(text).ok_or_else(|| {
        Failure::wrong(format!("{key}={text} is not a value that systemd knows; it would ignore it"))
    })
}

/// systemd's `parse_boolean`.
pub fn is_true(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

/// `SOFT:HARD` or one for both; `None` for values that prlimit(1) cannot express, such as time spans.
pub fn limits(text: &str, is_size: bool) -> Option<String> {
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    Some(format!("{}:{}", limit(soft, is_size)?, limit(hard, is_size)?))
}

fn limit(text: &str, is_size: bool) -> Option<String> {
    if text == "infinity" {
        return Some("unlimited".to_owned());
    }
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T']);
    let power = match &text[digits.len()..] {
        "" => 0,
        "K" if is_size => 10,
        "M" if is_size => 20,
        "G" if is_size => 30,
        "T" if is_size => 40,
        _ => return None,
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse::<u64>().ok()?.checked_mul(1 << power)?.to_string())
}
