//! House rules that no compiler checks.

#![allow(clippy::disallowed_methods, reason = "tests use files and programs as people do")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Room -> the rooms that it may use. `failure`, `interrupt`, `threads` and `values` are open to all.
const ROOMS: &[(&str, &[&str])] = &[
    ("artifact", &["disk", "etcd", "tree"]),
    ("base", &["disk", "format", "process"]),
    (
        "build",
        &[
            "artifact", "base", "bundle", "cache", "carrier", "clock", "disk", "etcd", "format", "pki",
            "plan", "profile", "render", "tree",
        ],
    ),
    ("bundle", &["artifact", "carrier", "disk", "etcd", "format", "pki", "profile"]),
    ("cache", &["disk"]),
    ("carrier", &["base", "format", "plan", "profile", "render", "tree", "xml", "yaml"]),
    ("clock", &[]),
    (
        "commands",
        &[
            "artifact", "base", "build", "bundle", "cache", "carrier", "cli", "clock", "disk", "etcd",
            "format", "host", "pki", "plan", "process", "profile", "registry", "rehearse", "render",
            "verify",
        ],
    ),
    ("cli", &["carrier", "host"]),
    ("disk", &[]),
    ("etcd", &["suggest"]),
    ("failure", &[]),
    ("format", &["tree"]),
    ("host", &["base", "bundle", "carrier", "disk", "etcd", "process", "verify", "xml"]),
    ("interrupt", &[]),
    ("main", &["*"]),
    ("pki", &["disk", "etcd", "plan", "profile"]),
    ("plan", &["etcd", "profile"]),
    ("process", &[]),
    ("profile", &["etcd", "suggest"]),
    ("registry", &["bundle", "disk"]),
    ("rehearse", &["bundle", "disk", "process", "verify"]),
    ("render", &["disk", "etcd", "pki", "plan", "profile", "tree", "yaml"]),
    ("suggest", &[]),
    ("threads", &[]),
    ("tree", &[]),
    ("values", &[]),
    ("verify", &["bundle", "disk", "etcd", "format", "pki", "process"]),
    ("xml", &[]),
    ("yaml", &[]),
];

const OPEN: &[&str] = &["failure", "interrupt", "threads", "values"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(below: &str, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = walkdir::WalkDir::new(root().join(below))
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.is_file() && path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "nothing below {below}");
    files
}

fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("builder")).unwrap();
    inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// Each room that a text names after `crate::`, also in braces and over several lines, with its line.
fn rooms_used(text: &str) -> Vec<(usize, String)> {
    // Comments are blanked, so that lines stay where they are.
    let text: String = text
        .lines()
        .map(|line| if line.trim_start().starts_with("//") { "" } else { line })
        .collect::<Vec<_>>()
        .join("\n");
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_').collect()
    };
    let mut used = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + 7..];
        let line = text[..at].matches('\n').count() + 1;
        let mut depth = 0;
        let mut begins = true;
        if !rest.starts_with('{') {
            used.push((line, word(rest)));
            continue;
        }
        for (place, c) in rest.char_indices() {
            match c {
                '{' => (depth, begins) = (depth + 1, depth == 0),
                '}' => depth -= 1,
                ',' => begins = depth == 1,
                c if c.is_whitespace() => {}
                _ => {
                    if begins && depth == 1 {
                        used.push((line, word(&rest[place..])));
                    }
                    begins = false;
                }
            }
            if depth == 0 {
                break;
            }
        }
    }
    // A type or a constant of the crate's root is no room.
    used.retain(|(_, room)| !room.is_empty());
    used
}

#[test]
fn rooms_are_seen_in_braces() {
    let text = "use crate::{pki, render::{self, x}};\n// use crate::disk;\nuse crate::{\n    plan::A,\n    clock,\n};\ncrate::yaml::x()";
    let rooms: Vec<(usize, String)> = rooms_used(text);
    let want = [(1, "pki"), (1, "render"), (3, "plan"), (3, "clock"), (7, "yaml")];
    assert_eq!(rooms, want.map(|(line, room)| (line, room.to_owned())));
}

#[test]
fn rooms_use_only_the_rooms_that_their_row_names() {
    let allowed: BTreeMap<_, _> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    let mut needed = BTreeSet::new();
    for path in files("builder", ".rs") {
        let room = room_of(&path);
        if room == "lib" {
            continue;
        }
        let row =
            allowed.get(room.as_str()).unwrap_or_else(|| panic!("room {room} has no row in tests/tidy.rs"));
        let text = fs::read_to_string(&path).unwrap();
        for (line, used) in rooms_used(&text) {
            let fine = used == room
                || OPEN.contains(&used.as_str())
                || row.contains(&"*")
                || row.contains(&used.as_str());
            if !fine {
                wrong.push(format!("{}:{line}: {room} uses {used}", path.display()));
            }
            needed.insert((room.clone(), used));
        }
    }
    for (room, row) in &allowed {
        let spare =
            |used: &&&str| **used != "*" && !needed.contains(&((*room).to_owned(), (**used).to_owned()));
        wrong
            .extend(row.iter().filter(spare).map(|used| format!("{room} needs no permission to use {used}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn embedded_overlays_are_the_directory() {
    let embedded: BTreeSet<String> = kiln::render::EMBEDDED
        .iter()
        .flat_map(|(overlay, files)| files.iter().map(move |(path, _)| format!("{overlay}/{path}")))
        .collect();
    let top = root().join("overlays");
    let on_disk: BTreeSet<String> = files("overlays", "")
        .iter()
        .map(|path| path.strip_prefix(&top).unwrap().to_str().unwrap().to_owned())
        .filter(|path| !path.starts_with("carrier/") && !path.starts_with("client/"))
        .collect();
    assert_eq!(embedded, on_disk);
}

#[test]
fn embedded_profiles_are_the_directory() {
    let on_disk: BTreeSet<String> = files("profiles", ".toml")
        .iter()
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let embedded: BTreeSet<String> = kiln::profile::names().map(str::to_owned).collect();
    assert_eq!(embedded, on_disk);
}

#[test]
fn messages_do_not_hedge() {
    // These two hold what other programs say, to be recognised.
    let quoting = ["rehearse/journal.rs", "verify/causes.rs"];
    for path in files("builder", ".rs").iter().filter(|path| !quoting.iter().any(|q| path.ends_with(q))) {
        let text = fs::read_to_string(path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            for phrase in ["failed to", "unable to", "could not"] {
                let is_message =
                    lower.contains(phrase) && line.contains('"') && !line.trim_start().starts_with("//");
                assert!(!is_message, "{}:{}: {line}", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn no_file_is_too_long() {
    for path in files("builder", ".rs") {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 600, "{} has {lines} lines; split it", path.display());
    }
}

#[test]
fn scripts_can_be_run() {
    use std::os::unix::fs::PermissionsExt;
    // Deeper down lie the files of base systems, with the modes that they get there.
    for path in files("ci", "").into_iter().filter(|path| path.parent() == Some(&root().join("ci"))) {
        let is_library = path.extension().is_some_and(|e| e == "sh");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o111 != 0, !is_library, "{}", path.display());
    }
}
