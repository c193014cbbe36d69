//! Reads `[backup]`, and checks it against the rest of the profile.

use std::path::PathBuf;

use kiln_wire as wire;
use toml::Spanned;

use super::types::{Backup, Bucket, NamedFile};
use crate::profile::diagnostics::Diagnostics;
use crate::profile::mistake::Mistake;
use crate::profile::reader::Section;
use crate::profile::{Etcd, Pki, PrunedBy, directories};
use crate::values::{InstanceName, Interval, Invalid, Lifetime};

/// The keys of these values.
const DIRECTORY: &str = "directory";
const RETENTION: &str = "retention";
const RECIPIENTS: &str = "recipients";

/// How many a node keeps where the profile does not say: a day of them, at the usual interval.
const USUAL_KEEP: u32 = 48;
/// As many as an age file can sensibly have.
const MAX_RECIPIENTS: usize = 32;

/// `None` where the profile has no `[backup]`, or one that cannot be used.
///
/// It is checked against what has been read so far: etcd's directories and those of the certificates.
pub fn read(
    diagnostics: &mut Diagnostics,
    top: &Section,
    (instance, etcd, pki): (&InstanceName, Option<&Etcd>, Option<&Pki>),
) -> Option<Backup> {
    if !top.has("backup") {
        return None;
    }
    let table = top.table(diagnostics, "backup", "[backup]");
    table.require(diagnostics, RECIPIENTS);
    let recipients = recipients(diagnostics, &table);
    let interval = table.value::<Interval>(diagnostics, "interval");
    let keep = table.number(diagnostics, "keep");
    let directory = table.value_with(diagnostics, DIRECTORY, directories::snapshots);
    let secrets = file(diagnostics, &table, "secrets");
    let retention = table.value::<Lifetime>(diagnostics, RETENTION);
    let prune = table.choice(diagnostics, "prune", PrunedBy::CHOICES).unwrap_or(PrunedBy::Desk);
    let bucket = bucket(diagnostics, &table);
    let has_bucket = table.has("s3");
    warn(diagnostics, &table, has_bucket, prune);
    if let (Some(retention), Some(interval)) = (&retention, &interval)
        && retention.get_ref().seconds() < 2 * interval.get_ref().seconds()
    {
        let reason = format!("retention {} is less than two intervals", retention.get_ref());
        let help = "keep at least the newest two snapshots: make it longer, or the interval shorter";
        diagnostics.mistake(Mistake::new(retention.span(), reason).help(help));
    }
    whole_days(diagnostics, RETENTION, retention.as_ref());
    let place = table.span.clone();
    table.finish(diagnostics);
    let backup = Backup {
        place,
        interval: interval.map_or(Interval::HALF_AN_HOUR, Spanned::into_inner),
        recipients: recipients?,
        directory: directory
            .map(Spanned::into_inner)
            .or_else(|| format!("var/lib/{}/snapshots", instance.directory()).parse().ok())?,
        keep: keep.unwrap_or(USUAL_KEEP),
        secrets,
        retention: retention.map(Spanned::into_inner),
        prune,
        bucket,
    };
    check(diagnostics, &backup, etcd, pki);
    Some(backup)
}

/// What has no effect, and what only a person can judge.
fn warn(diagnostics: &mut Diagnostics, table: &Section, has_bucket: bool, prune: PrunedBy) {
    if has_bucket && !table.has("secrets") {
        let reason = "[backup] secrets is missing: nodes cannot open the bucket";
        let help = "write secrets = \"bucket.json\", a file beside the profile, mode 0600, with {\"schema\": 1, \"access-key-id\": …, \
                    \"secret-access-key\": …}";
        diagnostics.mistake(Mistake::new(table.span.clone(), reason).help(help));
    }
    if !has_bucket {
        for key in [RETENTION, "prune"] {
            if let Some(place) = table.place(key) {
                diagnostics.warn(Some(&place), format!("[backup] {key} has no effect without [backup.s3]"));
            }
        }
        let text = "snapshots are only on the disks of the members themselves: [backup.s3] is missing";
        diagnostics.warn(table.span.as_ref(), text);
    } else if prune == PrunedBy::Node {
        let place = table.place("prune");
        if !table.has(RETENTION) {
            let help = "write retention = \"90d\" or the like: nodes remove what is older";
            let reason = "prune = \"node\" needs retention";
            diagnostics.mistake(Mistake::new(place, reason).help(help));
        } else {
            let text = "with prune = \"node\" the credentials on every node can remove snapshots: a bucket rule, or \
                        `kiln snapshots prune`, needs none there";
            diagnostics.warn(place.as_ref(), text);
        }
    }
}

fn recipients(diagnostics: &mut Diagnostics, table: &Section) -> Option<Vec<wire::Recipient>> {
    let place = table.place(RECIPIENTS);
    let list = table.values(diagnostics, RECIPIENTS, recipient)?;
    let mut seen: Vec<wire::Recipient> = Vec::new();
    for one in list {
        if seen.contains(one.get_ref()) {
            let help = "name each recipient once";
            diagnostics.mistake(Mistake::new(one.span(), "[backup] recipients names it twice").help(help));
        } else {
            seen.push(one.into_inner());
        }
    }
    let reason = match seen.len() {
        0 if table.is_empty_list(RECIPIENTS) => {
            "[backup] recipients is empty: snapshots are always encrypted"
        }
        0 => return None,
        1..=MAX_RECIPIENTS => return Some(seen),
        _ => "[backup] recipients has more than 32 entries",
    };
    let help =
        "age-keygen -o KEY makes an identity and prints its recipient, age1…; keep KEY away from the nodes";
    diagnostics.mistake(Mistake::new(place, reason).help(help));
    None
}

