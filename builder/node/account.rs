//! The account that etcd runs as. This program is static, so it asks no name service but reads the files of one.

use std::path::Path;

use crate::disk::{self, Owner};
use crate::failure::{Failure, Result};

/// passwd(5), and where base systems with a read-only `/usr` have their own accounts: nss-altfiles of Fedora CoreOS and
/// Flatcar's usrfiles.
const FILES: [&str; 3] = ["/etc/passwd", "/usr/lib/passwd", "/usr/share/baselayout/passwd"];

/// The account of this name.
///
/// # Errors
/// Where there is none.
pub fn account(name: &str) -> Result<Owner> {
    let first = disk::read(Path::new(FILES[0]), false)?;
    let others = FILES[1..].iter().filter_map(|path| disk::read(Path::new(path), false).ok());
    let found =
        std::iter::once(first).chain(others).find_map(|text| parse(&String::from_utf8_lossy(&text), name));
    found.ok_or_else(|| {
        Failure::new(format!("there is no account {name} in {}; systemd-sysusers creates it", FILES[0]))
    })
}

fn parse(text: &str, name: &str) -> Option<Owner> {
    let fields = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let owner = fields
        .filter(|fields| fields.len() == 7 && fields[0] == name)
        .find_map(|fields| Some(Owner { uid: fields[2].parse().ok()?, gid: fields[3].parse().ok()? }));
    // chown(2) takes the highest number for "as it is".
    owner.filter(|owner| owner.uid != u32::MAX && owner.gid != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_whole_lines() {
        let of = |text: &str| parse(text, "etcd").map(|owner| (owner.uid, owner.gid));
        let good = "root:x:0:0:root:/root:/bin/sh\netcd:x:998:997:etcd:/var/lib/etcd:/sbin/nologin\n";
        assert_eq!(of(good), Some((998, 997)));
        for bad in [
            "",
            "etcd2:x:998:997::/:/",
            "x:etcd:998:997::/:/",
            "etcd:x:998",
            "etcd:x::997::/:/",
            "etcd:x:-1:997::/:/",
            "etcd:x:4294967295:997::/:/",
            "etcd:x:998:4294967295::/:/",
            "#etcd:x:998:997::/:/",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
