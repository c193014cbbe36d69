//! Taking one snapshot: fresh, whole, encrypted, signed, and only then named.

use kiln_age::Recipient;
use kiln_wire::{BODY, Backup, Digest, RECORD, Record, SCHEMA, SnapshotName, seal};
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::local::Local;
use super::member::{Member, Status, agreed_revision, save, status};
use super::trailer::{Hashed, sound};
use crate::disk;
use crate::failure::{Failure, Result};
use crate::large;
use crate::pem;
use crate::steps::reached;

/// What a snapshot is made with.
pub struct Tools {
    signer: Ed25519KeyPair,
    recipients: Vec<Recipient>,
}

impl Tools {
    /// The key of this node, and the keys of those who can decrypt.
    ///
    /// # Errors
    /// Where the key is not this node's, or a recipient is none.
    pub fn load(policy: &Backup) -> Result<Self> {
        let path = std::path::Path::new(policy.signer.as_str());
        let text = disk::read(path, true)?;
        let wrong = |why: String| Failure::new(format!("{}: {why}", path.display()));
        let blocks = pem::blocks(pem::PRIVATE_KEY, &text).map_err(|why| wrong(why.to_string()))?;
        let [der] = blocks.as_slice() else { return Err(wrong("it has more than one key".to_owned())) };
        let signer = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
            .map_err(|_| wrong("it is not an Ed25519 key in PKCS#8".to_owned()))?;
        let own = policy.signers.iter().filter(|signer| signer.node == policy.node);
        if !own.map(|own| own.key.0).any(|key| key == signer.public_key().as_ref()) {
            return Err(wrong("it is not this node's key; deliver this node's files again".to_owned()));
        }
        let recipients = policy.recipients.iter().zip(1..).map(|(text, number)| {
            let parsed = text.as_str().parse::<Recipient>();
            parsed.map_err(|why| Failure::new(format!("recipient {number} of the policy: {why}")))
        });
        Ok(Self { recipients: recipients.collect::<Result<_>>()?, signer })
    }
}

/// Takes a snapshot of the member, and puts it into the queue if `is_for_upload` says so.
///
/// # Errors
/// Why there is none.
pub fn take(
    policy: &Backup,
    local: &Local<'_>,
    tools: &Tools,
    member: &Member,
    taken: u64,
    is_for_upload: impl FnOnce() -> bool,
) -> Result<Record> {
    let agreed = agreed_revision(policy)?;
    // Nothing goes for one that would not be taken.
    local.make_room(member.size, taken)?;
    let plain = local.work("snapshot.db");
    save(policy, member, &plain)?;
    reached("saved");
    let (file, plain_size) = large::open(&plain)?;
    let plain_sha256 = sound(file, plain_size)?;
    let status = status(policy, &plain, plain_size)?;
    if status.revision < agreed {
        return Err(Failure::new(format!(
            "the snapshot has revision {}, and the cluster was at {agreed} before; the member is behind",
            status.revision
        )));
    }
    reached("checked");
    let (size, sha256) = encrypt(tools, local, plain_sha256)?;
    disk::remove(&plain)?;
    reached("encrypted");
    let name = SnapshotName::new(policy.cluster.clone(), taken, status.revision, policy.node.clone())
        .ok_or_else(|| {
            Failure::new(format!("no snapshot has time {taken} and revision {}", status.revision))
        })?;
    let digests = (plain_size, plain_sha256, size, sha256);
    let record = record(policy, member, name, status, digests);
    let bytes = seal(&record, &tools.signer).map_err(|why| Failure::new(why.to_string()))?;
    disk::write_new(&local.work("record"), &bytes, 0o600, None)?;
    reached("signed");
    local.prepare(&record.name)?;
    if is_for_upload() {
        local.enqueue(&record.name)?;
    }
    reached("queued");
    large::publish(&local.work("snapshot.age"), &local.path(&record.name, BODY))?;
    reached("named");
    large::publish(&local.work("record"), &local.path(&record.name, RECORD))?;
    reached("recorded");
    Ok(record)
}

/// Bytes and digest of the encrypted file, which is synced.
fn encrypt(tools: &Tools, local: &Local<'_>, wanted: Digest) -> Result<(u64, Digest)> {
    let (from, to) = (local.work("snapshot.db"), local.work("snapshot.age"));
    let (file, _) = large::open(&from)?;
    let mut plain = Hashed::new(file);
    let mut sealed = Hashed::new(std::io::BufWriter::with_capacity(1 << 20, large::create(&to)?));
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(format!("encrypting to {}: {error}", to.display()));
    kiln_age::encrypt(&tools.recipients, &mut plain, &mut sealed).map_err(|error| failed(&error))?;
    let (size, digest, buffer) = sealed.finish();
    let file = buffer.into_inner().map_err(|error| failed(&error.error()))?;
    file.sync_all().map_err(|error| failed(&error))?;
    match plain.finish().1 == wanted {
        true => Ok((size, digest)),
        false => Err(Failure::new(format!("{} has changed while it was read", from.display()))),
    }
}

fn record(
    policy: &Backup,
    member: &Member,
    name: SnapshotName,
    status: Status,
    (plain_size, plain_sha256, size, sha256): (u64, Digest, u64, Digest),
) -> Record {
    Record {
        schema: SCHEMA,
        cluster: policy.cluster.clone(),
        cluster_id: policy.cluster_id,
        generation: policy.generation,
        node: policy.node.clone(),
        member_id: member.id,
        taken: name.taken(),
        revision: status.revision,
        etcd: member.version.clone(),
        name,
        size,
        sha256,
        plain_size,
        plain_sha256,
        hash: status.hash,
        recipients: policy.recipients.clone(),
    }
}