/// As age(1) has them. The comment of an SSH key is left out.
fn recipient(text: &str) -> Result<wire::Recipient, Invalid> {
    let fields: Vec<_> = text.split_ascii_whitespace().collect();
    let plain = match fields.as_slice() {
        ["ssh-ed25519", key, ..] => format!("ssh-ed25519 {key}"),
        [one] => (*one).to_owned(),
        _ => String::new(),
    };
    plain.parse::<kiln_age::Recipient>().map_err(|why| Invalid(why.to_string()))?;
    typed(&plain)
}

/// A value that the node's program reads, too.
fn typed<T: TryFrom<String, Error: std::fmt::Display>>(text: &str) -> Result<T, Invalid> {
    T::try_from(text.to_owned()).map_err(|why| Invalid(why.to_string()))
}

/// A path on this machine, below the directory of the file that names it.
fn file(diagnostics: &mut Diagnostics, table: &Section, key: &'static str) -> Option<NamedFile> {
    let path = |text: &str| match text.is_empty() || text.contains('\0') {
        true => Err(Invalid("it is not a path".into())),
        false => Ok(PathBuf::from(text)),
    };
    let given = table.value_with(diagnostics, key, path)?;
    let span = given.span();
    Some(NamedFile {
        path: diagnostics.directory(&span).join(given.into_inner()),
        at: diagnostics.place(&span),
    })
}

/// A bucket counts days.
fn whole_days(diagnostics: &mut Diagnostics, key: &str, lifetime: Option<&Spanned<Lifetime>>) {
    if let Some(odd) = lifetime.filter(|lifetime| lifetime.get_ref().seconds() % 86_400 != 0) {
        let reason = format!("{key} is a number of days");
        diagnostics.mistake(Mistake::new(odd.span(), reason).help("write 30d or the like"));
    }
}

fn bucket(diagnostics: &mut Diagnostics, above: &Section) -> Option<Bucket> {
    if !above.has("s3") {
        return None;
    }
    let table = above.table(diagnostics, "s3", "[backup.s3]");
    table.require(diagnostics, "endpoint");
    table.require(diagnostics, "bucket");
    let endpoint = table.value_with(diagnostics, "endpoint", typed::<wire::OriginUrl>);
    let name = table.value_with(diagnostics, "bucket", typed::<wire::Bucket>);
    let prefix = table.value_with(diagnostics, "prefix", typed::<wire::Prefix>);
    let region = table.value_with(diagnostics, "region", typed::<wire::Region>);
    let ca_file = file(diagnostics, &table, "ca-file");
    let lock = table.value::<Lifetime>(diagnostics, "object-lock");
    if let Some(endpoint) =
        endpoint.as_ref().filter(|endpoint| endpoint.get_ref().as_str().starts_with("http:"))
    {
        let text =
            "the endpoint has no TLS: who is between can see the names of snapshots, and hold them back";
        diagnostics.warn(Some(&endpoint.span()), text);
        if let Some(place) = table.place("ca-file") {
            diagnostics.warn(Some(&place), "[backup.s3] ca-file has no effect without https");
        }
    }
    whole_days(diagnostics, "object-lock", lock.as_ref());
    table.finish(diagnostics);
    Some(Bucket {
        endpoint: endpoint?.into_inner(),
        name: name?.into_inner(),
        prefix: prefix.map(Spanned::into_inner).or_else(|| typed("").ok())?,
        region: region.map(Spanned::into_inner).or_else(|| typed("us-east-1").ok())?,
        ca_file,
        lock: lock.map(Spanned::into_inner),
    })
}

/// Snapshots do not lie among what they are of, nor among what etcd's account can change.
fn check(diagnostics: &mut Diagnostics, backup: &Backup, etcd: Option<&Etcd>, pki: Option<&Pki>) {
    let Some(etcd) = etcd else { return };
    let directory = &backup.directory;
    let wal = etcd.service.wal_dir.as_ref().map(|wal| ("wal-dir", wal));
    let taken =
        [("data-dir", &etcd.data_dir), ("bin-dir", &etcd.bin_dir), ("config-dir", &etcd.service.config_dir)];
    let keys = pki.map(|pki| ("[pki] directory", &pki.directory));
    let clash = taken.into_iter().chain(wal).chain(keys).find(|(_, path)| path.overlaps(directory));
    if let Some((key, path)) = clash {
        let reason = format!(
            "the directory of snapshots {} and {key} {} must not contain each other",
            directory.absolute(),
            path.absolute()
        );
        let place = backup.place.clone();
        let help = "use a directory that is root's own, as /var/lib/kiln/snapshots is";
        diagnostics.mistake(Mistake::new(place, reason).help(help));
    }
}
