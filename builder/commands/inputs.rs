//! The common inputs of several verbs: the profile, the store, the keystore, the overlays, the epoch.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Component, Path, PathBuf};

use super::output::{Output, colour};
use super::overlays::{self, Near};
use super::renewal;
use crate::artifact::Store;
use crate::base::Bases;
use crate::build::{self, Options};
use crate::carrier;
use crate::cli;
use crate::disk::{self, Input, Kind};
use crate::environ;
use crate::etcd::keys;
use crate::failure::{Exit, Failure, Result};
use crate::parallel;
use crate::profile::{self, Lines, Profile, Source};
use crate::values::{Arch, Digest, Epoch};

/// The greatest length of a chain of `extends`.
const MAX_EXTENDS_DEPTH: usize = 8;

/// Finds a profile: a name with a `/` or ending in `.toml` is a file; any other name is looked up in ./profiles, then
/// among the built-in profiles.
pub fn source(name: &str, settings: &cli::Settings) -> Result<Source> {
    Ok(Source { settings: settings.set.clone(), ..as_written(name)? })
}

/// The profile as its files have it.
pub fn as_written(name: &str) -> Result<Source> {
    if name.contains('/') || name.ends_with(".toml") {
        return file(Path::new(name));
    }
    let local = PathBuf::from(format!("profiles/{name}.toml"));
    if disk::look(&local)?.is_some() {
        return file(&local);
    }
    match profile::embedded(name) {
        Some(text) => Ok(Source {
            name: name.to_owned(),
            path: format!("{name} (built-in profile)"),
            bytes: text.as_bytes().to_vec(),
            directory: PathBuf::new(),
            lines: Lines::Shown,
            base: None,
            settings: Vec::new(),
        }),
        None => {
            let known: Vec<_> = profile::names().collect();
            Err(Failure::new(
                Exit::Usage,
                format!(
                    "there is no profile {name:?}: neither {} nor a built-in one ({}); to name a file, write a path with a / or ending in .toml",
                    local.display(),
                    known.join(", ")
                ),
            ))
        }
    }
}

/// Whether a name without a directory is that of a profile.
pub fn is_profile(name: &str) -> bool {
    let local = PathBuf::from(format!("profiles/{name}.toml"));
    profile::embedded(name).is_some() || disk::look(&local).is_ok_and(|found| found.is_some())
}

/// A profile that the command line names.
///
/// # Errors
/// `Exit::Usage` when it is missing, or not a file.
fn file(path: &Path) -> Result<Source> {
    let refuse = |reason: String| Err(Failure::new(Exit::Usage, reason));
    match disk::look(path)? {
        None => refuse(format!("there is no profile {}", path.display())),
        Some(found) if found.kind == Kind::Directory => {
            let shown = path.display();
            let way = match disk::made(path) {
                Some(_) => String::new(),
                None => {
                    format!("; kiln build and check take every profile in a directory with --fleet {shown}")
                }
            };
            refuse(format!("{shown} is {}, not a profile{way}", disk::what(path)))
        }
        Some(_) => file_at(path, 0, Lines::Shown),
    }
}

/// A profile with its base profiles; `depth` is the number of profiles that extend this one.
fn file_at(path: &Path, depth: usize, lines: Lines) -> Result<Source> {
    let lines = match disk::look(path)? {
        Some(found) if found.kind == Kind::File && found.size > profile::MAX_PROFILE_BYTES => {
            let reason =
                format!("it has {} bytes; a profile has at most {}", found.size, profile::MAX_PROFILE_BYTES);
            let failure = Failure::new(Exit::Profile, reason);
            return Err(failure.while_doing(format!("reading {}", path.display())));
        }
        // The target of a link may be outside the directory of the profiles.
        Some(found) if found.kind == Kind::Link && depth > 0 => Lines::Elsewhere,
        _ => lines,
    };
    // The mode of the file itself, after following links.
    let is_private = Input::open(path)?.mode().bits() & 0o077 == 0;
    let lines = if is_private { Lines::Private } else { lines };
    let bytes = disk::read(path, profile::MAX_PROFILE_BYTES)?;
    let base = profile::extends(&bytes).map(|named| base(path, &named, depth, lines));
    Ok(Source { base, lines, ..Source::file(path, bytes) })
}

