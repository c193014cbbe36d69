//! `kiln push`, and what it shares with `kiln pull`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::inputs;
use super::output::Output;
use crate::bundle::{Bundle, SHOWN, listed};
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
            "a digest follows from the bundle; name a tag to push to: oci://HOST/REPOSITORY:TAG",
        ));
    }
    let bundle = checked(&args.bundle)?;
    let client = client(&address, &args.registry, true)?;
    if args.registry.plain_http && !address.is_loopback() {
        out.warn("everyone on the way to the registry can read the nodes' private keys (--plain-http)");
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
    let shown = |count: Count| format!("{} blobs ({})", count.blobs, megabytes(count.bytes));
    out.print(match pushed.unchanged && pushed.sent == Count::default() {
        true => format!("{address}: it was there already, whole\n{pinned}"),
        false => format!(
            "{address}: sent {}, {} were there already\n{pinned}",
            shown(pushed.sent),
            shown(pushed.there)
        ),
    })
}

/// A bundle that is as it was built.
fn checked(path: &Path) -> Result<Bundle> {
    let bundle = Bundle::open(path)?;
    let problems = bundle.check()?;
    if problems.is_empty() {
        return Ok(bundle);
    }
    Err(Failure::wrong(format!(
        "{} is not as it was built, so nothing was pushed; build it again{}",
        path.display(),
        listed(&problems, SHOWN)
    )))
}

/// # Errors
/// `Exit::Usage` with what is wrong with it.
pub fn address(text: &str) -> Result<Address> {
    // Somebody may have put a password into it.
    let shown = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    text.parse().map_err(|error| Failure::new(Exit::Usage, format!("{shown:?} is no address: {error}")))
}

pub fn client(address: &Address, args: &cli::Registry, writes: bool) -> Result<Client> {
    args.password_file.iter().chain(&args.ca_file).try_for_each(|file| inputs::refuse_missing(file))?;
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

/// Where docker and podman write their logins down. The first that is set is the one; only that of podman has to be there.
fn config_file() -> Result<Option<PathBuf>> {
    let set = |name: &str| environ::value(name).map(PathBuf::from);
    if let Some(path) = set("REGISTRY_AUTH_FILE") {
        return Ok(Some(path));
    }
    let directory = set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")));
    let Some(path) = directory.map(|directory| directory.join("config.json")) else { return Ok(None) };
    Ok(disk::look(&path)?.is_some().then_some(path))
}

pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
