//! `kiln keystore init`, `renew`, `import-ca` and `show`; the other verbs have files of their own.

mod encrypt;
mod export;
mod restore;
mod shown;

use std::path::{Path, PathBuf};

use serde_json::json;
use zeroize::Zeroizing;

use super::output::{Output, and_said};
use super::{inputs, named};
use shown::{describe, shown};

use crate::artifact::Store;
use crate::cli::{Imports, Keys, Keystore as Verb, ProfileNames, Settings};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::interrupt;
use crate::pki::{Import, Keystore};
use crate::plan;
use crate::values::{ClusterName, Digest, Epoch, counted};

/// The largest key or certificate file that is read, in bytes.
const MAX_PEM_BYTES: u64 = 1 << 20;

pub fn run(verb: &Verb, out: &Output) -> Result<()> {
    match verb {
        Verb::Init { fleet: Some(fleet), settings, keys, store, issue_date, json, .. } => init_all(
            &named(fleet, settings),
            &named::keystores(keys),
            &Store::at(&store.artifacts),
            inputs::date_of_issue(*issue_date)?,
            *json,
            out,
        ),
        // clap requires one of the two.
        Verb::Init { cluster: None, .. } => Ok(()),
        Verb::Init { settings, .. } if !settings.set.is_empty() => Err(Failure::new(
            Exit::Usage,
            "--set changes the profiles of --fleet; a keystore that is made by a cluster's name has no profile",
        )),
        Verb::Init { cluster: Some(cluster), keys, seed_file, issue_date, json, .. } => {
            init(cluster, keys, seed_file.as_deref(), *issue_date)?.tell(*json, out)
        }
        Verb::Renew { cluster, keys, issue_date, json } => {
            renew(cluster, keys, *issue_date)?.tell(*json, out)
        }
        Verb::ImportCa { cluster, keys, cert, key, passphrase_file, authority, issue_date, json } => {
            let files = (cert.as_path(), key.as_path(), passphrase_file.as_deref());
            import_ca(cluster, keys, (*authority, *issue_date), files)?.tell(*json, out)
        }
        Verb::Export(args) => export::run(args, out),
        Verb::Restore(args) => restore::run(args, out),
        Verb::Encrypt(args) => encrypt::encrypt(args, out),
        Verb::Decrypt(args) => encrypt::decrypt(args, out),
        Verb::Show { cluster, keys, json } => {
            let path = named::keystore_path(keys.keystore.as_ref(), cluster);
            let keystore = Keystore::open(&path, cluster)?;
            if *json { out.json(&describe(&path, &keystore)?) } else { out.print(shown(&path, &keystore)?) }
        }
    }
}

/// A keystore that was made or changed.
struct Change {
    path: PathBuf,
    keystore: Keystore,
    /// The completed work, for the error when it cannot be printed.
    done: String,
    /// The text to print, unless the result is JSON.
    said: String,
    warnings: Vec<String>,
}

impl Change {
    fn tell(self, json: bool, out: &Output) -> Result<()> {
        self.warnings.iter().for_each(|warning| out.warn(warning));
        self.keystore.reminder().iter().for_each(|reminder| out.warn(reminder));
        let said = match json {
            true => describe(&self.path, &self.keystore).and_then(|described| out.json(&described)),
            false => out.print(self.said),
        };
        and_said(&self.done, said)
    }
}

fn init(
    cluster: &ClusterName,
    keys: &Keys,
    seed_file: Option<&Path>,
    issued: Option<Epoch>,
) -> Result<Change> {
    let path = named::keystore_path(keys.keystore.as_ref(), cluster);
    let open = seed_file.map(|file| named::open_to_others(file, "the keystore's secret")).transpose()?;
    let seed = seed_file.map(seed).transpose()?;
    let keystore = Keystore::create(&path, cluster, seed.as_deref(), inputs::date_of_issue(issued)?)?;
    let done = format!("created the keystore {}", path.display());
    let said =
        format!("{done} of {cluster}, issued {}, token {}: {KEEP_IT}", keystore.issued(), keystore.token());
    Ok(Change { path, keystore, done, said, warnings: open.flatten().into_iter().collect() })
}

fn renew(cluster: &ClusterName, keys: &Keys, issued: Option<Epoch>) -> Result<Change> {
    let path = named::keystore_path(keys.keystore.as_ref(), cluster);
    let before = Keystore::open(&path, cluster)?.issued();
    let keystore = Keystore::renew(&path, cluster, inputs::date_of_issue(issued)?)?;
    let warning = (keystore.issued() <= before).then(|| {
        format!(
            "the new issue is dated {}, not later than the one before ({before}), so its certificates do not last longer; \
             unset SOURCE_DATE_EPOCH or pass --issue-date, and renew again",
            keystore.issued()
        )
    });
    let done = format!("{} is renewed", path.display());
    let said = format!(
        "issue {} of {cluster}, dated {}: build again, and copy the new {} to the nodes",
        keystore.issue_number(),
        keystore.issued(),
        match keystore.renews_on_nodes() {
            Some(true) => "certificates of clients and CAs of nodes",
            _ => "leaf keys and certificates",
        }
    );
    Ok(Change { path, keystore, done, said, warnings: warning.into_iter().collect() })
}

