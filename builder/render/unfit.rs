//! What an overlay must not add to a node: files that got into it by accident, places that a node does not keep, modes
//! and contents that would reveal a secret.

use crate::disk::Kind;
use crate::values::{GuestPath, Mode, holds_private_key};

/// The reason for a refusal, and the suggested fix.
#[derive(Debug)]
pub(super) struct Why {
    pub reason: String,
    pub help: String,
}

fn why(reason: impl Into<String>, help: impl Into<String>) -> Option<Why> {
    Some(Why { reason: reason.into(), help: help.into() })
}

/// A file or directory refused by its name, or by the one that a template has on the node: files that version control,
/// desktops and editors leave behind.
pub(super) fn by_name(name: &str) -> Option<Why> {
    let name = name.strip_suffix(".hbs").unwrap_or(name);
    let is_swap = |end: &str| name.starts_with('.') && name.ends_with(end);
    let whose = match name {
        ".git" | ".svn" | ".hg" | ".bzr" | ".jj" | "CVS" => "a version control system",
        ".DS_Store" | "Thumbs.db" | "desktop.ini" => "a desktop",
        _ if name.starts_with(".#") || name.starts_with('#') && name.ends_with('#') => "an editor",
        _ if name.ends_with('~') || [".swp", ".swo", ".swn", ".swx"].into_iter().any(is_swap) => "an editor",
        _ => return None,
    };
    why(
        format!("this file was made by {whose} and is not for a node"),
        "move it out of the overlay, or keep the overlay in another directory",
    )
}

/// A place that is a link on base systems with everything in /usr, or that a node does not keep.
pub(super) fn by_place(path: &GuestPath) -> Option<Why> {
    let text = path.as_str();
    let (top, rest) = text.split_once('/').unwrap_or((text, "…"));
    let merged = match top {
        "bin" | "sbin" => Some("usr/bin"),
        "lib" | "lib32" | "lib64" | "libx32" => Some(top),
        _ => None,
    };
    if let Some(place) = merged {
        let place = if place.starts_with("usr/") { place.to_owned() } else { format!("usr/{place}") };
        return why(
            format!(
                "/{top} is a link to /usr/{top} on base systems, and an initramfs would replace it with a directory"
            ),
            format!("write {place}/{rest}"),
        );
    }
    let gone = ["dev", "proc", "run", "sys", "tmp", "var/lock", "var/run", "var/tmp"];
    let place = gone.into_iter().find(|place| path.is_within(place))?;
    why(
        format!("files in /{place} are hidden or lost when a node boots"),
        "create it on the node instead, as with a line in usr/lib/tmpfiles.d",
    )
}

/// The mode of a file or directory on nodes: group and others get no permission that they lack here, and only the
/// owner may write. So it is the same under any umask that lets everyone read, and a secret stays one.
///
/// `top` is the mode of the overlay's own directory: if it has a setgid bit, too, that is how this machine shares
/// directories.
pub(super) fn mode(kind: Kind, mode: Mode, top: Mode) -> Result<Mode, Why> {
    let inherited = if kind == Kind::Directory { top.bits() & 0o2000 } else { 0 };
    if mode.bits() & 0o7000 & !inherited != 0 {
        return Err(Why {
            reason: format!("mode {mode} has a setuid, setgid or sticky bit, which Kiln does not copy to nodes"),
            help: "clear it with chmod u-s,g-s,-t, and let the node set it, as with a line in usr/lib/tmpfiles.d".into(),
        });
    }
    let bits = match kind {
        Kind::Directory => 0o700 | mode.bits() & 0o055,
        _ if mode.bits() & 0o100 != 0 => 0o700 | mode.bits() & 0o055,
        _ => 0o600 | mode.bits() & 0o044,
    };
    Ok(Mode::from_bits(bits))
}

/// A private key that other users may read on this machine.
pub(super) fn by_content(bytes: &[u8], name: &str, mode: Mode) -> Option<Why> {
    if is_keystore_secret(bytes, name) {
        return why(
            "this is the secret of a keystore, from which every key of a cluster follows",
            "keep keystores outside of overlays; Kiln gives each node its own keys",
        );
    }
    if mode.bits() & 0o077 == 0 || !holds_private_key(bytes) {
        return None;
    }
    let whom = if mode.bits() & 0o007 == 0 { "its group" } else { "every account of a node" };
    why(
        format!("this holds a private key, which mode {mode} would let {whom} read"),
        "close it with chmod go=, so that only its owner can read it on the nodes",
    )
}

/// 32 bytes in hex, in a file with this name (`pki`).
fn is_keystore_secret(bytes: &[u8], name: &str) -> bool {
    let digits = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    name == "secret" && digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit)
}

