//! The mistakes in a profile: all of them are shown at once, each with its place, its reason and the suggested fix.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde_json::{Value, json};

use super::file_spec::FileSpec;
use super::finding::{Finding, Marks};
use super::mistake::{Mistake, MistakeKind, NO_RELEASE};
use super::private::{self, Lines};
use super::span::Span;
use super::texts::{File, Texts};
use super::written::Written;
use crate::etcd::Release;
use crate::failure::{Exit, Failure};
use crate::values::{Arch, BaseSystem, counted, printable_lines, without_passwords, without_private_keys};

/// More would only scroll the first ones off the screen.
const MAX_MISTAKES_SHOWN: usize = 64;

/// Every mistake of one profile, in the order of the file; those without a place come first.
#[derive(Clone, Debug)]
pub struct Mistakes {
    texts: Texts,
    list: Vec<Mistake>,
    marks: Box<Marks>,
}

impl Mistakes {
    pub(super) fn new(mut texts: Texts, mut list: Vec<Mistake>) -> Self {
        list.sort_by_key(|mistake| mistake.span.as_ref().map(|span| (span.start, span.end)));
        // Also where the text is not TOML, so that its values cannot be told apart.
        texts.change(|text| *text = private::tame(&without_passwords(&without_private_keys(text))));
        let list = list.into_iter().map(Mistake::starred).collect();
        Self { texts, list, marks: Box::default() }
    }

    pub(super) fn marked(self, marks: Marks) -> Self {
        Self { marks: Box::new(marks), ..self }
    }

    /// The overlays that the profile names, as far as it could be read.
    pub fn overlays(&self) -> impl Iterator<Item = &Path> {
        self.marks.overlays.iter().map(|(path, _)| path.as_path())
    }

    /// The release that the profile names, as far as it could be read.
    pub fn release(&self) -> Option<(Release, Arch)> {
        self.marks.release.as_ref().map(|(release, arch, _)| (*release, *arch))
    }

    /// Its own files, as far as they could be read.
    pub fn files(&self) -> &[FileSpec] {
        &self.marks.specs
    }

    /// The base system that its boot files are made from, as far as that is known.
    pub fn base(&self) -> Option<&BaseSystem> {
        self.marks.boots.as_ref()
    }

    /// Adds later findings to the mistakes of the profile itself.
    pub fn add(&mut self, findings: Vec<Finding>) {
        self.list.extend(findings.into_iter().map(|finding| finding.mistake(&self.marks).starred()));
        self.list.sort_by_key(|mistake| mistake.span.as_ref().map(|span| (span.start, span.end)));
    }

    /// Adds the directory of the artifact store to the mistake about a missing release.
    pub fn looked_in(mut self, directory: &str) -> Self {
        for mistake in self.list.iter_mut().filter(|mistake| mistake.reason.starts_with(NO_RELEASE)) {
            mistake.notes.push(format!("the artifact store is {directory}; --artifacts names another"));
        }
        self
    }

    /// The reason of the first one.
    pub fn first(&self) -> Option<&str> {
        self.list.first().map(|mistake| mistake.reason.as_str())
    }

    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// `Exit::Unsafe` when the only mistakes are risks that the profile has to allow.
    pub fn exit(&self) -> Exit {
        match self.list.iter().all(|mistake| mistake.kind == MistakeKind::Unsafe) {
            true => Exit::Unsafe,
            false => Exit::Profile,
        }
    }

    /// The text for a person, with a newline at its end.
    pub fn render(&self, color: bool) -> String {
        report(std::slice::from_ref(self), color)
    }

    /// `told` collects the files whose hidden lines have been explained already.
    fn render_one<'m>(
        &'m self,
        renderer: &Renderer,
        mistake: &'m Mistake,
        told: &mut BTreeSet<&'m str>,
    ) -> String {
        let reason = printable_lines(&mistake.reason);
        let title = Level::ERROR.primary_title(reason.as_ref());
        let mut notes: Vec<Cow<'_, str>> = mistake.notes.iter().map(|note| note.as_str().into()).collect();
        let group = match mistake.span.as_ref().and_then(|span| self.texts.file(span.start).zip(Some(span))) {
            Some((file, span)) if file.lines != Lines::Shown => {
                notes.extend(file.lines.why_not().filter(|_| told.insert(&file.path)).map(Into::into));
                let (path, line, column) = self.texts.position(span.start);
                title.element(annotate_snippets::Origin::path(path).line(line).char_column(column))
            }
            Some((file, span)) => {
                let text = self.texts.text(file);
                let mut snippet = Snippet::source(text).path(file.path.as_str());
                let mut primary = AnnotationKind::Primary.span(visible(text, file, span));
                match &mistake.other {
                    Some((other, what)) if file.span.contains(&other.start) => {
                        primary = primary.label("here");
                        let context = AnnotationKind::Context.span(visible(text, file, other));
                        snippet = snippet.annotation(context.label(what.as_str()));
                    }
                    Some((other, what)) => {
                        let (path, line, column) = self.texts.position(other.start);
                        notes.push(format!("{what}: {path}:{line}:{column}").into());
                    }
                    None => {}
                }
                title.element(snippet.annotation(primary))
            }
            None => title.element(annotate_snippets::Origin::path(self.texts.name())),
        };
        let notes: Vec<_> = notes.iter().map(|note| printable_lines(note)).collect();
        let notes = notes.iter().map(|note| Level::NOTE.message(note.as_ref()));
        let help = mistake.help.as_deref().map(printable_lines);
        let help = help.as_ref().map(|help| Level::HELP.message(help.as_ref()));
        renderer.render(&[group.elements(notes).elements(help)])
    }

    /// As an error that `main` prints unchanged.
    pub fn into_failure(self, color: bool) -> Failure {
        failure_of_all(&[self], color)
    }
}

