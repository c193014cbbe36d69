//! `kiln keystore init`, `renew`, `import-ca` and `show`.

use std::path::Path;

use serde_json::json;
use zeroize::Zeroizing;

use super::inputs;
use super::output::{Output, and_said};
use crate::artifact::Store;
use crate::cli::{Keystore as Verb, Source};
use crate::failure::{Doing, Failure, Result};
use crate::interrupt;
use crate::pki::Keystore;
use crate::values::{ClusterName, Digest, Epoch, counted};

/// The largest key or certificate file that is read, in bytes.
const LIMIT: u64 = 1 << 20;

pub fn run(verb: &Verb, out: &Output) -> Result<()> {
    match verb {
        Verb::Init { fleet: Some(fleet), keys, store, issue_date, json, .. } => init_all(
            fleet,
            &inputs::keystores(keys),
            &Store::at(&store.artifacts),
            inputs::date_of_issue(*issue_date)?,
            *json,
            out,
        ),
        // clap asks for one of the two.
        Verb::Init { cluster: None, .. } => Ok(()),
        Verb::Init { cluster: Some(cluster), keys, seed_file, issue_date, json, .. } => {
            let path = inputs::keystore_path(keys.keystore.as_ref(), cluster);
            let seed = seed_file.as_deref().map(seed).transpose()?;
            let keystore =
                Keystore::create(&path, cluster, seed.as_deref(), inputs::date_of_issue(*issue_date)?)?;
            let done = format!("made the keystore {}", path.display());
            if *json {
                return and_said(&done, out.json(&describe(&path, &keystore)?));
            }
            let said = out.print(format_args!(
                "{done} of {cluster}, issued {}, token {}: {KEEP_IT}",
                keystore.issued(),
                keystore.token()
            ));
            and_said(&done, said)
        }
        Verb::Renew { cluster, keys, issue_date, json } => {
            let path = inputs::keystore_path(keys.keystore.as_ref(), cluster);
            let keystore = Keystore::renew(&path, cluster, inputs::date_of_issue(*issue_date)?)?;
            let done = format!("{} is renewed", path.display());
            if *json {
                return and_said(&done, out.json(&describe(&path, &keystore)?));
            }
            let said = out.print(format_args!(
                "issue {} of {cluster}, dated {}: build again, and bring the new leaf keys and certificates to the nodes",
                keystore.issue_number(),
                keystore.issued()
            ));
            and_said(&done, said)
        }
        Verb::ImportCa { cluster, keys, cert, key, passphrase_file, json } => {
            let path = inputs::keystore_path(keys.keystore.as_ref(), cluster);
            let certificates = inputs::given(cert, LIMIT)?;
            let key = Zeroizing::new(inputs::given(key, LIMIT)?);
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
            let done = format!("{} now signs with the CA of {}{ca}", path.display(), cert.display());
            let said = match json {
                true => out.json(&describe(&path, &keystore)?),
                false => out.print(&done),
            };
            and_said(&done, said)
        }
        Verb::Show { cluster, keys, json } => {
            let path = inputs::keystore_path(keys.keystore.as_ref(), cluster);
            let keystore = Keystore::open(&path, cluster)?;
            if *json { out.json(&describe(&path, &keystore)?) } else { out.print(shown(&path, &keystore)?) }
        }
    }
}

/// What has to be said of a keystore that is made.
pub const KEEP_IT: &str = "every key of this cluster comes from it; keep it safe and back it up";

fn origin(keystore: &Keystore) -> &'static str {
    if keystore.has_imported_ca() { "imported" } else { "derived" }
}

fn describe(path: &Path, keystore: &Keystore) -> Result<serde_json::Value> {
    let authority = keystore.ca()?.map(|ca| {
        json!({
            "subject": ca.subject, "algorithm": ca.algorithm,
            "not_before": ca.not_before.to_string(), "not_after": ca.not_after.to_string(),
        })
    });
    let formed: Vec<_> = keystore
        .sealed()
        .map(|token| {
            let known = keystore.formed(token).map(|formed| {
                let members = formed.members.iter().map(
                    |member| json!({ "name": member.name, "id": member.id, "peer_url": member.peer_url }),
                );
                (formed.id, formed.release, members.collect::<Vec<_>>())
            });
            match known {
                Some((id, release, members)) => {
                    json!({ "token": token, "id": id, "etcd": release, "members": members })
                }
                None => json!({ "token": token }),
            }
        })
        .collect();
    Ok(json!({
        "path": path, "cluster": keystore.cluster(), "token": keystore.token(), "ca": origin(keystore),
        "authority": authority,
        "sealed": keystore.sealed().map(ToString::to_string).collect::<Vec<_>>(),
        "formed": formed,
        "issues": keystore.dates().iter().map(ToString::to_string).collect::<Vec<_>>(),
    }))
}

