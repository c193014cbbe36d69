//! Scans a template before it is parsed: what is refused, and where it can be split.
//!
//! handlebars (6.4) parses by recursion, without a limit on depth, and counts the lines up to each tag from the
//! beginning of the text, so its time grows with the square of the length. So the depth of blocks is limited here, and
//! the text is split where no block is open: each part is parsed by itself. Tags, texts and comments end as in its
//! grammar (`grammar.pest`); ambiguous text is refused.

use std::ops::Range;

/// The text is split when a part would become longer than this, in bytes.
pub(super) const PART_BYTES: usize = 4 << 10;

/// The limit on a part that cannot be split, that is, a block, in bytes. Parsing one that consists of tags takes about
/// a second.
const MAX_BLOCK_BYTES: usize = 64 << 10;

/// The limit on nested blocks; each `{{else if}}` counts as one more.
const MAX_DEPTH: usize = 32;

/// The limit on nested `{{#each}}`: each multiplies the steps of its body by the length of its list.
const MAX_LOOP_DEPTH: usize = 4;

/// The limit on brackets in one tag.
const MAX_BRACKET_DEPTH: usize = 32;

/// A refused construct, and its place.
#[derive(Debug)]
pub(super) struct Refused {
    pub at: usize,
    pub reason: String,
}

/// The effect of a tag on the blocks around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TagKind {
    /// A value or a helper. `tilde`: it removes the blanks before or after it.
    Plain {
        tilde: bool,
    },
    Open {
        is_loop: bool,
    },
    Close,
    /// `{{else if …}}`, which the parser treats as a nested block.
    Chain {
        is_loop: bool,
    },
    Comment,
    Other,
}

struct Tag {
    kind: TagKind,
    tilde_before: bool,
    tilde_behind: bool,
    end: usize,
}

/// The parts of a template, which are rendered one after the other, each of about `length` bytes or more.
///
/// # Errors
/// Partials and decorators, with which a template could call itself; blocks that are nested too deeply or are too
/// long; a comment or a text without an end.
pub(super) fn parts(text: &str, length: usize) -> Result<Vec<Range<usize>>, Refused> {
    let mut parts = Vec::new();
    let (mut begin, mut at) = (0, 0);
    // For each open block: its start, the number of blocks with each {{else if}}, and the number of loops among them.
    let mut open: Vec<(usize, usize, usize)> = Vec::new();
    let mut before = TagKind::Other;
    let mut tilde_behind = false;
    loop {
        let next = opening(text, at, "{{");
        let tag = next.map(|start| tag(text, start)).transpose()?;
        let end = next.unwrap_or(text.len());
        // A tilde removes the blanks at the beginning of every text up to the next tag that is not a comment.
        if open.is_empty() && !tilde_behind {
            let tilde = tag.as_ref().is_some_and(|tag| tag.tilde_before);
            let plain = |kind| kind == TagKind::Plain { tilde: false };
            let between_values = !tilde && plain(before) && tag.as_ref().is_some_and(|tag| plain(tag.kind));
            while let Some(cut) = cut(text, at..end, begin + length, tilde, between_values) {
                check_length(begin..cut)?;
                parts.push(begin..cut);
                begin = cut;
            }
        }
        let (Some(start), Some(tag)) = (next, tag) else { break };
        match tag.kind {
            TagKind::Open { is_loop } => open.push((start, 1, usize::from(is_loop))),
            TagKind::Chain { is_loop } => {
                if let Some((_, blocks, loops)) = open.last_mut() {
                    *blocks += 1;
                    *loops += usize::from(is_loop);
                }
            }
            TagKind::Close if open.is_empty() => {
                return Err(Refused { at: start, reason: "there is no open block to close here".into() });
            }
            TagKind::Close => drop(open.pop()),
            TagKind::Plain { .. } | TagKind::Comment | TagKind::Other => {}
        }
        let (blocks, loops) = open.iter().fold((0, 0), |sum, next| (sum.0 + next.1, sum.1 + next.2));
        if blocks > MAX_DEPTH || loops > MAX_LOOP_DEPTH {
            let (what, limit) =
                if blocks > MAX_DEPTH { ("blocks", MAX_DEPTH) } else { ("{{#each}} blocks", MAX_LOOP_DEPTH) };
            let reason = format!("{what} are nested more than {limit} deep here; reduce the nesting");
            return Err(Refused { at: start, reason });
        }
        (at, before) = (tag.end, tag.kind);
        tilde_behind = tag.tilde_behind || tag.kind == TagKind::Comment && tilde_behind;
    }
    if let Some((at, ..)) = open.last() {
        let reason = "this block is not closed; write {{/…}} with its name at its end";
        return Err(Refused { at: *at, reason: reason.into() });
    }
    check_length(begin..text.len())?;
    parts.push(begin..text.len());
    Ok(parts)
}

fn check_length(part: Range<usize>) -> Result<(), Refused> {
    if part.len() <= MAX_BLOCK_BYTES {
        return Ok(());
    }
    let reason = format!(
        "a block that begins here or soon after has more than {} KiB; shorten it, or move the text to a file without \
         variables",
        MAX_BLOCK_BYTES >> 10
    );
    Err(Refused { at: part.start, reason })
}

