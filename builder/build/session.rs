//! What the clusters of one run share: looked up, read, checked and compressed once.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

use super::boot;
use super::note::{Note, Tell};
use super::once::Once;
use crate::artifact::{Record, Store};
use crate::base::{Bases, BootFiles};
use crate::bundle::{self, Laid, Seen};
use crate::cache::{self, Cache, Of};
use crate::carrier::{Layer, Packer, SeedTemplates};
use crate::clock;
use crate::disk;
use crate::failure::{Exit, Failure, Result};
use crate::format::gzip::Compressor;
use crate::format::{Piece, Stream, tar};
use crate::parallel;
use crate::profile::Profile;
use crate::render::{self, Overlay, Program, Room, Templates};
use crate::tree::{Blob, Tree};
use crate::values::{Digest, Epoch, GuestPath, Lifetime};

/// What a build is made from besides profiles and keystores.
pub struct Options {
    /// The artifact store's directory.
    pub artifacts: PathBuf,
    /// More overlays than the profiles', after those.
    pub overlays: Vec<PathBuf>,
    /// The base system for boot files, instead of the profiles'.
    pub base: Option<PathBuf>,
    pub bases: Bases,
    /// How many nodes or clusters are made at once; one per core where it is not said.
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
    pub jobs: NonZeroUsize,
    releases: Once<String, StoredRelease>,
    overlays: Once<Vec<PathBuf>, Overlays>,
    overlay: Once<PathBuf, Overlay>,
    room: Room,
    boot: Once<String, Option<BootFiles>>,
    today: Once<(), Epoch>,
    program: Once<(), Digest>,
    layers: Once<LayerKey, ProgramsLayer>,
    /// The same in another form, by the file's name.
    layer_files: Once<(LayerKey, String), Stream>,
    laid: Once<Digest, Mutex<Option<(Laid, LayerDigest)>>>,
}

/// A release from the artifact store. Its programs are read when somebody needs their bytes.
pub struct StoredRelease {
    pub record: Record,
    programs: OnceLock<Vec<Program>>,
    reading: Mutex<()>,
}

/// Overlays in the order in which they are laid, and the digest of all that is in them.
pub struct Overlays {
    pub list: Vec<Arc<Overlay>>,
    pub digest: Digest,
}

/// The programs as a layer of their own.
pub struct ProgramsLayer {
    pub tree: Tree,
    pub archive: Stream,
    /// Of the archive.
    pub sha256: Digest,
}

/// The layer of a bundle that is being made, once one has it.
pub type SharedLayer = Arc<Mutex<Option<(Laid, LayerDigest)>>>;

/// What is said of a layer.
#[derive(Clone, Serialize, Deserialize)]
pub struct LayerDigest {
    /// Of its tarball.
    pub sha256: Digest,
}

impl<'a> Session<'a> {
    /// One without a cache: it leaves nothing anywhere, until it is given one.
    ///
    /// # Errors
    /// `Exit::Usage` when an overlay of the options is not there.
    pub fn new(options: Options, tell: Tell<'a>) -> Result<Self> {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let jobs = options.jobs.unwrap_or(cores);
        for directory in &options.overlays {
            if disk::look(directory)?.is_none() {
                let reason = format!("there is no directory {} for --overlays", directory.display());
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
            jobs,
            releases: Once::default(),
            overlays: Once::default(),
            overlay: Once::default(),
            room: Room::default(),
            boot: Once::default(),
            today: Once::default(),
            program: Once::default(),
            layers: Once::default(),
            layer_files: Once::default(),
            laid: Once::default(),
        })
    }

    /// The release that a profile wants.
    ///
    /// # Errors
    /// `Exit::Untrusted` when it is not there, or comes from other files than the profile says.
    pub fn release(&self, profile: &Profile) -> Result<Arc<StoredRelease>> {
        let etcd = &profile.etcd;
        let (release, arch) = (etcd.release, etcd.arch);
        self.releases.get(format!("{release} {arch} {} {:?}", etcd.pinned, etcd.sha256), || {
            if !etcd.pinned {
                let store = self.store.directory().display();
                (self.tell)(Note::detail(format_args!("etcd {release}: the newest in {store}")));
            }
            let record = self.store.find(release, arch, &etcd.sha256)?;
            if let Some(loader) = record.binaries.values().find_map(|binary| binary.interpreter.as_ref()) {
                (self.tell)(Note::detail(format_args!(
                    "these programs are linked dynamically: the nodes need {loader} and its C library"
                )));
            }
            Ok(StoredRelease { record, programs: OnceLock::new(), reading: Mutex::default() })
        })
    }

