//! `kiln keystore init`, `renew`, `import-ca` and `show`.

use std::path::Path;

use serde_json::json;
use zeroize::Zeroizing;

use super::{inputs, output::Output};
use crate::artifact::Store;
use crate::cli::{Keystore as Verb, Source};
use crate::disk;
use crate::failure::{Doing, Failure, Result};
use crate::pki::Keystore;
use crate::values::{Digest, Epoch};

/// The largest key or certificate file that is read, in bytes.
const LIMIT: u64 = 1 << 20;

pub fn run(verb: &Verb, out: &Output) -> Result<()> {
    match verb {
        Verb::Init { fleet: Some(fleet), keys, store, issued, .. } => init_all(
            fleet,
            &inputs::keystores(keys),
            &Store::at(&store.artifacts),
            inputs::date_of_issue(*issued)?,
            out,
        ),
        // clap asks for one of the two.
        Verb::Init { cluster: None, .. } => Ok(()),
        Verb::Init { cluster: Some(cluster), keys, seed_file, issued, .. } => {
            let path = inputs::keystore_path(keys.keystore.as_ref(), cluster);
            let seed = seed_file.as_deref().map(seed).transpose()?;
            let keystore =
                Keystore::create(&path, cluster, seed.as_deref(), inputs::date_of_issue(*issued)?)?;
            out.print(format_args!(
                "made the keystore {} of {cluster}, issued {}, token {}: every key of this cluster comes from it; \
                 keep it safe and back it up",
                path.display(),
                keystore.issued(),
                keystore.token()
            ))
        }
        Verb::Renew { cluster, keys, issued } => {
            let path = inputs::keystore_path(keys.keystore.as_ref(), cluster);
            let keystore = Keystore::renew(&path, cluster, inputs::date_of_issue(*issued)?)?;
            out.print(format_args!(
                "issue {} of {cluster}, dated {}: build again, and bring the new leaf keys and certificates to the nodes",
                keystore.issue_number(),
                keystore.issued()
            ))
        }
        Verb::ImportCa { cluster, keys, cert, key, passphrase_file } => {
            let path = inputs::keystore_path(keys.keystore.as_ref(), cluster);
            let certificates = disk::read(cert, LIMIT)?;
            let key = Zeroizing::new(disk::read(key, LIMIT)?);
            let passphrase = passphrase_file.as_deref().map(first_line).transpose()?;
            let date = inputs::date_of_issue(None)?;
            let passphrase = passphrase.as_deref().map(String::as_str);
            let keystore = Keystore::import_ca(&path, cluster, &certificates, &key, passphrase, date)?;
            let ca = keystore.imported_ca()?;
            if let Some(ca) = ca.as_ref().filter(|ca| !ca.is_rooted) {
                out.warn(format_args!(
                    "{} has no root: clients will trust {}, the topmost certificate in it; a client that uses OpenSSL \
                     needs the root, so append its certificate if you have it",
                    cert.display(),
                    ca.clients_trust
                ));
            }
            let ca = ca.map(|ca| format!(" ({})", ca.line())).unwrap_or_default();
            out.print(format_args!("{} now signs with the CA of {}{ca}", path.display(), cert.display()))
        }
        Verb::Show { cluster, keys, json } => {
            let path = inputs::keystore_path(keys.keystore.as_ref(), cluster);
            let keystore = Keystore::open(&path, cluster)?;
            let ca = if keystore.has_imported_ca() { "imported" } else { "derived" };
            if *json {
                return out.json(&json!({
                    "path": path, "cluster": cluster, "token": keystore.token(), "ca": ca,
                    "sealed": keystore.sealed().map(ToString::to_string).collect::<Vec<_>>(),
                    "issues": keystore.dates().iter().map(ToString::to_string).collect::<Vec<_>>(),
                }));
            }
            let dates: Vec<_> = keystore.dates().iter().map(ToString::to_string).collect();
            let sealed: Vec<_> = keystore.sealed().map(|token| format!("\n  sealed {token}")).collect();
            out.print(format_args!(
                "keystore {} of {cluster}\n  token  {}\n  CA     {ca}\n  issued {}{}",
                path.display(),
                keystore.token(),
                dates.join("\n         "),
                sealed.concat()
            ))
        }
    }
}

/// A keystore for every cluster of a fleet that has none.
fn init_all(fleet: &Path, keystores: &Path, store: &Store, issued: Epoch, out: &Output) -> Result<()> {
    let named = Source { profile: Vec::new(), fleet: Some(fleet.to_owned()), shard: None };
    let (profiles, _) = inputs::profiles(&inputs::sources(&named)?, store, out, false)?;
    let mut drafts = Vec::new();
    for profile in &profiles {
        let (name, path) = (&profile.cluster.name, keystores.join(profile.cluster.name.as_str()));
        // What is there has to be one that the build can use.
        if inputs::keystore(&path, name)?.is_none() {
            drafts.push((Keystore::draft(name, None, issued)?, path));
        }
    }
    let (made, there) = (drafts.len(), profiles.len() - drafts.len());
    Keystore::save_all(drafts)?;
    out.print(format_args!(
        "made {made} keystores in {}, where {there} were already: every key of these clusters comes from them; keep them \
         safe and back them up",
        keystores.display()
    ))
}

/// 32 bytes, as they are or as 64 hex digits.
fn seed(path: &Path) -> Result<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(disk::read(path, 1024)?);
    if let Ok(seed) = <[u8; 32]>::try_from(bytes.as_slice()) {
        return Ok(Zeroizing::new(seed));
    }
    // A digest's notation is the same: 64 hex digits for 32 bytes.
    let hex = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse::<Digest>().ok());
    hex.map(|digest| Zeroizing::new(*digest.bytes()))
        .ok_or_else(|| Failure::untrusted("a seed is 32 bytes, or 64 hex digits"))
        .doing(|| format!("reading {}", path.display()))
}

fn first_line(path: &Path) -> Result<Zeroizing<String>> {
    let bytes = Zeroizing::new(disk::read(path, 64 * 1024)?);
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::untrusted("it is not UTF-8"))
        .doing(|| format!("reading {}", path.display()))?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}
