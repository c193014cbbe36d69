//! Embeds Kiln's own overlays in the program, with the commit that it is built from: `$KILN_COMMIT` where a packager
//! sets it, else the commit that git reports for this directory, else `unknown`. `kiln --version` prints it; no bundle
//! depends on it. A debug build does not ask git, because each commit would then recompile all of Kiln.

#![allow(
    clippy::disallowed_methods,
    reason = "it runs when Kiln is compiled, before the program's rules hold"
)]

use std::path::Path;
use std::process::{Command, Stdio};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    overlays();
    println!("cargo::rerun-if-env-changed=KILN_COMMIT");
    let given = std::env::var("KILN_COMMIT").ok().filter(|text| !text.is_empty());
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = match given {
        Some(commit) => commit,
        None if is_release => commit().unwrap_or_else(|| "unknown".to_owned()),
        None => "a debug build".to_owned(),
    };
    println!("cargo::rustc-env=KILN_COMMIT={commit}");
}

/// The commit of the repository whose top is this directory; none when Kiln's sources are inside another repository.
fn commit() -> Option<String> {
    let top = git(&["rev-parse", "--show-toplevel"])?;
    let here = std::env::var_os("CARGO_MANIFEST_DIR")?;
    if Path::new(&top).canonicalize().ok()? != Path::new(&here).canonicalize().ok()? {
        return None;
    }
    // Both are written when another commit is checked out; the second also when one is made.
    for file in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", file])?;
        // Cargo would rebuild every time for a file that does not exist.
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

/// The output of git, run without variables that a hook or an outer git may have set; `None` without git.
fn git(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.args(arguments).env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Marks a directory of `overlays/` as an overlay of every node: units to enable, modes and links.
const MANIFEST: &str = "overlay.toml";

/// Writes `overlays.rs` into the build's output directory: a list of `render::embedded::Embedded`, by name.
fn overlays() {
    println!("cargo::rerun-if-changed=overlays");
    let top = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("overlays");
    let mut text = "&[\n".to_owned();
    for name in names(&top) {
        let directory = top.join(&name);
        if !directory.join(MANIFEST).is_file() {
            continue;
        }
        let mut files = Vec::new();
        walk(&directory, "", &mut files);
        // By the path of the sources at compile time: they may have been moved since.
        let include = |path: &str| {
            let place = format!("/overlays/{name}/{path}");
            format!("include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {place:?}))")
        };
        text.push_str(&format!("Embedded {{ name: {name:?}, manifest: {}, files: &[\n", include(MANIFEST)));
        for path in files.iter().filter(|path| *path != MANIFEST) {
            text.push_str(&format!("({path:?}, {}),\n", include(path)));
        }
        text.push_str("] },\n");
    }
    text.push_str("]\n");
    let out = Path::new(&std::env::var_os("OUT_DIR").unwrap_or_default()).join("overlays.rs");
    std::fs::write(&out, text).unwrap_or_else(|error| panic!("writing {}: {error}", out.display()));
}

/// The names in a directory, sorted. Every file there goes into every node, so files that editors leave behind are
/// refused.
fn names(directory: &Path) -> Vec<String> {
    let failed = |error: std::io::Error| panic!("reading {}: {error}", directory.display());
    let entries = std::fs::read_dir(directory).unwrap_or_else(failed);
    let name = |entry: std::io::Result<std::fs::DirEntry>| match entry
        .map(|entry| entry.file_name().into_string())
    {
        Ok(Ok(name)) if !name.starts_with('.') && !name.ends_with('~') => name,
        Ok(name) => panic!("{} holds {name:?}, which is no file of an overlay", directory.display()),
        Err(error) => panic!("reading {}: {error}", directory.display()),
    };
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    names
}

/// Adds the files below a directory, by their path from where the walk began.
fn walk(directory: &Path, before: &str, files: &mut Vec<String>) {
    for name in names(directory) {
        let path = directory.join(&name);
        match path.is_dir() {
            true => walk(&path, &format!("{before}{name}/"), files),
            false => files.push(format!("{before}{name}")),
        }
    }
}
