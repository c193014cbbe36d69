//! The minimum work for a node of a fleet: three keys, three signatures, and its files. `cargo bench --bench unit`
//! measures one of each on one core, in turn, with Kiln's own library. `ci/bench` compares a fleet with the sum.
//!
//! The files are as large as those of a node in ci/bench's fleets; `BENCH_NODES` sets how many nodes are measured.

#![allow(clippy::disallowed_methods, reason = "it measures time, and removes what it has written")]

use std::time::{Duration, Instant};

use kiln::disk::Staging;
use kiln::values::{Digest, Mode};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};

/// The sizes in bytes of a node's files, and its share of the other files of a cluster of five.
const FILES: [usize; 11] = [6274, 1620, 1380, 75, 166, 11052, 11280, 71680, 3264, 3600, 1000];

const CERTIFICATES: usize = 3;

/// The approximate size of the signed part of a certificate.
const SIGNED_BYTES: usize = 500;

fn main() {
    // cargo bench gives --bench to every target; cargo test would only compile it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let nodes = std::env::var("BENCH_NODES").map_or(500, |nodes| nodes.parse().unwrap());
    let target = std::env::temp_dir().join(format!("kiln-unit-{}", std::process::id()));
    let staging = Staging::begin(&target).unwrap();
    // The first key builds the table that P-256 multiplication uses.
    let authority = SigningKey::from_slice(&[7; 32]).unwrap();
    let [mut keys, mut signatures, mut files] = [Duration::ZERO; 3];
    for node in 0..nodes {
        for leaf in 0..CERTIFICATES {
            let seed = Digest::of(format!("{node} {leaf}").as_bytes());
            keys += timed(|| SigningKey::from_slice(seed.bytes()).unwrap());
            let message = [seed.bytes()[0]; SIGNED_BYTES];
            signatures += timed(|| -> Signature { authority.sign(&message) });
        }
        let directory = format!("node-{node}");
        files += timed(|| {
            staging.directory(&directory, Mode::SECRET_DIRECTORY).unwrap();
            for (number, size) in FILES.iter().enumerate() {
                let bytes = vec![number as u8; *size];
                let mut file = staging.create(&format!("{directory}/{number}"), Mode::SECRET).unwrap();
                file.write(&bytes).unwrap();
                std::hint::black_box(Digest::of(&bytes));
            }
        });
    }
    let sync = timed(|| staging.publish(|_| Ok(())).unwrap());
    std::fs::remove_dir_all(&target).unwrap();
    let micros = |all: Duration, count: usize| all.as_secs_f64() * 1e6 / count as f64;
    println!("microseconds on one core, means of {nodes} nodes");
    println!("one key       {:8.1}", micros(keys, nodes * CERTIFICATES));
    println!("one signature {:8.1}", micros(signatures, nodes * CERTIFICATES));
    println!("one file      {:8.1}, {:.1} bytes", micros(files, nodes * FILES.len()), mean_size());
    println!("its sync      {:8.1}, a wait of all cores", micros(sync, nodes * FILES.len()));
    println!("a node        {:8.1}", micros(keys + signatures + files, nodes));
}

fn mean_size() -> f64 {
    FILES.iter().sum::<usize>() as f64 / FILES.len() as f64
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    std::hint::black_box(work());
    begun.elapsed()
}
