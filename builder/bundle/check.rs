//! Holding a bundle on disk to its manifest, and its manifest to what can be computed from the files.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use super::files::{below, sums};
use super::inside::{Archives, CERTIFICATES, Inside, Memory, Wanted};
use super::layout::{self, LAYER_ARCHIVE, MANIFEST, MAX_MANIFEST_BYTES, NODE_ARCHIVE, SUMS};
use super::manifest::{Certificate, Manifest, Program};
use super::problem::{Problem, differs};
use super::read::Bundle;
use crate::artifact;
use crate::digest;
use crate::disk::{self, Input, Kind, Walked};
use crate::etcd::Release;
use crate::etcd::ids::{cluster_id, member_id};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::format::read::Archive;
use crate::interrupt;
use crate::parallel;
use crate::pki::Presented;
use crate::values::{AltName, Arch, Digest, GuestPath, Line, Mode};

/// The largest program that is read, in bytes: etcd has 25 MB.
const PROGRAM: u64 = 256 << 20;

impl Bundle {
    /// Recomputes every digest, the members' and the cluster's IDs; looks into the archives for the certificates and the
    /// programs; compares sizes, modes and what is there with what should be.
    ///
    /// # Errors
    /// `Exit::Io` only when a directory cannot be read; what is wrong with the bundle is in the result.
    pub fn check(&self) -> Result<Vec<Problem>> {
        self.check_with(&Memory::default(), None)
    }

    /// The same, and whether the programs are of the release and for the processor that the manifest names: for that, each is
    /// held in memory.
    ///
    /// # Errors
    /// As [`Bundle::check`].
    pub fn check_with_releases(&self) -> Result<Vec<Problem>> {
        self.check_with(&Memory::default(), Some(&mut Known::default()))
    }

    /// The same, for one of many bundles that share files.
    pub(super) fn check_with(&self, memory: &Memory, known: Option<&mut Known>) -> Result<Vec<Problem>> {
        let mut check = Check { bundle: self, problems: Vec::new() };
        let there = check.places(true)?;
        let archives = check.files(&there, memory)?;
        check.sums(&there)?;
        check.certificates(&there, &archives);
        check.programs(&archives);
        if let Some(known) = known {
            check.releases(&archives, known)?;
        }
        check.ids();
        Ok(check.problems)
    }

    /// Before the bundle is run on this machine: every byte is the manifest's, and the programs in the archives are those that
    /// it names. What else the bytes mean, the run itself shows; and whoever runs it as root may have built it as another user.
    ///
    /// # Errors
    /// `Exit::Wrong` when it is not as it was built.
    pub fn check_bytes(&self) -> Result<()> {
        let mut check = Check { bundle: self, problems: Vec::new() };
        let there = check.places(false)?;
        let archives = check.files(&there, &Memory::default())?;
        check.sums(&there)?;
        // By the manifest's word on them the programs are compared with the artifact store.
        check.programs(&archives);
        match check.problems.is_empty() {
            true => Ok(()),
            false => Err(self.differs(&check.problems)),
        }
    }

    /// That it is not as it was built, and how.
    pub fn differs(&self, problems: &[Problem]) -> Failure {
        differs(&self.path, problems)
    }

    /// What lies where, and what of it is not as it should be: kinds, modes, what is missing and what is too much. No file is
    /// read.
    ///
    /// # Errors
    /// `Exit::Io` when a directory cannot be read.
    pub fn look(&self) -> Result<(BTreeMap<String, Walked>, Vec<Problem>)> {
        let mut check = Check { bundle: self, problems: Vec::new() };
        let there = check.places(true)?;
        for (path, want) in &self.manifest.files {
            match there.get(path.as_str()) {
                None => check.problem(path, "is missing"),
                Some(found) if found.size != want.size => {
                    check.problem(path, format!("has {} bytes, not {}", found.size, want.size));
                }
                Some(_) => {}
            }
        }
        Ok((there, check.problems))
    }
}