fn shown(path: &Path, keystore: &Keystore) -> Result<String> {
    let mut text = format!(
        "keystore {} of {}\n  token  {}\n  CA     {}",
        path.display(),
        keystore.cluster(),
        keystore.token(),
        origin(keystore)
    );
    match keystore.ca()? {
        Some(ca) => {
            let (subject, algorithm) = (&ca.subject, &ca.algorithm);
            text += &format!(", {subject}, {algorithm}, {} to {}", ca.not_before, ca.not_after);
        }
        None => text += "; the first build fixes its algorithm and its life",
    }
    let dates: Vec<_> = keystore.dates().iter().map(ToString::to_string).collect();
    text += &format!("\n  issued {}", dates.join("\n         "));
    for token in keystore.sealed() {
        text += &format!("\n  sealed {token}");
        let Some(formed) = keystore.formed(token) else {
            text += ", without a record of what it is: kiln seal --adopt BUNDLE";
            continue;
        };
        text += &format!(", cluster ID {}, etcd {}", formed.id, formed.release);
        for member in &formed.members {
            text += &format!("\n         {} {} {}", member.name, member.id, member.peer_url);
        }
    }
    Ok(text)
}

/// A keystore for every cluster of a fleet that has none.
fn init_all(
    fleet: &Path,
    keystores: &Path,
    store: &Store,
    issued: Epoch,
    json: bool,
    out: &Output,
) -> Result<()> {
    let named = Source { profile: Vec::new(), named: Vec::new(), fleet: Some(fleet.to_owned()), shard: None };
    let (profiles, _) = inputs::profiles(&inputs::sources(&named)?, store, out)?;
    let mut drafts = Vec::new();
    let mut names: Vec<&ClusterName> = Vec::new();
    for profile in &profiles {
        interrupt::check()?;
        let (name, path) = (&profile.cluster.name, keystores.join(profile.cluster.name.as_str()));
        // What is there has to be one that the build can use.
        if Keystore::find(&path, name)?.is_none() {
            drafts.push((Keystore::draft(name, None, issued)?, path));
            names.push(name);
        }
    }
    let (made, there) = (drafts.len(), profiles.len() - drafts.len());
    Keystore::save_all(drafts, interrupt::check)?;
    let done = format!("made {} in {}", counted(made, "keystore"), keystores.display());
    let were = if there == 1 { "was" } else { "were" };
    let said = match json {
        true => out.json(&json!({ "keystores": keystores, "made": names, "there": there })),
        false => out.print(format_args!(
            "{done}, where {there} {were} already: every key of these clusters comes from them; keep them safe and back them up"
        )),
    };
    and_said(&done, said)
}

/// 32 bytes, as they are or as 64 hex digits.
fn seed(path: &Path) -> Result<Zeroizing<[u8; 32]>> {
    let reading = || format!("reading {}", path.display());
    let bytes = Zeroizing::new(inputs::given(path, 1024)?);
    let seed = match <[u8; 32]>::try_from(bytes.as_slice()) {
        Ok(seed) => Some(Zeroizing::new(seed)),
        // A digest's notation is the same: 64 hex digits for 32 bytes.
        Err(_) => std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.trim().parse::<Digest>().ok())
            .map(|digest| Zeroizing::new(*digest.bytes())),
    };
    match seed {
        None => Err(Failure::untrusted("a seed is 32 bytes, or 64 hex digits")).doing(reading),
        Some(seed) if seed.iter().all(|byte| *byte == seed[0]) => {
            let reason =
                "all 32 bytes are the same, which others guess; take a secret: head -c 32 /dev/urandom";
            Err(Failure::untrusted(reason)).doing(reading)
        }
        Some(seed) => Ok(seed),
    }
}

fn first_line(path: &Path) -> Result<Zeroizing<String>> {
    let bytes = Zeroizing::new(inputs::given(path, 64 * 1024)?);
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::untrusted("it is not UTF-8"))
        .doing(|| format!("reading {}", path.display()))?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}
