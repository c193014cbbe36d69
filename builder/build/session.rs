//! State that the clusters of one run share: looked up, read, checked and compressed once.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use serde::{Deserialize, Serialize};

use super::beside::NodeProgram;
use super::boot;
use super::note::{Note, Tell};
use super::once::Once;
use crate::artifact::{ReleaseRecord, Store};
use crate::base::{Bases, BootFiles};
use crate::bundle::{self, Laid, SeenFiles};
use crate::cache::{self, Cache, EntryKind};
use crate::carrier::{Layer, Packer, SeedTemplates};
use crate::clock;
use crate::disk;
use crate::etcd::Release;
use crate::failure::{Exit, Failure, Result};
use crate::format::gzip::Compressor;
use crate::format::{Stream, tar};
use crate::profile::{FileSpec, Profile};
use crate::render::{self, Budget, NamedProgram, Overlay, Templates};
use crate::tree::Tree;
use crate::values::{Arch, BaseSystem, Digest, Epoch, GuestPath, Lifetime, NODE_PROGRAM};

/// The inputs of a build besides profiles and keystores.
pub struct Options {
    /// The artifact store's directory.
    pub artifacts: PathBuf,
    /// Further overlays, laid after those of the profiles.
    pub overlays: Vec<PathBuf>,
    /// The base system for boot files, instead of the profiles'.
    pub base: Option<PathBuf>,
    pub bases: Bases,
    /// Whether a profile's base system has to be there: a plan shows nothing of it.
    pub needs_base: bool,
    /// How many nodes or clusters are made at once; one per core by default.
    pub jobs: Option<NonZeroUsize>,
    /// `SOURCE_DATE_EPOCH` (reproducible-builds.org).
    pub epoch: Option<Epoch>,
}

/// The builds of one run.
pub struct Session<'a> {
    pub tell: Tell<'a>,
    pub options: Options,
    pub store: Store,
    pub compressor: Compressor,
    pub templates: Templates,
    pub seeds: SeedTemplates,
    pub cache: Option<Cache>,
    /// Whether it may write to the artifact store.
    pub(super) keeps: bool,
    /// Held while it does.
    pub(super) keeping: Mutex<()>,
    pub jobs: NonZeroUsize,
    releases: Once<ReleaseKey, StoredRelease>,
    pub(super) node_programs: Once<Arch, NodeProgram>,
    overlays: Once<OverlaysKey, Overlays>,
    overlay: Once<PathBuf, Overlay>,
    room: Budget,
    boot: Once<(bool, Arch, Option<BaseSystem>), Option<BootFiles>>,
    today: Once<(), Epoch>,
    program: Once<(), Digest>,
    layers: Once<LayerKey, ProgramsLayer>,
    /// The same in another form, by the file's name.
    layer_files: Once<(LayerKey, String), Stream>,
    laid: Once<Digest, Mutex<Option<(Laid, LayerDigest)>>>,
}

/// The inputs of a release: whether the profile names it, whether nodes get Kiln's own program, too, and the pins.
type ReleaseKey = (Release, Arch, bool, bool, Vec<Digest>);

/// The directories, the profile's own files, and what those are that `[backup]` names.
type OverlaysKey = (Vec<PathBuf>, Vec<FileSpec>, Option<Digest>);

/// The programs of nodes: a release from the artifact store, and Kiln's own. They are read when their bytes are needed.
pub struct StoredRelease {
    pub record: ReleaseRecord,
    /// Where nodes renew their certificates, or take snapshots.
    pub node: Option<Arc<NodeProgram>>,
    pub(super) programs: OnceLock<Vec<NamedProgram>>,
    pub(super) reading: Mutex<()>,
}

/// Overlays in the order in which they are laid, and the digest of their contents.
pub struct Overlays {
    pub list: Vec<Arc<Overlay>>,
    pub digest: Digest,
}

/// The programs as a separate layer.
pub struct ProgramsLayer {
    pub tree: Tree,
    pub archive: Stream,
    /// Of the archive.
    pub sha256: Digest,
}

/// The layer of a bundle that is being made, once one has it.
pub type SharedLayer = Arc<Mutex<Option<(Laid, LayerDigest)>>>;

/// The description of a layer.
#[derive(Clone, Serialize, Deserialize)]
pub struct LayerDigest {
    /// Of its tarball.
    pub sha256: Digest,
}

impl StoredRelease {
    /// One whose programs have not been read yet.
    fn new(record: ReleaseRecord, node: Option<Arc<NodeProgram>>) -> Self {
        Self { record, node, programs: OnceLock::new(), reading: Mutex::default() }
    }

    /// The names of all programs, as nodes have them.
    pub fn names(&self) -> Vec<String> {
        let own = self.node.iter().map(|_| NODE_PROGRAM.to_owned());
        self.record.binaries.keys().map(ToString::to_string).chain(own).collect()
    }

    /// Of all programs, in the same order.
    pub fn digests(&self) -> Vec<Digest> {
        let own = self.node.iter().map(|node| node.blob.digest());
        self.record.binaries.values().map(|binary| binary.sha256).chain(own).collect()
    }
}

