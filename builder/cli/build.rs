//! Verbs that make bundles and look into them.

use std::path::PathBuf;

use clap::Args;

use super::inputs::{BuildInputs, Keys, One, ProfileNames, Settings, Store, any_of};

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kiln build ha3\n  kiln build --fleet sites --out out/sites")]
pub struct Build {
    #[command(flatten)]
    pub source: ProfileNames,
    /// The directory of the bundle [default: out/PROFILE], or of the fleet [default: out/ and the name of its
    /// directory; out/fleet for several profiles]
    #[arg(long, short, value_name = "DIR", env = "KILN_OUT")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub inputs: BuildInputs,
}

#[derive(Args, Debug)]
#[command(group = any_of(["bundle", "profile", "fleet"]))]
#[command(after_help = "Examples:\n  kiln check --profile ha3\n  kiln check out/ha3")]
pub struct Check {
    /// A finished bundle or fleet: its digests, modes, IDs, certificates and programs are compared with the manifest
    #[arg(conflicts_with_all = ["profile", "fleet", "set"])]
    pub bundle: Option<PathBuf>,
    /// A profile's name or file, as for build; may be repeated
    #[arg(long, short, value_name = "NAME|FILE")]
    pub profile: Vec<String>,
    /// Every profile in this directory, as for build
    #[arg(long, value_name = "DIR", conflicts_with = "profile")]
    pub fleet: Option<PathBuf>,
    #[command(flatten)]
    pub settings: Settings,
    #[command(flatten)]
    pub inputs: BuildInputs,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kiln plan ha3\n  kiln plan ./berlin.toml --json")]
pub struct Plan {
    #[command(flatten)]
    pub source: One,
    #[command(flatten)]
    pub keys: Keys,
    #[command(flatten)]
    pub store: Store,
    /// An overlay directory, as for build; may be repeated
    #[arg(long, value_name = "DIR", env = "KILN_OVERLAYS")]
    pub overlays: Vec<PathBuf>,
    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kiln show out/ha3 cp-a\n  kiln show out/ha3 --files")]
pub struct Show {
    /// The directory of the bundle
    pub bundle: PathBuf,
    /// A node: list every file in its archives
    pub node: Option<String>,
    /// List every file of the nodes, or of one, with mode, owner, destination and source
    #[arg(long)]
    pub files: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kiln join shard-1 shard-2 --out out/sites\n  kiln join shards/* --out out/sites"
)]
pub struct Join {
    /// The directories built by kiln build --shard 1/N to N/N
    #[arg(required = true, value_name = "SHARD")]
    pub parts: Vec<PathBuf>,
    /// The directory of the fleet
    #[arg(long, short, value_name = "DIR", env = "KILN_OUT")]
    pub out: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}
