//! Reading a profile: its texts, the mistakes in them, and their values.

use std::collections::BTreeMap;

use super::diagnostics::{Diagnostics, Warning};
use super::finding::Marks;
use super::mistake::Mistake;
use super::mistakes::Mistakes;
use super::source::{self, MAX_PROFILE_BYTES, Source};
use super::span::Span;
use super::texts::Texts;
use super::whole::Profile;
use super::written::Written;
use super::{EXTENDS, private, sections, setting, syntax};
use crate::etcd::Release;
use crate::values::{self, Arch, Carrier};

/// Reads a profile and checks everything that can be checked without any other input. `available` are the releases in
/// the artifact store: the newest is used when the profile names none. `carriers` are all carriers.
///
/// # Errors
/// All mistakes of the file at once.
pub fn read(
    source: &Source,
    available: &[(Release, Arch)],
    carriers: &[Carrier],
) -> Result<(Profile, Vec<Warning>), Mistakes> {
    let mut texts = Texts::default();
    let mut mistakes = Vec::new();
    for file in source.chain() {
        let (text, wrong) = source::decode(&file.bytes);
        let start = texts.push(file, &text);
        let empty = || {
            Mistake::new(None, "the file is empty")
                .help("start from a built-in profile: kiln profile show ha3")
        };
        if let Some(mistake) = wrong.or_else(|| text.trim().is_empty().then(empty)) {
            mistakes.push(mistake.moved(start));
        }
    }
    if !mistakes.is_empty() {
        // Bytes that are not text may be anything.
        texts.hide_all();
        return Err(Mistakes::new(texts, mistakes));
    }
    let refused = push_settings(&mut texts, source);
    let (mut secrets, mut digests) = (Vec::new(), Vec::new());
    let mut profile = None;
    let mut warnings = Vec::new();
    let mut marks = Marks::default();
    let alone = texts.alone();
    let (files, settings) = alone.split_at(source.chain().count());
    let (mut documents, mut mistakes, mut keys) = parse_all(files);
    mistakes.extend(apply(&mut documents, settings, &refused, &mut keys));
    mistakes.extend(refused.into_iter().flatten());
    if !keys.is_empty() {
        return Err(private_keys(texts, keys));
    }
    if let Some(document) = &documents {
        (secrets, digests) = (document.secrets(), document.digests());
        let mut diagnostics = Diagnostics::new(&texts);
        profile = sections::profile(&mut diagnostics, source, document.table(), available, carriers);
        warnings = diagnostics.warnings;
        marks = diagnostics.marks;
        if source.missing_base().is_some() {
            // A missing key may be in the base that cannot be read.
            diagnostics.mistakes.retain(|mistake| mistake.span.is_some());
        }
        // Consequences of a broken line would only hide it.
        let broken: Vec<Span> = mistakes.iter().filter_map(|mistake| mistake.span.clone()).collect();
        let stands = |mistake: &Mistake| syntax::stands(mistake, &broken, texts.whole());
        mistakes.extend(diagnostics.mistakes.into_iter().filter(stands));
    }
    texts.change(|text| secrets.into_iter().for_each(|secret| values::hide(text, secret)));
    texts.hide_hex(&digests);
    match profile {
        Some(profile) if mistakes.is_empty() => {
            Ok((Profile { written: Written { texts, marks }, ..profile }, warnings))
        }
        _ => Err(Mistakes::new(texts, mistakes).marked(marks)),
    }
}

/// Appends each setting to the texts; with the mistake of each that no profile can have.
fn push_settings(texts: &mut Texts, source: &Source) -> Vec<Option<Mistake>> {
    let mut refused = Vec::new();
    let mut keys: BTreeMap<&str, Span> = BTreeMap::new();
    for set in &source.settings {
        let (line, wrong) = setting::line(set);
        let start = texts.push_setting(set, &line);
        let span = start..start + set.key().len();
        let twice = keys.get(set.key()).map(|first| {
            Mistake::new(span.clone(), format!("{} is set twice", set.key()))
                .other(first.clone(), "first here")
                .help("omit one of the two")
        });
        keys.entry(set.key()).or_insert(span);
        refused.push(wrong.map(|wrong| wrong.moved(start)).or(twice));
    }
    refused
}

/// Merges the settings into the document, except those that are refused; returns the mistakes in their syntax, and adds
/// the places of private keys.
fn apply<'t>(
    document: &mut Option<syntax::Document<'t>>,
    settings: &'t [String],
    refused: &[Option<Mistake>],
    keys: &mut Vec<Span>,
) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for (text, _) in settings.iter().zip(refused).filter(|(_, refused)| refused.is_none()) {
        let (set, mut wrong) = syntax::parse(text);
        keys.extend(set.iter().flat_map(syntax::keys_in));
        match (document.as_mut(), set) {
            (Some(document), Some(set)) if wrong.is_empty() => document.set(set),
            _ => {}
        }
        mistakes.append(&mut wrong);
    }
    mistakes
}

/// All that is said of a profile with private keys: any other message could quote a part of one.
fn private_keys(mut texts: Texts, keys: Vec<Span>) -> Mistakes {
    keys.iter().for_each(|key| texts.change(|text| values::hide(text, key.clone())));
    Mistakes::new(texts, keys.into_iter().map(private_key).collect())
}

/// A private key that a profile contains.
fn private_key(place: Span) -> Mistake {
    Mistake::new(place, "this looks like a private key, and no value of a profile is one").help(
        "keep it out of the profile, which is no secret; [machine] ssh-keys takes public keys, from files that end in .pub, and \
         [backup] recipients what age-keygen -y prints",
    )
}

/// The documents merged into one, as far as they can be parsed: values in earlier ones take precedence. And the places
/// of private keys in any of them.
fn parse_all(alone: &[String]) -> (Option<syntax::Document<'_>>, Vec<Mistake>, Vec<Span>) {
    let mut all: Option<syntax::Document<'_>> = None;
    let (mut mistakes, mut keys) = (Vec::new(), Vec::new());
    let mut whole = true;
    for text in alone {
        let (document, mut wrong) = syntax::parse(text);
        if let Some(first) = wrong.first().filter(|_| !private::is_profile(text)) {
            wrong = vec![foreign(first, private::is_yaml(text))];
        }
        mistakes.append(&mut wrong);
        keys.extend(document.iter().flat_map(syntax::keys_in));
        match (&mut all, document) {
            (Some(all), Some(base)) => all.extend(base),
            (None, Some(document)) => all = Some(document),
            // Without a part of the document, missing keys cannot be reported.
            (_, None) => whole = false,
        }
    }
    (all.filter(|_| whole), mistakes, keys)
}

/// One mistake for a whole file that is not a profile: messages about broken syntax would quote it.
fn foreign(first: &Mistake, yaml: bool) -> Mistake {
    let (reason, help) = match yaml {
        true => {
            ("this is not TOML, but YAML", "write it as TOML, as in:\nschema = 1\n[cluster]\nname = \"ha3\"")
        }
        false => ("this is not TOML, and not a profile", "name a file that begins with schema = 1"),
    };
    Mistake::new(first.span.clone(), reason).help(help)
}

/// The base that a profile names in `extends`, before anything else of it is read.
pub fn extends(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    // Most profiles extend nothing, and need not be parsed twice for that.
    if !text.contains(EXTENDS) || bytes.len() as u64 > MAX_PROFILE_BYTES {
        return None;
    }
    syntax::parse(text).0?.text(EXTENDS)
}
