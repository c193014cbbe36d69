//! The command line: clap's types and the help texts.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};

use crate::carrier;
use crate::host::{self, Accel, Connect, DriverName};
use crate::values::{Carrier, Digest, Epoch, NodeName, Shard};

/// Bakes etcd nodes offline: one TOML profile in, payloads that machines boot from as a formed TLS cluster out.
#[derive(Parser, Debug)]
#[command(name = "kiln", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(
    after_help = "Exit codes: 0 done; 1 the cluster or bundle is not what it should be; 2 usage; 3 the profile is \
wrong; 4 an artifact or certificate cannot be trusted; 5 input/output; 6 refused because it would be unsafe; \
7 locked by another run; 130 interrupted.\nResults go to stdout, messages to stderr."
)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Verb,

    /// Print only results, warnings and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Make the bundle that a profile describes
    Build(Build),
    /// Make every check that build makes, or check a finished bundle; writes nothing
    Check(Check),
    /// Print the resolved cluster: nodes, URLs, IDs, certificates, configuration
    Plan(Plan),
    /// Print the files of a bundle as they are there; with a node, what its archives hold, down to modes and owners
    Show(Show),
    /// Form the cluster here, from the baked bytes, in network namespaces, and verify it
    Rehearse(Rehearse),
    /// Start the cluster's machines here, and return when it has formed; a second time, continue
    Up(Up),
    /// Print where each machine that up started stands
    Status(Status),
    /// Follow what a machine writes to its console, until Ctrl-C
    Console(Console),
    /// End the machines that up started; their disks stay
    Down(Down),
    /// Write down in the keystore that the cluster has formed, so that no later build founds it anew
    Seal(Seal),
    /// Check that the running cluster matches the bundle; writes test keys and deletes them again
    Verify(Verify),
    /// Run the baked etcdctl with the right endpoints and certificates
    Etcdctl(Etcdctl),
    /// Put the parts of a fleet, built apart, together
    Join(Join),
    /// Send a bundle to an OCI registry; what the registry has already is not sent again
    Push(Push),
    /// Fetch a bundle from an OCI registry, whole or not at all
    Pull(Pull),
    /// Import etcd releases for offline use
    #[command(subcommand)]
    Artifacts(Artifacts),
    /// Look at what earlier builds have left for later ones, or make it smaller
    #[command(subcommand)]
    Cache(CacheVerb),
    /// Make, renew and look at a cluster's keys
    #[command(subcommand)]
    Keystore(Keystore),
}

#[derive(Args, Debug)]
#[command(group = any_of(["profile", "named", "fleet"]))]
pub struct Source {
    /// A profile's name (./profiles/NAME.toml, then those that kiln carries) or a file (with a / or ending in .toml);
    /// given several times, all of them are built as a fleet
    #[arg(long, short, value_name = "NAME|FILE")]
    pub profile: Vec<String>,
    /// The same as --profile
    #[arg(value_name = "PROFILE", conflicts_with_all = ["profile", "fleet"])]
    pub named: Vec<String>,
    /// Every profile in this directory: *.toml, but for those whose names begin with _, which others extend
    #[arg(long, value_name = "DIR", conflicts_with = "profile")]
    pub fleet: Option<PathBuf>,
    /// Only this part of the fleet, as in 3/16; kiln join puts the parts together
    #[arg(long, value_name = "K/N")]
    pub shard: Option<Shard>,
}

impl Source {
    /// The profiles, in whichever way they are named.
    pub fn profiles(&self) -> &[String] {
        if self.named.is_empty() { &self.profile } else { &self.named }
    }
}

#[derive(Args, Debug)]
pub struct Cache {
    /// Where earlier builds have left what later ones need not make again [default: $KILN_CACHE, else
    /// $XDG_CACHE_HOME/kiln, else ~/.cache/kiln]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Neither use the cache nor add to it
    #[arg(long, conflicts_with = "cache")]
    pub no_cache: bool,
}

