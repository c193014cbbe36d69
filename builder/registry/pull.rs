//! A bundle out of a registry.

use std::cell::Cell;
use std::io::Read;
use std::path::Path;

use ureq::http::{Method, StatusCode};

use super::address::Reference;
use super::artifact::{Blob, IMAGE_TYPE, Image};
use super::client::Client;
use super::limits::{MAX_IMAGE_BYTES, TRANSFERS};
use super::pace::Paced;
use crate::bundle::{Manifest, Receiver};
use crate::digest::{self, Hasher};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::interrupt;
use crate::parallel;
use crate::values::{Digest, Mode};

#[derive(Debug)]
pub struct Pulled {
    /// Of the image manifest.
    pub digest: Digest,
    pub manifest: Manifest,
    pub files: u64,
    pub bytes: u64,
}

/// Fetches a bundle and lets it appear at the target, whole or not at all. What stands there is replaced as `kiln build`
/// replaces it.
///
/// # Errors
/// `Exit::Usage` when there is no such tag, `Exit::Untrusted` for anything but the bundle that the registry's manifest
/// promises, `Exit::Io` for what the registry
/// or the way there does, `Exit::Unsafe` and `Exit::Locked` as for a build.
pub fn pull(client: &Client, target: &Path) -> Result<Pulled> {
    client
        .watched(|| {
            let (image, digest) = manifest(client)?;
            let config = whole(client, image.config()?).doing(|| "reading its bundle.json".into())?;
            let manifest = Manifest::from_json(&config).map_err(distrust)?;
            let files = image.files(&manifest)?;
            let receiver = Receiver::begin(target, &manifest)?;
            let files: Vec<_> = files.into_iter().collect();
            parallel::each(&files, TRANSFERS, |(path, blob)| {
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

/// What is wrong with a manifest from elsewhere is a reason not to trust it.
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
            Err(Failure::untrusted(format!("the manifest that came has the digest sha256:{digest}")))
        }
        _ => Ok((Image::from_json(&bytes)?, digest)),
    }
}

/// A blob that is small enough to be held.
fn whole(client: &Client, blob: Blob) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    receive(client, blob, |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(bytes)
}

/// Takes a blob as it comes, not a byte more than promised.
///
/// # Errors
/// `Exit::Untrusted` when it is another.
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
        return Err(Failure::untrusted(format!("it came with the SHA-256 {digest}, not {}", blob.digest)));
    }
    Ok(())
}
