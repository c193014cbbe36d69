//! A directory with release files in it and a store beside them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use kiln::artifact::{Accept, Added, EtcdProgram, Store};
use kiln::disk::Scratch;
use kiln::etcd::Release;
use kiln::failure::{Exit, Failure};
use kiln::values::{Arch, Mode};

use super::debs_of;
use super::made::{Tar, program};

pub const TRUST: Accept<'_> = Accept { pinned: &[], trust: true, replace: false };
pub const TARBALL: &str = "etcd-v3.5.16-linux-amd64.tar.gz";

pub struct TestStore {
    pub scratch: Scratch,
}

impl TestStore {
    pub fn new() -> Self {
        Self { scratch: Scratch::new("artifact").unwrap() }
    }

    pub fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        self.scratch.write(name, bytes, Mode::FILE).unwrap()
    }

    pub fn store(&self) -> Store {
        Store::at(&self.scratch.path().join("artifacts"))
    }

    pub fn add(&self, files: &[PathBuf], accept: &Accept<'_>) -> Result<Vec<Added>, Failure> {
        self.store().add(files, accept).map(|added| added.releases)
    }

    pub fn add_one(&self, name: &str, bytes: &[u8]) -> Result<Vec<Added>, Failure> {
        self.add(&[self.put(name, bytes)], &TRUST)
    }

    /// Refused with exit code 4 and this text, in reasonable time, and nothing is written.
    #[track_caller]
    pub fn refuses(&self, what: &str, files: &[PathBuf], accept: &Accept<'_>, want: &[&str]) {
        let start = Instant::now();
        let before = self.listing();
        let failure = match self.add(files, accept) {
            Ok(added) => panic!("{what} was added: {added:?}"),
            Err(failure) => failure,
        };
        assert_eq!(failure.exit(), Exit::Untrusted, "{what}: {failure}");
        for part in want {
            assert!(failure.to_string().contains(part), "{what}: {failure}");
        }
        assert_eq!(self.listing(), before, "{what} left something behind");
        assert!(start.elapsed() < Duration::from_secs(20), "{what} took {:?}", start.elapsed());
    }

    pub fn listing(&self) -> Vec<PathBuf> {
        kiln::disk::walk(self.scratch.path()).unwrap().into_iter().map(|walked| walked.path).collect()
    }
}

pub fn release(text: &str) -> Release {
    text.parse().unwrap()
}

pub fn small() -> Vec<u8> {
    program("3.5.16")
}

pub fn good_tar() -> Tar {
    let program = small();
    Tar::release(&[&program, &program, &program])
}

/// The programs of a real release.
pub fn real_programs(version: &str) -> Vec<(EtcdProgram, Vec<u8>)> {
    let fixture = TestStore::new();
    fixture.add(&debs_of(version), &TRUST).unwrap();
    let store = fixture.store();
    let blobs = store.load(&store.find(release(version), Arch::Amd64, &[]).unwrap()).unwrap();
    blobs.into_iter().map(|(program, blob)| (program, blob.bytes().unwrap().to_vec())).collect()
}
