//! Owners of `[[file]]` directories: what systemd-tmpfiles can set, and what must stay root's or etcd's.
//!
//! systemd-tmpfiles refuses to go on from a directory of one account, other than root, to an entry of another one
//! (`unsafe_transition` in systemd's src/basic/chase.c; exit 73). A directory's line comes before those of its
//! contents, which are root's until then, so only a line for the whole directory (`Z`, tmpfiles.d(5)) gives them the
//! same owner.

use super::logs;
use super::overlay::Overlay;
use super::renderer::Renderer;
use crate::plan::{Node, Plan};
use crate::profile::{FileBody, Finding};
use crate::tree::{Kind, Origin, Tree, known_mode};
use crate::values::GuestPath;

/// A `[[file]]` with an owner on one node.
pub(super) struct Owned<'a> {
    pub overlay: &'a Overlay,
    pub path: &'a GuestPath,
    pub user: &'a str,
    pub group: &'a str,
    is_directory: bool,
}

impl Owned<'_> {
    /// The account that it closes what is in it to, for systemd-tmpfiles.
    fn shuts_in(&self) -> bool {
        self.is_directory && self.user != "root"
    }
}

/// Those of a node, in the order of the profile.
pub(super) fn of_node<'a>(renderer: &'a Renderer<'_>, node: &Node) -> Vec<Owned<'a>> {
    let here = renderer.overlays.iter().filter(|overlay| overlay.is_for(&node.name));
    let owned = here.filter_map(|overlay| {
        let (file, (user, group)) = (overlay.file.as_ref()?, overlay.owner()?);
        let is_directory = matches!(file.body, FileBody::Directory);
        Some(Owned { overlay, path: &file.path, user, group, is_directory })
    });
    owned.collect()
}

/// Whether everything in it gets its owner: there is another one of these in it.
pub(super) fn has_whole(owned: &Owned<'_>, all: &[Owned<'_>]) -> bool {
    owned.shuts_in() && all.iter().any(|other| is_below(other.path, owned.path))
}

/// A finding for each owner that systemd-tmpfiles cannot set, or that would keep Kiln's own files from theirs.
pub(super) fn findings(renderer: &Renderer<'_>, node: &Node, tree: &Tree) -> Vec<Finding> {
    let all = of_node(renderer, node);
    let own = places(renderer.plan, node);
    let one = |owned| {
        let in_it = || of_kiln(owned, &own, renderer, tree).or_else(|| mixed(owned, &all, tree));
        in_logs(owned, renderer.plan, node).or_else(in_it).or_else(|| of_system(owned))
    };
    all.iter().filter_map(one).collect()
}

/// systemd gives the directories of etcd's log to etcd's account, with everything in them (`LogsDirectory=`).
fn in_logs(owned: &Owned<'_>, plan: &Plan, node: &Node) -> Option<Finding> {
    let logs = logs::of_node(node).directories;
    let logs = logs.iter().map(|directory| format!("var/log/{directory}"));
    let directory = logs.into_iter().find(|directory| owned.path.is_within(directory))?;
    let user = plan.instance.user.as_str();
    let reason =
        format!("{} has an owner, and everything in /{directory} belongs to {user}", owned.overlay.origin);
    let help = "omit owner and group, or use another directory";
    (owned.user != user).then(|| owned.overlay.finding(reason).help(help))
}

/// Directories of /etc of which root runs or reads the files, besides those that `known_mode` has.
const OF_ETC: [&str; 24] = [
    "apparmor",
    "audit",
    "bash_completion",
    "cni",
    "credstore",
    "credstore.encrypted",
    "cron.daily",
    "cron.hourly",
    "cron.monthly",
    "cron.weekly",
    "cron.yearly",
    "dbus-1",
    "dpkg",
    "initramfs-tools",
    "kubernetes",
    "ldap",
    "libvirt",
    "lvm",
    "perl",
    "rc.d",
    "rdma",
    "sysconfig",
    "update-motd.d",
    "yum",
];

/// Of /var/lib, /var/cache, /var/log and /var/spool.
const OF_VAR: [&str; 22] = [
    "AccountsService",
    "NetworkManager",
    "anacron",
    "apt",
    "at",
    "cloud",
    "containers",
    "cron",
    "dbus",
    "dhcp",
    "dpkg",
    "git",
    "initramfs-tools",
    "journal",
    "libvirt",
    "misc",
    "pam",
    "python",
    "rpm",
    "sudo",
    "systemd",
    "ucf",
];

