//! The modules of a crate and the targets of paths in them, read from the text.
//!
//! This is name resolution as far as Kiln's own sources need it: `crate`, `self`, `super`, names that `use` imports,
//! re-exports and globs. A name that is not found belongs to another crate, the prelude or a function's body.

use std::collections::BTreeMap;

use syn::visit::{self, Visit};

/// A module's path from the crate's root; the root itself is empty.
pub type Module = Vec<String>;

/// The meanings of a name in a module. One name can have several: a module and a function, or a `use` for each of two
/// features.
#[derive(Debug, Clone)]
enum Name {
    Module,
    /// A type or a trait, which may be within a path.
    Type,
    /// A function, a constant, a static or a macro: the last part of a path.
    Value,
    Use(Vec<String>),
}

#[derive(Debug, Default)]
struct Scope {
    file: String,
    names: BTreeMap<String, Vec<Name>>,
    globs: Vec<Vec<String>>,
}

/// One source file as `syn` parses it.
pub struct Source {
    /// Relative to `builder/`.
    pub file: String,
    pub module: Module,
    pub syntax: syn::File,
    /// Whether it is compiled for unit tests only.
    pub test: bool,
}

#[derive(Default)]
pub struct Crate {
    scopes: BTreeMap<Module, Scope>,
    pub sources: Vec<Source>,
}

/// The target of a path.
#[derive(Debug, Clone)]
pub struct Target {
    /// The module of the item, or the module itself when the path names one.
    pub module: Module,
    /// None where the path names a module.
    pub item: Option<String>,
    /// The modules along the path, first to last.
    pub way: Vec<Module>,
}

/// The limit on consecutive re-exports; more are treated as a circle.
const MAX_STEPS: usize = 16;

pub fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

/// The paths of a use tree, each as written from its first name, with its new name; a glob ends with `*`.
pub fn leaves(tree: &syn::UseTree) -> Vec<(Vec<String>, proc_macro2::Span, String)> {
    fn walk(
        tree: &syn::UseTree,
        before: &mut Vec<String>,
        out: &mut Vec<(Vec<String>, proc_macro2::Span, String)>,
    ) {
        let mut leaf = |ident: &syn::Ident, name: &syn::Ident| {
            let mut path = before.clone();
            if ident != "self" || path.is_empty() {
                path.push(ident.to_string());
            }
            let name =
                if name == "self" { path.last().cloned().unwrap_or_default() } else { name.to_string() };
            out.push((path, ident.span(), name));
        };
        match tree {
            syn::UseTree::Path(path) => {
                before.push(path.ident.to_string());
                walk(&path.tree, before, out);
                before.pop();
            }
            syn::UseTree::Name(name) => leaf(&name.ident, &name.ident),
            syn::UseTree::Rename(rename) => leaf(&rename.ident, &rename.rename),
            syn::UseTree::Glob(glob) => {
                let mut path = before.clone();
                path.push("*".to_owned());
                out.push((path, glob.star_token.spans[0], String::new()));
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| walk(tree, before, out)),
        }
    }
    let mut out = Vec::new();
    walk(tree, &mut Vec::new(), &mut out);
    out
}

/// Collects the names that a module's text defines or imports.
struct Names<'a> {
    krate: &'a mut Crate,
    file: &'a str,
    module: Module,
}

