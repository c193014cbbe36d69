//! The image manifest that represents a bundle.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::limits::MAX_IMAGE_BYTES;
use crate::bundle::{MANIFEST, MAX_MANIFEST_BYTES, Manifest, SUMS};
use crate::failure::{Failure, Result};
use crate::values::Digest;

/// Part of the format, as are all the names here: existing bundles in registries are recognized by them.
pub const ARTIFACT_TYPE: &str = "application/vnd.kiln.bundle.v1";
const CONFIG_TYPE: &str = "application/vnd.kiln.bundle.manifest.v1+json";
const FILE_TYPE: &str = "application/vnd.kiln.bundle.file.v1";

/// OCI image specification 1.1, "OCI Image Manifest Specification".
pub const IMAGE_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The path at which clients unpack a layer (image specification, "Pre-Defined Annotation Keys").
const TITLE: &str = "org.opencontainers.image.title";

/// A blob: its size in bytes and its SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    pub size: u64,
    pub digest: Digest,
}

/// The manifest of an artifact, with its members in the order of the specification's example: its bytes, and so its
/// digest, depend only on the bundle.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    artifact_type: String,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    annotations: BTreeMap<String, String>,
}

impl Descriptor {
    fn new(media_type: &str, blob: Blob) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: format!("sha256:{}", blob.digest),
            size: blob.size,
            annotations: BTreeMap::new(),
        }
    }

    fn blob(&self) -> Result<Blob> {
        match self.digest.strip_prefix("sha256:").map(str::parse) {
            Some(Ok(digest)) => Ok(Blob { size: self.size, digest }),
            _ => Err(Failure::untrusted(format!("{:?} is not a digest that Kiln writes", self.digest))),
        }
    }
}

impl Image {
    /// Every file of a bundle by its path, `bundle.json` and SHA256SUMS among them.
    ///
    /// `bundle.json` is both the config and a layer, as one blob: other clients unpack layers only.
    pub fn of(files: &BTreeMap<String, Blob>) -> Self {
        let layer = |(path, blob): (&String, &Blob)| Descriptor {
            annotations: BTreeMap::from([(TITLE.to_owned(), path.clone())]),
            ..Descriptor::new(FILE_TYPE, *blob)
        };
        Self {
            schema_version: 2,
            media_type: IMAGE_TYPE.to_owned(),
            artifact_type: ARTIFACT_TYPE.to_owned(),
            config: files.get(MANIFEST).map(|blob| Descriptor::new(CONFIG_TYPE, *blob)),
            layers: files.iter().map(layer).collect(),
        }
    }