/// Whether a path is one that the site made for itself: what root runs or reads elsewhere stays root's.
fn is_sites_own(owned: &Owned<'_>) -> bool {
    let parts: Vec<&str> = owned.path.as_str().split('/').collect();
    let is_known =
        |depth: usize| parts[..depth].join("/").parse().is_ok_and(|path| known_mode(&path).is_some());
    // A file in a directory of its own, or that directory.
    let has_directory = |depth: usize| parts.len() > depth || parts.len() == depth && owned.is_directory;
    match parts[..] {
        ["etc", name, ..] => has_directory(2) && !is_known(2) && !OF_ETC.contains(&name),
        ["opt", name, ..] => !["bin", "cni"].contains(&name),
        ["var", "lib" | "cache" | "log" | "spool", name, ..] => !is_known(3) && !OF_VAR.contains(&name),
        ["var", "opt", _, ..] => true,
        [
            "bin" | "boot" | "dev" | "home" | "lib" | "lib32" | "lib64" | "libx32" | "proc" | "root" | "run"
            | "sbin",
            ..,
        ]
        | ["sys" | "tmp" | "usr" | "var", ..] => false,
        // /srv, /data and the like: not itself, where a base system has it.
        [_, _, ..] => true,
        _ => false,
    }
}

/// A place of the system's own: the account could change what root runs, or take a directory from others.
fn of_system(owned: &Owned<'_>) -> Option<Finding> {
    let mode = owned.overlay.files().first().map_or(0, |file| file.mode.bits());
    let changes = owned.user != "root" || mode & 0o020 != 0;
    let is_shared = owned.is_directory && known_mode(owned.path).is_some();
    let why = match is_shared {
        true => "is a directory that others use, too",
        false => "is in a place of which root runs or reads the files",
    };
    if !changes || !is_shared && is_sites_own(owned) {
        return None;
    }
    let reason = format!("{} has an owner, and {} {why}", owned.overlay.origin, owned.path.absolute());
    let help =
        "omit owner and group, or use a directory of its own, as /etc/NAME, /srv/NAME or /var/lib/NAME";
    Some(owned.overlay.finding(reason).help(help))
}

/// Kiln's own path in it: its line for systemd-tmpfiles would fail, or another account could replace its file.
fn of_kiln(owned: &Owned<'_>, own: &[GuestPath], renderer: &Renderer<'_>, tree: &Tree) -> Option<Finding> {
    if !owned.is_directory {
        return None;
    }
    let mine = |origin: &Origin| {
        renderer.overlays.iter().any(|overlay| overlay.is_own() && overlay.origin == *origin)
    };
    let is_in = |path: &&GuestPath| path.is_within(owned.path.as_str());
    let in_tree =
        || tree.iter().find(|(path, entry)| is_in(path) && !mine(&entry.origin)).map(|(path, _)| path);
    let path = own.iter().find(is_in).or_else(in_tree)?;
    let reason =
        format!("{} has an owner, and Kiln's own {} is there", owned.overlay.origin, path.absolute());
    Some(
        owned
            .overlay
            .finding(reason)
            .help("omit owner and group, or use a directory that has none of Kiln's files"),
    )
}

/// An entry of another account in it, if systemd-tmpfiles would have to go there.
fn mixed(owned: &Owned<'_>, all: &[Owned<'_>], tree: &Tree) -> Option<Finding> {
    if !has_whole(owned, all) {
        return None;
    }
    let user_of =
        |path: &GuestPath| all.iter().find(|other| other.path == path).map_or("root", |other| other.user);
    let is_link = |kind: &Kind| matches!(kind, Kind::Link(_));
    let (path, entry) =
        tree.below(owned.path).find(|(path, entry)| !is_link(&entry.kind) && user_of(path) != owned.user)?;
    let Owned { user, overlay, .. } = owned;
    let reason = format!(
        "{} belongs to {user}, and {} from {} in it to {}: systemd-tmpfiles cannot set both",
        overlay.origin,
        path.absolute(),
        entry.origin,
        user_of(path)
    );
    let help = format!(
        "write owner = \"{user}\" for everything in it that is not a link, or omit it for {}",
        owned.path.absolute()
    );
    Some(overlay.finding(reason).help(help))
}

/// Kiln's directories and files on a node, in addition to those in its tree: etcd, its unit and its guard make these.
fn places(plan: &Plan, node: &Node) -> Vec<GuestPath> {
    let logs = logs::of_node(node);
    let kiln = plan.instance.name.directory();
    let made = [format!("etc/{kiln}"), format!("var/lib/{kiln}")];
    let directories = logs.directories.iter().map(|directory| format!("var/log/{directory}"));
    let files = logs.files.iter().map(|file| file.trim_start_matches('/').to_owned());
    let known = [&plan.instance.config_directory, &plan.pki.directory, &plan.data_dir, &plan.bin_dir]
        .map(Clone::clone);
    let made = made.into_iter().chain(directories).chain(files);
    known
        .into_iter()
        .chain(plan.instance.wal_parent())
        .chain(made.filter_map(|path| path.parse().ok()))
        .collect()
}

fn is_below(path: &GuestPath, directory: &GuestPath) -> bool {
    path != directory && path.is_within(directory.as_str())
}
