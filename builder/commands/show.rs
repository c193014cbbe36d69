//! `kiln show`: the contents of a bundle, from its archives and not from its manifest.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::delivered::{self, problem_with};
use super::output::Output;
use crate::bundle::{self, Bundle, Problem};
use crate::cli;
use crate::disk::{self, Input, Walked};
use crate::failure::{Doing, Failure, Result};
use crate::format::read::{Archive, Member, MemberKind};
use crate::values::{GuestPath, Mode, NODE_PROGRAM, printable};

pub fn run(args: &cli::Show, out: &Output) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    if let Some(name) = &args.node {
        bundle.node(name)?;
    }
    if args.files {
        return delivered::show(&bundle, args.node.as_deref(), args.json, out);
    }
    match &args.node {
        None => whole(&bundle, args.json, out),
        Some(name) => node(&bundle, name, args.json, out),
    }
}

/// Lists the bundle's files; their bytes are not read.
fn whole(bundle: &Bundle, json: bool, out: &Output) -> Result<()> {
    let (there, problems) = bundle.look()?;
    let found = Inspection { bundle, there, problems };
    match json {
        true => out.json(&found.json()?)?,
        false => out.print(found.text())?,
    }
    match found.problems.is_empty() {
        true => Ok(()),
        false => Err(bundle.differs(&found.problems)),
    }
}

struct Inspection<'b> {
    bundle: &'b Bundle,
    there: BTreeMap<String, Walked>,
    problems: Vec<Problem>,
}

/// The problems with each path.
type Wrong<'p> = BTreeMap<&'p str, Vec<&'p str>>;

impl Inspection<'_> {
    /// The manifest with the actual modes and sizes, and with the differences from it.
    fn json(&self) -> Result<Value> {
        let mut value = serde_json::to_value(&self.bundle.manifest)
            .map_err(|error| Failure::io(format!("writing the manifest as JSON: {error}")))?;
        if let Some(files) = value["files"].as_object_mut() {
            for (path, file) in files.iter_mut() {
                match self.there.get(path) {
                    Some(found) => {
                        file["mode"] = json!(found.mode);
                        file["size"] = json!(found.size);
                    }
                    None => file["missing"] = json!(true),
                }
            }
        }
        value["problems"] = json!(self.problems);
        Ok(value)
    }

    fn text(&self) -> String {
        let manifest = &self.bundle.manifest;
        let mut wrong = Wrong::new();
        for problem in &self.problems {
            wrong.entry(&problem.path).or_default().push(&problem.problem);
        }
        let mut text = format!(
            "cluster {}  token {}  ID {}\netcd {} {}\n",
            manifest.cluster.name,
            manifest.cluster.token,
            manifest.cluster.id,
            manifest.etcd.version,
            manifest.etcd.arch
        );
        if manifest.cluster.formed {
            text.push_str("has formed: an empty disk never bootstraps a new cluster\n");
        }
        if let Some(restored) = &manifest.cluster.restored {
            let _ = writeln!(text, "generation {}, restored from a snapshot", restored.generation);
        }
        for source in &manifest.etcd.sources {
            let _ = writeln!(text, "  from {} ({}), sha256 {}", source.file, source.trust, source.sha256);
        }
        if let Some(own) = &manifest.kiln_node {
            let _ = writeln!(text, "{NODE_PROGRAM} {}, sha256 {}", own.version, own.sha256);
        }
        if let Some(base) = &manifest.base {
            let _ = writeln!(
                text,
                "boots from\n  kernel sha256 {}\n  initrd sha256 {}\n  cmdline {}",
                base.kernel.sha256, base.initrd.sha256, base.cmdline
            );
            for path in manifest.files.keys().filter(|path| path.starts_with("boot/")) {
                self.file(&mut text, path, path, &wrong);
            }
        }
        for node in &manifest.nodes {
            let _ = writeln!(text, "node {}  {}  member {}", node.name, node.address, node.member_id);
            for file in &node.files {
                self.file(&mut text, &format!("nodes/{}/{file}", node.name), file, &wrong);
            }
        }
        // Nodes replace theirs long before they end.
        let (renewed, lasting): (Vec<_>, Vec<_>) =
            manifest.certificates.iter().partition(|one| one.renewed.is_some());
        if let Some(first) = lasting.iter().map(|one| one.not_after).min() {
            let _ = writeln!(text, "{} certificates, the first expires at {first}", lasting.len());
        }
        if !renewed.is_empty() {
            let _ = writeln!(text, "{} more that the nodes renew", renewed.len());
        }
        text
    }

    /// A file as it is on disk, with its problems.
    fn file(&self, text: &mut String, path: &str, shown: &str, wrong: &Wrong<'_>) {
        let wrong = wrong.get(path).map(|all| format!("  ({})", all.join("; "))).unwrap_or_default();
        let _ = match self.there.get(path) {
            Some(found) => writeln!(text, "  {} {:>10} {shown}{wrong}", found.mode, found.size),
            None => writeln!(text, "     - {:>10} {shown}{wrong}", "-"),
        };
    }
}

