//! What a build takes over from earlier ones, by the cache: the result is that of a build from nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::{BASE, build, inode, sites};
use crate::support::{Workshop, run, snapshot, store};

/// The build in a place where nothing can be taken over: the expected output.
fn fresh(work: &Workshop, profile: &str) -> Vec<(String, u32, Vec<u8>)> {
    let out = work.path().join("fresh");
    let _ = fs::remove_dir_all(&out);
    // Only compressed programs are reused from there.
    run(&mut build(work, &["--profile", profile, "--out", "fresh", "--cache", "other-cache"]));
    snapshot(&out)
}

fn cached(work: &Workshop, profile: &str) -> Vec<(String, u32, Vec<u8>)> {
    run(&mut build(work, &["--profile", profile, "--out", "cached", "--cache", "cache"]));
    snapshot(&work.path().join("cached"))
}

const THREE: &str = r#"
schema = 1
[cluster]
name = "three"
[etcd]
version = "3.5.16"
[etcd.config]
heartbeat-interval = 100
[network]
cidr = "10.0.0.0/24"
[bundle]
binaries = "shared"
overlays = ["mine"]
[[node]]
name = "a"
address = "10.0.0.4"
[[node]]
name = "b"
address = "10.0.0.5"
[[node]]
name = "c"
address = "10.0.0.6"
"#;

fn three() -> Workshop {
    let work = Workshop::new();
    work.keystore("three");
    work.file("mine/etc/motd", "x\n");
    work.file("three.toml", THREE);
    work
}

#[test]
fn whatever_changes_a_cached_build_comes_out_as_a_fresh_one() {
    let work = Workshop::new();
    work.keystore("three");
    work.file("mine/etc/motd.hbs", "{{node}}\n");
    let changes = [
        ("name = \"three\"", "name = \"three\""),
        ("name = \"three\"", "name = \"three\"\ndomain = \"x.lan\""),
        ("name = \"three\"", "name = \"three\"\ntoken = \"other\""),
        ("name = \"three\"", "name = \"three\"\nformed = true"),
        ("heartbeat-interval = 100", "heartbeat-interval = 101"),
        ("heartbeat-interval = 100", ""),
        ("[network]", "[network]\ngateway = \"10.0.0.1\""),
        ("10.0.0.6", "10.0.0.7"),
        ("address = \"10.0.0.6\"", "address = \"10.0.0.6\"\nmac = \"52:54:00:00:00:01\""),
        ("10.0.0.0/24", "10.0.0.0/23"),
        ("[bundle]", "[machine]\nmemory-mib = 1024\n[bundle]"),
        ("[bundle]", "[machine]\nvcpus = 3\n[bundle]"),
        ("[bundle]", "[machine]\ndata-disk-mib = 2048\n[bundle]"),
        ("[bundle]", "[pki]\nleaf-lifetime = \"30d\"\n[bundle]"),
        ("[bundle]", "[pki]\nleaf-algorithm = \"ed25519\"\n[bundle]"),
        ("[bundle]", "[pki]\ncertificates = \"one-per-node\"\n[bundle]"),
        ("[bundle]", "[[client]]\nname = \"more\"\n[bundle]"),
        ("[bundle]", "[bundle]\ncarriers = [\"tar\"]"),
        ("[bundle]", "[bundle]\ncarriers = [\"tar\", \"ignition\"]"),
        ("binaries = \"shared\"", ""),
        ("binaries = \"shared\"", "initramfs-compression = \"zstd\""),
        ("[bundle]", "[bundle]\ninitramfs-compression = \"zstd\""),
        ("version = \"3.5.16\"", "version = \"3.4.23\""),
        ("version = \"3.5.16\"", "version = \"3.5.16\"\nconfig-style = \"flags\""),
        ("name = \"b\"", "name = \"bb\""),
    ];
    for (from, to) in changes {
        assert!(THREE.contains(from));
        // From the plain one to the changed one and back again.
        work.file("three.toml", THREE);
        cached(&work, "three.toml");
        work.file("three.toml", THREE.replacen(from, to, 1));
        assert!(cached(&work, "three.toml") == fresh(&work, "three.toml"), "{to}");
    }
    work.file("three.toml", THREE);
    cached(&work, "three.toml");
    for change in ["overlay", "keystore", "epoch", "program"] {
        match change {
            "overlay" => drop(work.file("mine/etc/motd.hbs", "{{node}} {{address}}\n")),
            "keystore" => drop(run(&mut work.kiln(["keystore", "renew", "three", "--issued", "2026-02-01"]))),
            "epoch" => {
                let mut command =
                    build(&work, &["--profile", "three.toml", "--out", "cached", "--cache", "cache"]);
                run(command.env("SOURCE_DATE_EPOCH", "1800000000"));
                let mut command = build(&work, &["--profile", "three.toml", "--out", "fresh"]);
                run(command.env("SOURCE_DATE_EPOCH", "1800000000"));
                assert!(snapshot(&work.path().join("cached")) == snapshot(&work.path().join("fresh")));
            }
            _ => {}
        }
        assert!(cached(&work, "three.toml") == fresh(&work, "three.toml"), "{change}");
    }
}

