//! `kiln push`, and what it shares with `kiln pull`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::named;
use super::output::Output;
use crate::bundle::{Bundle, MAX_PROBLEMS_SHOWN, listed};
use crate::cli;
use crate::disk;
use crate::environ;
use crate::failure::{Exit, Failure, Result};
use crate::registry::{self, Address, Client, Count, Credentials, Reference, Trust};

pub fn run(args: &cli::Push, out: &Output) -> Result<()> {
    let address = address(&args.to)?;
    if matches!(address.reference, Reference::Digest(_)) {
        return Err(Failure::new(
            Exit::Usage,
            "the digest follows from the bundle and cannot be chosen; name a tag: oci://HOST/REPOSITORY:TAG",
        ));
    }
    let bundle = checked(&args.bundle)?;
    let client = client(&address, &args.registry, true, out)?;
    if args.registry.plain_http && !address.is_loopback() {
        out.warn("anyone on the network path can read the nodes' private keys (--plain-http)");
    }
    out.warn(format_args!(
        "whoever can read {}/{} has the private keys of these nodes",
        address.host, address.repository
    ));
    let pushed = registry::push(&client, &bundle)?;
    let pinned = address.pinned(pushed.digest);
    if args.registry.json {
        return out.json(&json!({
            "bundle": args.bundle, "address": address.to_string(), "pinned": pinned.to_string(),
            "sent": pushed.sent, "there": pushed.there, "unchanged": pushed.unchanged,
        }));
    }
    let shown = |count: Count| format!("{} blobs ({})", count.blobs, mebibytes(count.bytes));
    out.print(match pushed.unchanged && pushed.sent == Count::default() {
        true => format!("{address}: already there, complete\n{pinned}"),
        false => {
            format!("{address}: sent {}, {} already there\n{pinned}", shown(pushed.sent), shown(pushed.there))
        }
    })
}

/// A bundle that matches its manifest.
fn checked(path: &Path) -> Result<Bundle> {
    let bundle = Bundle::open(path)?;
    let problems = bundle.check()?;
    if problems.is_empty() {
        return Ok(bundle);
    }
    Err(Failure::wrong(format!(
        "{} does not match its manifest, so nothing was pushed; build it again{}",
        path.display(),
        listed(&problems, MAX_PROBLEMS_SHOWN)
    )))
}

/// # Errors
/// `Exit::Usage` with the mistake.
pub fn address(text: &str) -> Result<Address> {
    // The text may contain a password.
    let shown = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    text.parse()
        .map_err(|error| Failure::new(Exit::Usage, format!("{shown:?} is not a valid address: {error}")))
}

pub fn client(address: &Address, args: &cli::Registry, writes: bool, out: &Output) -> Result<Client> {
    args.password_file
        .iter()
        .try_for_each(|file| named::refuse_missing_secret(file, "the registry's password"))?;
    args.ca_file.iter().try_for_each(|file| named::refuse_missing(file))?;
    if let Some(file) = &args.password_file
        && let Some(warning) = named::open_to_others(file, "the registry's password")?
    {
        out.warn(warning);
    }
    let credentials = match (&args.username, &args.password_file) {
        (Some(user), Some(file)) => Credentials::given(user, file)?,
        _ => match config_file()? {
            Some(path) => Credentials::from_config(&path, address)?,
            None => Credentials::default(),
        },
    };
    let trust = Trust { plain_http: args.plain_http, ca_file: args.ca_file.clone() };
    Client::new(address.clone(), &trust, credentials, writes)
}

/// The file in which docker and podman store logins. The first variable that is set decides; only podman's file has to
/// exist.
fn config_file() -> Result<Option<PathBuf>> {
    let set = |name: &str| environ::value(name).map(PathBuf::from);
    if let Some(path) = set("REGISTRY_AUTH_FILE") {
        return Ok(Some(path));
    }
    let directory = set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")));
    let Some(path) = directory.map(|directory| directory.join("config.json")) else { return Ok(None) };
    Ok(disk::look(&path)?.is_some().then_some(path))
}

pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
