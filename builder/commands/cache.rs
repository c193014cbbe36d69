//! `kiln cache show` and `prune`, and where the cache is.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::output::Output;
use crate::cache::{Cache, LIMIT};
use crate::cli;
use crate::clock;
use crate::disk;
use crate::environ;
use crate::failure::{Exit, Failure, Result};

/// Where it is: as the command line or `KILN_CACHE` says, else where caches are (XDG Base Directory Specification).
/// `None` where there is no home to have one in.
fn directory(given: Option<&Path>) -> Result<Option<PathBuf>> {
    if let Some(given) = given {
        return Ok(Some(given.to_owned()));
    }
    let named = |name: &str| environ::value(name).map(PathBuf::from);
    // The specification wants paths that are not absolute to be ignored.
    if let Some(caches) = named("XDG_CACHE_HOME").filter(|path| path.is_absolute()) {
        return Ok(Some(caches.join("kiln")));
    }
    match named("HOME").filter(|home| home.is_absolute()) {
        // A home that is not there is not made.
        Some(home) if disk::look(&home)?.is_some() => Ok(Some(home.join(".cache/kiln"))),
        _ => Ok(None),
    }
}

/// Where the cache is that builds use; `None` where they use none.
pub fn place(args: &cli::Cache) -> Result<Option<PathBuf>> {
    if args.no_cache { Ok(None) } else { directory(args.cache.as_deref()) }
}

/// The cache that builds use.
///
/// # Errors
/// `Exit::Unsafe` when others may write to it, `Exit::Io` when it cannot be made.
fn open(args: &cli::Cache) -> Result<Option<Cache>> {
    place(args)?.map(|path| Cache::open(&path, clock::now())).transpose()
}

/// The same; one that cannot be used is said so, and is none.
pub fn opened(args: &cli::Cache, out: &Output) -> Option<Cache> {
    open(args).unwrap_or_else(|failure| {
        out.warn(failure);
        None
    })
}

pub fn run(verb: &cli::CacheVerb, out: &Output) -> Result<()> {
    let (cli::CacheVerb::Show { cache, json } | cli::CacheVerb::Prune { cache, json, .. }) = verb;
    let Some(path) = directory(cache.as_deref())? else {
        let reason = "there is no place for a cache: name one with --cache or KILN_CACHE";
        return Err(Failure::new(Exit::Usage, reason));
    };
    let cache = Cache::at(&path);
    match verb {
        cli::CacheVerb::Show { .. } => {
            let held = cache.held()?;
            if *json {
                return out.json(&json!({ "cache": path, "limit": LIMIT, "held": held }));
            }
            let total: u64 = held.iter().map(|held| held.bytes).sum();
            let lines: Vec<_> = held
                .iter()
                .map(|held| format!("\n  {:<8} {:>6} {:>12} bytes", held.of, held.entries, held.bytes))
                .collect();
            out.print(format_args!("{}: {total} of {LIMIT} bytes{}", path.display(), lines.concat()))
        }
        cli::CacheVerb::Prune { max_size, .. } => {
            let pruned = cache.prune(*max_size, clock::now())?;
            if *json {
                return out.json(&pruned);
            }
            out.print(format_args!(
                "{}: removed {} {} of {} bytes; {} bytes are left",
                path.display(),
                pruned.removed,
                if pruned.removed == 1 { "entry" } else { "entries" },
                pruned.removed_bytes,
                pruned.kept_bytes
            ))
        }
    }
}