/// The mistakes of one or several profiles as one error that `main` prints unchanged; programs get one list of all.
pub fn failure_of_all(all: &[Mistakes], color: bool) -> Failure {
    let exit = match all.iter().all(|mistakes| mistakes.exit() == Exit::Unsafe) {
        true => Exit::Unsafe,
        false => Exit::Profile,
    };
    let mut seen = BTreeSet::new();
    let each = all.iter().flat_map(|mistakes| mistakes.list.iter().map(|one| mistakes.json_one(one)));
    let list: Vec<Value> = each.filter(|mistake| seen.insert(mistake.to_string())).collect();
    let message = format!("{}; nothing was written", count_of(all, list.len()));
    Failure::report(exit, report(all, color)).detailed(message, list.into())
}

/// `a.toml has 3 mistakes`.
fn count_of(all: &[Mistakes], count: usize) -> String {
    let who = match all {
        [one] => format!("{} has", one.texts.name()),
        _ => format!("{} profiles have", all.len()),
    };
    format!("{who} {}", counted(count, "mistake"))
}

/// The text for a person. A mistake in a shared base is shown once.
fn report(all: &[Mistakes], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let (mut seen, mut told) = (BTreeSet::new(), BTreeSet::new());
    let mut text = String::new();
    for mistakes in all {
        for mistake in &mistakes.list {
            let place = mistake.span.as_ref().map(|span| mistakes.texts.position(span.start));
            let place = place.unwrap_or((mistakes.texts.name(), 0, 0));
            if seen.insert((place, mistake.reason.as_str())) && seen.len() <= MAX_MISTAKES_SHOWN {
                text.push_str(&mistakes.render_one(&renderer, mistake, &mut told));
                text.push_str("\n\n");
            }
        }
    }
    let (count, more) = (seen.len(), seen.len().saturating_sub(MAX_MISTAKES_SHOWN));
    let counted = count_of(all, count);
    match more {
        0 => text.push_str(&format!("{counted}; nothing was written\n")),
        more => text.push_str(&format!("and {more} more: {counted}; nothing was written\n")),
    }
    text
}

/// A span inside one text, at character boundaries and within one line, as a caret needs it.
fn visible(text: &str, file: &File, span: &Span) -> Span {
    let border = |at: usize| {
        let mut at = at.saturating_sub(file.span.start).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = border(span.start);
    let line = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
    start..border(span.end).clamp(start, line.max(start))
}

impl Mistakes {
    /// `{file, line, column, reason, notes, help, also: {file, line, column, what}, unsafe}`; absent values are null.
    fn json_one(&self, mistake: &Mistake) -> Value {
        let place = mistake.span.as_ref().map(|span| self.texts.position(span.start));
        let (file, line, column) = match place {
            Some((file, line, column)) => (file, Some(line), Some(column)),
            None => (self.texts.name(), None, None),
        };
        let also = mistake.other.as_ref().map(|(span, what)| {
            let (file, line, column) = self.texts.position(span.start);
            json!({ "file": file, "line": line, "column": column, "what": what })
        });
        json!({
            "file": file,
            "line": line,
            "column": column,
            "reason": mistake.reason,
            "notes": mistake.notes,
            "help": mistake.help,
            "also": also,
            "unsafe": mistake.kind == MistakeKind::Unsafe,
        })
    }
}

impl Written {
    pub fn mistakes(&self, findings: Vec<Finding>) -> Mistakes {
        let mut mistakes = Mistakes::new(self.texts.clone(), Vec::new()).marked(self.marks.clone());
        mistakes.add(findings);
        mistakes
    }
}

impl Finding {
    pub(super) fn mistake(self, marks: &Marks) -> Mistake {
        let span = marks.place(&self.about);
        let mistake = match self.is_unsafe {
            true => Mistake::unsafe_unless_allowed(span, self.reason),
            false => Mistake::new(span, self.reason),
        };
        match self.help {
            Some(help) => mistake.help(help),
            None => mistake,
        }
    }
}
