//! What several verbs begin with: the profile, the store, the keystore, the overlays, the epoch.

use std::path::{Path, PathBuf};

use super::output::{Output, colour};
use crate::artifact::Store;
use crate::clock;
use crate::disk;
use crate::failure::{Exit, Failure, Result};
use crate::pki::Keystore;
use crate::plan::{self, Plan};
use crate::profile::{self, Profile, Source};
use crate::render::{self, Overlay};
use crate::values::{ClusterName, Epoch, Lifetime, Token};

/// Finds a profile by DESIGN's rule: something with a `/` or ending in `.toml` is a file; a name is looked for
/// in ./profiles, then among those that Kiln carries.
pub fn source(name: &str) -> Result<Source> {
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
            path: format!("{name} (a profile that kiln carries)"),
            bytes: text.as_bytes().to_vec(),
            directory: PathBuf::new(),
        }),
        None => {
            let known: Vec<_> = profile::names().collect();
            Err(Failure::new(
                Exit::Usage,
                format!(
                    "there is no profile {name:?}: neither {} nor one that kiln carries ({}); name a file with a / or ending in .toml",
                    local.display(),
                    known.join(", ")
                ),
            ))
        }
    }
}

fn file(path: &Path) -> Result<Source> {
    // One byte more than the limit, so that the desk can say itself that the file is too large.
    let bytes = match disk::look(path)? {
        Some(found) if found.size > profile::LIMIT => {
            let reason = format!("it has {} bytes; a profile has at most {}", found.size, profile::LIMIT);
            return Err(
                Failure::new(Exit::Profile, reason).while_doing(format!("reading {}", path.display()))
            );
        }
        _ => disk::read(path, profile::LIMIT)?,
    };
    Ok(Source::file(path, bytes))
}

/// Reads and checks a profile; warnings go to stderr. `json` chooses the form of its mistakes.
pub fn profile(name: &str, store: &Store, out: &Output, json: bool) -> Result<Profile> {
    let source = source(name)?;
    match profile::read(&source, &store.available()?) {
        Ok((profile, warnings)) => {
            for warning in warnings {
                match warning.line {
                    Some(line) => out.warn(format_args!("{}:{line}: {}", source.path, warning.text)),
                    None => out.warn(format_args!("{}: {}", source.path, warning.text)),
                }
            }
            Ok(profile)
        }
        Err(mistakes) => {
            if json {
                out.json(&mistakes)?;
            }
            Err(mistakes.into_failure(colour()))
        }
    }
}

/// Where a cluster's keystore is unless the command line says otherwise.
pub fn keystore_path(given: Option<&PathBuf>, cluster: &ClusterName) -> PathBuf {
    given.cloned().unwrap_or_else(|| Path::new("keystore").join(cluster.as_str()))
}

/// The cluster's keystore; `None` when there is none yet.
pub fn keystore(path: &Path, cluster: &ClusterName) -> Result<Option<Keystore>> {
    match disk::look(path)? {
        Some(_) => Keystore::open(path, cluster).map(Some),
        None => Ok(None),
    }
}

/// The plan of a profile, with what its keystore remembers. Without one any token serves: what follows from it is not
/// shown.
pub fn plan(profile: &Profile, keystore: Option<&Keystore>) -> Plan {
    let token = keystore.map_or_else(Token::placeholder, |keystore| keystore.token().clone());
    let mut plan = plan::resolve(profile, &token);
    plan.cluster.formed |= keystore.is_some_and(|keystore| keystore.is_sealed(&plan.cluster.token));
    plan
}

/// Kiln's own overlays, the profile's, then those of the command line.
pub fn overlays(profile: &Profile, more: &[PathBuf]) -> Result<Vec<Overlay>> {
    let mut overlays = render::embedded()?;
    for directory in profile.bundle.overlays.iter().chain(more) {
        overlays.push(render::load(directory)?);
    }
    Ok(overlays)
}

/// `SOURCE_DATE_EPOCH` (reproducible-builds.org), where it is set.
///
/// # Errors
/// `Exit::Profile` when it is not a time that Kiln can write down.
pub fn source_date_epoch() -> Result<Option<Epoch>> {
    let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let refuse = |reason: String| Failure::new(Exit::Profile, format!("SOURCE_DATE_EPOCH: {reason}"));
    let seconds: Option<u64> =
        text.to_str().filter(|t| t.bytes().all(|b| b.is_ascii_digit())).and_then(|t| t.parse().ok());
    let seconds = seconds.ok_or_else(|| refuse("it must be a count of seconds since 1970".into()))?;
    Epoch::from_seconds(seconds).map(Some).map_err(|error| refuse(error.to_string()))
}

/// The date that is written into a keystore: given, else `SOURCE_DATE_EPOCH`, else now.
///
/// # Errors
/// `Exit::Unsafe` for a date that is still to come: no node would take the certificates, and the next issue
/// would have to be later still.
pub fn date_of_issue(given: Option<Epoch>) -> Result<Epoch> {
    let date = match given {
        Some(date) => Some(date),
        None => source_date_epoch()?,
    };
    let Some(date) = date else { return Ok(clock::now()) };
    // Clocks of two machines may differ by a time zone's mistake.
    if date > clock::now().plus(Lifetime::days(1)) {
        let reason =
            format!("the date of issue {date} is still to come; no node would take the certificates");
        return Err(Failure::unsafe_to(reason));
    }
    Ok(date)
}
