//! `kiln cache show` and `prune`, and the location of the cache.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::output::Output;
use crate::cache::{Cache, DEFAULT_MAX_BYTES};
use crate::cli;
use crate::clock;
use crate::failure::{Exit, Failure, Result};
use crate::xdg;

/// The location of the cache: from the command line or `KILN_CACHE`, else the user's cache directory. `None` where
/// there is no home directory.
fn directory(given: Option<&Path>) -> Result<Option<PathBuf>> {
    match given {
        Some(given) => Ok(Some(given.to_owned())),
        None => xdg::directory("XDG_CACHE_HOME", ".cache"),
    }
}

/// The location of the cache that builds use; `None` where they use none.
pub fn place(args: &cli::Cache) -> Result<Option<PathBuf>> {
    if args.no_cache { Ok(None) } else { directory(args.cache.as_deref()) }
}

/// # Errors
/// `Exit::Unsafe` when the cache that the command line names is in a directory of something else. The default one
/// causes a warning when it is opened.
pub fn refuse_foreign(args: &cli::Cache) -> Result<()> {
    match &args.cache {
        Some(path) if !args.no_cache => Cache::refuse_foreign(path),
        _ => Ok(()),
    }
}

/// The cache that builds use.
///
/// # Errors
/// `Exit::Unsafe` when others may write to it, `Exit::Io` when it cannot be made.
fn open(args: &cli::Cache) -> Result<Option<Cache>> {
    place(args)?.map(|path| Cache::open(&path, clock::now())).transpose()
}

/// The same; a cache that cannot be used causes a warning, and `None`.
pub fn opened(args: &cli::Cache, out: &Output) -> Option<Cache> {
    open(args).unwrap_or_else(|failure| {
        out.warn(failure);
        None
    })
}

pub fn run(verb: &cli::CacheVerb, out: &Output) -> Result<()> {
    let (cli::CacheVerb::Show { cache, json } | cli::CacheVerb::Prune { cache, json, .. }) = verb;
    let Some(path) = directory(cache.as_deref())? else {
        let reason = "there is no cache directory; name one with --cache or KILN_CACHE";
        return Err(Failure::new(Exit::Usage, reason));
    };
    Cache::refuse_foreign(&path)?;
    let cache = Cache::at(&path);
    match verb {
        cli::CacheVerb::Show { .. } => {
            let held = cache.held()?;
            if *json {
                return out.json(&json!({ "cache": path, "limit": DEFAULT_MAX_BYTES, "held": held }));
            }
            let total: u64 = held.iter().map(|held| held.bytes).sum();
            let lines: Vec<_> = held
                .iter()
                .map(|held| format!("\n  {:<8} {:>6} {:>12} bytes", held.of, held.entries, held.bytes))
                .collect();
            out.print(format_args!(
                "{}: {total} of {DEFAULT_MAX_BYTES} bytes{}",
                path.display(),
                lines.concat()
            ))
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
