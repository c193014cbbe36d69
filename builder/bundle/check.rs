//! Compares a bundle on disk with its manifest, and its manifest with what can be computed from the files.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use super::files::{below, sums};
use super::inside::{Archives, Inside, MAX_CERTIFICATES_BYTES, Memory, Wanted};
use super::layout::{self, LAYER_ARCHIVE, MANIFEST, MAX_MANIFEST_BYTES, NODE_ARCHIVE, SUMS};
use super::manifest::{Certificate, Manifest};
use super::problem::{Problem, differs};
use super::programs::Program;
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
use crate::values::{AltName, Arch, Digest, GuestPath, Line, Mode, Version};

/// The largest program that is read, in bytes: etcd has 25 MB.
const MAX_PROGRAM_BYTES: u64 = 256 << 20;

impl Bundle {
    /// Recomputes every digest, the members' and the cluster's IDs; finds the certificates and the programs in the
    /// archives; compares the sizes, modes and names of the files with the manifest.
    ///
    /// # Errors
    /// `Exit::Io` only when a directory cannot be read; what is wrong with the bundle is in the result.
    pub fn check(&self) -> Result<Vec<Problem>> {
        self.check_with(&Memory::default(), None)
    }

    /// The same, and whether the programs are of the release and for the architecture that the manifest names: for
    /// that, each is held in memory.
    ///
    /// # Errors
    /// As [`Bundle::check`].
    pub fn check_with_releases(&self) -> Result<Vec<Problem>> {
        self.check_with(&Memory::default(), Some(&mut ProgramFindings::default()))
    }

    /// The same, for one of many bundles that share files.
    pub(super) fn check_with(
        &self,
        memory: &Memory,
        known: Option<&mut ProgramFindings>,
    ) -> Result<Vec<Problem>> {
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

    /// Checked before the bundle is run on this machine: every byte matches the manifest, and so do the programs in
    /// the archives. The run itself shows what else is wrong. The owner is not checked: the user who runs it as root
    /// may have built it as another user.
    ///
    /// # Errors
    /// `Exit::Wrong` when it does not match its manifest.
    pub fn check_bytes(&self) -> Result<()> {
        let mut check = Check { bundle: self, problems: Vec::new() };
        let there = check.places(false)?;
        let archives = check.files(&there, &Memory::default())?;
        check.sums(&there)?;
        // The programs are compared with the artifact store by their digests in the manifest.
        check.programs(&archives);
        match check.problems.is_empty() {
            true => Ok(()),
            false => Err(self.differs(&check.problems)),
        }
    }

    /// An error that says how the bundle differs from its manifest.
    pub fn differs(&self, problems: &[Problem]) -> Failure {
        differs(&self.path, problems)
    }

    /// The files and directories of the bundle, and the problems with them: wrong kinds and modes, missing files,
    /// unexpected files. No file is read.
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

    /// Everything in the bundle, and whether keys belong to the right user; the regular files are returned.
    fn places(&mut self, with_owners: bool) -> Result<BTreeMap<String, Walked>> {
        let files = &self.bundle.manifest.files;
        let mut there = BTreeMap::new();
        let mut strange: Option<std::path::PathBuf> = None;
        // With a dot, so that a link to a bundle is followed.
        if let Some(top) = disk::look(&self.bundle.path.join("."))?
            && top.mode.bits() & 0o002 != 0
        {
            self.problem(".", format!("has mode {}: every user can replace its files", top.mode));
        }
        for found in disk::walk(&self.bundle.path)? {
            interrupt::check()?;
            // The contents of an unexpected directory are covered by the problem with the directory.
            if strange.as_ref().is_some_and(|above| found.path.starts_with(above)) {
                continue;
            }
            let path = found.path.to_string_lossy().into_owned();
            let want = match found.kind {
                Kind::Directory if below(files, &path).next().is_none() => {
                    self.problem(&path, "is a directory that is not part of the bundle");
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
                self.problem(&path, format!("belongs to UID {owner}, which is neither you nor root"));
            }
            if found.kind == Kind::File {
                there.insert(path, found);
            }
        }
        Ok(there)
    }

    /// Reads every file, and what the archives among them contain.
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
                // A problem of this machine, not of the bundle.
                Err(failure) if failure.exit() == Exit::Io => Err(failure),
                // A problem with one file is reported with those of the others.
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

    /// Checks the certificates themselves: those of nodes are in their archives.
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
                // A missing file has been reported already.
                None if !there.contains_key(file.as_str()) => continue,
                None => {
                    let read = disk::read(&self.bundle.path.join(file.as_str()), MAX_CERTIFICATES_BYTES);
                    read.and_then(|text| Presented::all_from_pem(&text))
                        .map_err(|why| (file.to_string(), why.to_string()))
                }
            };
            match found {
                // The file of a CA contains the CAs above it, too.
                Ok(all) if all.iter().any(|one| is(one, certificate)) => {}
                Ok(_) => {
                    let of = node.as_ref().map(|node| format!(" of {node}")).unwrap_or_default();
                    self.problem(format!("{file}{of}"), "does not match the certificate in the manifest");
                }
                Err((path, why)) => self.problem(path, why),
            }
        }
    }

    /// The programs in every archive that must contain them.
    fn programs(&mut self, archives: &Archives) {
        let manifest = &self.bundle.manifest;
        for (path, inside) in archives {
            let has_them = manifest.shares_binaries() == path.starts_with("layers/");
            for program in manifest.programs() {
                match inside.programs.get(program.path) {
                    None if has_them => self.problem(path, format!("has no /{}", program.path)),
                    Some(_) if !has_them => {
                        self.problem(
                            path,
                            format!("also has a /{}, besides the one in layers/", program.path),
                        );
                    }
                    Some(found) if *found != (program.size, program.sha256) => {
                        self.problem(
                            path,
                            format!("has a /{} that does not match the manifest", program.path),
                        );
                    }
                    _ => {}
                }
            }
        }
    }

    fn releases(&mut self, archives: &Archives, known: &mut ProgramFindings) -> Result<()> {
        let manifest = &self.bundle.manifest;
        // Checked once: the other archives have the same bytes, or their difference has been reported.
        let is_as_told = |inside: &Inside| {
            manifest
                .programs()
                .all(|program| inside.programs.get(program.path) == Some(&(program.size, program.sha256)))
        };
        let Some((path, _)) = archives.iter().find(|(_, inside)| is_as_told(inside)) else {
            return Ok(());
        };
        let digests = manifest.programs().map(|program| program.sha256).collect();
        let of_node = manifest.kiln_node.as_ref().map(|node| node.version.clone());
        let key = (digests, manifest.etcd.version, of_node, manifest.etcd.arch);
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
                    format!("has the member ID {}; expected {id} from its URL and the token", node.member_id);
                self.problem(format!("node {}", node.name), problem);
            }
            ids.push(id);
        }
        let (told, id) = (manifest.cluster.id, cluster_id(&ids));
        if id != told {
            self.problem("cluster", format!("has the ID {told}; expected {id} from its members"));
        }
    }
}