/// The base profile, or the reason why it cannot be read; `depth` is the number of profiles that extend it already.
fn base(path: &Path, named: &str, depth: usize, lines: Lines) -> std::result::Result<Box<Source>, String> {
    if depth == MAX_EXTENDS_DEPTH {
        return Err(format!(
            "{} is the {MAX_EXTENDS_DEPTH}th profile of a chain of extends; does the chain loop?",
            path.display()
        ));
    }
    if !named.ends_with(".toml") {
        return Err("the name of a profile ends in .toml".to_owned());
    }
    let base = path.parent().unwrap_or(Path::new("")).join(named);
    // Once one base is outside, all further ones count as outside.
    let lines = match lines {
        Lines::Shown | Lines::Private if is_below(named) => Lines::Shown,
        _ => Lines::Elsewhere,
    };
    file_at(&base, depth + 1, lines).map(Box::new).map_err(|failure| failure.to_string())
}

/// Whether a path stays within its starting directory.
fn is_below(path: &str) -> bool {
    let depth = Path::new(path).components().try_fold(0_usize, |depth, part| match part {
        Component::Normal(_) => Some(depth + 1),
        Component::CurDir => Some(depth),
        Component::ParentDir => depth.checked_sub(1),
        Component::RootDir | Component::Prefix(_) => None,
    });
    depth.is_some()
}

/// Every profile that the command line names, sorted by name.
///
/// # Errors
/// `Exit::Usage` when there is none.
pub fn sources(named: &cli::ProfileNames) -> Result<Vec<Source>> {
    let mut sources: Vec<Source> =
        named.profiles().iter().map(|name| as_written(name)).collect::<Result<_>>()?;
    if let Some(directory) = &named.fleet {
        if disk::look(directory)?.is_none() {
            return Err(Failure::new(Exit::Usage, format!("there is no directory {}", directory.display())));
        }
        if !disk::is_directory(directory) {
            let reason =
                format!("{} is {}, not a directory of profiles", directory.display(), disk::what(directory));
            return Err(Failure::new(Exit::Usage, reason));
        }
        let is_profile = |name: &String| name.ends_with(".toml") && !name.starts_with(['_', '.']);
        for name in disk::list(directory)?.into_iter().filter(is_profile) {
            sources.push(file(&directory.join(name))?);
        }
        if sources.is_empty() {
            let reason = format!(
                "there is no profile in {}: no *.toml that does not begin with _",
                directory.display()
            );
            return Err(Failure::new(Exit::Usage, reason));
        }
    }
    sources.iter_mut().for_each(|source| source.settings.clone_from(&named.settings.set));
    sources.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    Ok(sources)
}

/// Reads and checks profiles that are built together; and the digest of all of them.
///
/// # Errors
/// `Exit::Profile` with all mistakes of all profiles, and with duplicate names.
pub fn profiles<'a>(
    sources: &[Source],
    near: impl Into<Near<'a>>,
    out: &Output,
) -> Result<(Vec<Profile>, Digest)> {
    let near = near.into();
    let store = near.store;
    refuse_missing_store(store)?;
    let available = store.available()?;
    let directory = looked_in(store);
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let read =
        parallel::each(sources, cores.get(), |source| Ok(renewal::read(source, &available, near.keys, out)))?;
    let mut profiles = Vec::with_capacity(sources.len());
    let mut mistakes = Vec::new();
    let mut warned: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for read in read {
        match read {
            Ok((profile, warnings)) => {
                for warning in warnings {
                    let place = match warning.line {
                        Some(line) => format!("{}:{line}", warning.file),
                        None => warning.file,
                    };
                    warned.entry(warning.text).or_insert((place, 0)).1 += 1;
                }
                profiles.push(profile);
            }
            Err(mut wrong) => {
                overlays::add_findings(&mut wrong, near)?;
                mistakes.push(wrong.looked_in(&directory));
            }
        }
    }
    for (text, (place, count)) in warned {
        match count {
            1 => out.warn(format_args!("{place}: {text}")),
            _ => out.warn(format_args!("{place} and {} more: {text}", count - 1)),
        }
    }
    if !mistakes.is_empty() {
        return Err(profile::failure_of_all(&mistakes, colour()));
    }
    check_names(sources, &profiles)?;
    let digests: Vec<_> =
        sources.iter().map(|source| format!("{} {}\n", source.name, source.digest())).collect();
    Ok((profiles, Digest::of(digests.concat().as_bytes())))
}

/// The store's directory, for a message that shows which directory a relative path was resolved to.
fn looked_in(store: &Store) -> String {
    let path = std::path::absolute(store.directory()).unwrap_or_else(|_| store.directory().to_owned());
    path.display().to_string()
}

