//! The programs of nodes, and their compressed forms.

use std::num::NonZeroUsize;
use std::sync::{Arc, PoisonError};

use super::note::Note;
use super::session::{Session, StoredRelease};
use crate::artifact::Kept;
use crate::cache::EntryKind;
use crate::failure::Result;
use crate::format::deflate::PACKER;
use crate::parallel;
use crate::render::NamedProgram;
use crate::tree::Blob;
use crate::values::Digest;

impl Session<'_> {
    /// A release's programs and Kiln's own, and the compressor ready for them: with compressed forms from the artifact
    /// store or the cache, or with new ones. A program that the compressor knows is not read.
    ///
    /// # Errors
    /// `Exit::Untrusted` when a program does not match the store's record.
    pub fn programs<'s>(&self, release: &'s StoredRelease) -> Result<&'s [NamedProgram]> {
        let _one = release.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(programs) = release.programs.get() {
            return Ok(programs);
        }
        let blobs = self.store.load(&release.record)?;
        // Both reads are large and independent of each other: the packed form, or the program itself.
        let ready = |blob: &Arc<Blob>| {
            let (known, damaged) = self.learn(blob);
            if !known {
                blob.bytes()?;
            }
            Ok((known, damaged))
        };
        let own = release.node.as_ref();
        let all: Vec<Arc<Blob>> = blobs.values().chain(own.map(|node| &node.blob)).map(Arc::clone).collect();
        let jobs = NonZeroUsize::new(all.len()).unwrap_or(NonZeroUsize::MIN);
        let learnt = parallel::each(&all, jobs.get(), ready)?;
        for (blob, (known, damaged)) in all.iter().zip(learnt) {
            // The store keeps what it has the program of.
            let is_stored = own.is_none_or(|own| own.is_stored() || own.blob.digest() != blob.digest());
            let mended = if known { false } else { self.pack(blob, is_stored)? };
            if let Some(why) = damaged {
                let what = match mended && matches!(self.store.packed(blob), Kept::Whole(_)) {
                    true => "it was compressed again",
                    false => {
                        "the program is compressed for this build; add the release file again to repair it, or close \
                              it to others (chmod go-w)"
                    }
                };
                (self.tell)(Note::warning(format_args!("{why}; {what}")));
            }
        }
        let programs = release.names().into_iter().zip(all).collect();
        Ok(release.programs.get_or_init(|| programs))
    }

    /// Whether the compressor now has the program, and why the store's packed form of it is not used.
    fn learn(&self, blob: &Blob) -> (bool, Option<String>) {
        let damaged = match self.store.packed(blob) {
            Kept::Whole(kept) => match self.compressor.learn(blob, kept) {
                true => return (true, None),
                false => Some(format!(
                    "the compressed copy in the artifact store does not match the program {}",
                    blob.digest()
                )),
            },
            Kept::Missing => None,
            Kept::Unusable(why) => Some(why),
        };
        let cached = self.cache.as_ref().and_then(|cache| cache.get(EntryKind::Packed, key(blob)));
        (cached.is_some_and(|kept| self.compressor.learn(blob, kept)), damaged)
    }

    /// Compresses a program and keeps the result, if this run keeps any: in the store or, for a program that is not
    /// stored or where this run may not write there, in the cache. Returns whether it is in the store.
    fn pack(&self, blob: &Blob, is_stored: bool) -> Result<bool> {
        let kept = self.compressor.teach(blob)?;
        if !self.keeps {
            return Ok(false);
        }
        let _one = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        if is_stored && self.store.keep_packed(blob, &kept) {
            return Ok(true);
        }
        if let Some(cache) = &self.cache {
            cache.put(EntryKind::Packed, key(blob), &[&kept]);
        }
        Ok(false)
    }
}

/// The key of an entry in the cache.
fn key(program: &Blob) -> Digest {
    Digest::of_pieces([PACKER.as_bytes(), program.digest().bytes()])
}