impl<'a> Session<'a> {
    /// A session that keeps no results until `keep_results` is called.
    ///
    /// # Errors
    /// `Exit::Usage` when an overlay of the options is missing.
    pub fn new(options: Options, tell: Tell<'a>) -> Result<Self> {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let jobs = options.jobs.unwrap_or(cores);
        for directory in &options.overlays {
            if disk::look(directory)?.is_none() {
                let reason = format!("the directory {} for --overlays does not exist", directory.display());
                return Err(Failure::new(Exit::Usage, reason));
            }
        }
        Ok(Self {
            tell,
            store: Store::at(&options.artifacts),
            options,
            compressor: Compressor::new(jobs),
            templates: Templates::new()?,
            seeds: SeedTemplates::new()?,
            cache: None,
            keeps: false,
            keeping: Mutex::default(),
            jobs,
            releases: Once::default(),
            node_programs: Once::default(),
            overlays: Once::default(),
            overlay: Once::default(),
            room: Budget::default(),
            boot: Once::default(),
            today: Once::default(),
            program: Once::default(),
            layers: Once::default(),
            layer_files: Once::default(),
            laid: Once::default(),
        })
    }

    /// Makes the session keep results for later builds: in the cache, if there is one, and in the artifact store.
    pub fn keep_results(&mut self, cache: Option<Cache>) {
        self.cache = cache;
        self.keeps = true;
    }

    /// The release that a profile wants, with Kiln's own program where its nodes need that.
    ///
    /// # Errors
    /// `Exit::Untrusted` when one is missing, or the release comes from other files than the profile pins.
    pub fn release(&self, profile: &Profile) -> Result<Arc<StoredRelease>> {
        let etcd = &profile.etcd;
        let (release, arch) = (etcd.release, etcd.arch);
        let has_node_program = profile.has_node_program();
        self.releases.get((release, arch, etcd.pinned, has_node_program, etcd.sha256.clone()), || {
            if !etcd.pinned {
                let store = self.store.directory().display();
                (self.tell)(Note::detail(format_args!("using etcd {release}, the newest in {store}")));
            }
            let record = self.store.find(release, arch, &etcd.sha256)?;
            if let Some(loader) = record.binaries.values().find_map(|binary| binary.interpreter.as_ref()) {
                (self.tell)(Note::detail(format_args!(
                    "the etcd binaries are dynamically linked; nodes need {loader} and a matching C library"
                )));
            }
            let node = has_node_program.then(|| self.node_program(arch)).transpose();
            let node = node.map_err(|failure| match profile.needs_node_program() {
                true => failure,
                false => Failure::new(
                    failure.exit(),
                    format!("{failure}; or have them renewed by builds: renewal = \"desk\" in [pki]"),
                ),
            })?;
            Ok(StoredRelease::new(record, node))
        })
    }

    /// The same release with Kiln's own program, which restores members of machines.
    ///
    /// # Errors
    /// `Exit::Untrusted` when it is missing.
    pub fn with_node_program(&self, release: &StoredRelease, arch: Arch) -> Result<Arc<StoredRelease>> {
        Ok(Arc::new(StoredRelease::new(release.record.clone(), Some(self.node_program(arch)?))))
    }

    pub fn overlays(&self, profile: &Profile) -> Result<Arc<Overlays>> {
        let directories: Vec<_> =
            profile.bundle.overlays.iter().chain(&self.options.overlays).cloned().collect();
        let backup = render::files_of_backup(profile, &self.room)?;
        let of_backup = backup.as_ref().map(|backup| backup.digest());
        self.overlays.get((directories.clone(), profile.files.clone(), of_backup), || {
            let mut list = render::embedded()?;
            for directory in &directories {
                list.push(self.overlay(directory)?);
            }
            list.extend(render::files_of_profile(&profile.files, &self.room)?);
            list.extend(backup);
            // Their names are in the list of a node's files.
            let of = |overlay: &Arc<Overlay>| format!("{}{:?}", overlay.digest(), overlay.name());
            let digests: Vec<_> = list.iter().map(of).collect();
            Ok(Overlays { list, digest: Digest::of(digests.concat().as_bytes()) })
        })
    }

    /// One overlay, read by the first profile that names it.
    fn overlay(&self, directory: &Path) -> Result<Arc<Overlay>> {
        self.overlay.get(directory.to_owned(), || {
            let overlay = render::load(directory, &self.room)?;
            if overlay.findings.is_empty() {
                let text = format!("overlay {}: {}", directory.display(), overlay.contents());
                (self.tell)(Note::detail(text));
            }
            overlay.warnings.iter().for_each(|warning| (self.tell)(Note::warning(warning)));
            Ok(overlay)
        })
    }

    /// The base system that a profile's boot files are made from.
    pub fn boot(&self, profile: &Profile) -> Result<Arc<Option<BootFiles>>> {
        let in_ram = profile.bundle.carriers.iter().any(|carrier| carrier.runs_from_ram());
        let key = (in_ram, profile.etcd.arch, profile.machine.base.clone());
        self.boot.get(key, || {
            boot::files(profile, self.options.base.as_deref(), &self.options.bases, |path| self.digest(path))
        })
    }

