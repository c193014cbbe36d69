//! The queue goes to the bucket, newest first: the file, a look at whether it is there, and its record last, without
//! which nothing there is a snapshot.

use kiln_s3::{Body, Stored};
use kiln_wire::{BODY, Digest, RECORD, Record, SnapshotName};

use super::bucket::Bucket;
use super::local::Local;
use crate::clock;
use crate::failure::{Failure, Result};
use crate::large;
use crate::steps::reached;

/// In one run, so that the next snapshot does not wait for all of an outage.
const AT_ONCE: usize = 20;
const DAY: u64 = 86_400;

/// What has come of a queue.
#[derive(Default)]
pub struct Uploaded {
    /// What is there now.
    pub done: Vec<SnapshotName>,
    /// What is not right; the queue goes on with the next one.
    pub wrong: Vec<String>,
}

/// Uploads what is queued.
///
/// # Errors
/// Where the bucket is away: everything that is queued stays so.
pub fn upload(local: &Local<'_>, bucket: &Bucket<'_>) -> Result<Uploaded> {
    let mut uploaded = Uploaded::default();
    for name in local.queue()?.into_iter().rev().take(AT_ONCE) {
        let (record, bytes) = match local.sound(&name) {
            Ok(found) => found,
            Err(why) => {
                // It stays where it is, but it never gets better.
                local.unqueue(&name)?;
                uploaded.wrong.push(format!("does not upload {name}: {why}"));
                continue;
            }
        };
        match one(local, bucket, &record, &bytes) {
            Ok(()) => {
                local.unqueue(&name)?;
                reached("unqueued");
                uploaded.done.push(name);
            }
            Err(Trouble::Away(why)) => return Err(why),
            Err(Trouble::Other(why)) => {
                local.unqueue(&name)?;
                uploaded.wrong.push(format!("does not upload {name}: {why}"));
            }
        }
    }
    Ok(uploaded)
}

enum Trouble {
    /// The next one will not do better.
    Away(Failure),
    /// Something else of this name is there, or it is too large.
    Other(String),
}

impl From<kiln_s3::Error> for Trouble {
    fn from(why: kiln_s3::Error) -> Self {
        match why {
            // Of this one alone: it is too large.
            kiln_s3::Error::Setup(why) => Self::Other(why),
            why => Self::Away(Failure::new(why.to_string())),
        }
    }
}

impl From<Failure> for Trouble {
    fn from(why: Failure) -> Self {
        Self::Away(why)
    }
}

fn one(
    local: &Local<'_>,
    bucket: &Bucket<'_>,
    record: &Record,
    bytes: &[u8],
) -> std::result::Result<(), Trouble> {
    let locked_until = bucket.lock_days.map(|days| clock::now().saturating_add(u64::from(days) * DAY));
    let key = bucket.key(&record.name, BODY);
    let (mut file, _) = large::open(&local.path(&record.name, BODY))?;
    let body = Body { from: &mut file, size: record.size, sha256: record.sha256.0, locked_until };
    let stored = bucket.client.put(&key, body)?;
    reached("uploaded");
    is_there(bucket, &key, record.size, record.sha256, stored)?;
    reached("seen");
    let key = bucket.key(&record.name, RECORD);
    let sha256 = Digest::of(bytes);
    let size = bytes.len() as u64;
    let body = Body { from: &mut &bytes[..], size, sha256: sha256.0, locked_until };
    let stored = bucket.client.put(&key, body)?;
    is_there(bucket, &key, size, sha256, stored)?;
    reached("published");
    Ok(())
}

/// The service's own word for it. What was there before is compared as far as the service says what it is.
fn is_there(
    bucket: &Bucket<'_>,
    key: &str,
    size: u64,
    sha256: Digest,
    stored: Stored,
) -> std::result::Result<(), Trouble> {
    let found = bucket.client.head(key)?;
    let is_same =
        found.is_some_and(|found| found.size == size && found.sha256.is_none_or(|found| found == sha256.0));
    match (is_same, stored) {
        (true, _) => Ok(()),
        (false, Stored::Already) => {
            Err(Trouble::Other("something else has its name in the bucket".to_owned()))
        }
        (false, Stored::New) => Err(Trouble::Away(Failure::new(
            "the S3 service says that it has stored a file, and does not have it as it was",
        ))),
    }
}
