//! Describes paths for messages: which of the things that Kiln makes they are, by the names in them. And resolves
//! paths.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::{Kind, list, look};

/// A name that each of Kiln's directories has, and no other; the first match counts.
const MARKS: &[(&str, &str)] = &[
    ("bundle.json", "a bundle"),
    ("fleet.json", "a fleet's directory"),
    ("keystore.toml", "a keystore"),
    ("blobs/sha256", "an artifact store"),
    ("1/packed", "a cache"),
];

fn has(path: &Path, name: &str) -> bool {
    matches!(look(&path.join(name)), Ok(Some(_)))
}

/// Which of the directories that Kiln makes a path is, or `None`.
pub fn made(path: &Path) -> Option<&'static str> {
    MARKS.iter().find(|(mark, _)| has(path, mark)).map(|(_, name)| *name)
}

/// `a bundle`, `an empty directory`, `a directory with the keystores ha3 and ha4`. Never fails, because it is used in
/// messages.
pub fn what(path: &Path) -> String {
    let Ok(Some(found)) = look(path) else { return "not accessible".into() };
    match found.kind {
        Kind::Directory => {}
        Kind::File => return "a file".into(),
        Kind::Link => return "a symbolic link".into(),
        Kind::Other => return "neither a file nor a directory".into(),
    }
    if let Some(name) = made(path) {
        return name.to_owned();
    }
    if fs::canonicalize(path).is_ok_and(|path| path == Path::new("/")) {
        return "the root directory".into();
    }
    let Ok(names) = list(path) else { return "a directory not created by Kiln".into() };
    if names.is_empty() {
        return "an empty directory".into();
    }
    for (mark, one, many) in
        [("keystore.toml", "keystore", "keystores"), ("bundle.json", "bundle", "bundles")]
    {
        let inside: Vec<&str> =
            names.iter().filter(|name| has(&path.join(name), mark)).map(String::as_str).collect();
        match inside[..] {
            [] => {}
            [name] => return format!("a directory with the {one} {name}"),
            [first, second] => return format!("a directory with the {many} {first} and {second}"),
            [first, ref others @ ..] => {
                return format!("a directory with {} {many}, {first} among them", others.len() + 1);
            }
        }
    }
    if names.iter().any(|name| name.ends_with(".toml")) {
        return "a directory of profiles".into();
    }
    "a directory not created by Kiln".into()
}

/// An absolute path without links, resolved as far as it exists.
pub fn resolved(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut resolved = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            // The part before it no longer contains a link.
            resolved.pop();
            continue;
        }
        resolved.push(part);
        if let Ok(there) = fs::canonicalize(&resolved) {
            resolved = there;
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Scratch, make_directories};
    use crate::values::Mode;

    #[test]
    fn what_kiln_makes_is_known_by_its_names() {
        let scratch = Scratch::new("test").unwrap();
        let make = |names: &[&str]| {
            let top = scratch.path().join(format!("{names:?}").replace('/', "."));
            make_directories(&top, Mode::DIRECTORY).unwrap();
            names.iter().for_each(|name| make_directories(&top.join(name), Mode::DIRECTORY).unwrap());
            what(&top)
        };
        for (names, want) in [
            (&["bundle.json", "x.toml"][..], "a bundle"),
            (&["fleet.json"], "a fleet's directory"),
            (&["keystore.toml"], "a keystore"),
            (&["blobs/sha256"], "an artifact store"),
            (&["1/packed"], "a cache"),
            (&[], "an empty directory"),
            (&["a/keystore.toml"], "a directory with the keystore a"),
            (&["a/keystore.toml", "b/keystore.toml", "c"], "a directory with the keystores a and b"),
            (
                &["a/bundle.json", "b/bundle.json", "c/bundle.json"],
                "a directory with 3 bundles, a among them",
            ),
            (&["a.toml"], "a directory of profiles"),
            (&["a"], "a directory not created by Kiln"),
        ] {
            assert_eq!(make(names), want);
        }
        assert_eq!(what(Path::new("/")), "the root directory");
        assert_eq!(what(&scratch.write("file", b"", Mode::FILE).unwrap()), "a file");
        assert_eq!(what(&scratch.path().join("none")), "not accessible");
    }

    #[test]
    fn paths_are_compared_without_links_and_before_they_are_there() {
        let scratch = Scratch::new("test").unwrap();
        let top = fs::canonicalize(scratch.path()).unwrap();
        make_directories(&top.join("real"), Mode::DIRECTORY).unwrap();
        std::os::unix::fs::symlink("real", top.join("link")).unwrap();
        assert_eq!(resolved(&top.join("link/a/b")), top.join("real/a/b"));
        assert_eq!(resolved(&top.join("real/../none")), top.join("none"));
        assert_eq!(resolved(&top.join("none/../link/../other")), top.join("other"));
        assert!(resolved(&top.join("link/a")).starts_with(resolved(&top.join("real"))));
    }
}
