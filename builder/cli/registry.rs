//! Verbs that talk to an OCI registry.

use std::path::PathBuf;

use clap::Args;

/// How a registry is reached.
#[derive(Args, Debug)]
pub struct Registry {
    /// The user name [default: what docker login or podman login stored]
    #[arg(long, value_name = "NAME", requires = "password_file", env = "KILN_USERNAME")]
    pub username: Option<String>,
    /// A file whose only line is the password of that user
    #[arg(long, value_name = "FILE", requires = "username", env = "KILN_PASSWORD_FILE")]
    pub password_file: Option<PathBuf>,
    /// Trust the CAs in this PEM file instead of the system's
    #[arg(long, value_name = "FILE", env = "KILN_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// Use HTTP without TLS: anyone on the network path can read the nodes' private keys (always allowed for loopback
    /// addresses)
    #[arg(long, conflicts_with = "ca_file")]
    pub plain_http: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kiln push out/ha3 oci://registry.example.com/clusters/ha3:1\n  kiln push out/ha3 \
oci://127.0.0.1:5000/ha3:1\n\nA bundle holds the private keys of its nodes: whoever can read the repository has them. \
Credentials come from $REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json or $HOME/.docker/config.json, whichever is set \
first; the credential helpers that it names are asked."
)]
pub struct Push {
    /// The directory of the bundle
    pub bundle: PathBuf,
    /// oci://HOST[:PORT]/REPOSITORY:TAG
    #[arg(value_name = "ADDRESS")]
    pub to: String,
    #[command(flatten)]
    pub registry: Registry,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kiln pull oci://registry.example.com/clusters/ha3:1\n  kiln pull \
oci://registry.example.com/clusters/ha3:1 --out out/ha3-1\n\nCredentials are found as for `kiln push`.")]
pub struct Pull {
    /// oci://HOST[:PORT]/REPOSITORY:TAG, or …@sha256:DIGEST for exactly one bundle
    #[arg(value_name = "ADDRESS")]
    pub from: String,
    /// The directory of the bundle [default: out/ and the last part of the repository]
    #[arg(long, short, value_name = "DIR", env = "KILN_OUT")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub registry: Registry,
}
