//! The bucket of a bundle, for the verbs that look into it.

use std::path::Path;

use crate::backup::Place;
#[cfg(feature = "s3")]
use crate::backup::{self, Bucket};
use crate::bundle::Bundle;
use crate::failure::{Exit, Failure, Result};

/// The bucket of a bundle as a place.
///
/// # Errors
/// `Exit::Usage` where the bundle has none, or no credentials are named; those of opening it.
#[cfg(feature = "s3")]
pub fn bucket(bundle: &Bundle, secrets: Option<&Path>) -> Result<Place> {
    open_bucket(bundle, secrets).map(|bucket| Place::Bucket(Box::new(bucket)))
}

#[cfg(not(feature = "s3"))]
pub fn bucket(_: &Bundle, _: Option<&Path>) -> Result<Place> {
    Err(Failure::new(
        Exit::Usage,
        "this build of Kiln reads no buckets; name a directory with --from, or build Kiln with the cargo feature s3",
    ))
}

/// The bucket of a bundle.
///
/// # Errors
/// `Exit::Usage` where the bundle has none, or no credentials are named.
#[cfg(feature = "s3")]
pub fn open_bucket(bundle: &Bundle, secrets: Option<&Path>) -> Result<Bucket> {
    let usage = |why: &str| Failure::new(Exit::Usage, why);
    let of = backup::of_bundle(&bundle.manifest)?;
    let s3 = of.s3.as_ref().ok_or_else(|| {
        usage("the bundle names no bucket: its snapshots are on the nodes; copy them here and name that directory with --from")
    })?;
    let secrets = secrets.ok_or_else(|| {
        usage("the bucket needs credentials: name a file with --secrets, or a directory with --from")
    })?;
    Bucket::open(bundle, s3, secrets)
}