    pub fn overlays(&self, profile: &Profile) -> Result<Arc<Overlays>> {
        let directories: Vec<_> =
            profile.bundle.overlays.iter().chain(&self.options.overlays).cloned().collect();
        self.overlays.get(directories.clone(), || {
            let mut list = render::embedded()?;
            for directory in &directories {
                list.push(self.overlay(directory)?);
            }
            let digests: Vec<_> = list.iter().map(|overlay| overlay.digest().to_string()).collect();
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

    /// The base system that a profile's boot files are made of.
    pub fn boot(&self, profile: &Profile) -> Result<Arc<Option<BootFiles>>> {
        let in_ram = profile.bundle.carriers.iter().any(|carrier| carrier.runs_from_ram());
        let key = format!("{in_ram} {} {:?}", profile.etcd.arch, profile.machine.base);
        self.boot.get(key, || {
            boot::files(profile, self.options.base.as_deref(), &self.options.bases, |path| self.digest(path))
        })
    }

    /// A release's programs, and the compressor ready for them: with what the cache has, or with what is now made for it. A
    /// program that the compressor knows is not read.
    pub fn programs<'s>(&self, release: &'s StoredRelease) -> Result<&'s [Program]> {
        let _one = release.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(programs) = release.programs.get() {
            return Ok(programs);
        }
        let program = self.program()?;
        let key = |digest: Digest| Digest::of(format!("{digest} deflated by {program}").as_bytes());
        let kept = |blob: &Blob| self.cache.as_ref()?.get(Of::Packed, key(blob.digest()));
        let blobs = self.store.load(&release.record)?;
        // What has to be read is large either way, and neither needs the other: the cache's entry, or the program itself.
        let ready = |blob: &Arc<Blob>| {
            let known = kept(blob).is_some_and(|kept| self.compressor.learn(blob.digest(), kept));
            if known { Ok(true) } else { blob.bytes().map(|_| false) }
        };
        let all: Vec<Arc<Blob>> = blobs.values().map(Arc::clone).collect();
        let jobs = NonZeroUsize::new(all.len()).unwrap_or(NonZeroUsize::MIN);
        let known = parallel::each(&all, jobs.get(), ready)?;
        for (blob, _) in all.iter().zip(known).filter(|(_, known)| !known) {
            let pieces = self.compressor.teach(blob)?;
            if let Some(cache) = &self.cache {
                let pieces: Vec<_> = pieces.iter().filter_map(Piece::bytes).collect();
                let pieces: Vec<&[u8]> = pieces.iter().map(|bytes| &**bytes).collect();
                cache.put(Of::Packed, key(blob.digest()), &pieces);
            }
        }
        let programs = blobs.into_iter().map(|(program, blob)| (program.to_string(), blob)).collect();
        Ok(release.programs.get_or_init(|| programs))
    }

    /// A release's programs as a layer, whose files are as old as the epoch says.
    ///
    /// # Errors
    /// `Exit::Untrusted` when a program is not what the store says.
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

    /// Where the first of those bundles that have the same layer says where it lies.
    pub fn shared_layer(&self, inputs: Digest) -> Result<SharedLayer> {
        self.laid.get(inputs, || Ok(Mutex::default()))
    }

    /// The date that new keystores of this run get: one for all.
    pub fn today(&self) -> Result<Epoch> {
        self.today.get((), || date_of_issue(self.options.epoch)).map(|date| *date)
    }

    /// The SHA-256 of this program itself, on which all that it makes depends.
    pub fn program(&self) -> Result<Digest> {
        self.program.get((), || self.digest(Path::new("/proc/self/exe"))).map(|digest| *digest)
    }

    /// The SHA-256 of a file, which is not read again while it is as it was (`bundle::Seen`).
    ///
    /// # Errors
    /// `Exit::Io` when it cannot be read.
    pub fn digest(&self, file: &Path) -> Result<Digest> {
        let noted = self.noted(file);
        let (digest, new) = bundle::digest_as_seen(file, noted.as_deref(), clock::now())?;
        if let (Some(cache), Some(new)) = (&self.cache, new) {
            cache.put(Of::Seen, key_of(file), &[&new]);
        }
        Ok(digest)
    }

    /// What was seen of the files at a target when they were put there.
    pub fn seen(&self, target: &Path) -> Seen {
        Seen::new(self.noted(target).as_deref(), clock::now())
    }

    fn noted(&self, of: &Path) -> Option<Vec<u8>> {
        self.cache.as_ref()?.get(Of::Seen, key_of(of))
    }

    /// Ends a run: keeps what is to be known of what now stands at the target, and the cache within its limit.
    pub fn close(&self, target: &Path, noted: &[u8]) -> Result<()> {
        let Some(cache) = &self.cache else { return Ok(()) };
        cache.put(Of::Seen, key_of(target), &[noted]);
        cache.keep_within(cache::LIMIT, clock::now())
    }
}

/// The date that is written into a keystore: the one asked for, else now.
///
/// # Errors
/// `Exit::Unsafe` for a date that is still to come: no node would take the certificates, and the next issue
/// would have to be later still.
pub fn date_of_issue(asked: Option<Epoch>) -> Result<Epoch> {
    let Some(date) = asked else { return Ok(clock::now()) };
    // Clocks of two machines may differ by a time zone's mistake.
    if date > clock::now().plus(Lifetime::days(1)) {
        let reason =
            format!("the date of issue {date} is still to come; no node would take the certificates");
        return Err(Failure::unsafe_to(reason));
    }
    Ok(date)
}

/// What the bytes of a release's layer follow from.
type LayerKey = (Vec<Digest>, Epoch, GuestPath);

fn layer_key(release: &StoredRelease, epoch: Epoch, bin_dir: &GuestPath) -> LayerKey {
    let binaries = release.record.binaries.values().map(|binary| binary.sha256).collect();
    (binaries, epoch, bin_dir.clone())
}

/// There is one entry for a target, so that they do not pile up.
fn key_of(target: &Path) -> Digest {
    let target = std::path::absolute(target).unwrap_or_else(|_| target.to_owned());
    Digest::of(target.as_os_str().as_encoded_bytes())
}