    /// The sentence about a base system that the profile names and that is missing, where the run needs it.
    ///
    /// # Errors
    /// `Exit::Io` when its place cannot be looked at.
    pub fn missing_base(&self, profile: &Profile) -> Result<Option<String>> {
        match self.options.needs_base {
            true => boot::missing(profile, self.options.base.as_deref(), &self.options.bases),
            false => Ok(None),
        }
    }

    /// A release's programs as a layer, whose files have the time of the epoch.
    ///
    /// # Errors
    /// `Exit::Untrusted` when a program does not match the store's record.
    pub fn programs_layer(
        &self,
        release: &StoredRelease,
        epoch: Epoch,
        bin_dir: &GuestPath,
    ) -> Result<Arc<ProgramsLayer>> {
        self.layers.get(layer_key(release, epoch, bin_dir), || {
            let tree = render::programs_tree(self.programs(release)?, bin_dir)?;
            let archive = self.compressor.compress(&tar::tar(&tree, epoch)?)?;
            let sha256 = bundle::digest_of_stream(&archive)?;
            Ok(ProgramsLayer { tree, archive, sha256 })
        })
    }

    /// The same layer in the form that a carrier needs.
    ///
    /// # Errors
    /// As `programs_layer`.
    pub fn layer_file(
        &self,
        release: &StoredRelease,
        bin_dir: &GuestPath,
        packer: &Packer<'_>,
        layer: &Layer,
    ) -> Result<Arc<Stream>> {
        let key = (layer_key(release, packer.epoch, bin_dir), (layer.name)(packer));
        self.layer_files.get(key, || {
            let programs = self.programs_layer(release, packer.epoch, bin_dir)?;
            (layer.make)(packer, &programs.tree, &programs.archive)
        })
    }

    /// A slot in which the first of the bundles with the same layer records where it is.
    pub fn shared_layer(&self, inputs: Digest) -> Result<SharedLayer> {
        self.laid.get(inputs, || Ok(Mutex::default()))
    }

    /// The date that new keystores of this run get: one for all.
    pub fn today(&self) -> Result<Epoch> {
        self.today.get((), || date_of_issue(self.options.epoch)).map(|date| *date)
    }

    /// The SHA-256 of this program itself, an input of everything that it makes.
    pub fn program(&self) -> Result<Digest> {
        self.program.get((), || self.digest(Path::new("/proc/self/exe"))).map(|digest| *digest)
    }

    /// The SHA-256 of a file, which is not read again while it is unchanged (`bundle::SeenFiles`).
    ///
    /// # Errors
    /// `Exit::Io` when it cannot be read.
    pub fn digest(&self, file: &Path) -> Result<Digest> {
        let noted = self.noted(file);
        let (digest, new) = bundle::digest_as_seen(file, noted.as_deref(), clock::now())?;
        if let (Some(cache), Some(new)) = (&self.cache, new) {
            cache.put(EntryKind::Seen, key_of(file), &[&new]);
        }
        Ok(digest)
    }

    /// The recorded digests of the files at a target, from when they were put there.
    pub fn seen(&self, target: &Path) -> SeenFiles {
        SeenFiles::new(self.noted(target).as_deref(), clock::now())
    }

    fn noted(&self, of: &Path) -> Option<Vec<u8>> {
        self.cache.as_ref()?.get(EntryKind::Seen, key_of(of))
    }

    /// Ends a run: records the digests of the files at the target, and prunes the cache to its limit.
    pub fn close(&self, target: &Path, noted: &[u8]) -> Result<()> {
        let Some(cache) = &self.cache else { return Ok(()) };
        cache.put(EntryKind::Seen, key_of(target), &[noted]);
        cache.keep_within(cache::DEFAULT_MAX_BYTES, clock::now())
    }
}

/// The date that is written into a keystore: the requested one, else now.
///
/// # Errors
/// `Exit::Unsafe` for a date in the future: nodes would not accept the certificates yet, and the next issue would have
/// to be later still.
pub fn date_of_issue(asked: Option<Epoch>) -> Result<Epoch> {
    let Some(date) = asked else { return Ok(clock::now()) };
    // The clocks of two machines may differ by a time zone.
    if date > clock::now().plus(Lifetime::days(1)) {
        let reason =
            format!("the date of issue {date} is in the future; nodes would reject the certificates");
        return Err(Failure::unsafe_to(reason));
    }
    Ok(date)
}

/// The inputs of a release's layer.
type LayerKey = (Vec<Digest>, Epoch, GuestPath);

fn layer_key(release: &StoredRelease, epoch: Epoch, bin_dir: &GuestPath) -> LayerKey {
    (release.digests(), epoch, bin_dir.clone())
}

/// There is one entry for a target, so that entries do not pile up.
fn key_of(target: &Path) -> Digest {
    let target = std::path::absolute(target).unwrap_or_else(|_| target.to_owned());
    Digest::of(target.as_os_str().as_encoded_bytes())
}
