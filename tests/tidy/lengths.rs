//! Files and functions that are too long to be read at once.

use syn::visit::{self, Visit};

/// The limit on the lines of a file.
const FILE_LINES: usize = 400;

/// The limit on the lines of a function, from its signature to its last brace.
const LINES: usize = 60;

/// The prefix of a comment that gives the reason why the function below it is longer.
const REASON: &str = "// long: ";

/// A message about a file that is too long.
pub fn long_file(file: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > FILE_LINES)
        .then(|| format!("{file} has {lines} lines, and at most {FILE_LINES} are allowed; split it"))
}

/// Each function of a file that is too long without a reason above it, and each reason without a function.
pub fn long_functions(file: &str, text: &str) -> Vec<String> {
    let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut finder = Finder { lines: text.lines().collect(), reasons: 0, found: Vec::new() };
    finder.visit_file(&parsed);
    let written = finder.lines.iter().filter(|line| line.trim_start().starts_with(REASON)).count();
    let mut found: Vec<String> = finder
        .found
        .into_iter()
        .map(|(line, name, lines)| {
            format!("{file}:{line}: {name} has {lines} lines; split it, or give the reason in a comment `{REASON}…`")
        })
        .collect();
    if written > finder.reasons {
        found.push(format!("{file} has a comment `{REASON}…` that is above no long function"));
    }
    found
}

struct Finder<'t> {
    lines: Vec<&'t str>,
    /// Long functions that have a reason.
    reasons: usize,
    /// Line, name and number of lines of those without a reason.
    found: Vec<(usize, String, usize)>,
}

impl Finder<'_> {
    fn look(&mut self, attributes: &[syn::Attribute], signature: &syn::Signature, block: &syn::Block) {
        let first = signature.fn_token.span.start().line;
        let lines = block.brace_token.span.close().end().line - first + 1;
        if lines <= LINES {
            return;
        }
        // Directly above the function, or above its attributes and its doc comment.
        let top =
            attributes.iter().map(|attribute| attribute.pound_token.span.start().line).min().unwrap_or(first);
        let above = &self.lines[top.saturating_sub(2)..first];
        match above.iter().any(|line| line.trim_start().starts_with(REASON)) {
            true => self.reasons += 1,
            false => self.found.push((first, signature.ident.to_string(), lines)),
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.look(&item.attrs, &item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.look(&item.attrs, &item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.look(&item.attrs, &item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

#[test]
fn long_files_are_found() {
    let text = |lines: usize| "x\n".repeat(lines);
    assert_eq!(long_file("x.rs", &text(FILE_LINES)), None);
    // Without a line end, the last line is one all the same.
    for long in [text(FILE_LINES + 1), text(FILE_LINES) + "x"] {
        let found = long_file("x.rs", &long).unwrap();
        assert!(found.starts_with("x.rs has 401 lines"), "{found}");
    }
}

#[test]
fn long_functions_are_found() {
    let body = |lines: usize| "    x();\n".repeat(lines - 2);
    let function = |above: &str, lines| format!("{above}fn f() {{\n{}}}\n", body(lines));
    let method = |lines| format!("struct S;\nimpl S {{\n{}}}\n", function("", lines));
    let told = |lines| vec![format!("{lines} lines")];
    let cases = [
        (function("", LINES), vec![]),
        (function("", LINES + 1), told(LINES + 1)),
        (function("/// Does.\n#[test]\n", LINES + 1), told(LINES + 1)),
        (method(LINES), vec![]),
        (method(LINES + 1), told(LINES + 1)),
        (format!("mod inner {{\n{}}}\n", function("", LINES + 1)), told(LINES + 1)),
        (function("// long: a table\n", LINES + 1), vec![]),
        (function("// long: a table\n/// Does.\n#[test]\n", LINES + 1), vec![]),
        (function("/// Does.\n// long: a table\n#[test]\n", LINES + 1), vec![]),
        (
            function("// long: a table\n\n", LINES + 1),
            vec![format!("{} lines", LINES + 1), "above no".into()],
        ),
        (function("// long: a table\n", LINES), vec!["above no".into()]),
    ];
    for (text, want) in cases {
        let found = long_functions("x.rs", &text);
        assert_eq!(found.len(), want.len(), "{found:?}\n{text}");
        for (found, want) in found.iter().zip(&want) {
            assert!(found.contains(want), "{found} has no {want}");
        }
    }
}