fn import_ca(
    cluster: &ClusterName,
    keys: &Keys,
    (authority, issued): (Imports, Option<Epoch>),
    (cert, key, passphrase_file): (&Path, &Path, Option<&Path>),
) -> Result<Change> {
    let path = named::keystore_path(keys.keystore.as_ref(), cluster);
    let certificates = named::given(cert, MAX_PEM_BYTES)?;
    let open = named::open_to_others(key, "the CA's key")?;
    let open_too = passphrase_file.map(|file| named::open_to_others(file, "the passphrase of the CA's key"));
    let open_too = open_too.transpose()?.flatten();
    let key = Zeroizing::new(named::given(key, MAX_PEM_BYTES)?);
    let passphrase = passphrase_file.map(first_line).transpose()?;
    let passphrase = passphrase.as_deref().map(String::as_str);
    let date = inputs::date_of_issue(issued)?;
    let authority = match authority {
        Imports::Ca => plan::CA,
        Imports::PeerCa => plan::PEER_CA,
    };
    let given = Import { authority, certificates: &certificates, key: &key, passphrase };
    let keystore = Keystore::import(&path, cluster, &given, date)?;
    let ca = keystore.imported_authority(authority)?;
    let warning = ca.as_ref().filter(|ca| !ca.is_rooted).map(|ca| {
        format!(
            "{} has no root: clients will trust {}, the topmost certificate in it; a client that uses OpenSSL \
             needs the root, so append its certificate if you have it",
            cert.display(),
            ca.clients_trust
        )
    });
    let ca = ca.map(|ca| format!(" ({})", ca.line())).unwrap_or_default();
    let what = if authority == plan::PEER_CA { " peers' certificates" } else { "" };
    let done = format!("{} now signs{what} with the CA of {}{ca}", path.display(), cert.display());
    let warnings = warning.into_iter().chain(keystore.missed_by_strict_clients(authority)?);
    let warnings = warnings.chain(open).chain(open_too).collect();
    Ok(Change { path, keystore, said: done.clone(), done, warnings })
}

/// Printed when a keystore is made.
pub const KEEP_IT: &str = "all keys of this cluster derive from it; back it up and keep it secret";

/// Every profile of a fleet's directory.
fn named(fleet: &Path, settings: &Settings) -> ProfileNames {
    let (fleet, settings) = (Some(fleet.to_owned()), settings.clone());
    ProfileNames { profile: Vec::new(), named: Vec::new(), fleet, shard: None, settings }
}

/// Makes a keystore for every cluster of a fleet that has none.
fn init_all(
    named: &ProfileNames,
    keystores: &Path,
    store: &Store,
    issued: Epoch,
    json: bool,
    out: &Output,
) -> Result<()> {
    let (profiles, _) = inputs::profiles(&inputs::sources(named)?, store, out)?;
    let mut drafts = Vec::new();
    let mut names: Vec<&ClusterName> = Vec::new();
    for profile in &profiles {
        interrupt::check()?;
        let (name, path) = (&profile.cluster.name, keystores.join(profile.cluster.name.as_str()));
        // An existing keystore must be usable by the build.
        if Keystore::find(&path, name)?.is_none() {
            let mut draft = Keystore::draft(name, None, issued)?;
            // Copies on several machines must come to the same successors.
            draft.draw_successors_secret()?;
            drafts.push((draft, path));
            names.push(name);
        }
    }
    let (made, there) = (drafts.len(), profiles.len() - drafts.len());
    Keystore::save_all(drafts, interrupt::check)?;
    let done = format!("created {} in {}", counted(made, "keystore"), keystores.display());
    let were = if there == 1 { "was" } else { "were" };
    let said = match json {
        true => out.json(&json!({ "keystores": keystores, "made": names, "there": there })),
        false => out.print(format_args!(
            "{done}; {there} {were} already there: all keys of these clusters derive from them; back them up and keep them secret"
        )),
    };
    and_said(&done, said)
}

/// 32 bytes, raw or as 64 hex digits.
fn seed(path: &Path) -> Result<Zeroizing<[u8; 32]>> {
    let reading = || format!("reading {}", path.display());
    let bytes = Zeroizing::new(named::given(path, 1024)?);
    let seed = match <[u8; 32]>::try_from(bytes.as_slice()) {
        Ok(seed) => Some(Zeroizing::new(seed)),
        // A digest has the same notation: 64 hex digits for 32 bytes.
        Err(_) => std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.trim().parse::<Digest>().ok())
            .map(|digest| Zeroizing::new(*digest.bytes())),
    };
    match seed {
        None => Err(Failure::untrusted("a seed is 32 bytes, or 64 hex digits")).doing(reading),
        Some(seed) if seed.iter().all(|byte| *byte == seed[0]) => {
            let reason = "all 32 bytes are the same, so others can guess them; create a secret with head -c 32 /dev/urandom";
            Err(Failure::untrusted(reason)).doing(reading)
        }
        Some(seed) => Ok(seed),
    }
}

fn first_line(path: &Path) -> Result<Zeroizing<String>> {
    let bytes = Zeroizing::new(named::given(path, 64 * 1024)?);
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::untrusted("it is not UTF-8"))
        .doing(|| format!("reading {}", path.display()))?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}
