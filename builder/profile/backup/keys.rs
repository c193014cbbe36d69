//! The keys of `[backup]` and of what is below it, as data.

use crate::profile::PrunedBy;
use crate::profile::key::Usual::{self, Follows, Is, Required};
use crate::profile::key::ValueKind::{Choice, Text, Texts};
use crate::profile::key::{Key, key, number};

/// How many snapshots a node can keep.
pub const KEEP: (u32, u32) = (1, 10_000);

/// In the order in which they are listed.
pub static KEYS: &[Key] = &[
    key(
        "[backup]",
        "recipients",
        Texts,
        Required("recipients = [\"age1…\"]"),
        "who can read snapshots: age's `age1…` and `ssh-ed25519 …` (\"Snapshots\")",
    ),
    key("[backup]", "interval", Text, Is("30m"), "time between two snapshots of a member, as in `30m`, `6h`"),
    key("[backup]", "keep", number(KEEP), Is("48"), "snapshots that a node keeps on its own disk"),
    key("[backup]", "directory", Text, Is("/var/lib/kiln/snapshots"), "where; not in etcd's own directories"),
    key(
        "[backup]",
        "secrets",
        Text,
        Usual::None,
        "a file (JSON, 0600) with the bucket's credentials and the URL to ping",
    ),
    key("[backup]", "retention", Text, Usual::None, "how long snapshots stay in the bucket, as in `90d`"),
    key("[backup]", "prune", Choice(PrunedBy::NAMES), Is("desk"), "`node`: nodes remove older ones there"),
    key(
        "[backup.s3]",
        "endpoint",
        Text,
        Required("endpoint = \"https://s3.site.example\""),
        "an S3 server, to which snapshots go, too",
    ),
    key("[backup.s3]", "bucket", Text, Required("bucket = \"etcd\""), "its bucket"),
    key("[backup.s3]", "prefix", Text, Usual::None, "what its keys begin with, as in `site-a`"),
    key("[backup.s3]", "region", Text, Is("us-east-1"), "the region in signatures"),
    key("[backup.s3]", "ca-file", Text, Follows("the node's own CAs"), "a PEM file with the endpoint's CAs"),
    key("[backup.s3]", "object-lock", Text, Usual::None, "how long the bucket locks each one, as in `30d`"),
];
