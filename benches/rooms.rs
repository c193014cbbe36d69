//! The cost of each module by itself: `cargo bench --bench rooms`, or `cargo bench --bench rooms -- pack` for those
//! with that in their names. The inputs are fixed: ha3's profile, a secret of 32 sevens, a date, and the programs of
//! etcd 3.5.16 from the lab.

#![allow(clippy::disallowed_methods, reason = "it reads the lab's files as people do")]

#[path = "../tests/it/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use kiln::artifact::{EtcdProgram, Store};
use kiln::format::gzip::Compressor;
use kiln::format::{Archive, Piece, Stream, cpio, iso, length, plain_length, tar};
use kiln::pki::{Authority, Issued, Keystore};
use kiln::plan::{self, Node, Plan};
use kiln::profile::{self, Algorithm, Profile, Source};
use kiln::render::{self, NodeKeys, Overlay, Renderer, Templates};
use kiln::tree::{Blob, Content, Tree};
use kiln::values::{Arch, Digest, Epoch};

/// A cluster with everything that its nodes' trees are made from.
struct Cluster {
    plan: Plan,
    authority: Authority,
    overlays: Vec<Arc<Overlay>>,
    templates: Templates,
    epoch: Epoch,
    trust_pem: String,
}

impl Cluster {
    fn ha3() -> Self {
        let profile = read(&ha3());
        let epoch: Epoch = "2026-01-01".parse().unwrap();
        let keystore = Keystore::draft(&profile.cluster.name, Some(&[7; 32]), epoch).unwrap();
        let authority = Authority::new(&keystore, profile.pki.ca.algorithm, profile.pki.ca.lifetime).unwrap();
        Self {
            plan: plan::resolve(&profile, &keystore.names().unwrap()),
            trust_pem: authority.trust_pem().unwrap(),
            authority,
            overlays: render::embedded().unwrap(),
            templates: Templates::new().unwrap(),
            epoch,
        }
    }

    fn node(&self) -> &Node {
        &self.plan.nodes[0]
    }

    fn leaves(&self, algorithm: Algorithm) -> Vec<Issued> {
        let lifetime = self.plan.pki.leaf_lifetime;
        let specs = &self.node().certificates;
        specs.iter().map(|spec| self.authority.issue(spec, algorithm, lifetime).unwrap()).collect()
    }

    /// A node's files without the programs, as in a bundle with `binaries = "shared"`.
    fn tree(&self, leaves: &[Issued]) -> Tree {
        let renderer = Renderer {
            programs: Vec::new(),
            plan: &self.plan,
            overlays: &self.overlays,
            templates: &self.templates,
            epoch: self.epoch,
        };
        let trust = std::slice::from_ref(&self.trust_pem);
        renderer
            .node_tree(self.node(), &NodeKeys { trust, roots: trust, leaves, signer: None, signers: &[] })
            .unwrap()
    }
}

/// The text of ha3 with a release, so that no store is read.
fn ha3() -> Source {
    let text = support::ha3_with(&[("[network]", "[etcd]\nversion = \"3.5.16\"\n\n[network]")]);
    Source::file(&support::root().join("profiles/ha3.toml"), text.into_bytes())
}

fn read(source: &Source) -> Profile {
    profile::read(source, &[], kiln::carrier::all())
        .unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)))
        .0
}

fn etcd() -> Arc<Blob> {
    let store = Store::at(support::store());
    let record = store.find("3.5.16".parse().unwrap(), Arch::Amd64, &[]).unwrap();
    Arc::clone(&store.load(&record).unwrap()[&EtcdProgram::Etcd])
}

fn cores() -> NonZeroUsize {
    thread::available_parallelism().unwrap()
}

fn reading(criterion: &mut Criterion) {
    let source = ha3();
    let text = String::from_utf8(source.bytes.clone()).unwrap();
    let mut group = criterion.benchmark_group("profile");
    group.throughput(Throughput::Bytes(text.len() as u64));
    // The share of the TOML parser in the next measurement.
    group.bench_function("toml", |bench| bench.iter(|| black_box(&text).parse::<toml::Table>().unwrap()));
    group.bench_function("read and check ha3", |bench| bench.iter(|| read(black_box(&source))));
    group.finish();
    let (profile, cluster) = (read(&source), Cluster::ha3());
    let mut group = criterion.benchmark_group("plan");
    group.bench_function("resolve ha3", |bench| {
        let names = plan::Named::by(&cluster.plan.cluster.token);
        bench.iter(|| plan::resolve(black_box(&profile), &names));
    });
    group.finish();
}

fn certificates(criterion: &mut Criterion) {
    let cluster = Cluster::ha3();
    let mut group = criterion.benchmark_group("certificates");
    group.throughput(Throughput::Elements(cluster.node().certificates.len() as u64));
    for (name, algorithm) in [("P-256", Algorithm::P256), ("Ed25519", Algorithm::Ed25519)] {
        group.bench_function(name, |bench| bench.iter(|| cluster.leaves(black_box(algorithm))));
    }
    group.finish();
}

fn rendering(criterion: &mut Criterion) {
    let cluster = Cluster::ha3();
    let leaves = cluster.leaves(Algorithm::P256);
    let mut group = criterion.benchmark_group("render");
    group.bench_function("a node's tree", |bench| bench.iter(|| cluster.tree(black_box(&leaves))));
    group.finish();
}

fn packing(criterion: &mut Criterion) {
    let cluster = Cluster::ha3();
    let tree = cluster.tree(&cluster.leaves(Algorithm::P256));
    let archive = Compressor::new(cores()).compress(&tar::tar(&tree, cluster.epoch).unwrap()).unwrap();
    let disc = [
        ("user-data".to_owned(), vec![Piece::Own(vec![b'u'; 1500])]),
        ("meta-data".to_owned(), vec![Piece::Own(vec![b'm'; 100])]),
        ("overlay.tar.gz".to_owned(), archive),
    ];
    let mut group = criterion.benchmark_group("pack");
    let epoch = cluster.epoch;
    let plain = |archive: &Archive| plain_length(archive);
    let stream = |stream: &Stream| length(stream);
    pack(&mut group, "tar", plain, || tar::tar(black_box(&tree), epoch).unwrap());
    pack(&mut group, "cpio", plain, || cpio::cpio(black_box(&tree), epoch).unwrap());
    pack(&mut group, "iso", stream, || iso::iso(black_box(&disc), "CIDATA", epoch).unwrap());
    group.finish();
}

/// Throughput in bytes of output.
fn pack<T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    length: impl Fn(&T) -> u64,
    work: impl Fn() -> T,
) {
    group.throughput(Throughput::Bytes(length(&work())));
    group.bench_function(name, |bench| bench.iter(&work));
}

fn bulk(criterion: &mut Criterion) {
    let etcd = etcd();
    let mut group = criterion.benchmark_group("etcd's binary");
    group.throughput(Throughput::Bytes(etcd.size())).sample_size(10);
    group.bench_function("SHA-256", |bench| bench.iter(|| Digest::of(black_box(etcd.bytes().unwrap()))));
    let archive = [Content::Shared(Arc::clone(&etcd))];
    // A new compressor for each run, because a compressor remembers what it has compressed.
    group.bench_function("gzip on one core", |bench| {
        bench.iter(|| Compressor::new(NonZeroUsize::MIN).compress(black_box(&archive)).unwrap());
    });
    group.bench_function("gzip on every core", |bench| {
        bench.iter(|| Compressor::new(cores()).compress(black_box(&archive)).unwrap());
    });
    group.finish();
}

criterion_group!(rooms, reading, certificates, rendering, packing, bulk);
criterion_main!(rooms);