/// The target of a link in the guest, relative to its root; `None` for one that leads out of it.
pub(super) fn leads_to(link: &GuestPath, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    if !target.starts_with('/') {
        parts.extend(link.as_str().split('/'));
        parts.pop();
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Whether a base system is expected to have the target of a link.
pub(super) fn is_base_systems(target: &str) -> bool {
    let top = target.split('/').next().unwrap_or_default();
    matches!(
        top,
        "" | "bin" | "boot" | "dev" | "lib" | "lib32" | "lib64" | "proc" | "run" | "sbin" | "sys" | "usr"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> GuestPath {
        text.parse().unwrap()
    }

    #[test]
    fn what_got_into_an_overlay_by_accident_is_known_by_its_name() {
        for name in [".git", ".svn", "CVS", ".DS_Store", "a.conf~", ".a.conf.swp", "#a#", ".#a", ".x.swo"] {
            assert!(by_name(name).is_some(), "{name}");
        }
        for name in ["a", ".gitkeep", ".gitignore", "a#", "#a", "swp", "a.swp", ".profile"] {
            assert!(by_name(name).is_none(), "{name}");
        }
    }

    #[test]
    fn places_that_are_links_or_gone_after_a_boot_are_refused() {
        for (place, help) in [
            ("lib/systemd/system/x.service", "usr/lib/systemd/system/x.service"),
            ("sbin/tool", "usr/bin/tool"),
            ("bin", "usr/bin/"),
            ("lib64/x", "usr/lib64/x"),
            ("run/x", "tmpfiles.d"),
            ("tmp", "tmpfiles.d"),
            ("var/run/x", "tmpfiles.d"),
            ("var/lock", "tmpfiles.d"),
            ("var/tmp/x", "tmpfiles.d"),
            ("dev/x", "tmpfiles.d"),
        ] {
            let why = by_place(&path(place)).unwrap_or_else(|| panic!("{place}"));
            assert!(why.help.contains(help), "{place}: {}", why.help);
        }
        for place in ["usr/lib/x", "usr/sbin/x", "etc/run/x", "runs/x", "var/lib/x", "libs", "srv/bin/x"] {
            assert!(by_place(&path(place)).is_none(), "{place}");
        }
    }

    #[test]
    fn modes_keep_what_is_closed_and_no_umask_opens_anything() {
        let got = |kind, bits, top| {
            mode(kind, Mode::from_bits(bits), Mode::from_bits(top)).map(|mode| mode.bits()).ok()
        };
        for (bits, want) in [
            (0o644, 0o644),
            (0o664, 0o644),
            (0o666, 0o644),
            (0o755, 0o755),
            (0o775, 0o755),
            (0o777, 0o755),
            (0o600, 0o600),
            (0o400, 0o600),
            (0o640, 0o640),
            (0o700, 0o700),
            (0o750, 0o750),
            (0o444, 0o644),
            (0o654, 0o644),
            (0o711, 0o711),
        ] {
            assert_eq!(got(Kind::File, bits, 0o755), Some(want), "{bits:o}");
        }
        for (bits, want) in [(0o755, 0o755), (0o775, 0o755), (0o700, 0o700), (0o750, 0o750), (0o711, 0o711)] {
            assert_eq!(got(Kind::Directory, bits, 0o755), Some(want), "{bits:o}");
        }
        for bits in [0o4755, 0o2755, 0o1755] {
            assert_eq!(got(Kind::File, bits, 0o2775), None, "{bits:o}");
            assert_eq!(got(Kind::Directory, bits, 0o755), None, "{bits:o}");
        }
        assert_eq!(
            got(Kind::Directory, 0o2775, 0o2775),
            Some(0o755),
            "this machine's way to share directories"
        );
    }

    #[test]
    fn private_keys_that_others_may_read_are_refused() {
        let open = Mode::FILE;
        let secret = "0f".repeat(32);
        for key in [
            "-----BEGIN PRIVATE KEY-----\nMC4",
            "text\n  -----BEGIN OPENSSH PRIVATE KEY-----\n",
            "-----BEGIN RSA PRIVATE KEY-----\r\nx",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----",
            "PuTTY-User-Key-File-3: ssh-ed25519",
            "# created\nAGE-SECRET-KEY-1QQ",
        ] {
            assert!(by_content(key.as_bytes(), "key", open).is_some(), "{key}");
            assert!(by_content(key.as_bytes(), "key", Mode::from_bits(0o640)).is_some(), "{key}");
            assert!(by_content(key.as_bytes(), "key", Mode::SECRET).is_none(), "{key}");
        }
        assert!(by_content(secret.as_bytes(), "secret", Mode::SECRET).is_some());
        for fine in ["-----BEGIN CERTIFICATE-----", "no PRIVATE KEY-----", &secret, ""] {
            assert!(by_content(fine.as_bytes(), "other", open).is_none(), "{fine}");
        }
    }

    #[test]
    fn links_are_followed_in_the_guest() {
        for (link, target, want) in [
            ("etc/a", "b", Some("etc/b")),
            ("etc/x/a", "../b", Some("etc/b")),
            ("etc/a", "/usr/./b/", Some("usr/b")),
            ("a", "..", None),
            ("etc/a", "../../b", None),
            ("etc/a", "/..", None),
            ("etc/a", "/", Some("")),
        ] {
            assert_eq!(leads_to(&path(link), target).as_deref(), want, "{link} -> {target}");
        }
    }
}