/// Whether an archive of a bundle may contain certificates or programs.
fn is_tar(path: &GuestPath) -> bool {
    path.as_str() == LAYER_ARCHIVE || path.starts_with("nodes/") && path.file_name() == NODE_ARCHIVE
}

fn is(found: &Presented, told: &Certificate) -> bool {
    // In the form of the manifest: the subject itself may be longer, or contain characters that the manifest does not
    // show.
    Line::of(&found.subject()) == told.subject
        && found.serial() == told.serial.as_str()
        && found
            .sans()
            .is_ok_and(|sans| sans.iter().map(String::as_str).eq(told.sans.iter().map(AltName::as_str)))
        && (found.not_before(), found.not_after()) == (told.not_before, told.not_after)
}

/// Results of checking the programs of other bundles, which many bundles share.
pub(super) type ProgramFindings = BTreeMap<Programs, Vec<(String, String)>>;

/// Their digests, etcd's release, the version of Kiln's own, and the architecture.
type Programs = (Vec<Digest>, Release, Option<Version>, Arch);

/// The programs that are not of the release and the architecture that the manifest names, by name.
fn wrong_programs(archive: &Path, manifest: &Manifest) -> Result<Vec<(String, String)>> {
    let mut wrong = Vec::new();
    Archive::TarGz
        .visit(Input::open(archive)?, |member, body| {
            let mut programs = manifest.programs();
            let Some(program) = programs
                .find(|program| *program.path == member.path)
                .filter(|program| program.size <= MAX_PROGRAM_BYTES)
            else {
                return Ok(ControlFlow::Continue(()));
            };
            if let Err(failure) = judge_program(&body.whole(program.size)?, program, manifest) {
                wrong.push((program.name.to_owned(), format!("does not match the manifest: {failure}")));
            }
            Ok(ControlFlow::Continue(()))
        })
        .doing(|| format!("reading {}", archive.display()))?;
    Ok(wrong)
}

/// Whether a program is for the architecture, and of the release or the version.
fn judge_program(bytes: &[u8], program: Program<'_>, manifest: &Manifest) -> Result<()> {
    let etcd = &manifest.etcd;
    match (program.of_etcd, &manifest.kiln_node) {
        (Some(name), _) => artifact::check_program(bytes, name, etcd.arch, etcd.version).map(drop),
        (None, Some(node)) => artifact::check_node(bytes, etcd.arch, &node.version),
        (None, None) => Ok(()),
    }
}