#[derive(Subcommand, Debug)]
pub enum CacheVerb {
    /// Print how much of what is in the cache
    Show {
        /// The cache's directory [default: $KILN_CACHE, else $XDG_CACHE_HOME/kiln, else ~/.cache/kiln]
        #[arg(long, value_name = "DIR")]
        cache: Option<PathBuf>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove what has not been used for the longest time
    Prune {
        /// The cache's directory [default: $KILN_CACHE, else $XDG_CACHE_HOME/kiln, else ~/.cache/kiln]
        #[arg(long, value_name = "DIR")]
        cache: Option<PathBuf>,
        /// How many bytes may be left, as in 0, 512M or 1G
        #[arg(long, value_name = "SIZE", default_value = "0", value_parser = size)]
        max_size: u64,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}

/// What it is about has to be said in one of these ways; the arguments themselves say which exclude each other.
fn any_of<const N: usize>(arguments: [&'static str; N]) -> ArgGroup {
    ArgGroup::new("what").required(true).multiple(true).args(arguments)
}

/// A count of bytes, with K, M or G for the powers of 1024.
fn size(text: &str) -> Result<u64, String> {
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
    text.parse().map_err(|_| "it takes a whole number from 1 on".to_owned())
}

#[derive(Args, Debug)]
pub struct Join {
    /// The directories that kiln build --shard 1/N to N/N made
    #[arg(required = true, value_name = "PART")]
    pub parts: Vec<PathBuf>,
    /// The fleet's directory
    #[arg(long, short, value_name = "DIR")]
    pub out: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// One profile.
#[derive(Args, Debug)]
#[command(group = any_of(["profile", "named"]))]
pub struct One {
    /// A profile's name (./profiles/NAME.toml, then those that kiln carries) or a file (with a / or ending in .toml)
    #[arg(long, short, value_name = "NAME|FILE")]
    profile: Option<String>,
    /// The same as --profile
    #[arg(value_name = "PROFILE", conflicts_with = "profile")]
    named: Option<String>,
}

impl One {
    /// The profile, in whichever way it is named.
    pub fn name(&self) -> &str {
        self.named.as_deref().or(self.profile.as_deref()).unwrap_or_default()
    }
}

#[derive(Args, Debug)]
pub struct Store {
    /// Where imported etcd releases are kept
    #[arg(long, value_name = "DIR", default_value = "artifacts")]
    pub artifacts: PathBuf,
}

#[derive(Args, Debug)]
pub struct Keys {
    /// The cluster's keystore [default: keystore/<cluster name>]; of several clusters, the directory with theirs
    /// [default: keystore]
    #[arg(long, value_name = "DIR")]
    pub keystore: Option<PathBuf>,
}

/// Where the things are that a bundle is made of, besides the profile.
#[derive(Args, Debug)]
pub struct BuildInputs {
    #[command(flatten)]
    pub keys: Keys,
    #[command(flatten)]
    pub store: Store,
    #[command(flatten)]
    pub cache: Cache,
    /// How many nodes or clusters are made at once [default: one per core]
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<NonZeroUsize>,
    /// Another overlay directory, after those of the profile; may be given several times
    #[arg(long, value_name = "DIR")]
    pub overlays: Vec<PathBuf>,
    /// A base system, by its name (live) or directory, whose kernel and initrd the bundle's boot files are made of
    /// [default: the profile's [machine] base]; a name is one of $KILN_LAB/base or target/lab/base
    #[arg(long, value_name = "NAME|DIR")]
    pub base: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Build {
    #[command(flatten)]
    pub source: Source,
    /// The bundle's directory [default: out/<profile name>], or the fleet's [default: out/<name of --fleet's directory>]
    #[arg(long, short, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub inputs: BuildInputs,
}

#[derive(Args, Debug)]
#[command(group = any_of(["bundle", "profile", "fleet"]))]
pub struct Check {
    /// A finished bundle or fleet: its digests, modes, IDs, certificates and programs are compared with its manifest
    #[arg(conflicts_with_all = ["profile", "fleet"])]
    pub bundle: Option<PathBuf>,
    /// A profile's name or file, as for build; may be given several times
    #[arg(long, short, value_name = "NAME|FILE")]
    pub profile: Vec<String>,
    /// Every profile in this directory, as for build
    #[arg(long, value_name = "DIR", conflicts_with = "profile")]
    pub fleet: Option<PathBuf>,
    #[command(flatten)]
    pub inputs: BuildInputs,
}

#[derive(Args, Debug)]
pub struct Plan {
    #[command(flatten)]
    pub source: One,
    #[command(flatten)]
    pub keys: Keys,
    #[command(flatten)]
    pub store: Store,
    /// Another overlay directory, as for build
    #[arg(long, value_name = "DIR")]
    pub overlays: Vec<PathBuf>,
    /// Print the plan as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Show {
    pub bundle: PathBuf,
    /// One node, with every file in its archives
    pub node: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// How far the programs of a bundle are trusted to run on this machine.
#[derive(Args, Debug)]
pub struct Trust {
    /// The artifact store that the bundle's programs are compared with before they run here [default: artifacts, where
    /// it is there]
    #[arg(long, value_name = "DIR")]
    pub artifacts: Option<PathBuf>,
    /// Run the bundle's programs though the artifact store has others for this release
    #[arg(long)]
    pub allow_unverified: bool,
}

#[derive(Args, Debug)]
pub struct Rehearse {
    #[arg(required_unless_present = "inside")]
    pub bundle: Option<PathBuf>,
    /// Hold the cluster until Ctrl-C and print the command that enters it
    #[arg(long)]
    pub keep: bool,
    /// Seconds until the cluster must have formed
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub deadline: u64,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Also write the report as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    #[command(flatten)]
    pub trust: Trust,
    /// The half that runs inside the namespaces
    #[arg(long, hide = true, value_name = "DIR")]
    pub inside: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Up {
    pub bundle: PathBuf,
    /// What runs the machines: QEMU by itself (needs root for the network), or libvirt [default: what they were made with,
    /// else qemu]
    #[arg(long, value_parser = host::drivers())]
    pub driver: Option<DriverName>,
    /// How a machine is given its files [default: what they were made with, else initramfs]
    #[arg(long, value_parser = carrier::of_machines())]
    pub carrier: Option<Carrier>,
    /// auto takes KVM when a guest really starts in it
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    pub accel: Accel,
    /// The base system: a directory as ci/base makes them, one of those by its name (live), or a disk image with a boot loader
    /// [default: the profile's, else that of the carrier in $KILN_LAB/base or target/lab/base]
    #[arg(long, value_name = "PATH")]
    pub base: Option<PathBuf>,
    /// libvirt's address, on this host [default: what they were made with, else qemu:///system]
    #[arg(long, value_name = "URI")]
    pub connect: Option<Connect>,
    /// Start this node's machine only, and wait for its member only; may be given more than once
    #[arg(long, value_name = "NODE")]
    pub node: Vec<NodeName>,
    #[command(flatten)]
    pub trust: Trust,
    /// Return once the machines run, without waiting for the cluster
    #[arg(long)]
    pub no_wait: bool,
    /// Seconds until the cluster must have formed
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub deadline: u64,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Status {
    pub bundle: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub trust: Trust,
}

#[derive(Args, Debug)]
pub struct Console {
    pub bundle: PathBuf,
    pub node: NodeName,
}

#[derive(Args, Debug)]
pub struct Down {
    pub bundle: PathBuf,
    /// Also remove their disks, etcd's data among them
    #[arg(long)]
    pub purge: bool,
    /// Do not ask
    #[arg(long, requires = "purge")]
    pub yes: bool,
}

#[derive(Args, Debug)]
#[command(
    after_help = "A node whose disk comes back empty asks its peers whether the cluster has formed, and kiln up tells \
it what the host remembers. For machines that kiln up does not start, seal the cluster once it has formed and build \
again: where a sealed build's node has an empty disk and no peer answers, it waits and founds nothing. To found a new \
cluster in its place, make another keystore. The seal records the members, the cluster ID, the CA and the release of the \
bundle: what does not fit them is not built any more. Seal a later bundle when all members run its minor release of etcd."
)]
pub struct Seal {
    /// The bundle that the cluster's nodes run
    pub bundle: PathBuf,
    /// The keystore was sealed by a Kiln that did not record what the cluster is: record it from this bundle
    #[arg(long)]
    pub adopt: bool,
    #[command(flatten)]
    pub keys: Keys,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Besides what is read, a key below kiln/verify/ is written through each member, read at the others and \
deleted; etcd deletes it after a minute if kiln cannot. Exit code 1: something differs, or was not checked."
)]
pub struct Verify {
    pub bundle: PathBuf,
    /// Write nothing: leave out the checks that need test keys
    #[arg(long)]
    pub read_only: bool,
    #[command(flatten)]
    pub trust: Trust,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Also write the report as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(
    after_help = "ETCDCTL_* and proxy variables of the environment are not passed on: etcdctl gets this bundle's endpoints \
and certificates, unless an argument gives others. The exit code is etcdctl's own, or 128 and the number of the signal that ended \
it; errors of Kiln itself keep Kiln's. A snapshot is taken of the leader."
)]
pub struct Etcdctl {
    pub bundle: PathBuf,
    #[command(flatten)]
    pub trust: Trust,
    /// What etcdctl is to do, as in: member list -w table
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub arguments: Vec<String>,
}

/// How a registry is reached.
#[derive(Args, Debug)]
pub struct Registry {
    /// The user's name [default: what docker login or podman login wrote down]
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub username: Option<String>,
    /// A file whose one line is that user's password
    #[arg(long, value_name = "FILE", requires = "username")]
    pub password_file: Option<PathBuf>,
    /// Trust the CAs in this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Speak HTTP without TLS: everyone on the way can read the nodes' private keys (loopback addresses need no leave)
    #[arg(long, conflicts_with = "ca_file")]
    pub plain_http: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
#[command(
    after_help = "A bundle holds its nodes' private keys: whoever can read the repository has them. Credentials come from \
$REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json or $HOME/.docker/config.json, whichever is set first; credential helpers \
are not asked."
)]
pub struct Push {
    pub bundle: PathBuf,
    /// oci://HOST[:PORT]/REPOSITORY:TAG
    #[arg(value_name = "ADDRESS")]
    pub to: String,
    #[command(flatten)]
    pub registry: Registry,
}

#[derive(Args, Debug)]
#[command(after_help = "Credentials are found as for kiln push.")]
pub struct Pull {
    /// oci://HOST[:PORT]/REPOSITORY:TAG, or …@sha256:DIGEST for exactly one bundle
    #[arg(value_name = "ADDRESS")]
    pub from: String,
    /// The bundle's directory [default: out/<the repository's last part>]
    #[arg(long, short, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub registry: Registry,
}

#[derive(Subcommand, Debug)]
pub enum Artifacts {
    /// Check release tarballs or Debian packages (etcd-server and etcd-client) and keep their binaries
    Add {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        store: Store,
        /// Accept files that no catalogue knows, once; their digests are recorded
        #[arg(long)]
        trust: bool,
        /// Accept a file with this SHA-256; may be given several times
        #[arg(long, value_name = "HEX")]
        sha256: Vec<Digest>,
        /// Accept the digests that this profile's [etcd] sha256 pins
        #[arg(long, short, value_name = "NAME|FILE")]
        profile: Option<String>,
        /// Put other binaries in the place of those of the same release
        #[arg(long)]
        replace: bool,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print what is in the store
    List {
        #[command(flatten)]
        store: Store,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand, Debug)]
pub enum Keystore {
    /// Make a keystore: a secret from the kernel, or from a seed that two people share
    Init {
        /// The cluster's name
        #[arg(required_unless_present = "fleet")]
        cluster: Option<crate::values::ClusterName>,
        /// One for every cluster of the profiles in this directory that has none yet: before parts of the fleet are built
        /// on several machines, which all need the same ones
        #[arg(long, value_name = "DIR", conflicts_with_all = ["cluster", "seed_file"])]
        fleet: Option<PathBuf>,
        #[command(flatten)]
        keys: Keys,
        #[command(flatten)]
        store: Store,
        /// A file with 32 bytes, or 64 hex digits, to be the secret
        #[arg(long, value_name = "FILE")]
        seed_file: Option<PathBuf>,
        /// The date of issue [default: SOURCE_DATE_EPOCH, else now]
        #[arg(long, value_name = "DATE")]
        issued: Option<Epoch>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Write down a new date of issue: the next build makes new leaf keys and certificates under the same CA
    Renew {
        cluster: crate::values::ClusterName,
        #[command(flatten)]
        keys: Keys,
        /// The date of issue [default: SOURCE_DATE_EPOCH, else now]
        #[arg(long, value_name = "DATE")]
        issued: Option<Epoch>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Sign with a CA of your own (cfssl, openssl, step: PEM) instead of the derived one; before the first build
    ImportCa {
        cluster: crate::values::ClusterName,
        #[command(flatten)]
        keys: Keys,
        /// The CA's certificate, followed by the rest of its chain up to the root
        #[arg(long, value_name = "FILE")]
        cert: PathBuf,
        /// Its private key: PKCS#8, SEC1 or PKCS#1
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// A file whose first line is the key's passphrase
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print what a keystore holds and records: its CA, its dates of issue, the members of a cluster that has formed; no
    /// secret
    Show {
        cluster: crate::values::ClusterName,
        #[command(flatten)]
        keys: Keys,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}