#[test]
fn what_has_not_changed_is_taken_over_and_what_is_damaged_is_not() {
    let work = three();
    let first = cached(&work, "three.toml");
    run(&mut build(&work, &["--profile", "three.toml", "--out", "without"]));
    assert!(snapshot(&work.path().join("without")) == first);
    let place = |file: &str| work.path().join("cached").join(file);
    let parts =
        ["nodes/a/overlay.tar.gz", "nodes/c/seed.iso", "layers/etcd.tar.gz", "client/etcdctl-key.pem"];
    let inodes = || parts.map(|file| inode(place(file)));
    let before = inodes();
    assert!(cached(&work, "three.toml") == first);
    assert_eq!(inodes(), before);
    assert!(first.iter().all(|(path, ..)| path.is_empty() || place(path).exists()));
    // The line number of an option is not an input of anything.
    work.file(
        "three.toml",
        format!("# A remark.\n\n{THREE}").replace("[etcd.config]", "# Another.\n[etcd.config]"),
    );
    assert!(cached(&work, "three.toml") == first);
    assert_eq!(inodes(), before);
    // One more client: it is not an input of nodes and layers.
    work.file("three.toml", THREE.replace("[bundle]", "[[client]]\nname = \"more\"\n[bundle]"));
    assert!(cached(&work, "three.toml") == fresh(&work, "three.toml"));
    let after = inodes();
    assert_eq!(after[..3], before[..3]);
    assert_ne!(after[3], before[3]);

    let good = fresh(&work, "three.toml");
    type Harm<'h> = (&'h str, &'h dyn Fn(&Path));
    let damages: [Harm; 4] = [
        ("a flipped bit", &|path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[5] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("another mode", &|path| fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap()),
        ("less", &|path| fs::write(path, "shorter").unwrap()),
        ("nothing", &|path| fs::remove_file(path).unwrap()),
    ];
    for (what, damage) in damages {
        damage(&place("nodes/b/overlay.tar.gz"));
        assert!(cached(&work, "three.toml") == good, "{what}");
    }
    // Entries of the cache, each with a byte flipped.
    for entry in walkdir::WalkDir::new(work.path().join("cache")) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let mut bytes = fs::read(entry.path()).unwrap();
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
            fs::write(entry.path(), bytes).unwrap();
        }
    }
    assert!(cached(&work, "three.toml") == good);
    let _ = fs::remove_dir_all(work.path().join("cached"));
    assert!(cached(&work, "three.toml") == good);
}