/// Two profiles of one name would make the same bundle, and two of one cluster would share keys and, where their
/// addresses are the same, an identity.
fn check_names(sources: &[Source], profiles: &[Profile]) -> Result<()> {
    let mut twice = Vec::new();
    for (pair, paths) in profiles.windows(2).zip(sources.windows(2)) {
        if pair[0].name == pair[1].name {
            twice.push(format!(
                "{} and {} have the same name; rename one of them",
                paths[0].path, paths[1].path
            ));
        }
    }
    let mut clusters = BTreeMap::new();
    for (profile, source) in profiles.iter().zip(sources) {
        if let Some(other) = clusters.insert(&profile.cluster.name, &source.path) {
            let name = &profile.cluster.name;
            twice.push(format!(
                "{other} and {} both describe the cluster {name}; change [cluster] name in one of them",
                source.path
            ));
        }
    }
    // Consequences of the same would only hide it.
    if twice.is_empty() {
        twice = profile::clashes(profiles);
    }
    match twice.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(Exit::Profile, twice.join("\n       "))),
    }
}

/// # Errors
/// `Exit::Usage` for an artifact store that was named and is not there. Without the usual one nothing is imported yet.
fn refuse_missing_store(store: &Store) -> Result<()> {
    let directory = store.directory();
    if directory == Path::new("artifacts") || disk::look(directory)?.is_some() {
        return Ok(());
    }
    let shown = directory.display();
    let reason = format!(
        "there is no artifact store {shown}; correct the path, or create it with kiln artifacts add --artifacts {shown} FILE…"
    );
    Err(Failure::new(Exit::Usage, reason))
}

/// Reads and checks a profile; warnings go to stderr.
pub fn profile<'a>(
    name: &str,
    settings: &cli::Settings,
    near: impl Into<Near<'a>>,
    out: &Output,
) -> Result<Profile> {
    let near = near.into();
    let store = near.store;
    let source = source(name, settings)?;
    refuse_missing_store(store)?;
    match renewal::read(&source, &store.available()?, near.keys, out) {
        Ok((profile, warnings)) => {
            for warning in warnings {
                match warning.line {
                    Some(line) => out.warn(format_args!("{}:{line}: {}", warning.file, warning.text)),
                    None => out.warn(format_args!("{}: {}", warning.file, warning.text)),
                }
            }
            Ok(profile)
        }
        Err(mut mistakes) => {
            overlays::add_findings(&mut mistakes, near)?;
            Err(mistakes.looked_in(&looked_in(store)).into_failure(colour()))
        }
    }
}

/// The checksums in `[etcd] sha256` of a profile. No release need be in the store: this is how the first one gets
/// there.
///
/// # Errors
/// `Exit::Profile` with the mistakes of the profile.
pub fn pins(name: &str, settings: &cli::Settings, store: &Store) -> Result<Vec<Digest>> {
    let source = source(name, settings)?;
    let mut available = store.available()?;
    if let Some((_, newest)) = keys::known_releases().iter().max() {
        available.extend(Arch::ALL.map(|arch| (*newest, arch)));
    }
    match profile::read(&source, &available, carrier::all()) {
        Ok((profile, _)) => Ok(profile.etcd.sha256),
        Err(mistakes) => Err(mistakes.into_failure(colour())),
    }
}

/// `SOURCE_DATE_EPOCH` (reproducible-builds.org), where it is set.
///
/// # Errors
/// `Exit::Usage` when it is not a valid time.
fn source_date_epoch() -> Result<Option<Epoch>> {
    let Some(text) = environ::even_empty("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let refuse = |reason: String| Failure::new(Exit::Usage, format!("SOURCE_DATE_EPOCH: {reason}"));
    let seconds: Option<u64> =
        text.to_str().filter(|t| t.bytes().all(|b| b.is_ascii_digit())).and_then(|t| t.parse().ok());
    let seconds = seconds.ok_or_else(|| refuse("it must be a count of seconds since 1970".into()))?;
    Epoch::from_seconds(seconds).map(Some).map_err(|error| refuse(error.to_string()))
}

/// The date that is written into a keystore: the requested one, else `SOURCE_DATE_EPOCH`, else now.
///
/// # Errors
/// `Exit::Unsafe` for a date in the future.
pub fn date_of_issue(given: Option<Epoch>) -> Result<Epoch> {
    let asked = match given {
        Some(date) => Some(date),
        None => source_date_epoch()?,
    };
    build::date_of_issue(asked)
}

/// The directory in which `ci/base` makes base systems.
pub fn bases() -> Bases {
    let lab = environ::value("KILN_LAB").map_or_else(|| PathBuf::from("target/lab"), PathBuf::from);
    Bases { lab }
}

/// The inputs of a build, from the command line and the environment.
///
/// # Errors
/// Those of [`source_date_epoch`].
pub fn options(args: &cli::BuildInputs) -> Result<Options> {
    Ok(Options {
        artifacts: args.store.artifacts.clone(),
        overlays: args.overlays.clone(),
        base: args.base.clone(),
        bases: bases(),
        needs_base: true,
        jobs: args.jobs,
        epoch: source_date_epoch()?,
    })
}
