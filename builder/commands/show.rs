//! `kiln show`: what is inside a bundle, from its archives and not from its manifest.

use std::fmt::Write;

use serde_json::{Value, json};

use super::output::Output;
use crate::bundle::Bundle;
use crate::cli;
use crate::disk;
use crate::failure::{Doing, Result};
use crate::pack::read::{Archive, Kind, Member};

/// The largest archive that is read back, in bytes.
const LIMIT: u64 = 4 << 30;

pub fn run(args: &cli::Show, out: &Output) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    match &args.node {
        None if args.json => out.json(&bundle.manifest),
        None => out.print(summary(&bundle)),
        Some(name) => {
            bundle.node(name)?;
            node(&bundle, name, args.json, out)
        }
    }
}

fn summary(bundle: &Bundle) -> String {
    let manifest = &bundle.manifest;
    let mut text = format!(
        "cluster {}  token {}  ID {}\netcd {} {}\n",
        manifest.cluster.name,
        manifest.cluster.token,
        manifest.cluster.id,
        manifest.etcd.version,
        manifest.etcd.arch
    );
    if manifest.cluster.formed {
        text.push_str("has formed: an empty disk founds nothing\n");
    }
    for source in &manifest.etcd.sources {
        let _ = writeln!(text, "  from {} ({}), sha256 {}", source.file, source.trust, source.sha256);
    }
    if let Some(base) = &manifest.base {
        let _ = writeln!(
            text,
            "boots from\n  kernel sha256 {}\n  initrd sha256 {}\n  told {}",
            base.kernel.sha256, base.initrd.sha256, base.cmdline
        );
        for (path, entry) in manifest.files.iter().filter(|(path, _)| path.starts_with("boot/")) {
            let _ = writeln!(text, "  {} {:>10} {path}", entry.mode, entry.size);
        }
    }
    for node in &manifest.nodes {
        let _ = writeln!(text, "node {}  {}  member {}", node.name, node.address, node.member_id);
        for file in &node.files {
            if let Some(entry) = manifest.files.get(format!("nodes/{}/{file}", node.name).as_str()) {
                let _ = writeln!(text, "  {} {:>10} {file}", entry.mode, entry.size);
            }
        }
    }
    if let Some(first) = manifest.certificates.iter().map(|c| c.not_after).min() {
        let _ = writeln!(text, "{} certificates, the first expires at {first}", manifest.certificates.len());
    }
    text
}

/// The node's own archive, and the shared layer below it.
fn node(bundle: &Bundle, name: &str, json: bool, out: &Output) -> Result<()> {
    let own = format!("nodes/{name}/overlay.tar.gz");
    let [cpio, zstd] = ["gz", "zst"].map(|ending| format!("nodes/{name}/overlay.cpio.{ending}"));
    let layers =
        bundle.manifest.files.keys().filter(|path| path.starts_with("layers/")).map(ToString::to_string);
    let archives = layers
        .chain([own, cpio, zstd])
        .filter(|path| path.ends_with(".tar.gz") || path.contains(".cpio."))
        .filter(|path| bundle.manifest.files.contains_key(path.as_str()));
    let mut all = Vec::new();
    let mut text = String::new();
    for archive in archives {
        let path = bundle.path.join(&archive);
        let bytes = disk::read(&path, LIMIT)?;
        let kind = if archive.ends_with(".tar.gz") { Archive::TarGz } else { Archive::Initramfs };
        let members = kind.members(&bytes).doing(|| format!("reading {}", path.display()))?;
        let _ = writeln!(text, "{archive}");
        for member in &members {
            let _ = writeln!(text, "  {}", line(member));
        }
        all.push(json!({ "archive": archive, "members": members.iter().map(entry).collect::<Vec<_>>() }));
    }
    if let Some((initrd, members)) = initrd(bundle, name)? {
        let _ = writeln!(text, "{initrd}, behind the base system's own");
        for member in &members {
            let _ = writeln!(text, "  {}", line(member));
        }
        all.push(json!({ "archive": initrd, "members": members.iter().map(entry).collect::<Vec<_>>() }));
    }
    if json { out.json(&all) } else { out.print(text) }
}

/// What a node's initrd holds of Kiln's; what is before that is the base system's, packed in any way that Linux knows.
fn initrd(bundle: &Bundle, name: &str) -> Result<Option<(String, Vec<Member>)>> {
    let file = format!("nodes/{name}/initrd.img");
    let (Some(base), Some(_)) = (&bundle.manifest.base, bundle.manifest.files.get(file.as_str())) else {
        return Ok(None);
    };
    let path = bundle.path.join(&file);
    let size = disk::look(&path)?.map_or(0, |found| found.size);
    let own = size.saturating_sub(base.initrd.size.checked_next_multiple_of(4).unwrap_or(u64::MAX));
    let (bytes, _) = disk::read_end(&path, own.min(LIMIT))?;
    let members = Archive::Initramfs.members(&bytes).doing(|| format!("reading {}", path.display()))?;
    Ok(Some((file, members)))
}

/// Mode, owner, size in bytes, path: the same columns as listing.txt, with the numbers that the archive has.
fn line(member: &Member) -> String {
    let tail = match &member.kind {
        Kind::Directory => "/".to_owned(),
        Kind::File => String::new(),
        Kind::Link(target) => format!(" -> {target}"),
    };
    format!("{} {}:{} {:>9} {}{tail}", member.mode, member.uid, member.gid, member.size, member.path)
}

fn entry(member: &Member) -> Value {
    let (kind, target) = match &member.kind {
        Kind::Directory => ("directory", None),
        Kind::File => ("file", None),
        Kind::Link(target) => ("link", Some(target)),
    };
    json!({
        "path": member.path, "kind": kind, "target": target, "mode": member.mode,
        "uid": member.uid, "gid": member.gid, "size": member.size, "mtime": member.mtime,
    })
}
