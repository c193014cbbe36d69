//! Pulls a bundle from a registry.

use std::cell::Cell;
use std::io::Read;
use std::path::Path;

use ureq::http::{Method, StatusCode};

use super::address::Reference;
use super::artifact::{Blob, IMAGE_TYPE, Image};
use super::client::Client;
use super::limits::{MAX_IMAGE_BYTES, MAX_TRANSFERS};
use super::pace::Paced;
use crate::bundle::{Manifest, Receiver};
use crate::digest;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::interrupt;
use crate::parallel;
use crate::values::{Digest, Hasher, Mode};

#[derive(Debug)]
pub struct Pulled {
    /// Of the image manifest.
    pub digest: Digest,
    pub manifest: Manifest,
    pub files: u64,
    pub bytes: u64,
}

/// Fetches a bundle and publishes it at the target atomically. An existing bundle is replaced as by `kiln build`.
///
/// # Errors
/// `Exit::Usage` when there is no such tag, `Exit::Untrusted` for anything that does not match the registry's
/// manifest, `Exit::Io` for errors of the registry or the network, `Exit::Unsafe` and `Exit::Locked` as for a build.
pub fn pull(client: &Client, target: &Path) -> Result<Pulled> {
    client
        .watched(|| {
            let (image, digest) = manifest(client)?;
            let config = whole(client, image.config()?).doing(|| "reading its bundle.json".into())?;
            let manifest = Manifest::from_json(&config).map_err(distrust)?;
            let files = image.files(&manifest)?;
            let receiver = Receiver::begin(target, &manifest)?;
            let files: Vec<_> = files.into_iter().collect();
            parallel::each(&files, MAX_TRANSFERS, |(path, blob)| {
                let mode = manifest.files.get(path.as_str()).map_or(Mode::FILE, |file| file.mode);
                let mut output = receiver.create(path, mode)?;
                receive(client, *blob, |bytes| output.write(bytes)).doing(|| format!("pulling {path}"))
            })?;
            receiver.publish()?;
            let bytes = files.iter().map(|(_, blob)| blob.size).sum();
            Ok(Pulled { digest, manifest, files: files.len() as u64, bytes })
        })
        .map_err(|failure| match failure.exit() {
            Exit::Interrupted | Exit::Unsafe | Exit::Locked | Exit::Usage => failure,
            _ => failure.while_doing(format!("pulling {}", client.address)),
        })
}

/// An invalid manifest from elsewhere is a reason not to trust it.
fn distrust(failure: Failure) -> Failure {
    Failure::untrusted(failure.to_string())
}

fn manifest(client: &Client) -> Result<(Image, Digest)> {
    let response = client.manifest(Method::GET, IMAGE_TYPE)?;
    if response.status() == StatusCode::NOT_FOUND {
        let address = &client.address;
        let what = match address.reference {
            Reference::Tag(_) => "tag",
            Reference::Digest(_) => "digest",
        };
        return Err(Failure::new(
            Exit::Usage,
            format!("{what} {} not found in {}/{}", address.reference, address.host, address.repository),
        ));
    }
    let body = Paced::new(client.expect(StatusCode::OK, response)?.into_body().into_reader());
    let mut bytes = Vec::new();
    body.take(MAX_IMAGE_BYTES + 1).read_to_end(&mut bytes).doing(|| "reading its manifest".into())?;
    if bytes.len() as u64 > MAX_IMAGE_BYTES {
        return Err(Failure::untrusted(format!("its manifest is larger than {} bytes", MAX_IMAGE_BYTES)));
    }
    let digest = Digest::of(&bytes);
    match client.address.reference {
        Reference::Digest(want) if want != digest => {
            Err(Failure::untrusted(format!("the received manifest has the digest sha256:{digest}")))
        }
        _ => Ok((Image::from_json(&bytes)?, digest)),
    }
}

/// A blob that is small enough to be kept in memory.
fn whole(client: &Client, blob: Blob) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    receive(client, blob, |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(bytes)
}

/// Reads a blob as it arrives, and not a byte more than its size.
///
/// # Errors
/// `Exit::Untrusted` when its size or digest is wrong.
fn receive(client: &Client, blob: Blob, mut take: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut body = client.blob(blob)?;
    let received = Cell::new(0);
    let mut hasher = Hasher::default();
    let check_and_take = |bytes: &[u8]| {
        hasher.update(bytes);
        received.set(hasher.size());
        if hasher.size() > blob.size {
            return Err(Failure::untrusted(format!("the registry sends more than its {} bytes", blob.size)));
        }
        take(bytes)
    };
    let mut buffer = vec![0; 1 << 17];
    digest::each_piece(&mut body, &mut buffer, check_and_take, |error| match interrupt::asked() {
        true => Failure::interrupted(),
        false => {
            let left = blob.size.saturating_sub(received.get());
            Failure::io(format!("the connection ended {left} bytes before the end: {error}"))
        }
    })?;
    let (size, digest) = (hasher.size(), hasher.digest());
    if size != blob.size {
        return Err(Failure::untrusted(format!("the registry has {size} bytes of it, not {}", blob.size)));
    }
    if digest != blob.digest {
        return Err(Failure::untrusted(format!(
            "the received file has the SHA-256 {digest}, not {}",
            blob.digest
        )));
    }
    Ok(())
}