struct Check<'b> {
    bundle: &'b Bundle,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn problem(&mut self, path: impl ToString, problem: impl ToString) {
        self.problems.push(Problem { path: path.to_string(), problem: problem.to_string() });
    }

    /// Everything that lies in the bundle, and whether keys belong to the right user; the regular files are returned.
    fn places(&mut self, with_owners: bool) -> Result<BTreeMap<String, Walked>> {
        let files = &self.bundle.manifest.files;
        let mut there = BTreeMap::new();
        let mut strange: Option<std::path::PathBuf> = None;
        // With a dot, so that a link to a bundle is followed.
        if let Some(top) = disk::look(&self.bundle.path.join("."))?
            && top.mode.bits() & 0o002 != 0
        {
            self.problem(".", format!("has mode {}: everyone may exchange what lies in it", top.mode));
        }
        for found in disk::walk(&self.bundle.path)? {
            interrupt::check()?;
            // What lies in a directory that no build made is told by that one.
            if strange.as_ref().is_some_and(|above| found.path.starts_with(above)) {
                continue;
            }
            let path = found.path.to_string_lossy().into_owned();
            let want = match found.kind {
                Kind::Directory if below(files, &path).next().is_none() => {
                    self.problem(&path, "is a directory that no build made");
                    strange = Some(found.path);
                    continue;
                }
                Kind::Directory => layout::directory_mode(&path),
                Kind::File if path == MANIFEST || path == SUMS => Mode::FILE,
                Kind::File => match files.get(path.as_str()) {
                    Some(file) => file.mode,
                    None => {
                        self.problem(&path, "is not in the manifest");
                        continue;
                    }
                },
                _ => {
                    self.problem(&path, "is neither a file nor a directory");
                    continue;
                }
            };
            if found.mode != want {
                self.problem(&path, format!("has mode {}, not {want}", found.mode));
            }
            let is_secret = want.bits() & 0o077 == 0;
            if is_secret && with_owners && !disk::is_trusted_owner(found.owner) {
                let owner = found.owner;
                self.problem(&path, format!("belongs to the user {owner}, who is neither you nor root"));
            }
            if found.kind == Kind::File {
                there.insert(path, found);
            }
        }
        Ok(there)
    }

    /// The bytes of every file, and what the archives among them hold.
    fn files(&mut self, there: &BTreeMap<String, Walked>, memory: &Memory) -> Result<Archives> {
        let manifest = &self.bundle.manifest;
        let wanted = Wanted::of(manifest);
        let files: Vec<_> = manifest.files.iter().collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let read = parallel::each(&files, cores, |(path, _)| {
            interrupt::check()?;
            let read = match there.contains_key(path.as_str()) {
                true => memory.read(&self.bundle.path.join(path.as_str()), is_tar(path).then_some(&wanted)),
                false => Err(Failure::wrong("is missing")),
            };
            match read {
                // Of this machine, not of the bundle.
                Err(failure) if failure.exit() == Exit::Io => Err(failure),
                // What is wrong with one file is told with what is wrong with the others.
                read => Ok(read),
            }
        })?;
        interrupt::check()?;
        let mut archives = Archives::new();
        for ((path, want), read) in files.into_iter().zip(read) {
            match read {
                Ok(read) if read.size != want.size => {
                    self.problem(path, format!("has {} bytes, not {}", read.size, want.size));
                }
                Ok(read) if read.sha256 != want.sha256 => {
                    self.problem(path, format!("has the SHA-256 {}, not {}", read.sha256, want.sha256));
                }
                Ok(read) => match &read.inside {
                    Some(Ok(inside)) => _ = archives.insert(path.clone(), inside.clone()),
                    Some(Err(why)) => self.problem(path, why),
                    None => {}
                },
                Err(failure) => self.problem(path, failure),
            }
        }
        Ok(archives)
    }

    /// The certificates themselves: those of nodes are in their archives.
    fn certificates(&mut self, there: &BTreeMap<String, Walked>, archives: &Archives) {
        for certificate in &self.bundle.manifest.certificates {
            let Certificate { file, node, .. } = certificate;
            let found = match node {
                Some(node) => {
                    let archive = format!("nodes/{node}/overlay.tar.gz");
                    let Some(inside) = archives.get(archive.as_str()) else { continue };
                    match inside.certificates.get(file) {
                        Some(read) => read.clone().map_err(|why| (format!("{archive}: {file}"), why)),
                        None => Err((archive, format!("has no {file}, which the manifest lists"))),
                    }
                }
                // That it is missing has been said.
                None if !there.contains_key(file.as_str()) => continue,
                None => {
                    let read = disk::read(&self.bundle.path.join(file.as_str()), CERTIFICATES);
                    read.and_then(|text| Presented::all_from_pem(&text))
                        .map_err(|why| (file.to_string(), why.to_string()))
                }
            };
            match found {
                // A CA's file has the CAs above it as well.
                Ok(all) if all.iter().any(|one| is(one, certificate)) => {}
                Ok(_) => {
                    let of = node.as_ref().map(|node| format!(" of {node}")).unwrap_or_default();
                    self.problem(format!("{file}{of}"), "is another certificate than the manifest says");
                }
                Err((path, why)) => self.problem(path, why),
            }
        }
    }

    /// The programs in every archive that has to have them.
    fn programs(&mut self, archives: &Archives) {
        let manifest = &self.bundle.manifest;
        for (path, inside) in archives {
            let has_them = manifest.shares_binaries() == path.starts_with("layers/");
            for (program, binary) in &manifest.etcd.binaries {
                match inside.programs.get(program) {
                    None if has_them => self.problem(path, format!("has no /{}", binary.path)),
                    Some(_) if !has_them => {
                        self.problem(path, format!("has a /{} besides the one in layers/", binary.path));
                    }
                    Some((size, sha256)) if (*size, *sha256) != (binary.size, binary.sha256) => {
                        self.problem(path, format!("has another /{} than the manifest says", binary.path));
                    }
                    _ => {}
                }
            }
        }
    }

    fn releases(&mut self, archives: &Archives, known: &mut Known) -> Result<()> {
        let manifest = &self.bundle.manifest;
        // Once: in all others they are the same bytes, or it has been said.
        let is_as_told =
            |inside: &Inside| {
                manifest.etcd.binaries.iter().all(|(program, binary)| {
                    inside.programs.get(program) == Some(&(binary.size, binary.sha256))
                })
            };
        let Some((path, _)) = archives.iter().find(|(_, inside)| is_as_told(inside)) else {
            return Ok(());
        };
        let digests = manifest.etcd.binaries.values().map(|binary| binary.sha256).collect();
        let key = (digests, manifest.etcd.version, manifest.etcd.arch);
        if !known.contains_key(&key) {
            let wrong = wrong_programs(&self.bundle.path.join(path.as_str()), manifest)?;
            known.insert(key.clone(), wrong);
        }
        for (program, why) in &known[&key] {
            self.problem(program, why);
        }
        Ok(())
    }

    fn sums(&mut self, there: &BTreeMap<String, Walked>) -> Result<()> {
        if !there.contains_key(SUMS) {
            self.problem(SUMS, "is missing");
            return Ok(());
        }
        let (_, sha256) = digest::of_file(&self.bundle.path.join(MANIFEST))?;
        let want = sums(&self.bundle.manifest.files, sha256);
        if disk::read(&self.bundle.path.join(SUMS), MAX_MANIFEST_BYTES)? != want.into_bytes() {
            self.problem(SUMS, "does not list exactly the manifest and the files in it");
        }
        Ok(())
    }

    fn ids(&mut self) {
        let manifest = &self.bundle.manifest;
        let mut ids = Vec::new();
        for node in &manifest.nodes {
            let urls: Vec<_> = node.peer_urls.iter().map(ToString::to_string).collect();
            let id = member_id(&urls, manifest.cluster.token.as_str());
            if id != node.member_id {
                let problem =
                    format!("has the member ID {}; its URL and the token give {id}", node.member_id);
                self.problem(format!("node {}", node.name), problem);
            }
            ids.push(id);
        }
        let (told, id) = (manifest.cluster.id, cluster_id(&ids));
        if id != told {
            self.problem("cluster", format!("has the ID {told}; its members give {id}"));
        }
    }
}