    /// # Errors
    /// `Exit::Wrong` when it would be larger than registries accept.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let bytes = serde_json::to_vec(self)
            .map_err(|error| Failure::io(format!("writing the manifest as JSON: {error}")))?;
        if bytes.len() as u64 > MAX_IMAGE_BYTES {
            let reason =
                format!("the bundle has {} files, which is more than registries accept", self.layers.len());
            return Err(Failure::wrong(reason));
        }
        Ok(bytes)
    }

    /// # Errors
    /// `Exit::Untrusted` when it is not the manifest of a bundle.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let image: Self = serde_json::from_slice(bytes)
            .map_err(|error| Failure::untrusted(format!("it is not an image manifest: {error}")))?;
        if image.schema_version != 2 {
            let version = image.schema_version;
            return Err(Failure::untrusted(format!(
                "it is an image manifest of version {version}; Kiln reads version 2"
            )));
        }
        if image.artifact_type != ARTIFACT_TYPE {
            let kind = [&image.artifact_type, &image.media_type].into_iter().find(|kind| !kind.is_empty());
            return Err(Failure::untrusted(format!(
                "it is not a bundle that kiln push wrote, but {:?}; name another tag",
                kind.map_or("an image without a media type", String::as_str)
            )));
        }
        Ok(image)
    }

    /// The blob of `bundle.json`.
    pub fn config(&self) -> Result<Blob> {
        let config = self.config.as_ref().filter(|config| config.media_type == CONFIG_TYPE);
        let blob = config
            .ok_or_else(|| Failure::untrusted(format!("it has no {MANIFEST} as its config")))?
            .blob()?;
        if blob.size > MAX_MANIFEST_BYTES {
            return Err(Failure::untrusted(format!("its {MANIFEST} has {} bytes", blob.size)));
        }
        Ok(blob)
    }

    /// Every file by its path: exactly those that the bundle's manifest lists, each with the same size and digest.
    ///
    /// # Errors
    /// `Exit::Untrusted` with the first difference.
    pub fn files(&self, bundle: &Manifest) -> Result<BTreeMap<String, Blob>> {
        let mut files = BTreeMap::new();
        for layer in &self.layers {
            let Some(path) = layer.annotations.get(TITLE) else {
                return Err(Failure::untrusted("it has a layer without a path"));
            };
            if files.insert(path.clone(), layer.blob()?).is_some() {
                return Err(Failure::untrusted(format!("it has {path:?} twice")));
            }
        }
        for (path, want) in &bundle.files {
            let fits = |blob: &Blob| blob.size == want.size && blob.digest == want.sha256;
            if !files.get(path.as_str()).is_some_and(fits) {
                return Err(Failure::untrusted(format!("its layer {path:?} does not match {MANIFEST}")));
            }
        }
        if files.get(MANIFEST) != Some(&self.config()?) {
            return Err(Failure::untrusted(format!("its config is not its {MANIFEST}")));
        }
        if files.get(SUMS).is_none_or(|blob| blob.size > MAX_MANIFEST_BYTES) {
            return Err(Failure::untrusted(format!("it has no {SUMS}")));
        }
        let known =
            |path: &String| path == MANIFEST || path == SUMS || bundle.files.contains_key(path.as_str());
        match files.keys().find(|path| !known(path)) {
            Some(odd) => Err(Failure::untrusted(format!("it has {odd:?}, which {MANIFEST} does not list"))),
            None => Ok(files),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    fn files() -> BTreeMap<String, Blob> {
        [("nodes/a/seed.iso", 3), (MANIFEST, 1), (SUMS, 2)]
            .map(|(path, size)| {
                (path.to_owned(), Blob { size, digest: Digest::from_bytes([size as u8; 32]) })
            })
            .into()
    }

    #[test]
    fn the_manifest_is_this_text() {
        let hex = |byte: &str| byte.repeat(32);
        let want = format!(
            concat!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
                r#""artifactType":"application/vnd.kiln.bundle.v1","#,
                r#""config":{{"mediaType":"application/vnd.kiln.bundle.manifest.v1+json","digest":"sha256:{b}","size":1}},"#,
                r#""layers":[{{"mediaType":"application/vnd.kiln.bundle.file.v1","digest":"sha256:{s}","size":2,"#,
                r#""annotations":{{"org.opencontainers.image.title":"SHA256SUMS"}}}},"#,
                r#"{{"mediaType":"application/vnd.kiln.bundle.file.v1","digest":"sha256:{b}","size":1,"#,
                r#""annotations":{{"org.opencontainers.image.title":"bundle.json"}}}},"#,
                r#"{{"mediaType":"application/vnd.kiln.bundle.file.v1","digest":"sha256:{n}","size":3,"#,
                r#""annotations":{{"org.opencontainers.image.title":"nodes/a/seed.iso"}}}}]}}"#
            ),
            b = hex("01"),
            s = hex("02"),
            n = hex("03"),
        );
        let bytes = Image::of(&files()).to_json().unwrap();
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), want);
        assert_eq!(Image::from_json(&bytes).unwrap().config().unwrap(), files()[MANIFEST]);
    }

    #[test]
    fn other_images_are_not_bundles() {
        let index =
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
        let image =
            r#"{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"sha256:0","size":1},"layers":[]}"#;
        for text in [index, image, "{}", "[]", "", "\u{0}"] {
            assert_eq!(Image::from_json(text.as_bytes()).unwrap_err().exit(), Exit::Untrusted, "{text}");
        }
        assert!(Image::from_json(index.as_bytes()).unwrap_err().to_string().contains("image.index"));
    }

    #[test]
    fn more_files_than_registries_take_are_refused() {
        let blob = Blob { size: 1, digest: Digest::of(b"") };
        let many = (0..20_000).map(|n| (format!("nodes/{n:05}/listing.txt"), blob)).collect();
        assert!(Image::of(&many).to_json().is_err());
    }
}