/// The place where a part may end in a run of text, at `from` or later, so that the text around it is parsed as in the
/// whole: the blanks around a tag depend on whether it is alone on its line.
fn cut(text: &str, run: Range<usize>, from: usize, tilde: bool, between_values: bool) -> Option<usize> {
    let first = run.start.max(from);
    if first > run.end {
        return None;
    }
    let bytes = text.as_bytes();
    let is_plain = |byte: u8| !byte.is_ascii_whitespace() && byte != b'\\' && byte != b'{';
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let in_text = (first.max(run.start + 1)..run.end).find(|at| {
        let (left, right) = (bytes[at - 1], bytes[*at]);
        let at_line = left == b'\n' && !tilde && !is_blank(bytes.get(*at)) && right != b'\r';
        text.is_char_boundary(*at) && (at_line || is_plain(left) && is_plain(right))
    });
    let behind_line = || {
        let last = text[run.clone()].bytes().last();
        // Two backslashes are one only before a tag.
        let is_apart = between_values && last != Some(b'\\') || last == Some(b'\n') && !tilde;
        (run.end < text.len() && is_apart).then_some(run.end)
    };
    in_text.or_else(behind_line)
}

/// The position of the next `{{` that is not text: after one backslash it is text, after two it is not.
fn opening(text: &str, from: usize, mark: &str) -> Option<usize> {
    let mut at = from;
    loop {
        let found = at + text.get(at..)?.find(mark)?;
        let backslashes = text[from..found].bytes().rev().take_while(|byte| *byte == b'\\').count();
        if backslashes != 1 {
            return Some(found);
        }
        at = found + 2;
        if text[at..].starts_with("{{") {
            at += 2;
        }
    }
}

fn tag(text: &str, start: usize) -> Result<Tag, Refused> {
    let refuse = |reason: &str| Refused { at: start, reason: reason.to_owned() };
    let unclosed = || refuse("this tag is not closed; write }} at its end");
    let rest = &text[start..];
    if rest.starts_with("{{!") {
        let end = start + comment(rest).map_err(refuse)?;
        return Ok(Tag { kind: TagKind::Comment, tilde_before: false, tilde_behind: false, end });
    }
    if rest.starts_with("{{{{") {
        let head = start + rest.find("}}}}").ok_or_else(unclosed)? + 4;
        let tail = opening(text, head, "{{{{").ok_or_else(unclosed)?;
        let end = text[tail..].find("}}}}").ok_or_else(unclosed)?;
        check_inner(&text[start + 4..head - 4]).map_err(refuse)?;
        let tilde_before = text[start + 4..head].trim_start().starts_with('~');
        let tilde_behind = text[tail..tail + end].trim_end().ends_with('~');
        return Ok(Tag { kind: TagKind::Other, tilde_before, tilde_behind, end: tail + end + 4 });
    }
    let close = rest.find("}}").ok_or_else(unclosed)?;
    let mut inner = rest[2..close].trim();
    let tilde_before = inner.starts_with('~');
    let tilde_behind = inner.ends_with('~');
    inner = inner.trim_matches('~').trim();
    let mut end = start + close + 2;
    // {{{ }}} inserts a value unescaped, and so does {{ }} here.
    if let Some(unbraced) = inner.strip_prefix('{') {
        inner = unbraced.trim_end_matches('}');
        end += usize::from(text[end..].starts_with('}'));
    }
    check_inner(inner).map_err(refuse)?;
    let is_loop = |behind: &str| behind.trim_start().starts_with("each");
    let mut marks = inner.chars().filter(|c| !c.is_whitespace());
    let kind = match (marks.next(), marks.next()) {
        (Some('>' | '*'), _) | (Some('#'), Some('>' | '*')) => {
            return Err(refuse("partials and decorators are not available; write the text in place"));
        }
        (Some('#'), _) => TagKind::Open { is_loop: is_loop(&inner[1..]) },
        (Some('/'), _) => TagKind::Close,
        (Some('^'), None) => TagKind::Other,
        (Some('^'), _) => TagKind::Chain { is_loop: is_loop(&inner[1..]) },
        _ if inner == "else" => TagKind::Other,
        _ if inner.starts_with("else") => TagKind::Chain { is_loop: is_loop(&inner[4..]) },
        _ => TagKind::Plain { tilde: tilde_before || tilde_behind },
    };
    Ok(Tag { kind, tilde_before, tilde_behind, end })
}

/// The length of the comment at the beginning of the text.
fn comment(text: &str) -> Result<usize, &'static str> {
    let inside = &text[3..];
    let blanks = inside.len() - inside.trim_start().len();
    if inside[blanks..].starts_with("--") {
        let begin = 3 + blanks + 2;
        return match text[begin..].find("--}}") {
            Some(end) => Ok(begin + end + 4),
            None => Err("this comment is not closed; write --}} at its end"),
        };
    }
    text.find("}}").map(|end| end + 2).ok_or("this comment is not closed; write }} at its end")
}

