//! A node's directory as its etcd sees it: the files of a booted system besides those of the bundle, and the
//! restrictions of the unit. All mounts are made in this process's own mount namespace, and no link in the node's
//! files is followed, because it would lead to files of this machine.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Gid, StatVfsMountFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags};

use super::account::Account;
use super::files::inside;
use super::sandbox::{Access, Sandbox};
use crate::disk::{self, Kind};
use crate::failure::{Doing, Failure, Result};
use crate::values::Mode;

/// For a child to call exec on a busy machine.
const BUSY_PATIENCE: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(4);

/// The devices that a program may expect in /dev.
const DEVICES: [&str; 5] = ["full", "null", "random", "urandom", "zero"];

/// Where programs that are linked to this machine's C library find it and its dynamic linker.
const LIBRARIES: [&str; 7] =
    ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib/ld64.so.1", "/usr/lib/ld64.so.1"];

/// Where systemd-tmpfiles looks for files of the kind that are in a bundle, in its order of preference
/// (tmpfiles.d(5)).
const TMPFILES: [&str; 3] = ["etc/tmpfiles.d", "usr/local/lib/tmpfiles.d", "usr/lib/tmpfiles.d"];

/// The same; makes the directory and its parents if they are missing.
pub fn directory(root: &Path, path: &str, mode: u32) -> Result<PathBuf> {
    let mut so_far = String::new();
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    for (number, part) in parts.iter().enumerate() {
        so_far.push('/');
        so_far.push_str(part);
        if inside(root, &so_far)?.is_none() {
            let at = root.join(&so_far[1..]);
            disk::make_directories(&at, Mode::DIRECTORY)?;
            permit(&at, if number + 1 == parts.len() { mode } else { 0o755 })?;
        }
    }
    let at = root.join(so_far.trim_start_matches('/'));
    match disk::look(&at)?.is_some_and(|found| found.kind == Kind::Directory) {
        true => Ok(at),
        false => Err(Failure::wrong(format!("{path} of the node is not a directory"))),
    }
}

/// Makes the node's directory a mount of its own, so that it can be made read-only.
pub fn own(root: &Path) -> Result<()> {
    mount(root, root)
}

/// Makes a directory of this rehearsal seen at another path, too, with restrictions of its own.
pub fn show(directory: &Path, at: &Path) -> Result<()> {
    mount(directory, at)
}

/// The directories that the node's tmpfiles.d makes at its boot, for rehearsals that cannot set their owners.
///
/// # Errors
/// `Exit::Io`; systemd-tmpfiles reports invalid lines.
pub fn tmpfiles(root: &Path) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for place in TMPFILES {
        let Some(there) = inside(root, place)? else { continue };
        for name in disk::list(&there)?.into_iter().filter(|name| name.ends_with(".conf")) {
            if !seen.insert(name.clone()) {
                continue;
            }
            let text = disk::read(&there.join(&name), 1 << 20)?;
            for line in String::from_utf8_lossy(&text).lines() {
                let mut words = line.split_whitespace();
                let (Some(kind), Some(path)) = (words.next(), words.next()) else { continue };
                if kind.starts_with(['d', 'D', 'v', 'q', 'Q']) && path.starts_with('/') && !path.contains('%')
                {
                    let mode = words.next().and_then(|mode| u32::from_str_radix(mode, 8).ok());
                    directory(root, path, mode.unwrap_or(0o755))?;
                }
            }
        }
    }
    Ok(())
}

