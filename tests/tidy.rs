//! Rules of the project that no compiler checks.

#![allow(clippy::disallowed_methods, reason = "tests use files and programs as people do")]

#[path = "tidy/checker.rs"]
mod checker;
#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/lengths.rs"]
mod lengths;
#[path = "tidy/paths.rs"]
mod paths;
#[path = "tidy/phrases.rs"]
mod phrases;
#[path = "tidy/rooms.rs"]
mod rooms;
#[path = "tidy/uses.rs"]
mod uses;

use circles::circles;
use lengths::{long_file, long_functions};
use paths::Crate;
use rooms::{Rows, strays};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use uses::{Use, uses};

const ROOMS: Rows = &[
    ("artifact", &["digest", "disk", "elf", "etcd", "format", "tree"]),
    (
        "backup",
        &["bundle", "causes", "clock", "cluster", "digest", "disk", "pki", "process", "profile", "report"],
    ),
    ("base", &["disk", "format", "process"]),
    (
        "build",
        &[
            "artifact", "base", "bundle", "cache", "carrier", "clock", "disk", "etcd", "format", "pki",
            "plan", "profile", "render", "tree",
        ],
    ),
    ("bundle", &["artifact", "carrier", "digest", "disk", "etcd", "format", "pki", "profile"]),
    ("cache", &["disk"]),
    ("carrier", &["base", "format", "plan", "profile", "render", "tree", "xml", "yaml"]),
    ("causes", &[]),
    ("clock", &[]),
    ("cluster", &["bundle", "causes", "disk", "format", "pki", "process"]),
    (
        "commands",
        &[
            "artifact", "backup", "base", "build", "bundle", "cache", "carrier", "causes", "cipher", "cli",
            "clock", "cluster", "digest", "disk", "environ", "etcd", "format", "host", "import", "pki",
            "plan", "process", "profile", "registry", "rehearse", "render", "report", "tree", "unlock",
            "verify", "xdg",
        ],
    ),
    ("cipher", &["digest", "disk"]),
    ("cli", &["carrier", "host", "unlock"]),
    ("digest", &["disk"]),
    ("disk", &[]),
    ("elf", &[]),
    ("environ", &[]),
    ("etcd", &["suggest"]),
    ("etcd/judge", &["etcd", "suggest"]),
    ("failure", &[]),
    ("format", &["tree"]),
    ("format/read", &["format"]),
    ("host", &["base", "bundle", "carrier", "digest", "disk", "cluster", "etcd", "process", "xdg", "xml"]),
    ("import", &["etcd", "plan", "profile"]),
    ("interrupt", &[]),
    ("main", &["cli", "commands", "environ", "process"]),
    ("parallel", &[]),
    ("pki", &["disk", "cipher", "etcd", "plan", "profile", "unlock"]),
    ("plan", &["etcd", "profile"]),
    ("process", &["environ"]),
    ("profile", &["etcd", "suggest"]),
    ("registry", &["bundle", "digest", "disk", "process"]),
    ("rehearse", &["bundle", "causes", "cluster", "digest", "disk", "elf", "process", "report", "verify"]),
    ("render", &["disk", "etcd", "pki", "plan", "profile", "tree", "yaml"]),
    ("report", &["causes"]),
    ("suggest", &[]),
    ("tree", &[]),
    ("unlock", &["disk", "cipher", "process"]),
    ("values", &[]),
    ("verbose", &[]),
    ("verify", &["bundle", "causes", "cluster", "disk", "etcd", "format", "pki", "report"]),
    ("xdg", &["disk", "environ"]),
    ("xml", &[]),
    ("yaml", &[]),
];

/// The packages of the workspace by directory, each with those that it may depend on.
const PACKAGES: &[(&str, &[&str])] = &[
    (".", &["kiln-age", "kiln-s3", "kiln-wire", "kiln-s3"]),
    ("builder/age", &[]),
    ("builder/node", &["kiln-age", "kiln-s3", "kiln-wire"]),
    ("builder/s3", &[]),
    ("builder/wire", &[]),
];

const OPEN: &[&str] = &["failure", "interrupt", "parallel", "values", "verbose"];

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

/// The sources of a package in this directory, from its file `main` on.
fn sources(directory: &str, main: &str) -> Crate {
    let top = root().join(directory);
    let texts = files(directory, ".rs").into_iter().map(|path| {
        let name = path.strip_prefix(&top).unwrap().to_str().unwrap();
        let name = if name == main { "lib.rs" } else { name };
        (name.to_owned(), fs::read_to_string(path).unwrap())
    });
    Crate::read(&texts.collect())
}

/// Kiln's own sources.
fn kiln_sources() -> Crate {
    sources("builder", "lib.rs")
}

