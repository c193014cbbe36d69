//! The keys of `[machine]` and `[bundle]`.

use super::key::{Key, Usual, ValueKind, key, number};
use super::types::{Binaries, Compression, Machine};

use Usual::{Follows, Is};
use ValueKind::{Carriers, Choice, Text, Texts};

pub(super) static KEYS: &[Key] = &[
    key(
        "[machine]",
        "base",
        Text,
        Usual::None,
        "`live`, `cloud`, `ignition` (by `ci/base`) or an absolute path (\"Boot files\")",
    ),
    key("[machine]", "memory-mib", number(Machine::MEMORY_MIB), Is("1024"), "for `domain.xml` and `kiln up`"),
    key("[machine]", "vcpus", number(Machine::VCPUS), Is("2"), "for `domain.xml` and `kiln up`"),
    key(
        "[machine]",
        "data-disk-mib",
        number(Machine::DATA_DISK_MIB),
        Is("8192"),
        "size of the data disk that `kiln up` creates",
    ),
    key(
        "[machine]",
        "bridge",
        Text,
        Usual::None,
        "a bridge of the hosts, instead of Kiln's network (\"Several KVM hosts\")",
    ),
    key("[machine]", "network", Text, Usual::None, "a network of each host's libvirt, instead of Kiln's"),
    key(
        "[machine]",
        "login-user",
        Text,
        Usual::None,
        "account with sudo that takes `ssh-keys`; set both or neither (\"A login\")",
    ),
    key("[machine]", "ssh-keys", Texts, Usual::None, "public keys, as in `authorized_keys`"),
    key("[bundle]", "carriers", Carriers, Follows("all"), "the tarball is always built"),
    key(
        "[bundle]",
        "binaries",
        Choice(Binaries::NAMES),
        Is("embedded"),
        "`shared`: one layer for all hosts instead",
    ),
    key(
        "[bundle]",
        "initramfs-compression",
        Choice(Compression::NAMES),
        Is("gzip"),
        "`zstd`: smaller, faster; needs `CONFIG_RD_ZSTD`",
    ),
    key("[bundle]", "overlays", Texts, Usual::None, "overlay directories, relative to the profile"),
    key("[bundle]", "replace", Texts, Usual::None, "paths of Kiln's files that an overlay may replace"),
];