impl Names<'_> {
    fn add(&mut self, name: &syn::Ident, what: Name) {
        let scope = self.krate.scopes.entry(self.module.clone()).or_default();
        scope.names.entry(name.to_string()).or_default().push(what);
    }
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        use syn::Item;
        match item {
            Item::Const(item) => self.add(&item.ident, Name::Value),
            Item::Static(item) => self.add(&item.ident, Name::Value),
            Item::Fn(item) => self.add(&item.sig.ident, Name::Value),
            Item::Struct(item) => self.add(&item.ident, Name::Type),
            Item::Enum(item) => self.add(&item.ident, Name::Type),
            Item::Union(item) => self.add(&item.ident, Name::Type),
            Item::Type(item) => self.add(&item.ident, Name::Type),
            Item::Trait(item) => self.add(&item.ident, Name::Type),
            Item::Macro(item) => item.ident.iter().for_each(|name| self.add(name, Name::Value)),
            Item::Mod(_) | Item::Use(_) => {}
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_some() {
            return;
        }
        let scope = self.krate.scopes.entry(self.module.clone()).or_default();
        for (path, _, name) in leaves(&item.tree) {
            match path.split_last() {
                Some((star, module)) if star == "*" => scope.globs.push(module.to_vec()),
                _ => scope.names.entry(name).or_default().push(Name::Use(path)),
            }
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.add(&item.ident, Name::Module);
        if item.content.is_some() {
            self.module.push(item.ident.to_string());
            let scope = self.krate.scopes.entry(self.module.clone()).or_default();
            scope.file = self.file.to_owned();
            visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }
}

impl Crate {
    /// Reads a crate from `lib.rs` on; `main.rs`, if there is one, is the module `main`, which calls the root `kiln`.
    ///
    /// # Panics
    ///
    /// On text that is not Rust, and on a `mod` without a file.
    pub fn read(texts: &BTreeMap<String, String>) -> Self {
        let mut krate = Self::default();
        krate.add(texts, "lib.rs", Vec::new(), false);
        if texts.contains_key("main.rs") {
            krate.add(texts, "main.rs", vec!["main".to_owned()], false);
        }
        krate
    }

    fn add(&mut self, texts: &BTreeMap<String, String>, file: &str, module: Module, test: bool) {
        let syntax = syn::parse_file(&texts[file]).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.scopes.entry(module.clone()).or_default().file = file.to_owned();
        let mut names = Names { krate: self, file, module: module.clone() };
        names.visit_file(&syntax);
        for item in &syntax.items {
            let syn::Item::Mod(child) = item else { continue };
            if child.content.is_some() {
                continue;
            }
            let mut below = module.clone();
            below.push(child.ident.to_string());
            let stem = below.join("/");
            let found = [format!("{stem}.rs"), format!("{stem}/mod.rs")];
            let found = found.iter().find(|file| texts.contains_key(*file));
            let found = found.unwrap_or_else(|| panic!("{file}: no file for mod {}", child.ident));
            self.add(texts, found, below, test || is_test(&child.attrs));
        }
        self.sources.push(Source { file: file.to_owned(), module, syntax, test });
    }

    /// The file that a module is in.
    pub fn file_of(&self, module: &[String]) -> &str {
        &self.scopes[module].file
    }

    /// The targets of a path that is written in `from`; none when it leaves the crate.
    pub fn resolve(&self, from: &[String], path: &[String]) -> Vec<Target> {
        let mut found = Vec::new();
        self.step(from, path, &mut Way::default(), &mut found);
        if found.iter().any(|target| target.item.is_some()) {
            found.retain(|target| target.item.is_some());
        }
        found
    }

    fn step(&self, at: &[String], path: &[String], way: &mut Way, found: &mut Vec<Target>) {
        let Some((name, rest)) = path.split_first() else { return };
        if way.steps > MAX_STEPS {
            return;
        }
        let before = way.modules.len();
        way.modules.push(at.to_vec());
        let parent = at.len().saturating_sub(1);
        match name.as_str() {
            "crate" | "kiln" => self.enter(Vec::new(), rest, way, found),
            "self" => self.enter(at.to_vec(), rest, way, found),
            "super" => self.enter(at[..parent].to_vec(), rest, way, found),
            name => self.look_up(at, name, rest, way, found),
        }
        way.modules.truncate(before);
    }

    fn enter(&self, module: Module, rest: &[String], way: &mut Way, found: &mut Vec<Target>) {
        if rest.is_empty() {
            let mut way = way.modules.clone();
            way.push(module.clone());
            found.push(Target { module, item: None, way });
        } else {
            let from_here = std::mem::replace(&mut way.from_here, false);
            self.step(&module, rest, way, found);
            way.from_here = from_here;
        }
    }

    fn look_up(&self, at: &[String], name: &str, rest: &[String], way: &mut Way, found: &mut Vec<Target>) {
        let Some(scope) = self.scopes.get(at) else { return };
        let item =
            |way: &Way| Target { module: at.to_vec(), item: Some(name.to_owned()), way: way.modules.clone() };
        let before = found.len();
        let names = scope.names.get(name).map_or(&[][..], Vec::as_slice);
        for what in names {
            match what {
                Name::Value if !rest.is_empty() => {}
                Name::Type | Name::Value => found.push(item(way)),
                Name::Module => {
                    let mut module = at.to_vec();
                    module.push(name.to_owned());
                    self.enter(module, rest, way, found);
                }
                // `use x::y as x`, where nothing else is called x, refers to another crate.
                Name::Use(path) if path[0] == name && names.len() == 1 => return,
                Name::Use(path) => {
                    let path: Vec<String> = path.iter().chain(rest).cloned().collect();
                    let outer = (way.from_here, way.steps);
                    (way.from_here, way.steps) = (true, way.steps + 1);
                    self.step(at, &path, way, found);
                    (way.from_here, way.steps) = outer;
                }
            }
        }
        if names.is_empty() {
            self.look_up_in_globs(at, name, rest, way, found);
            // A name that a macro makes.
            if found.len() == before && !way.from_here {
                found.push(item(way));
            }
        }
    }

    fn look_up_in_globs(
        &self,
        at: &[String],
        name: &str,
        rest: &[String],
        way: &mut Way,
        found: &mut Vec<Target>,
    ) {
        for glob in &self.scopes[at].globs {
            // The glob's own path is not resolved through globs again.
            let mut modules = Vec::new();
            if way.steps < MAX_STEPS {
                self.step(at, glob, &mut Way { steps: MAX_STEPS, ..Way::default() }, &mut modules);
            }
            for module in modules.into_iter().filter(|target| target.item.is_none()) {
                if self.scopes[&module.module].names.contains_key(name) {
                    let path: Vec<String> = [name]
                        .into_iter()
                        .chain(rest.iter().map(String::as_str))
                        .map(str::to_owned)
                        .collect();
                    way.steps += 1;
                    self.step(&module.module, &path, way, found);
                    way.steps -= 1;
                }
            }
        }
    }
}

/// The state of resolving a path.
struct Way {
    modules: Vec<Module>,
    /// Re-exports and globs so far.
    steps: usize,
    /// Whether the next name is written without a module before it, so that it may be of another crate.
    from_here: bool,
}

impl Default for Way {
    fn default() -> Self {
        Self { modules: Vec::new(), steps: 0, from_here: true }
    }
}