/// The files of a booted system besides those of the bundle: /proc, /dev, /tmp, /run, a hosts file with these lines,
/// and for a dynamically linked program this machine's libraries.
pub fn furnish(root: &Path, hosts: &str, libraries: bool) -> Result<()> {
    for (path, mode) in
        [("/proc", 0o555), ("/dev", 0o755), ("/run", 0o755), ("/tmp", 0o1777), ("/var/tmp", 0o1777)]
    {
        directory(root, path, mode)?;
    }
    if inside(root, "/etc/hosts")?.is_none() {
        disk::write_whole(&directory(root, "/etc", 0o755)?.join("hosts"), hosts.as_bytes(), Mode::FILE)?;
    }
    mount(Path::new("/proc"), &root.join("proc"))?;
    let dev = root.join("dev");
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    rustix::mount::mount("tmpfs", &dev, "tmpfs", flags, c"mode=0755,size=64k")
        .map_err(std::io::Error::from)
        .doing(|| format!("mounting {}", dev.display()))?;
    for device in DEVICES {
        let path = dev.join(device);
        disk::write_whole(&path, b"", Mode::FILE)?;
        mount(&Path::new("/dev").join(device), &path)?;
    }
    if libraries {
        for library in LIBRARIES {
            borrow(root, library)?;
        }
    }
    Ok(())
}

/// Mounts a directory of this machine's libraries where the node has none of its own.
fn borrow(root: &Path, library: &str) -> Result<()> {
    let path = root.join(library.trim_start_matches('/'));
    let here = Path::new(library);
    if !disk::is_directory(here) || disk::look(&path)?.is_some_and(|found| found.kind != Kind::Directory) {
        return Ok(());
    }
    // No process there can write to it: etcd's account may not, and to root of a user namespace the files belong to
    // another user.
    mount(here, &directory(root, library, 0o755)?)
}

/// Applies the unit's directories and restrictions to the node's files. `spare` is an empty directory for placeholders
/// of hidden files.
///
/// # Errors
/// `Exit::Wrong` when systemd would refuse to start it.
pub fn protect(root: &Path, spare: &Path, sandbox: &Sandbox, account: &Account) -> Result<()> {
    for made in &sandbox.made {
        let at = directory(root, &made.path, made.mode)?;
        permit(&at, made.mode)?;
        if made.is_owned && account.uid != 0 {
            give(&at, account)?;
        }
    }
    disk::make_directories(spare, Mode::DIRECTORY)?;
    if sandbox.private_tmp {
        for path in ["/tmp", "/var/tmp"] {
            let fresh = spare.join(path.trim_start_matches('/').replace('/', "-"));
            disk::make_directories(&fresh, Mode::DIRECTORY)?;
            permit(&fresh, 0o1777)?;
            mount(&fresh, &root.join(path.trim_start_matches('/')))?;
        }
    }
    let mut closed = Vec::new();
    // Parents first: a mount on a directory hides earlier mounts below it.
    for (path, entry) in &sandbox.entries {
        if sandbox.is_hidden(path) {
            continue;
        }
        let Some(at) = inside(root, path)? else {
            match &entry.required_by {
                Some(setting) => {
                    return Err(Failure::wrong(format!(
                        "{setting} is not on the node; systemd would refuse to start etcd (226/NAMESPACE)"
                    )));
                }
                None => continue,
            }
        };
        match entry.access {
            Access::Hidden => mount(&empty(spare, &at, 0o000)?, &at)?,
            Access::Empty => mount(&empty(spare, &at, 0o755)?, &at)?,
            // The node's directory itself is a mount already.
            Access::ReadOnly | Access::ReadWrite if path == "/" => {}
            Access::ReadOnly | Access::ReadWrite => mount(&at, &at)?,
        }
        if entry.access != Access::ReadWrite {
            closed.push(at);
        }
    }
    // After all mounts are made: a new mount inherits the flags of the one that it is a part of.
    closed.iter().try_for_each(|at| close(at))
}

/// An empty placeholder of the same kind.
fn empty(spare: &Path, of: &Path, mode: u32) -> Result<PathBuf> {
    let is_directory = disk::look(of)?.is_some_and(|found| found.kind == Kind::Directory);
    let at = spare.join(format!("{}-{mode:o}", if is_directory { "directory" } else { "file" }));
    if disk::look(&at)?.is_none() {
        match is_directory {
            true => disk::make_directories(&at, Mode::DIRECTORY)?,
            false => disk::write_whole(&at, b"", Mode::FILE)?,
        }
        permit(&at, mode)?;
    }
    Ok(at)
}