#[test]
fn a_layer_that_nobody_wrote_to_is_known_and_one_that_somebody_did_is_not() {
    let work = three();
    let good = cached(&work, "three.toml");
    let layer = work.path().join("cached/layers/etcd.tar.gz");
    let was = inode(layer.clone());
    let set_back = || run(std::process::Command::new("touch").args(["-d", "1 hour ago"]).arg(&layer));
    // Files that were just written are not recorded yet; the build that reads them later records them.
    set_back();
    assert!(cached(&work, "three.toml") == good);
    assert!(cached(&work, "three.toml") == good);
    assert_eq!(inode(layer.clone()), was);
    let mut bytes = fs::read(&layer).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&layer, bytes).unwrap();
    // The same size, and the time set back: the file system's ctime still shows the change.
    set_back();
    assert!(cached(&work, "three.toml") == good);
    assert_ne!(inode(layer), was);
}

#[test]
fn a_layer_is_one_file_in_a_fleet_also_where_only_some_clusters_were_built_before() {
    let work = sites(4);
    let cached = ["--fleet", "sites", "--cache", "cache"];
    run(&mut build(&work, &cached));
    let layers = || -> Vec<u64> {
        let layer = |number| work.path().join(format!("out/sites/c{number}/layers/etcd.tar.gz"));
        (0..4).map(layer).map(inode).collect()
    };
    // The first cluster finds nothing in the cache, makes the layer, and the second takes it from there.
    run(&mut work.kiln(["cache", "prune", "--max-size", "0", "--cache", "cache"]));
    for change in ["", "[[client]]\nname = \"more\"\n"] {
        work.file("sites/_base.toml", format!("{BASE}{change}"));
        run(&mut build(&work, &cached));
        assert!(layers().iter().all(|layer| *layer == layers()[0]), "{:?}", layers());
    }
}

#[test]
fn a_cache_is_shared_pruned_and_only_its_users() {
    let work = three();
    let want = fresh(&work, "three.toml");
    let running: Vec<_> = (0..4)
        .map(|number| {
            let out = format!("out-{number}");
            let mut command =
                build(&work, &["--profile", "three.toml", "--out", &out, "--cache", "cache", "--keystore"]);
            // Only one run at a time may use a keystore.
            let keystore = format!("k{number}");
            let copied = std::process::Command::new("cp")
                .args(["-a", "keystore/three", &keystore])
                .current_dir(work.path())
                .status();
            assert!(copied.unwrap().success());
            (out, command.arg(keystore).spawn().unwrap())
        })
        .collect();
    for (out, mut child) in running {
        assert!(child.wait().unwrap().success());
        assert!(snapshot(&work.path().join(&out)) == want, "{out}");
    }
    let show = || run(&mut work.kiln(["cache", "show", "--cache", "cache"]));
    // The compressed programs are in the artifact store.
    assert!(show().contains("packed        0") && show().contains("part          5"), "{}", show());
    // A check writes nothing.
    let mut check = work.kiln(["check", "--profile", "three.toml", "--cache", "none", "--artifacts"]);
    run(check.arg(store()));
    assert!(!work.path().join("none").exists());
    let mode = |path: &str| fs::metadata(work.path().join(path)).unwrap().mode() & 0o7777;
    assert_eq!(mode("cache"), 0o700);
    let pruned = run(&mut work.kiln(["cache", "prune", "--cache", "cache", "--max-size", "0"]));
    assert!(pruned.starts_with("cache: removed ") && pruned.contains("; 0 bytes are left"), "{pruned}");
    assert!(show().contains("part          0"), "{}", show());

    fs::set_permissions(work.path().join("cache"), fs::Permissions::from_mode(0o777)).unwrap();
    let mut command =
        work.kiln(["build", "--profile", "three.toml", "--cache", "cache", "--out", "other", "--artifacts"]);
    let output = command.arg(store()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("warning: the cache is not used: cache has mode 0777"),
        "{said}"
    );
    assert!(snapshot(&work.path().join("other")) == want);
    assert!(show().contains("part          0"), "{}", show());
}
