//! YAML as text with lines: a scalar is never guessed to be a number or a boolean.
//!
//! Depth and number of nodes are limited. Aliases are refused: a few lines of them can describe gigabytes.

use std::collections::BTreeSet;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::guard;

const MAX_DEPTH: usize = 64;
const MAX_NODES: usize = 200_000;

/// A value and its line, from 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub line: usize,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Null,
    Text(String),
    List(Vec<Node>),
    /// In the order of the file.
    Map(Vec<(String, Node)>),
}

/// The reason why a text is refused, and its line.
#[derive(Debug, PartialEq)]
pub struct Refused {
    pub line: usize,
    pub why: String,
}

impl Node {
    /// The value of a key of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// Of a map; none otherwise.
    pub fn entries(&self) -> &[(String, Node)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Of a list; none otherwise.
    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A scalar, or the scalars of a list joined by commas.
    pub fn joined(&self) -> Option<String> {
        match &self.kind {
            Kind::Text(text) => Some(text.clone()),
            Kind::List(items) => {
                items.iter().map(Node::text).collect::<Option<Vec<_>>>().map(|items| items.join(","))
            }
            _ => None,
        }
    }
}

/// A list or a map that is being read.
struct Open {
    node: Node,
    /// Of a map: the key that waits for its value, and those before.
    key: Option<String>,
    keys: BTreeSet<String>,
    /// Whether a tag says that its meaning is another one.
    is_tagged: bool,
}

/// A stream.
pub struct Stream {
    pub documents: Vec<Node>,
    /// Lines of values that have a tag of a program's own, as `!vault`, and the tag. They are `Null` in the documents.
    pub tags: Vec<(usize, String)>,
}

/// A tag that is not of YAML's own.
fn foreign(tag: Option<&Tag>) -> Option<String> {
    let tag = tag.filter(|tag| !tag.is_yaml_core_schema())?;
    let name = guard::key(&tag.suffix);
    Some(format!("{}{name}", if tag.handle == "!" { "!" } else { "!…" }))
}

/// All documents of a stream.
pub fn read(text: &str) -> Result<Stream, Refused> {
    let (mut documents, mut tags) = (Vec::new(), Vec::new());
    // The outermost first.
    let mut open: Vec<Open> = Vec::new();
    let mut count = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|error| Refused { line: error.marker().line(), why: error.info().to_owned() })?;
        let line = span.start.line();
        let refuse = |why: &str| Err(Refused { line, why: why.to_owned() });
        count += 1;
        if count > MAX_NODES {
            return refuse("it has too many values");
        }
        let node = match event {
            Event::Alias(_) => {
                return refuse("it has an alias (*name), which is not followed; write the value out");
            }
            Event::Scalar(text, style, _, tag) => match foreign(tag.as_deref()) {
                Some(tag) => {
                    tags.push((line, tag));
                    Node { line, kind: Kind::Null }
                }
                None => Node { line, kind: scalar(&text, style) },
            },
            Event::SequenceStart(_, ref tag) | Event::MappingStart(_, ref tag) => {
                if open.len() >= MAX_DEPTH {
                    return refuse("it is nested too deeply");
                }
                let is_list = matches!(event, Event::SequenceStart(..));
                let kind = if is_list { Kind::List(Vec::new()) } else { Kind::Map(Vec::new()) };
                let tag = foreign(tag.as_deref());
                let is_tagged = tag.is_some();
                tags.extend(tag.map(|tag| (line, tag)));
                open.push(Open { node: Node { line, kind }, key: None, keys: BTreeSet::new(), is_tagged });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open { node, is_tagged: true, .. }) => Node { line: node.line, kind: Kind::Null },
                Some(Open { node, .. }) => node,
                None => continue,
            },
            _ => continue,
        };
        match open.last_mut() {
            None => documents.push(node),
            Some(parent) => put(parent, node)?,
        }
    }
    Ok(Stream { documents, tags })
}

fn put(parent: &mut Open, node: Node) -> Result<(), Refused> {
    let Open { node: Node { kind, .. }, key, keys, .. } = parent;
    match kind {
        Kind::List(items) => items.push(node),
        Kind::Map(entries) => match key.take() {
            Some(name) => entries.push((name, node)),
            None => {
                let refuse = |why: String| Err(Refused { line: node.line, why });
                let name = match &node.kind {
                    Kind::Text(name) => name.clone(),
                    _ => return refuse("it has a key that is not text".to_owned()),
                };
                if !keys.insert(name.clone()) {
                    return refuse(format!("duplicate key {:?}", guard::key(&name)));
                }
                *key = Some(name);
            }
        },
        _ => {}
    }
    Ok(())
}

fn scalar(text: &str, style: ScalarStyle) -> Kind {
    match (style, text) {
        (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => Kind::Null,
        (_, text) => Kind::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_lines() {
        let all = read("a: 1\nb:\n  - x: 'yes'\n  - y\n---\nc: ~\n").unwrap().documents;
        assert_eq!(all.len(), 2);
        let b = all[0].get("b").unwrap();
        let x = b.items()[0].get("x").unwrap();
        assert_eq!((x.line, x.text()), (3, Some("yes")));
        assert_eq!(all[1].get("c").unwrap().kind, Kind::Null);
    }

    #[test]
    fn hostile_documents_are_refused() {
        let why = |text: &str| read(text).err().unwrap().why;
        assert!(why("a: &a [x]\nb: *a\n").contains("alias"));
        assert!(why(&"[".repeat(100)).contains("deeply"));
        assert!(why(&"- - ".repeat(5000)).contains("deeply"));
        assert!(why(&"- x\n".repeat(MAX_NODES)).contains("too many"));
        assert!(why("a: 1\na: 2\n").contains("duplicate"));
        assert!(why("? [a]\n: 1\n").contains("not text"));
        assert!(!why("a: [\n").is_empty() && !why("\"\n").is_empty());
    }
}
