//! The files on this machine that `[backup]` names, as an overlay: what opens the bucket, and the CAs of its server.

use std::sync::Arc;

use super::budget::Budget;
use super::overlay::{Body, Overlay, OverlayFile};
use super::programs::path;
use crate::disk;
use crate::failure::{Exit, Failure, Result};
use crate::pki::Presented;
use crate::plan::BackupPlaces;
use crate::profile::{NamedFile, Profile};
use crate::tree::{Blob, Origin};
use crate::values::{Mode, holds_private_key, unread_secrets};

const SECRETS: &str = "[backup] secrets";

/// More than anyone's credentials or CAs, in bytes.
const LONGEST: u64 = 1 << 20;

/// `None` where the profile names none.
///
/// # Errors
/// `Exit::Profile` where one of them is missing or is not what it should be, `Exit::Unsafe` where others can read what
/// is secret.
pub fn of_backup(profile: &Profile, room: &Budget) -> Result<Option<Arc<Overlay>>> {
    let Some(backup) = &profile.backup else { return Ok(None) };
    let places = BackupPlaces::of(&profile.etcd.service.instance, backup);
    let mut files = Vec::new();
    if let Some(file) = &backup.secrets {
        let named = Named { key: SECRETS, file };
        let blob = named.read(room)?;
        named.check_secrets(blob.bytes()?, backup.bucket.is_some())?;
        files.push(entry(&places.secrets(), Mode::SECRET, blob)?);
    }
    if let Some(file) = backup.bucket.as_ref().and_then(|bucket| bucket.ca_file.as_ref()) {
        let named = Named { key: "[backup.s3] ca-file", file };
        let blob = named.read(room)?;
        named.check_cas(blob.bytes()?)?;
        files.push(entry(&places.ca(), Mode::FILE, blob)?);
    }
    Ok((!files.is_empty()).then(|| {
        Arc::new(Overlay {
            origin: Origin::Table("[backup]"),
            directory: None,
            file: None,
            files,
            findings: Vec::new(),
            warnings: Vec::new(),
        })
    }))
}

fn entry(place: &str, mode: Mode, blob: Arc<Blob>) -> Result<OverlayFile> {
    Ok(OverlayFile { path: path(place)?, at: None, mode, body: Body::Bytes(blob) })
}

/// A file, and the key that names it.
struct Named<'a> {
    key: &'static str,
    file: &'a NamedFile,
}

impl Named<'_> {
    fn refuse(&self, exit: Exit, why: &str) -> Failure {
        let NamedFile { path, at } = self.file;
        Failure::new(exit, format!("{at}: {}: {} {why}", self.key, path.display()))
    }

    fn read(&self, room: &Budget) -> Result<Arc<Blob>> {
        let real = disk::resolved(&self.file.path);
        match disk::look(&real)? {
            None => return Err(self.refuse(Exit::Profile, "does not exist")),
            Some(found) if found.kind != disk::Kind::File => {
                return Err(self.refuse(Exit::Profile, "is not a file"));
            }
            Some(found) if found.size > LONGEST => return Err(self.refuse(Exit::Profile, "is too large")),
            Some(_) => {}
        }
        let Some(source) = room.source(&real)? else {
            return Err(self.refuse(Exit::Profile, "is too large"));
        };
        let is_open = source.mode.bits() & 0o077 != 0;
        if self.key == SECRETS && is_open {
            let why = format!("has mode {}, and is secret: close it with chmod 600", source.mode);
            return Err(self.refuse(Exit::Unsafe, &why));
        }
        Ok(source.blob)
    }

    /// No message has a value of it.
    fn check_secrets(&self, bytes: &[u8], has_bucket: bool) -> Result<()> {
        let refuse = |why: &str| {
            let form = "{\"schema\": 1, \"access-key-id\": \"…\", \"secret-access-key\": \"…\"}";
            self.refuse(Exit::Profile, &format!("cannot be used: {why}; it is JSON, as in {form}"))
        };
        match serde_json::from_slice::<kiln_wire::Secrets>(bytes) {
            Ok(secrets) => {
                secrets.check().map_err(refuse)?;
                match has_bucket && secrets.access_key_id.is_none() {
                    true => {
                        Err(refuse("it has no access-key-id and secret-access-key, which the bucket needs"))
                    }
                    false => Ok(()),
                }
            }
            Err(error) => Err(refuse(&unread_secrets(&error))),
        }
    }

    fn check_cas(&self, bytes: &[u8]) -> Result<()> {
        if holds_private_key(bytes) {
            return Err(self.refuse(Exit::Unsafe, "has a private key; name a file with certificates only"));
        }
        match Presented::all_from_pem(bytes) {
            Ok(all) if !all.is_empty() => Ok(()),
            _ => Err(self.refuse(Exit::Profile, "is not a list of certificates in PEM")),
        }
    }
}
