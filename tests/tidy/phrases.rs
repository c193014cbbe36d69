//! Phrases that Kiln's messages, help and documents do not use: riddles, hedges, and words that are not the field's
//! own.

use std::fmt;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::paths::{Source, is_test};

/// Each with its replacement. Lower case; found between word boundaries, in any case.
const PHRASES: &[(&str, &str)] = &[
    ("nobody", "name who or what"),
    ("somebody", "name who or what"),
    ("anybody", "name who or what"),
    ("stands", "is"),
    ("stood", "was"),
    ("lies in", "is in"),
    ("lie in", "are in"),
    ("lies at", "is at"),
    ("lies below", "is below"),
    ("founds", "bootstraps"),
    ("founds nothing", "never bootstraps a new cluster"),
    ("founding", "initial"),
    ("found a cluster", "bootstrap a cluster"),
    ("found another cluster", "bootstrap another cluster"),
    ("is promised", "is expected"),
    ("was promised", "was expected"),
    ("as promised", "as expected"),
    ("promises", "matches, expects"),
    ("bears the loss", "tolerates N failures"),
    ("bear the loss", "tolerate N failures"),
    ("is held", "is blocked"),
    ("are held", "are blocked"),
    ("held against", "compared with"),
    ("left as it is", "not modified"),
    ("cannot be had", "cannot be read, is not available"),
    ("could not be had", "was not available"),
    ("something else than", "name what it is"),
    ("of something else", "name what it is"),
    ("linked dynamically", "dynamically linked"),
    ("leave away", "omit"),
    ("without a word", "silently"),
    ("in the place of", "instead of; replaces"),
    ("take its place", "replace it"),
    ("takes its place", "replaces it"),
    ("put the parts", "merge the shards"),
    ("not as it was built", "does not match its manifest"),
    ("what no build does", "inconsistent"),
    ("what no record does", "inconsistent"),
    ("no build made", "is not part of the bundle"),
    ("is there twice", "is a duplicate"),
    ("is in it twice", "is a duplicate"),
    ("there any more", "is missing"),
    ("were there already", "already there"),
    ("give each its own", "must be unique"),
    ("give one another", "change it in one of them"),
    ("look at what", "inspect"),
    ("said to have", "claims to have"),
    ("to mend it", "to repair it"),
    ("cut short", "truncated"),
    ("ipv6's clothes", "an IPv4-mapped IPv6 address"),
    ("none that peers", "peers cannot"),
    ("texts in quotes", "quoted strings"),
    ("text in quotes", "a quoted string"),
    ("a list of texts", "a list of strings"),
    ("the profile's own word", "the profile overrides its base"),
    ("needs no leave", "is not required"),
    ("need no leave", "is not required"),
    ("whoever founds", "to bootstrap a replacement cluster"),
    ("this kiln", "this version of Kiln"),
    ("kiln knows", "Kiln knows"),
    ("which kiln does", "which Kiln does"),
    ("at the desk", "on the build machine, before anything boots"),
    ("the desk", "the build machine"),
    ("pantry", "cache, artifact store"),
    ("kitchen", "build"),
    ("oven", "build"),
    ("knocks at", "probes"),
    ("nothing is believed", "ignores the rest"),
];

/// Only for messages: they say that a program cannot do something, not that it failed to.
const HEDGES: &[(&str, &str)] =
    &[("failed to", "cannot"), ("unable to", "cannot"), ("could not", "cannot, was not")];

/// A phrase, its place, and its replacement.
#[derive(Debug, PartialEq, Eq)]
pub struct Riddle {
    place: String,
    phrase: &'static str,
    instead: &'static str,
}

impl fmt::Display for Riddle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}; write: {}", self.place, self.phrase, self.instead)
    }
}

/// Finds phrases in the string literals of a source file, except those of its tests. Help is in doc comments of
/// `cli/`.
pub fn of_source(source: &Source) -> Vec<Riddle> {
    if source.test {
        return Vec::new();
    }
    let mut literals = Literals { help: source.file.starts_with("cli/"), found: Vec::new() };
    literals.visit_file(&source.syntax);
    let of_one = |(line, text): &(usize, String)| {
        let place = format!("builder/{}:{line}", source.file);
        let found = [PHRASES, HEDGES].concat().into_iter().filter(|(phrase, _)| holds(text, phrase));
        found.map(|(phrase, instead)| Riddle { place: place.clone(), phrase, instead }).collect::<Vec<_>>()
    };
    literals.found.iter().flat_map(of_one).collect()
}

