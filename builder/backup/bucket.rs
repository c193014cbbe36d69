//! A bundle's bucket.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use kiln_s3::{Client, Credentials, Deleted, Error, Place, Roots};
use kiln_wire::{BODY, LONGEST_ENVELOPE, RECORD, S3, Secrets, SnapshotName};
use zeroize::Zeroizing;

use super::entry::{Entry, Found};
use crate::bundle::{Bundle, client_file};
use crate::clock;
use crate::disk;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::interrupt;
use crate::profile::BUCKET_CA;
use crate::values::unread_secrets;

/// Where base systems have the CAs that they trust (Debian, Fedora, openSUSE, Alpine).
const OF_THE_SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// More than any list of CAs, in bytes.
const MAX_CAS_BYTES: u64 = 8 << 20;
/// More than anyone's credentials.
const MAX_SECRETS_BYTES: u64 = 64 << 10;

/// The bucket that a bundle's nodes put their snapshots into.
pub struct Bucket {
    client: Client,
    /// For messages: no part of it is secret.
    shown: String,
    /// What keys begin with: empty, or with a / at its end.
    prefix: String,
    cluster: String,
}

impl Bucket {
    /// `secrets` is a file like the nodes' own, with credentials that may read there.
    ///
    /// # Errors
    /// `Exit::Usage` where the file is not what it should be, `Exit::Unsafe` where others can read it.
    pub fn open(bundle: &Bundle, s3: &S3, secrets: &Path) -> Result<Self> {
        let credentials = credentials(secrets)?;
        let roots = match (&s3.ca, s3.endpoint.as_str().starts_with("http:")) {
            (_, true) => Vec::new(),
            (Some(_), false) => disk::read(&bundle.path.join(client_file(BUCKET_CA)), MAX_CAS_BYTES)?,
            (None, false) => of_the_system()?,
        };
        let place =
            Place { endpoint: s3.endpoint.as_str(), bucket: s3.bucket.as_str(), region: s3.region.as_str() };
        let client = Client::new(&place, credentials, Roots(&roots), || clock::now().seconds());
        let prefix = s3.prefix.as_str();
        Ok(Self {
            client: client.map_err(failed)?,
            shown: format!("the bucket {} at {}", s3.bucket, s3.endpoint),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            cluster: bundle.manifest.cluster.name.to_string(),
        })
    }

    pub fn shown(&self) -> String {
        self.shown.clone()
    }

    pub fn entries(&self) -> Result<Vec<Entry>> {
        let objects = self.client.list(&format!("{}{}/", self.prefix, self.cluster), "");
        let objects = objects.map_err(failed).doing(|| format!("listing {}", self.shown))?;
        let mut all: BTreeMap<SnapshotName, Entry> = BTreeMap::new();
        let empty = |name: &SnapshotName| Entry { name: name.clone(), size: None, has_record: false };
        for object in &objects {
            let path = object.key.strip_prefix(&self.prefix).unwrap_or_default();
            if let Some(name) = SnapshotName::of_path(path, BODY) {
                all.entry(name.clone()).or_insert_with(|| empty(&name)).size = Some(object.size);
            } else if let Some(name) = SnapshotName::of_path(path, RECORD) {
                all.entry(name.clone()).or_insert_with(|| empty(&name)).has_record = true;
            }
        }
        Ok(all.into_values().collect())
    }

    fn key(&self, name: &SnapshotName, ending: &str) -> String {
        format!("{}{}", self.prefix, name.path(ending))
    }

    pub fn record(&self, name: &SnapshotName) -> Result<Found> {
        match self.client.get(&self.key(name, RECORD), LONGEST_ENVELOPE as u64) {
            Ok(bytes) => Ok(bytes.map_or(Found::Nothing, Found::Bytes)),
            Err(error @ Error::Away(_)) => {
                Err(failed(error)).doing(|| format!("reading the record of {name}"))
            }
            Err(error) => Ok(Found::Unreadable(error.to_string())),
        }
    }

    pub fn copy(&self, name: &SnapshotName, size: u64, to: &mut dyn Write) -> Result<bool> {
        let copied = self.client.fetch(&self.key(name, BODY), size, to);
        interrupt::check()?;
        let failed = |error| match error {
            Error::Answer(_) => failed(error).with_exit(Exit::Wrong),
            _ => failed(error),
        };
        copied.map_err(failed).doing(|| format!("reading {name}"))
    }

    /// The record first: what has none does not exist for a restore. `false` where a lock holds it.
    pub fn remove(&self, name: &SnapshotName) -> Result<bool> {
        for ending in [RECORD, BODY] {
            let removed = self.client.delete(&self.key(name, ending));
            if removed.map_err(failed).doing(|| format!("removing {name}"))? == Deleted::Kept {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn failed(error: Error) -> Failure {
    Failure::io(error.to_string())
}

/// No message has a value of it.
fn credentials(file: &Path) -> Result<Credentials> {
    let usage = |why: String| Failure::new(Exit::Usage, format!("{}: {why}", file.display()));
    if disk::look(&disk::resolved(file))?.is_none_or(|found| found.kind != disk::Kind::File) {
        return Err(usage("it is not a file".into()));
    }
    let input = disk::Input::open(file)?;
    if input.mode().bits() & 0o077 != 0 {
        return Err(Failure::unsafe_to(format!(
            "{} has mode {}, and is secret: close it with chmod 600",
            file.display(),
            input.mode()
        )));
    }
    let bytes = Zeroizing::new(input.whole(MAX_SECRETS_BYTES)?);
    let secrets: Secrets = serde_json::from_slice(&bytes).map_err(|error| usage(unread_secrets(&error)))?;
    secrets.check().map_err(|why| usage(why.to_owned()))?;
    let (Some(id), Some(key)) = (secrets.access_key_id, secrets.secret_access_key) else {
        return Err(usage("it has no access-key-id and secret-access-key".into()));
    };
    Ok(Credentials {
        access_key_id: id.reveal().to_owned(),
        secret_access_key: Zeroizing::new(key.reveal().to_owned()),
        session_token: secrets.session_token.map(|token| Zeroizing::new(token.reveal().to_owned())),
    })
}

fn of_the_system() -> Result<Vec<u8>> {
    let is_there =
        |path: &&&str| disk::look(&disk::resolved(Path::new(path))).is_ok_and(|found| found.is_some());
    let found = OF_THE_SYSTEM.iter().find(is_there);
    match found {
        Some(path) => disk::read(&disk::resolved(Path::new(path)), MAX_CAS_BYTES),
        None => Err(Failure::io(
            "this machine has no list of trusted CAs; name those of the endpoint: [backup.s3] ca-file",
        )),
    }
}
