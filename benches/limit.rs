//! The minimum for any builder of a bundle whose release was imported before, done with Kiln's own library and nothing
//! else: read and hash the compressed programs, write as many bytes in as many files as ha3's bundle has, hash them
//! for the manifest, and sync. The time of `kiln build --no-cache` beyond the sum is Kiln's own. The work that the
//! import saves each build (reading, hashing and compressing the programs) is measured separately. `cargo bench
//! --bench limit`; `BENCH_RUNS` sets the number of runs.

#![allow(clippy::disallowed_methods, reason = "it runs kiln as people do, and measures time")]

#[path = "../tests/it/support/mod.rs"]
mod support;

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use kiln::artifact::{Kept, Store};
use kiln::disk::Staging;
use kiln::format::gzip::Compressor;
use kiln::format::{Archive, Piece, length};
use kiln::tree::{Blob, Content};
use kiln::values::{Arch, Mode};
use sha2::{Digest as _, Sha256};

fn main() {
    // cargo bench gives --bench to every target; cargo test would only compile it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runs = std::env::var("BENCH_RUNS").map_or(5, |runs| runs.parse().unwrap());
    let work = support::Workshop::new();
    let text = support::ha3_with(&[("[network]", "[etcd]\nversion = \"3.5.16\"\n\n[network]")]);
    work.file("ha3.toml", text);
    let (directories, files) = layout(&work.build("./ha3.toml"));
    let bytes: u64 = files.iter().map(|(_, size)| size).sum();

    let store = Store::at(support::store());
    let mut times = Vec::new();
    let mut read = 0;
    for number in 0..runs {
        let target = work.path().join(format!("limit-{number}"));
        let programs = load(&store);
        let begun = Instant::now();
        each_beside(&programs, |program| program.bytes().map(drop).unwrap());
        Compressor::new(cores()).compress(&shared(&programs)).unwrap();
        let imported = begun.elapsed();
        // Flush dirty pages of earlier runs, so that this run does not pay for them.
        support::run(&mut std::process::Command::new("sync"));
        let begun = Instant::now();
        let programs = load(&store);
        let compressor = Compressor::new(cores());
        each_beside(&programs, |program| match store.packed(program) {
            Kept::Whole(kept) => assert!(compressor.learn(program, kept)),
            _ => panic!("the store has no packed form of {}", program.digest()),
        });
        let hashed = begun.elapsed();
        let packed = compressor.compress(&shared(&programs)).unwrap();
        write(&target, &directories, &files, &packed);
        let written = begun.elapsed();
        times.push([hashed, written - hashed, written, imported]);
        read = length(&packed);
        fs::remove_dir_all(&target).unwrap();
    }
    let median = |part: usize| {
        let mut all: Vec<f64> = times.iter().map(|run| run[part].as_secs_f64()).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    println!("seconds, medians of {runs} on {} cores", cores());
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    println!("read and hash {:.1} MB{:8.3}", megabytes(read), median(0));
    println!("write and hash {} files, {:.1} MB, sync{:8.3}", files.len(), megabytes(bytes), median(1));
    println!("sum{:25.3}", median(2));
    println!("saved by the import{:9.3}", median(3));
}

fn load(store: &Store) -> Vec<Arc<Blob>> {
    let record = store.find("3.5.16".parse().unwrap(), Arch::Amd64, &[]).unwrap();
    store.load(&record).unwrap().into_values().collect()
}

fn shared(programs: &[Arc<Blob>]) -> Archive {
    programs.iter().map(|program| Content::Shared(Arc::clone(program))).collect()
}

fn each_beside(programs: &[Arc<Blob>], work: impl Fn(&Blob) + Sync) {
    thread::scope(|scope| {
        for program in programs {
            scope.spawn(|| work(program));
        }
    });
}

fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap()
}

/// A bundle's directories, and its files with their sizes.
fn layout(bundle: &Path) -> (Vec<String>, Vec<(String, u64)>) {
    let (mut directories, mut files) = (Vec::new(), Vec::new());
    for entry in walkdir::WalkDir::new(bundle).min_depth(1).sort_by_file_name() {
        let entry = entry.unwrap();
        let path = entry.path().strip_prefix(bundle).unwrap().to_str().unwrap().to_owned();
        match entry.file_type().is_dir() {
            true => directories.push(path),
            false => files.push((path, entry.metadata().unwrap().len())),
        }
    }
    (directories, files)
}

/// The same files with other bytes in them: the compressed programs, repeated.
fn write(target: &Path, directories: &[String], files: &[(String, u64)], packed: &[Piece]) {
    let staging = Staging::begin(target).unwrap();
    directories.iter().for_each(|path| staging.directory(path, Mode::DIRECTORY).unwrap());
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..cores().get() {
            scope.spawn(|| {
                while let Some((path, size)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut file = staging.create(path, Mode::FILE).unwrap();
                    let (mut left, mut hash) = (*size, Sha256::new());
                    for piece in packed.iter().cycle() {
                        let Some(bytes) = piece.bytes() else { continue };
                        let part = left.min(bytes.len() as u64);
                        // As Kiln does it: bytes that have just been hashed are still in the cache of the core when
                        // they are written.
                        for near in bytes[..part as usize].chunks(256 << 10) {
                            hash.update(near);
                            file.write(near).unwrap();
                        }
                        left -= part;
                        if left == 0 {
                            break;
                        }
                    }
                    std::hint::black_box(hash.finalize());
                }
            });
        }
    });
    staging.publish(|_| Ok(())).unwrap();
}