/// Finds phrases in the lines that a script prints.
pub fn of_script(name: &str, text: &str) -> Vec<Riddle> {
    let prints = |line: &str| {
        let line = line.trim_start();
        !line.starts_with('#')
            && (line.starts_with("printf ")
                || ["say \"", "echo \"", "refuse "].iter().any(|call| line.contains(call)))
    };
    let printed: Vec<_> = text.lines().map(|line| if prints(line) { line } else { "" }).collect();
    of_text(name, &printed.join("\n"))
}

/// Finds phrases in a document, also across line ends.
pub fn of_text(name: &str, text: &str) -> Vec<Riddle> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let next = lines.get(at + 1).map_or("", |next| next.trim_start());
        let both = format!("{line} {next}");
        for (phrase, instead) in PHRASES {
            if holds(&both, phrase) && !holds(next, phrase) {
                found.push(Riddle { place: format!("{name}:{}", at + 1), phrase, instead });
            }
        }
    }
    found
}

/// Whether a text contains a phrase between word boundaries; line ends and runs of blanks count as one blank.
fn holds(text: &str, phrase: &str) -> bool {
    // The only phrases with case.
    let is_named = phrase.starts_with("kiln ") || phrase.contains(" kiln");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = if is_named { text } else { text.to_lowercase() };
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    text.match_indices(phrase).any(|(at, _)| {
        !is_word(text[..at].chars().next_back()) && !is_word(text[at + phrase.len()..].chars().next())
    })
}

struct Literals {
    help: bool,
    found: Vec<(usize, String)>,
}

impl Literals {
    fn note(&mut self, literal: &syn::LitStr) {
        // The account of that name, by itself, is no message.
        if literal.value() == "nobody" {
            return;
        }
        self.found.push((literal.span().start().line, literal.value()));
    }

    fn scan(&mut self, tokens: TokenStream) {
        let mut tokens = tokens.into_iter();
        while let Some(token) = tokens.next() {
            match token {
                // An attribute, such as a doc comment of an item that the macro makes.
                TokenTree::Punct(mark) if mark.as_char() == '#' => drop(tokens.next()),
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Literal(literal) => {
                    if let syn::Lit::Str(text) = syn::Lit::new(literal) {
                        self.note(&text);
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Literals {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        self.note(literal);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.scan(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        match &attribute.meta {
            // clap's texts: `after_help`, `about`; reasons of lints are for programmers.
            syn::Meta::List(list) if list.path.is_ident("command") || list.path.is_ident("arg") => {
                self.scan(list.tokens.clone());
            }
            syn::Meta::NameValue(pair) if self.help && pair.path.is_ident("doc") => {
                visit::visit_expr(self, &pair.value);
            }
            _ => {}
        }
    }
}

#[test]
fn phrases_are_found_in_messages_help_and_documents() {
    let source = |file: &str, text: &str| Source {
        file: file.to_owned(),
        module: Vec::new(),
        syntax: syn::parse_file(text).unwrap(),
        test: false,
    };
    let count = |file: &str, text: &str| of_source(&source(file, text)).len();
    assert_eq!(count("a.rs", r#"fn a() { b("a node that founds it"); }"#), 1);
    assert_eq!(count("a.rs", r#"fn a() { format!("{x} is \"as promised\" and {}", "it stands"); }"#), 2);
    assert_eq!(count("a.rs", "fn a() { b(\"as \\\n   promised\"); b(r\"could not\"); }"), 2);
    assert_eq!(count("a.rs", "#[command(after_help = \"put the parts\")] struct A;"), 1);
    assert_eq!(count("cli/a.rs", "/// Nobody reads this\nstruct A;"), 1);
    // Text that is not a message: comments, tests, parts of words.
    assert_eq!(count("a.rs", "/// Nobody reads this\nfn a() {} // nobody"), 0);
    assert_eq!(count("a.rs", r#"#[cfg(test)] mod tests { fn a() { b("nobody"); } }"#), 0);
    assert_eq!(count("a.rs", r#"fn a() { b("understands, profounds, Kiln knows"); }"#), 0);
    assert_eq!(count("a.rs", r#"fn a() { b("kiln knows"); }"#), 1);
    let places: Vec<_> =
        of_text("a.md", "it is as\npromised\n\nnobody").into_iter().map(|r| r.place).collect();
    assert_eq!(places, ["a.md:1", "a.md:4"]);
    assert_eq!(of_script("a", "# nobody\nif b; then echo \"nobody\"; fi\nchown nobody c").len(), 1);
    assert_eq!(count("a.rs", "id!(\n/// Nobody\nA);"), 0);
}
