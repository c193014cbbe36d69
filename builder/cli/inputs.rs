//! Arguments that several verbs share: profiles, stores, keystores, the cache.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{ArgGroup, Args};

use crate::values::{Setting, Shard};

/// At least one of these has to be given; the arguments themselves say which exclude each other.
pub fn any_of<const N: usize>(arguments: [&'static str; N]) -> ArgGroup {
    ArgGroup::new("what").required(true).multiple(true).args(arguments)
}

/// A count of bytes, with K, M or G for the powers of 1024.
pub fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(['K', 'M', 'G']);
    let unit = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err("a size has at most one unit: K, M or G".into()),
    };
    let number: u64 =
        digits.parse().map_err(|_| "a size is a number of bytes, as in 512M or 1G".to_owned())?;
    number.checked_mul(1 << unit).ok_or_else(|| "that is too large".to_owned())
}

fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "write a whole number of 1 or more".to_owned())
}

/// Keys of the profile that are set on the command line.
#[derive(Args, Clone, Debug, Default)]
pub struct Settings {
    /// Set a key of the profile, as in etcd.version=3.5.16 or machine.memory-mib=2048; takes precedence over the
    /// file; may be repeated. A list is written as in TOML, a relative path starts here
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<Setting>,
}

/// One profile, several, or a directory of them.
#[derive(Args, Debug)]
#[command(group = any_of(["profile", "named", "fleet"]))]
pub struct ProfileNames {
    /// A profile: the name of ./profiles/NAME.toml or of a built-in profile, or a file (with a / or ending in .toml).
    /// Several profiles are built as a fleet
    #[arg(long, short, value_name = "NAME|FILE")]
    pub profile: Vec<String>,
    /// Same as --profile
    #[arg(value_name = "PROFILE", conflicts_with_all = ["profile", "fleet"])]
    pub named: Vec<String>,
    /// Every profile in this directory: *.toml, except names that begin with _, which are bases for others
    #[arg(long, value_name = "DIR", conflicts_with = "profile")]
    pub fleet: Option<PathBuf>,
    /// Build only this shard of the fleet, as in 3/16; `kiln join` merges the shards
    #[arg(long, value_name = "K/N")]
    pub shard: Option<Shard>,
    #[command(flatten)]
    pub settings: Settings,
}

impl ProfileNames {
    /// The profiles, in whichever way they are named.
    pub fn profiles(&self) -> &[String] {
        if self.named.is_empty() { &self.profile } else { &self.named }
    }
}

/// One profile.
#[derive(Args, Debug)]
#[command(group = any_of(["profile", "named"]))]
pub struct One {
    /// A profile: the name of ./profiles/NAME.toml or of a built-in profile, or a file (with a / or ending in .toml)
    #[arg(long, short, value_name = "NAME|FILE")]
    profile: Option<String>,
    /// Same as --profile
    #[arg(value_name = "PROFILE", conflicts_with = "profile")]
    named: Option<String>,
    #[command(flatten)]
    pub settings: Settings,
}

impl One {
    /// The profile, in whichever way it is named.
    pub fn name(&self) -> &str {
        self.named.as_deref().or(self.profile.as_deref()).unwrap_or_default()
    }
}

/// The build cache.
#[derive(Args, Debug)]
pub struct Cache {
    /// The build cache [default: $XDG_CACHE_HOME/kiln, else ~/.cache/kiln]
    #[arg(long, value_name = "DIR", env = "KILN_CACHE")]
    pub cache: Option<PathBuf>,
    /// Neither read nor write the build cache
    #[arg(long, conflicts_with = "cache", env = "KILN_NO_CACHE", value_parser = clap::builder::FalseyValueParser::new())]
    pub no_cache: bool,
}

/// The artifact store.
#[derive(Args, Debug)]
pub struct Store {
    /// The artifact store with the imported etcd releases
    #[arg(long, value_name = "DIR", default_value = "artifacts", env = "KILN_ARTIFACTS")]
    pub artifacts: PathBuf,
}

/// The keystore of a cluster, or the directory with those of several.
#[derive(Args, Debug)]
pub struct Keys {
    /// The keystore of the cluster [default: keystore/CLUSTER], or the directory that holds those of several, each
    /// with its cluster's name [default: keystore]
    #[arg(long, value_name = "DIR", env = "KILN_KEYSTORE")]
    pub keystore: Option<PathBuf>,
}

/// What a bundle is built from, besides the profile.
#[derive(Args, Debug)]
pub struct BuildInputs {
    #[command(flatten)]
    pub keys: Keys,
    #[command(flatten)]
    pub store: Store,
    #[command(flatten)]
    pub cache: Cache,
    /// How many nodes or clusters are built at once [default: one per core]
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<NonZeroUsize>,
    /// An overlay directory, applied after those of the profile; may be repeated
    #[arg(long, value_name = "DIR", env = "KILN_OVERLAYS")]
    pub overlays: Vec<PathBuf>,
    /// The base system for boot files: a directory, or the name (live) of one in $KILN_LAB/base or target/lab/base
    /// [default: the profile's [machine] base]
    #[arg(long, value_name = "NAME|DIR", env = "KILN_BASE")]
    pub base: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// Whether the programs of a bundle may run on this machine.
#[derive(Args, Debug)]
pub struct Trust {
    /// The artifact store that the bundle's programs are compared with before they run here [default: artifacts, if
    /// it exists]
    #[arg(long, value_name = "DIR", env = "KILN_ARTIFACTS")]
    pub artifacts: Option<PathBuf>,
    /// Run the bundle's programs even if the artifact store has different ones for this release
    #[arg(long)]
    pub allow_unverified: bool,
}
