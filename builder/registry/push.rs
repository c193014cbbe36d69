//! Pushes a bundle to a registry.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use ureq::http::{Method, StatusCode};

use super::answer::refused;
use super::artifact::{Blob, IMAGE_TYPE, Image};
use super::client::Client;
use super::limits::MAX_TRANSFERS;
use super::pace::Pace;
use crate::bundle::{Bundle, MANIFEST, SUMS};
use crate::digest;
use crate::disk::Input;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::interrupt;
use crate::parallel;
use crate::values::{Digest, Hasher};

/// A number of blobs, and of the bytes in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    pub blobs: u64,
    pub bytes: u64,
}

impl Count {
    fn add(&mut self, blob: Blob) {
        self.blobs += 1;
        self.bytes += blob.size;
    }
}

#[derive(Clone, Debug)]
pub struct Pushed {
    /// Of the image manifest.
    pub digest: Digest,
    pub sent: Count,
    /// Blobs that the registry had already.
    pub there: Count,
    /// Whether the tag pointed to this very bundle before.
    pub unchanged: bool,
}

/// Uploads the blobs of a bundle that the registry lacks, and then the manifest that the tag points to.
///
/// The caller has checked the bundle. Files are hashed again while they are read: a file that has changed since is not
/// pushed.
///
/// # Errors
/// `Exit::Io` for errors of the registry or the network, `Exit::Wrong` for a file that changes, `Exit::Interrupted`.
pub fn push(client: &Client, bundle: &Bundle) -> Result<Pushed> {
    let files = files(bundle)?;
    let image = Image::of(&files).to_json()?;
    let digest = Digest::of(&image);
    // Equal files are one blob.
    let blobs: BTreeMap<Digest, (&str, Blob)> =
        files.iter().map(|(path, blob)| (blob.digest, (path.as_str(), *blob))).collect();
    let blobs: Vec<_> = blobs.into_values().collect();
    let counts = Mutex::new((Count::default(), Count::default()));
    let result = client.watched(|| {
        let unchanged = is_tagged(client, digest)?;
        parallel::each(&blobs, MAX_TRANSFERS, |(path, blob)| {
            let there = client.has(*blob)?;
            if !there {
                upload(client, &bundle.path.join(path), *blob).doing(|| format!("pushing {path}"))?;
            }
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            if there {
                counts.1.add(*blob)
            } else {
                counts.0.add(*blob)
            }
            Ok(())
        })?;
        if !unchanged {
            client.put_manifest(IMAGE_TYPE, &image)?;
        }
        Ok(unchanged)
    });
    let (sent, there) = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    match result {
        Ok(unchanged) => Ok(Pushed { digest, sent, there, unchanged }),
        Err(failure) if failure.exit() == Exit::Interrupted => Err(Failure::new(
            Exit::Interrupted,
            format!(
                "interrupted; the tag was not set, and {} blobs of the bundle are in the registry",
                sent.blobs
            ),
        )),
        Err(failure) => Err(failure.while_doing(format!("pushing {}", client.address))),
    }
}

/// Every file of the bundle with its size and digest.
fn files(bundle: &Bundle) -> Result<BTreeMap<String, Blob>> {
    let mut files = BTreeMap::new();
    for (path, file) in &bundle.manifest.files {
        files.insert(path.to_string(), Blob { size: file.size, digest: file.sha256 });
    }
    for path in [MANIFEST, SUMS] {
        let (size, digest) = digest::of_file(&bundle.path.join(path))?;
        files.insert(path.to_owned(), Blob { size, digest });
    }
    Ok(files)
}

/// Whether the tag already points to this manifest.
fn is_tagged(client: &Client, digest: Digest) -> Result<bool> {
    let response = client.manifest(Method::HEAD, IMAGE_TYPE)?;
    match response.status() {
        StatusCode::NOT_FOUND => Ok(false),
        StatusCode::OK => {
            let named = response.headers().get("docker-content-digest");
            Ok(named.is_some_and(|named| named.as_bytes() == format!("sha256:{digest}").as_bytes()))
        }
        StatusCode::UNAUTHORIZED => client.expect(StatusCode::OK, response).map(|_| false),
        _ => Err(refused(&client.address.host, response)),
    }
}

fn upload(client: &Client, path: &Path, blob: Blob) -> Result<()> {
    let mut sending = Sending {
        input: Input::open(path)?,
        hasher: Hasher::default(),
        left: blob.size,
        pace: Pace::new(),
        fault: None,
    };
    let result = client.upload(blob, &mut sending);
    if let Some(fault) = sending.fault {
        return Err(fault);
    }
    let digest = sending.hasher.digest();
    if sending.left == 0 && digest != blob.digest {
        return Err(Failure::wrong("it changed after it was checked; push the bundle again"));
    }
    result
}

/// A file that is being uploaded: hashed, and limited to its size.
struct Sending {
    input: Input,
    hasher: Hasher,
    left: u64,
    pace: Pace,
    /// The error on this side.
    fault: Option<Failure>,
}

impl Sending {
    fn piece(&mut self, buffer: &mut [u8]) -> Result<usize> {
        interrupt::check()?;
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self
            .input
            .read(&mut buffer[..most])
            .doing(|| format!("reading {}", self.input.path().display()))?;
        if count == 0 && self.left > 0 {
            return Err(Failure::wrong("it became shorter after it was checked; push the bundle again"));
        }
        self.hasher.update(&buffer[..count]);
        self.left -= count as u64;
        self.pace.moved(count as u64)?;
        Ok(count)
    }
}

impl Read for Sending {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.piece(buffer).map_err(|failure| {
            self.fault = Some(failure);
            io::Error::other("reading the file was interrupted")
        })
    }
}
