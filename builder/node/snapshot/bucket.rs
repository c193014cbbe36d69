//! The bucket of a policy, its secrets, and the CAs that services are held against.

use std::path::Path;

use kiln_s3::{Client, Credentials, Place, Roots};
use kiln_wire::{Backup, RECORD, Record, S3, Secrets, SnapshotName, open};
use zeroize::Zeroizing;

use crate::clock;
use crate::disk;
use crate::failure::{Failure, Result};

/// The leader's clock may be ahead by so many seconds.
const AHEAD: u64 = 300;
/// Where base systems have the CAs that they trust; files, as no link is followed: Debian and Flatcar, Fedora CoreOS,
/// SUSE, Alpine.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The file of secrets, where there is one.
///
/// # Errors
/// Where others can read it, or it is not such a file. No error has a part of it.
pub fn secrets(policy: &Backup) -> Result<Option<Secrets>> {
    let path = Path::new(policy.secrets.as_str());
    if !disk::is_there(path) {
        return Ok(None);
    }
    let text = disk::read(path, true)?;
    let wrong = |why: &dyn std::fmt::Display| Failure::new(format!("{}: {why}", path.display()));
    let secrets: Secrets = serde_json::from_slice(&text).map_err(|error| {
        // serde_json repeats a value of a wrong type.
        wrong(&format!("it is not a file of secrets (line {}, column {})", error.line(), error.column()))
    })?;
    secrets.check().map_err(|why| wrong(&why))?;
    Ok(Some(secrets))
}

fn system_roots() -> Vec<u8> {
    let found = SYSTEM_ROOTS.iter().find_map(|path| disk::read(Path::new(path), false).ok());
    found.map(|bytes| bytes.to_vec()).unwrap_or_default()
}

/// The CAs for a ping: the machine's, and that of the bucket.
///
/// # Errors
/// Where the file of the bucket's cannot be read.
pub fn roots(s3: Option<&S3>) -> Result<Vec<u8>> {
    let own =
        s3.and_then(|s3| s3.ca.as_ref()).map(|ca| disk::read(Path::new(ca.as_str()), false)).transpose()?;
    let mut all = system_roots();
    all.push(b'\n');
    all.extend(own.iter().flat_map(|own| own.iter()));
    Ok(all)
}

/// The bucket, and how its keys begin.
pub struct Bucket<'p> {
    policy: &'p Backup,
    /// What it is asked with.
    pub client: Client,
    prefix: String,
    /// Nobody can remove an object for so many days.
    pub lock_days: Option<u32>,
}

impl<'p> Bucket<'p> {
    /// Does not connect yet; `None`: the policy has none.
    ///
    /// # Errors
    /// Where a secret or a CA is missing.
    pub fn of(policy: &'p Backup, secrets: Option<&Secrets>) -> Result<Option<Self>> {
        let Some(s3) = &policy.s3 else { return Ok(None) };
        let Some(Secrets { access_key_id: Some(id), secret_access_key: Some(key), session_token, .. }) =
            secrets
        else {
            return Err(Failure::new(format!(
                "{} has no access-key-id and secret-access-key; name them in [backup] secrets",
                policy.secrets
            )));
        };
        let credentials = Credentials {
            access_key_id: id.reveal().to_owned(),
            secret_access_key: Zeroizing::new(key.reveal().to_owned()),
            session_token: session_token.as_ref().map(|token| Zeroizing::new(token.reveal().to_owned())),
        };
        let roots = match &s3.ca {
            Some(ca) => disk::read(Path::new(ca.as_str()), false)?.to_vec(),
            None => system_roots(),
        };
        let place =
            Place { endpoint: s3.endpoint.as_str(), bucket: s3.bucket.as_str(), region: s3.region.as_str() };
        let client = Client::new(&place, credentials, Roots(&roots), clock::now)
            .map_err(|why| Failure::new(format!("{why}; name a file with its CA as [backup.s3] ca-file")))?;
        let prefix = match s3.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Ok(Some(Self { policy, client, prefix, lock_days: s3.lock_days }))
    }

    /// The key of a file.
    pub fn key(&self, name: &SnapshotName, ending: &str) -> String {
        format!("{}{}", self.prefix, name.path(ending))
    }

    /// The name that a key stands for.
    pub fn name(&self, key: &str, ending: &str) -> Option<SnapshotName> {
        let name = SnapshotName::of_path(key.strip_prefix(&self.prefix)?, ending)?;
        (*name.cluster() == self.policy.cluster).then_some(name)
    }

    /// What the keys of this cluster begin with.
    pub fn all(&self) -> String {
        format!("{}{}/", self.prefix, self.policy.cluster)
    }

    /// The record of a snapshot there, if a node of this cluster has signed it; `None`: it may not be read, as where an
    /// account may only store and list.
    ///
    /// # Errors
    /// Of the service, and where it is not one.
    pub fn record(&self, name: &SnapshotName) -> Result<Option<Record>> {
        let bytes = match self.client.get(&self.key(name, RECORD), kiln_wire::LONGEST_ENVELOPE as u64) {
            Ok(bytes) => bytes.ok_or_else(|| Failure::new(format!("the record of {name} is gone")))?,
            Err(kiln_s3::Error::Denied(_)) => return Ok(None),
            Err(why) => return Err(Failure::new(why.to_string())),
        };
        let record = open(&bytes, name, &self.policy.signers);
        record.map(Some).map_err(|why| Failure::new(format!("{name}: {why}")))
    }

    /// Whether the bucket has a snapshot that is newer than `since`, and not from long after `now`.
    ///
    /// # Errors
    /// Of the service.
    pub fn has_since(&self, since: u64, now: u64) -> Result<bool> {
        let policy = self.policy;
        let Some(first) = SnapshotName::new(policy.cluster.clone(), since, 1, policy.node.clone()) else {
            return Ok(false);
        };
        let listed = self.client.list(&self.all(), &self.key(&first, ""));
        let listed = listed.map_err(|why| Failure::new(why.to_string()))?;
        let names = listed.iter().rev().filter_map(|object| self.name(&object.key, RECORD));
        let is_real = |name: &SnapshotName| match self.record(name) {
            Ok(record) => record.is_none_or(|record| record.generation == policy.generation),
            Err(_) => false,
        };
        let until = now.saturating_add(AHEAD);
        Ok(names.filter(|name| (since..=until).contains(&name.taken())).any(|name| is_real(&name)))
    }
}
