//! Verbs for what builds draw from: releases, the cache, keystores.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::inputs::{Keys, Settings, Store, size};
use super::keystore::{Decrypt, Encrypt, Export, Restore};
use crate::values::{ClusterName, Digest, Epoch};

/// The authorities that can be imported.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Imports {
    /// The CA of all certificates, or of those for clients' ports
    Ca,
    /// The CA of peers' certificates
    PeerCa,
}

#[derive(Subcommand, Debug)]
#[command(
    after_help = "Examples:\n  kiln artifacts add etcd-v3.5.33-linux-amd64.tar.gz\n  kiln artifacts list"
)]
/// The verbs below `kiln artifacts`.
pub enum Artifacts {
    /// Import release tarballs, Debian packages (etcd-server and etcd-client) or kiln-node after checking them
    #[command(
        after_help = "Examples:\n  kiln artifacts add etcd-v3.5.33-linux-amd64.tar.gz\n  kiln artifacts add \
--allow-unverified etcd-server_*.deb etcd-client_*.deb"
    )]
    Add {
        /// Release tarballs, Debian packages of the same release, or programs that ci/node or ci/node-cross made
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Where the artifact store is.
        #[command(flatten)]
        store: Store,
        /// Import files with unknown checksums; the checksums are recorded
        #[arg(long, alias = "trust")]
        allow_unverified: bool,
        /// Accept a file with this SHA-256; may be repeated
        #[arg(long, value_name = "HEX")]
        sha256: Vec<Digest>,
        /// Accept the checksums pinned by [etcd] sha256 of this profile
        #[arg(long, short, value_name = "NAME|FILE")]
        profile: Option<String>,
        /// Keys of that profile.
        #[command(flatten)]
        settings: Settings,
        /// Replace the binaries of a release, or a kiln-node, that is already there
        #[arg(long)]
        replace: bool,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the imported releases, and the profiles without a version that are built with each
    #[command(
        after_help = "Examples:\n  kiln artifacts list\n  kiln artifacts list --artifacts /srv/etcd --json"
    )]
    List {
        /// Where the artifact store is.
        #[command(flatten)]
        store: Store,
        /// A profile to list, as in `kiln build`; may be repeated [default: those in ./profiles and the built-in ones]
        #[arg(long, short, value_name = "NAME|FILE")]
        profile: Vec<String>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Read every stored program and its compressed form again, and compare their checksums
    #[command(
        after_help = "Examples:\n  kiln artifacts verify\n  kiln artifacts verify --artifacts /srv/etcd --json"
    )]
    Verify {
        /// Where the artifact store is.
        #[command(flatten)]
        store: Store,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the releases whose checksums are built in, with the file to download
    #[command(after_help = "Examples:\n  kiln artifacts known\n  kiln artifacts known --json")]
    Known {
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:\n  kiln cache show\n  kiln cache prune --max-size 1G")]
pub enum CacheVerb {
    /// Show the size of the cache by kind of entry
    #[command(after_help = "Examples:\n  kiln cache show\n  kiln cache show --cache /var/cache/kiln --json")]
    Show {
        /// The cache [default: $XDG_CACHE_HOME/kiln, else ~/.cache/kiln]
        #[arg(long, value_name = "DIR", env = "KILN_CACHE")]
        cache: Option<PathBuf>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove entries, the least recently used first: all of them unless --max-size is given
    #[command(after_help = "Examples:\n  kiln cache prune\n  kiln cache prune --max-size 512M")]
    Prune {
        /// The cache [default: $XDG_CACHE_HOME/kiln, else ~/.cache/kiln]
        #[arg(long, value_name = "DIR", env = "KILN_CACHE")]
        cache: Option<PathBuf>,
        /// How many bytes to keep, as in 0, 512M or 1G
        #[arg(long, value_name = "SIZE", default_value = "0", value_parser = size)]
        max_size: u64,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}

/// The verbs below `kiln keystore`.
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:\n  kiln keystore init ha3\n  kiln keystore show ha3")]
pub enum Keystore {
    /// Create a keystore: a secret from the kernel, or from a seed that two people share
    #[command(after_help = "Examples:\n  kiln keystore init ha3\n  kiln keystore init --fleet sites")]
    Init {
        /// The name of the cluster
        #[arg(required_unless_present = "fleet")]
        cluster: Option<ClusterName>,
        /// Create the missing keystores for all profiles in this directory, before shards of the fleet are built on
        /// several machines, which all need the same keystores
        #[arg(long, value_name = "DIR", conflicts_with_all = ["cluster", "seed_file"])]
        fleet: Option<PathBuf>,
        /// Keys of these profiles.
        #[command(flatten)]
        settings: Settings,
        /// Where the keystore is.
        #[command(flatten)]
        keys: Keys,
        /// Where the artifact store is; `--fleet` reads the profiles with its releases.
        #[command(flatten)]
        store: Store,
        /// A file with the secret: 32 bytes, or 64 hex digits
        #[arg(long, value_name = "FILE", env = "KILN_SEED_FILE")]
        seed_file: Option<PathBuf>,
        /// The date of issue [default: SOURCE_DATE_EPOCH, else now]
        #[arg(long, value_name = "DATE", alias = "issued")]
        issue_date: Option<Epoch>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Record a new date of issue: the next build makes new leaf keys and certificates under the same CA
    #[command(
        after_help = "Examples:\n  kiln keystore renew ha3\n  kiln keystore renew ha3 --keystore /safe/ha3"
    )]
    Renew {
        /// The name of the cluster
        cluster: ClusterName,
        /// Where the keystore is.
        #[command(flatten)]
        keys: Keys,
        /// The date of issue [default: SOURCE_DATE_EPOCH, else now]
        #[arg(long, value_name = "DATE", alias = "issued")]
        issue_date: Option<Epoch>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Sign with your own CA (cfssl, openssl, step: PEM) instead of a derived one; before the first build
    #[command(
        after_help = "Examples:\n  kiln keystore import-ca ha3 --cert ca.pem --key ca-key.pem\n  kiln keystore \
import-ca ha3 --cert peers.pem --key peers-key.pem --passphrase-file pass --as peer-ca"
    )]
    ImportCa {
        /// The name of the cluster
        cluster: ClusterName,
        /// Where the keystore is.
        #[command(flatten)]
        keys: Keys,
        /// The certificate of the CA, followed by the rest of its chain up to the root
        #[arg(long, value_name = "FILE", env = "KILN_CA_CERT")]
        cert: PathBuf,
        /// Its private key: PKCS#8, SEC1 or PKCS#1
        #[arg(long, value_name = "FILE", env = "KILN_CA_KEY")]
        key: PathBuf,
        /// A file whose first line is the passphrase of the key
        #[arg(long, value_name = "FILE", env = "KILN_CA_PASSPHRASE_FILE")]
        passphrase_file: Option<PathBuf>,
        /// The CA that it becomes: that of all certificates, or that of the peers' own, [pki.peer-ca]
        #[arg(long = "as", value_name = "CA", default_value = "ca")]
        authority: Imports,
        /// The date of the issue that begins with this CA [default: SOURCE_DATE_EPOCH, else now]
        #[arg(long, value_name = "DATE")]
        issue_date: Option<Epoch>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Copy a keystore into one encrypted file, or print it as a page to type in again
    Export(Export),
    /// Restore a keystore from an export, or from a page that was typed in
    Restore(Restore),
    /// Encrypt the secrets of a keystore in its directory
    Encrypt(Encrypt),
    /// Store the secrets of a keystore in plain again
    Decrypt(Decrypt),
    /// Show a keystore: its CA, its dates of issue, the members of a sealed cluster; never a secret
    #[command(after_help = "Examples:\n  kiln keystore show ha3\n  kiln keystore show ha3 --json")]
    Show {
        /// The name of the cluster
        cluster: ClusterName,
        /// Where the keystore is.
        #[command(flatten)]
        keys: Keys,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:\n  kiln profile list\n  kiln profile show ha3")]
pub enum Profile {
    /// List the built-in profiles
    #[command(after_help = "Examples:\n  kiln profile list\n  kiln profile list --json")]
    List {
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a built-in profile, as a start for your own
    #[command(after_help = "Examples:\n  kiln profile show ha3\n  kiln profile show single > single.toml")]
    Show {
        /// The name of the profile
        name: String,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a minimal profile, never over an existing file; asks at a terminal for what is not given
    #[command(
        after_help = "Examples:\n  kiln profile new k8s --node cp-a=10.0.0.11 --node cp-b=10.0.0.12 --node \
cp-c=10.0.0.13\n  kiln profile new"
    )]
    New {
        /// The name of the cluster: a DNS label
        name: Option<String>,
        /// A member; may be repeated
        #[arg(long, value_name = "NAME=ADDRESS")]
        node: Vec<String>,
        /// The nodes' network [default: the smallest with all addresses in it, /24 or larger]
        #[arg(long)]
        cidr: Option<String>,
        /// The nodes' default route
        #[arg(long, value_name = "ADDRESS")]
        gateway: Option<String>,
        /// Added to the nodes' names in certificates
        #[arg(long)]
        domain: Option<String>,
        /// A client certificate besides the one for etcdctl; may be repeated
        #[arg(long, value_name = "NAME")]
        client: Vec<String>,
        /// The file [default: profiles/NAME.toml]
        #[arg(long, short, value_name = "FILE", env = "KILN_PROFILE_OUT")]
        out: Option<PathBuf>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a profile from the files of a cluster that exists; what it does not say is listed on standard error
    #[command(
        after_help = "Examples:\n  kiln profile import inventory.yaml manifest.yaml\n  kiln profile import --out \
k8s.toml hosts.ini etcd.conf"
    )]
    Import {
        /// Inventories (YAML, ansible's INI or YAML), variables, manifests, lists of hosts, etcd's configuration or
        /// environment files, units, kubeadm's ClusterConfiguration or static pod; several together
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The file to write, never over an existing one [default: standard output]
        #[arg(long, short, value_name = "FILE", env = "KILN_PROFILE_OUT")]
        out: Option<PathBuf>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the keys of a profile as a JSON Schema, for editors that check and complete TOML by one
    #[command(after_help = "Examples:\n  kiln profile schema\n  kiln profile schema > kiln.schema.json")]
    Schema,
}
