//! What no builder of a bundle can avoid, done with Kiln's own library and nothing else: read and hash the programs,
//! compress them once on every core, and write as many bytes in as many files as ha3's bundle has, synced. What
//! `kiln build --no-cache` takes beyond the sum is Kiln's own. `cargo bench --bench limit`; `BENCH_RUNS` sets the
//! number of runs.

#![allow(clippy::disallowed_methods, reason = "it runs kiln as people do, and measures time")]

#[path = "../tests/it/support/mod.rs"]
mod support;

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use kiln::artifact::Store;
use kiln::disk::Staging;
use kiln::format::gzip::Compressor;
use kiln::format::{Archive, Piece, plain_length};
use kiln::tree::Content;
use kiln::values::{Arch, Mode};

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
        // What earlier runs left to be written is not this one's.
        support::run(&mut std::process::Command::new("sync"));
        let begun = Instant::now();
        let record = store.find("3.5.16".parse().unwrap(), Arch::Amd64, &[]).unwrap();
        let programs: Archive = store.load(&record).unwrap().into_values().map(Content::Shared).collect();
        thread::scope(|scope| {
            for program in &programs {
                scope.spawn(|| program.bytes().unwrap());
            }
        });
        let hashed = begun.elapsed();
        let packed = Compressor::new(cores()).compress(&programs).unwrap();
        let compressed = begun.elapsed();
        write(&target, &directories, &files, &packed);
        let written = begun.elapsed();
        times.push([hashed, compressed - hashed, written - compressed, written]);
        read = plain_length(&programs);
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
    println!("compress them once{:10.3}", median(1));
    println!("write {} files, {:.1} MB{:8.3}", files.len(), megabytes(bytes), median(2));
    println!("sum{:25.3}", median(3));
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

/// The same files with other bytes in them: those that were compressed, again and again.
fn write(target: &Path, directories: &[String], files: &[(String, u64)], packed: &[Piece]) {
    let staging = Staging::begin(target).unwrap();
    directories.iter().for_each(|path| staging.directory(path, Mode::DIRECTORY).unwrap());
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..cores().get() {
            scope.spawn(|| {
                while let Some((path, size)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut file = staging.create(path, Mode::FILE).unwrap();
                    let mut left = *size;
                    for piece in packed.iter().cycle() {
                        let Some(bytes) = piece.bytes() else { continue };
                        let part = left.min(bytes.len() as u64);
                        file.write(&bytes[..part as usize]).unwrap();
                        left -= part;
                        if left == 0 {
                            break;
                        }
                    }
                }
            });
        }
    });
    staging.publish(|_| Ok(())).unwrap();
}
