//! The little of XML that S3 answers with: elements and texts. Document types, and entities of a document's own, by
//! which a small text becomes a large one, are refused.

/// Deeper than any answer of S3.
const DEEPEST: usize = 16;

/// One thing after the other.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'x> {
    /// The name of an element, without its prefix; its attributes mean nothing here.
    Start(&'x str),
    /// The text before the end of an element that has no others in it, with its references replaced.
    End(String),
}

/// All events of a document, in order, given to `take`.
pub fn read(text: &str, mut take: impl FnMut(&[&str], Event<'_>) -> Option<()>) -> Option<()> {
    let mut rest = text.trim_start_matches('\u{feff}');
    let mut open: Vec<&str> = Vec::new();
    let mut said = "";
    loop {
        let Some((before, tag)) = rest.split_once('<') else {
            return (open.is_empty() && rest.trim().is_empty()).then_some(());
        };
        if open.is_empty() && !before.trim().is_empty() {
            return None;
        }
        let (tag, after) = tag.split_once('>')?;
        rest = after;
        if tag.starts_with('?') {
            continue;
        }
        if tag.starts_with('!') {
            return None;
        }
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop()? != name.trim_end() {
                return None;
            }
            let text = if said.is_empty() { plain(before)? } else { String::new() };
            said = name;
            take(&open, Event::End(text))?;
            continue;
        }
        said = "";
        let is_empty = tag.ends_with('/');
        let name = tag.trim_end_matches('/').split_ascii_whitespace().next()?;
        if open.len() >= DEEPEST {
            return None;
        }
        take(&open, Event::Start(local(name)))?;
        if is_empty {
            said = name;
            take(&open, Event::End(String::new()))?;
        } else {
            open.push(name);
        }
    }
}

fn local(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

/// A text with its references replaced: the five of XML, and numbers.
fn plain(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (name, after) = after.split_once(';')?;
        out.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = name.strip_prefix('#').filter(|number| number.len() <= 8)?;
                let code = match number.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16),
                    None => number.parse(),
                };
                char::from_u32(code.ok()?)?
            }
        });
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}