/// Those of the other packages, by directory.
fn other_sources() -> [(&'static str, Crate); 4] {
    [
        ("age", sources("builder/age", "lib.rs")),
        ("node", sources("builder/node", "main.rs")),
        ("s3", sources("builder/s3", "lib.rs")),
        ("wire", sources("builder/wire", "lib.rs")),
    ]
}

/// All uses of Kiln's items in its own sources.
fn kiln_uses() -> Vec<Use> {
    uses(&kiln_sources())
}

#[test]
fn rooms_use_only_the_rooms_that_their_row_names() {
    let wrong = strays(&kiln_uses(), ROOMS, OPEN);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_of_a_room_use_each_other_in_no_circle() {
    let found = circles(&kiln_uses());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Each of the other packages is a room.
#[test]
fn files_of_a_package_use_each_other_in_no_circle() {
    for (name, sources) in other_sources() {
        let mut uses = uses(&sources);
        assert!(!uses.is_empty(), "{name}");
        for a_use in &mut uses {
            a_use.file = format!("{name}/{}", a_use.file);
            a_use.target_file = format!("{name}/{}", a_use.target_file);
        }
        let found = circles(&uses);
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

#[test]
fn packages_depend_only_on_the_packages_that_their_row_names() {
    let manifest = |directory: &str| -> toml::Table {
        fs::read_to_string(root().join(directory).join("Cargo.toml")).unwrap().parse().unwrap()
    };
    let members = manifest(".")["workspace"]["members"].as_array().unwrap().clone();
    let listed: Vec<_> = PACKAGES[1..].iter().map(|(directory, _)| toml::Value::from(*directory)).collect();
    assert_eq!(members, listed, "each member has a row in tests/tidy.rs");
    for (directory, allowed) in PACKAGES {
        let manifest = manifest(directory);
        let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
        let tables = kinds.iter().filter_map(|kind| manifest.get(*kind)?.as_table());
        let own =
            tables.flatten().filter(|(_, value)| value.get("path").is_some()).map(|(name, _)| name.as_str());
        assert_eq!(own.collect::<Vec<_>>(), *allowed, "{directory}/Cargo.toml");
    }
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
fn messages_and_documents_have_no_riddles() {
    // These two contain messages of other programs, to be recognized.
    let quoting = ["causes/story.rs", "causes/patterns.rs"];
    let sources = kiln_sources();
    let messages = sources.sources.iter().filter(|source| !quoting.contains(&source.file.as_str()));
    let others = other_sources();
    let others = others.iter().flat_map(|(_, package)| &package.sources);
    let mut found: Vec<_> = messages.chain(others).flat_map(phrases::of_source).collect();
    for name in ["README.md", "CONTRIBUTING.md", "SECURITY.md", "ARCHITECTURE.md"] {
        found.extend(phrases::of_text(name, &fs::read_to_string(root().join(name)).unwrap()));
    }
    let scripts = scripts().into_iter().chain(files("overlays", ".sh.hbs"));
    for path in files("profiles", ".toml").into_iter().chain(files("docs", ".md")).chain(scripts) {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let is_prose = name.ends_with(".md") || name.ends_with(".toml");
        let look = if is_prose { phrases::of_text } else { phrases::of_script };
        found.extend(look(&name, &fs::read_to_string(&path).unwrap()));
    }
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// All Rust files by path, with their text.
fn rust_files() -> Vec<(String, String)> {
    let paths = ["builder", "tests", "benches", "build.rs"].map(|below| files(below, ".rs")).concat();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn no_file_is_too_long() {
    let wrong: Vec<_> = rust_files().iter().filter_map(|(name, text)| long_file(name, text)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_function_is_too_long() {
    let wrong: Vec<_> = rust_files().iter().flat_map(|(name, text)| long_functions(name, text)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The scripts of `ci/`.
fn scripts() -> Vec<PathBuf> {
    files("ci", "").into_iter().filter(|path| path.parent() == Some(&root().join("ci"))).collect()
}

#[test]
fn scripts_can_be_run() {
    use std::os::unix::fs::PermissionsExt;
    for path in scripts() {
        let is_library = path.extension().is_some_and(|e| e == "sh");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o111 != 0, !is_library, "{}", path.display());
    }
}

/// The project's documents by path, with their text.
fn documents() -> Vec<(String, String)> {
    // Directories that are made here, or that Kiln makes here, are not the project's.
    let made = ["target", "out", "keystore", "artifacts", ".git"];
    let found = walkdir::WalkDir::new(root())
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.depth() != 1 || made.iter().all(|made| entry.file_name() != *made))
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.is_file() && path.extension().is_some_and(|ending| ending == "md"));
    let documents: Vec<_> = found
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    for needed in ["README.md", "docs/decisions/README.md"] {
        assert!(documents.iter().any(|(name, _)| name == needed), "{needed} is missing");
    }
    documents
}

/// The lines of a document outside of code blocks, fenced or indented, with their numbers.
fn outside_code(text: &str) -> Vec<(usize, &str)> {
    let (mut is_fenced, mut is_code, mut was_blank) = (false, false, true);
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        is_code = line.starts_with("    ") && (was_blank || is_code);
        was_blank = line.trim().is_empty();
        if !is_fenced && !is_fence && !is_code {
            lines.push((at + 1, line));
        }
    }
    lines
}

/// The limit on the lines of documents and of comments that document, in characters.
const COLUMNS: usize = 120;

#[test]
fn no_line_of_a_document_is_too_long() {
    for (name, text) in documents() {
        // The README shows the output of programs, and commands as they are typed: their lines are as long as they
        // are.
        let lines = match name.as_str() {
            "README.md" => outside_code(&text),
            _ => text.lines().enumerate().map(|(at, line)| (at + 1, line)).collect(),
        };
        for (number, line) in lines {
            let columns = line.chars().count();
            assert!(columns <= COLUMNS, "{name}:{number} has {columns} columns; wrap it at {COLUMNS}");
        }
    }
}

#[test]
fn no_line_of_a_documenting_comment_is_too_long() {
    for (name, text) in rust_files() {
        let comments = text.lines().enumerate().filter(|(_, line)| {
            let line = line.trim_start();
            line.starts_with("///") || line.starts_with("//!")
        });
        for (at, line) in comments {
            let columns = line.chars().count();
            assert!(columns <= COLUMNS, "{name}:{} has {columns} columns; wrap it at {COLUMNS}", at + 1);
        }
    }
}

#[test]
fn code_blocks_are_told_from_prose() {
    let text = "a\n\n    code\n\n    code\n- item\n    goes on\n```\nfenced\n```\nb";
    let lines: Vec<_> = outside_code(text).into_iter().filter(|(_, line)| !line.is_empty()).collect();
    assert_eq!(lines, [(1, "a"), (6, "- item"), (7, "    goes on"), (11, "b")]);
}

/// The files that a document links to, as `[text](path)` or `[text]: path`.
fn links(text: &str) -> Vec<&str> {
    let inline = text.match_indices("](").filter_map(|(at, _)| text[at + 2..].split_once(')'));
    let listed = text.lines().filter(|line| line.starts_with('[')).filter_map(|line| line.split_once("]: "));
    let all = inline.map(|(link, _)| link).chain(listed.map(|(_, link)| link));
    all.map(|link| link.split('#').next().unwrap_or_default())
        .filter(|link| !link.is_empty() && !link.contains("://"))
        .collect()
}

#[test]
fn documents_name_files_that_are_there() {
    let tops = ["benches/", "builder/", "ci/", "docs/", "overlays/", "profiles/", "tests/"];
    let mut count = 0;
    for (name, text) in documents() {
        let beside = root().join(&name).parent().unwrap().to_owned();
        for link in links(&text) {
            assert!(beside.join(link).exists(), "{name} links to {link}, which is not there");
        }
        // A changelog also names files that no longer exist.
        if name == "CHANGELOG.md" {
            continue;
        }
        let quoted = text.split('`').skip(1).step_by(2).filter_map(|code| code.split_whitespace().next());
        for path in quoted.filter(|path| tops.iter().any(|top| path.starts_with(top))) {
            // A placeholder for a name of the reader's own.
            if path.contains("NAME") {
                continue;
            }
            count += 1;
            assert!(root().join(path).exists(), "{name} names {path}, which is not there");
        }
    }
    assert!(count > 50, "only {count} paths were found in the documents");
}

#[test]
fn the_index_of_decisions_is_whole() {
    let directory = root().join("docs/decisions");
    let index = fs::read_to_string(directory.join("README.md")).unwrap();
    let listed: BTreeSet<&str> = links(&index).into_iter().collect();
    for page in files("docs/decisions", ".md") {
        let name = page.file_name().unwrap().to_str().unwrap();
        if name == "README.md" {
            continue;
        }
        let text = fs::read_to_string(&page).unwrap();
        let title =
            text.lines().next().unwrap().strip_prefix("# ").unwrap_or_else(|| panic!("{name}: no title"));
        assert!(listed.contains(name), "docs/decisions/README.md does not link to {name}");
        assert!(
            index.contains(&format!("| [{title}] | ")),
            "docs/decisions/README.md has no row for {title:?}"
        );
        let lines = text.lines().count();
        assert!((5..=40).contains(&lines), "{name} has {lines} lines; a decision has 5 to 40");
    }
}
