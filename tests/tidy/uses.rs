//! The items that each file of the crate uses: every path in its items, expressions, types, macros and attributes.

use std::collections::BTreeSet;

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};

use super::paths::{Crate, Module, Source, is_test, leaves};

/// One place in a file that names an item of the crate.
#[derive(Debug)]
pub struct Use {
    /// The file with the use, relative to `builder/`.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The module with the use.
    pub module: Module,
    /// The module of the used item, and the item; None for a module itself.
    pub target: Module,
    pub item: Option<String>,
    /// The file of the used item.
    pub target_file: String,
    /// The modules along the path.
    pub way: Vec<Module>,
    pub test: bool,
    /// `pub use` and similar, which is not a use between the files of a room.
    pub re_export: bool,
}

pub fn uses(krate: &Crate) -> Vec<Use> {
    let mut found = Vec::new();
    for source in &krate.sources {
        let mut walk = Walk {
            krate,
            source,
            module: source.module.clone(),
            test: source.test,
            bound: Vec::new(),
            found: &mut found,
        };
        walk.visit_file(&source.syntax);
    }
    found
}

struct Walk<'a> {
    krate: &'a Crate,
    source: &'a Source,
    module: Module,
    test: bool,
    /// The names bound by the enclosing functions: a local variable may have the name of an item.
    bound: Vec<BTreeSet<String>>,
    found: &'a mut Vec<Use>,
}

impl Walk<'_> {
    fn note(&mut self, path: &[String], span: Span, re_export: bool) {
        if let [only] = path
            && self.bound.iter().any(|names| names.contains(only))
        {
            return;
        }
        for target in self.krate.resolve(&self.module, path) {
            self.found.push(Use {
                file: self.source.file.clone(),
                line: span.start().line,
                module: self.module.clone(),
                target_file: self.krate.file_of(&target.module).to_owned(),
                target: target.module,
                item: target.item,
                way: target.way,
                test: self.test,
                re_export,
            });
        }
    }

    /// Paths in unparsed tokens: a macro's arguments or rules, or an attribute's.
    fn scan(&mut self, tokens: &TokenStream, attribute: bool) {
        let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
        let is = |at: usize, c: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == c);
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.scan(&group.stream(), attribute),
                TokenTree::Literal(literal) if attribute => {
                    self.named_in_text(&literal.to_string(), literal.span())
                }
                TokenTree::Ident(first) if !(at > 0 && is(at - 1, '.')) => {
                    let mut path = vec![first.to_string()];
                    while is(at + 1, ':')
                        && is(at + 2, ':')
                        && let Some(TokenTree::Ident(next)) = tokens.get(at + 3)
                    {
                        path.push(next.to_string());
                        at += 3;
                    }
                    if !attribute {
                        self.note(&path, first.span(), false);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// serde's attributes name functions in strings.
    fn named_in_text(&mut self, text: &str, span: Span) {
        let text = text.trim_matches('"');
        if let Ok(path) = syn::parse_str::<syn::Path>(text) {
            let path: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.note(&path, span, false);
        }
    }

    fn within<T>(
        &mut self,
        attributes: &[syn::Attribute],
        bound: BTreeSet<String>,
        work: impl FnOnce(&mut Self) -> T,
    ) {
        let test = self.test;
        self.test |= is_test(attributes);
        self.bound.push(bound);
        work(self);
        self.bound.pop();
        self.test = test;
    }
}

/// The names that patterns bind anywhere in a function.
#[derive(Default)]
struct Bound(BTreeSet<String>);

impl<'ast> Visit<'ast> for Bound {
    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        self.0.insert(pattern.ident.to_string());
        visit::visit_pat_ident(self, pattern);
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    use syn::Item;
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let mut bound = Bound::default();
        if let syn::Item::Fn(function) = item {
            bound.visit_item_fn(function);
        }
        self.within(attributes(item), bound.0, |walk| visit::visit_item(walk, item));
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        let mut bound = Bound::default();
        bound.visit_impl_item_fn(function);
        self.within(&function.attrs, bound.0, |walk| visit::visit_impl_item_fn(walk, function));
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        let mut bound = Bound::default();
        bound.visit_trait_item_fn(function);
        self.within(&function.attrs, bound.0, |walk| visit::visit_trait_item_fn(walk, function));
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.content.is_some() {
            self.module.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_some() {
            return;
        }
        let re_export = !matches!(item.vis, syn::Visibility::Inherited);
        for (mut path, span, _) in leaves(&item.tree) {
            path.retain(|name| name != "*");
            self.note(&path, span, re_export);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none()
            && let Some(first) = path.segments.first()
        {
            let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.note(&names, first.ident.span(), false);
        }
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if !attribute.path().is_ident("doc")
            && let syn::Meta::List(list) = &attribute.meta
        {
            self.scan(&list.tokens, true);
        }
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.scan(&call.tokens, false);
    }
}