/// Whether an archive of a bundle is one that holds certificates or programs.
fn is_tar(path: &GuestPath) -> bool {
    path.as_str() == LAYER_ARCHIVE || path.starts_with("nodes/") && path.file_name() == NODE_ARCHIVE
}

fn is(found: &Presented, told: &Certificate) -> bool {
    // As the manifest has it: a subject may be longer, or have characters that it does not show.
    Line::of(&found.subject()) == told.subject
        && found.serial() == told.serial.as_str()
        && found
            .sans()
            .is_ok_and(|sans| sans.iter().map(String::as_str).eq(told.sans.iter().map(AltName::as_str)))
        && (found.not_before(), found.not_after()) == (told.not_before, told.not_after)
}

/// What has been found of the programs of other bundles, which many share.
pub(super) type Known = BTreeMap<(Vec<Digest>, Release, Arch), Vec<(Program, String)>>;

/// The programs that are not of the release and the processor that the manifest names.
fn wrong_programs(archive: &Path, manifest: &Manifest) -> Result<Vec<(Program, String)>> {
    let mut wrong = Vec::new();
    Archive::TarGz
        .visit(Input::open(archive)?, |member, body| {
            let program = manifest.etcd.binaries.iter().find(|(_, binary)| binary.path == member.path);
            if let Some((program, binary)) = program
                && binary.size <= PROGRAM
                && let Err(failure) = artifact::check_program(
                    &body.whole(binary.size)?,
                    *program,
                    manifest.etcd.arch,
                    manifest.etcd.version,
                )
            {
                wrong.push((*program, format!("is not what the manifest says: {failure}")));
            }
            Ok(ControlFlow::Continue(()))
        })
        .doing(|| format!("reading {}", archive.display()))?;
    Ok(wrong)
}