/// Checks that a tag ends at its first }}: strings and brackets must be closed before it, so that no }} is a part of
/// them.
fn check_inner(inner: &str) -> Result<(), &'static str> {
    let mut rest = inner.chars();
    let (mut brackets, mut braces) = (0, 0_usize);
    while let Some(c) = rest.next() {
        match c {
            '"' | '\'' => loop {
                match rest.next() {
                    Some('\\') => drop(rest.next()),
                    Some(end) if end == c => break,
                    Some(_) => {}
                    None => return Err("a quoted string is not closed in this tag, or contains }}"),
                }
            },
            '[' => {
                let (inside, behind) = rest.as_str().split_once(']').ok_or("a [ has no ] in this tag")?;
                if inside.contains(['"', '\'', '[']) {
                    return Err("a tag cannot contain a list; use the available variables");
                }
                rest = behind.chars();
                brackets += 1;
            }
            '{' => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            _ => {}
        }
        brackets += usize::from(matches!(c, '(' | '{'));
    }
    if braces > 0 {
        return Err("a { has no } in this tag; write a blank between two braces");
    }
    if brackets > MAX_BRACKET_DEPTH { Err("this tag has too many brackets") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Result<Vec<Range<usize>>, Refused> {
        super::parts(text, PART_BYTES)
    }

    fn cuts(text: &str) -> usize {
        let parts = parts(text).unwrap();
        let joined: String = parts.iter().map(|part| &text[part.clone()]).collect();
        assert_eq!(joined, text);
        parts.len()
    }

    #[test]
    fn what_is_long_is_cut_where_no_block_is_open() {
        assert_eq!(cuts(""), 1);
        assert_eq!(cuts(&"x".repeat(PART_BYTES)), 1);
        for long in ["{{node}}\n", "{{node}}", "{{node}} ", "wörd ", "{{#if node}}\nx\n{{/if}}\n"] {
            let text = long.repeat(1 << 14);
            let mean = text.len() / cuts(&text);
            assert!((PART_BYTES..PART_BYTES + 100).contains(&mean), "{long:?}: {mean}");
        }
        // A tag that removes blanks is not separated from them.
        assert!(parts(&"{{~node~}} ".repeat(1 << 14)).is_err());
    }

    #[test]
    fn what_a_parser_would_go_down_for_is_refused_where_it_is() {
        let deep = |count| format!("{}x{}", "{{#if node}}".repeat(count), "{{/if}}".repeat(count));
        assert!(parts(&deep(MAX_DEPTH)).is_ok());
        let chained = |count| format!("{{{{#if a}}}}{}{{{{/if}}}}", "{{else if a}}x".repeat(count));
        assert!(parts(&chained(MAX_DEPTH - 1)).is_ok());
        let long = format!("{{{{#if a}}}}{}{{{{/if}}}}", "{{a}}".repeat(MAX_BLOCK_BYTES / 5));
        let brackets = format!("{{{{x {}a{}}}}}", "(".repeat(100), ")".repeat(100));
        for (text, at, reason) in [
            (deep(MAX_DEPTH + 1), 12 * MAX_DEPTH, "deep"),
            (deep(5000), 12 * MAX_DEPTH, "deep"),
            (chained(MAX_DEPTH), 9 + 14 * (MAX_DEPTH - 1), "deep"),
            (long, 0, "64 KiB"),
            ("{{#each a}}".repeat(MAX_LOOP_DEPTH + 1), 11 * MAX_LOOP_DEPTH, "each"),
            ("x{{#if a}}{{#if b}}{{/if}}".into(), 1, "not closed"),
            ("x{{/if}}".into(), 1, "no open block"),
            ("ok {{> a}}".into(), 3, "partials"),
            ("{{#> a}}x{{/a}}".into(), 0, "partials"),
            ("{{ # * inline \"a\"}}{{/inline}}".into(), 0, "partials"),
            ("{{~>a}}".into(), 0, "partials"),
            (brackets, 0, "brackets"),
            ("a {{b".into(), 2, "}}"),
            ("{{!-- }}".into(), 0, "--}}"),
            ("{{lookup a \"}}{{/if}}\"}}".into(), 0, "quoted"),
            ("{{a.[}}]}}".into(), 0, "["),
            ("{{a [\"]\", \"}}\"]}}".into(), 0, "list"),
            ("{{a {\"b\":{}}}}".into(), 0, "braces"),
        ] {
            let refused = parts(&text).unwrap_err();
            assert!(refused.at == at && refused.reason.contains(reason), "{text:.60}: {refused:?}");
        }
    }

    #[test]
    fn text_that_looks_like_a_tag_is_text() {
        for text in
            ["\\{{> a}}", "{{!-- {{> a}} --}}", "{{! > }}", "{{{{raw}}}} {{> a}} {{{{/raw}}}}", "{ {> a}}"]
        {
            assert_eq!(cuts(text), 1, "{text}");
        }
        assert!(parts("\\\\{{> a}}").is_err(), "two backslashes are one, and a tag");
    }
}