/// Makes a mount read-only. Its other flags stay: in a user namespace they must not be cleared (mount_namespaces(7),
/// "Restrictions on mount namespaces").
fn close(at: &Path) -> Result<()> {
    let closing = || format!("remounting {} read-only", at.display());
    let has = rustix::fs::statvfs(at).map_err(std::io::Error::from).doing(closing)?.f_flag;
    let pairs = [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    let kept = pairs.into_iter().filter(|(there, _)| has.contains(*there)).map(|(_, flag)| flag);
    let flags = kept.fold(MountFlags::BIND | MountFlags::RDONLY, |all, flag| all | flag);
    // Busy while something below is open for writing: a child that another thread has forked, and that has not yet called
    // exec, has a copy of what that thread was writing.
    let until = Instant::now() + BUSY_PATIENCE;
    loop {
        match rustix::mount::mount_remount(at, flags, "") {
            Err(Errno::BUSY) if Instant::now() < until => thread::sleep(POLL_INTERVAL),
            other => return other.map_err(std::io::Error::from).doing(closing),
        }
    }
}

fn mount(what: &Path, on: &Path) -> Result<()> {
    let mounting = || format!("mounting {} on {}", what.display(), on.display());
    rustix::mount::mount_bind_recursive(what, on).map_err(std::io::Error::from).doing(mounting)?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change(on, private).map_err(std::io::Error::from).doing(mounting)
}

pub fn permit(path: &Path, bits: u32) -> Result<()> {
    rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(bits))
        .map_err(std::io::Error::from)
        .doing(|| format!("setting the mode of {}", path.display()))
}

fn give(path: &Path, account: &Account) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    rustix::fs::chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(std::io::Error::from)
        .doing(|| format!("giving {} to {}", path.display(), account.name))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests use files as people do")]
mod tests {
    use super::*;

    #[test]
    fn no_link_of_the_node_leads_out_of_it() {
        let scratch = disk::Scratch::new("test").unwrap();
        let (root, outside) = (scratch.path().join("root"), scratch.path().join("outside"));
        for path in [&root, &outside] {
            disk::make_directories(path, Mode::DIRECTORY).unwrap();
        }
        std::os::unix::fs::symlink(&outside, root.join("var")).unwrap();
        for path in ["/var/log/etcd", "/var"] {
            assert!(directory(&root, path, 0o755).is_err(), "{path}");
            assert!(inside(&root, path).is_err(), "{path}");
        }
        assert!(disk::list(&outside).unwrap().is_empty());
        for path in ["/srv/../../outside/x", "/.."] {
            assert!(directory(&root, path, 0o755).is_err(), "{path}");
        }
        assert!(disk::list(&outside).unwrap().is_empty());
        let made = directory(&root, "/srv/a/b", 0o700).unwrap();
        assert_eq!(disk::look(&made).unwrap().unwrap().mode.bits(), 0o700);
        assert_eq!(inside(&root, "/srv/a/c").unwrap(), None);
    }

    #[test]
    fn a_directory_of_tmpfiles_is_there_without_its_owner() {
        let scratch = disk::Scratch::new("test").unwrap();
        let at = directory(scratch.path(), "/etc/tmpfiles.d", 0o755).unwrap();
        let text = "# c\nd /var/log/etcd 0750 etcd etcd -\nf /etc/x 0644 root root - y\nz /etc/etcd 0700\nd! /var/%b - -\n";
        disk::write_whole(&at.join("etcd.conf"), text.as_bytes(), Mode::FILE).unwrap();
        tmpfiles(scratch.path()).unwrap();
        let log = disk::look(&scratch.path().join("var/log/etcd")).unwrap().unwrap();
        assert_eq!(log.mode.bits(), 0o750);
        assert_eq!(disk::list(&scratch.path().join("var")).unwrap(), ["log"]);
    }
}