/// The node's own archives, and the shared layers below them: one after another, because each may have a quarter of a
/// million members.
fn node(bundle: &Bundle, name: &str, json: bool, out: &Output) -> Result<()> {
    let archives = bundle::archives(&bundle.manifest, name).into_iter();
    let mut problems = Vec::new();
    let mut listings = archives.filter_map(|archive| listing(bundle, archive, &mut problems).transpose());
    match json {
        true => out.json_items(listings)?,
        false => listings.try_for_each(|listing| out.print(listing?.text()))?,
    }
    if problems.is_empty() { Ok(()) } else { Err(bundle.differs(&problems)) }
}

const INITRD: &str = "initrd.img";

/// The contents of one archive.
#[derive(Serialize)]
struct Listing {
    archive: String,
    #[serde(serialize_with = "entries")]
    members: Vec<Member>,
}

/// Reads an archive. `None` where it is missing; its faults are added to `problems`.
fn listing(bundle: &Bundle, archive: String, problems: &mut Vec<Problem>) -> Result<Option<Listing>> {
    problems.extend(problem_with(bundle, &archive)?);
    let path = bundle.path.join(&archive);
    if disk::look(&path)?.is_none() {
        return Ok(None);
    }
    let mut input = Input::open(&path)?;
    if archive.ends_with(INITRD)
        && let Some(base) = &bundle.manifest.base
    {
        // The bytes before Kiln's own are the base system's, packed in any way that Linux supports.
        let behind = base.initrd.size.checked_next_multiple_of(4).unwrap_or(u64::MAX);
        input.skip_to(behind.min(input.size()))?;
    }
    let kind = if archive.ends_with(".tar.gz") { Archive::TarGz } else { Archive::Initramfs };
    let members = kind.members(input).doing(|| format!("reading {}", path.display()))?;
    Ok(Some(Listing { archive, members }))
}

impl Listing {
    fn text(&self) -> String {
        let of = if self.archive.ends_with(INITRD) { ", after the base system's own" } else { "" };
        let mut text = format!("{}{of}\n", self.archive);
        for member in &self.members {
            let _ = writeln!(text, "  {}", line(member));
        }
        text
    }
}

/// Mode, owner, size in bytes, path: the same columns as listing.txt, with the numbers in the archive.
fn line(member: &Member) -> String {
    let tail = match &member.kind {
        MemberKind::Directory => "/".to_owned(),
        MemberKind::File => String::new(),
        // The archive may be untrusted, and a line end would break the list.
        MemberKind::Link(target) => format!(" -> {}", printable(target)),
    };
    let path = printable(&member.path);
    format!("{} {}:{} {:>9} {path}{tail}", member.mode, member.uid, member.gid, member.size)
}

fn entries<S: Serializer>(members: &[Member], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Entry<'m> {
        gid: u64,
        kind: &'static str,
        mode: Mode,
        mtime: u64,
        path: &'m GuestPath,
        size: u64,
        target: Option<&'m str>,
        uid: u64,
    }
    serializer.collect_seq(members.iter().map(|member| {
        let Member { path, kind, mode, uid, gid, mtime, size } = member;
        let (kind, target) = match kind {
            MemberKind::Directory => ("directory", None),
            MemberKind::File => ("file", None),
            MemberKind::Link(target) => ("link", Some(target.as_str())),
        };
        Entry { gid: *gid, kind, mode: *mode, mtime: *mtime, path, size: *size, target, uid: *uid }
    }))
}
