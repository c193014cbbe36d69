//! Many profiles in one go, in parts, and what they take over from one another, through the program.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::support::{Workshop, refused, run, snapshot, store};

const BASE: &str = r#"
schema = 1
[etcd]
version = "3.5.16"
[etcd.config]
heartbeat-interval = 120
[bundle]
carriers = ["tar", "initramfs", "cloud-init"]
binaries = "shared"
overlays = ["overlay"]
"#;

fn profile(number: usize) -> String {
    format!(
        "schema = 1\nextends = \"_base.toml\"\n[cluster]\nname = \"c{number}\"\n[network]\ncidr = \"10.0.{number}.0/24\"\n\
         [[node]]\nname = \"a\"\naddress = \"10.0.{number}.4\"\n"
    )
}

/// So many profiles in `sites/`, with keystores that are the same everywhere.
fn sites(count: usize) -> Workshop {
    let work = Workshop::new();
    work.file("sites/_base.toml", BASE);
    work.file("sites/overlay/etc/motd", "of the base\n");
    for number in 0..count {
        work.file(&format!("sites/c{number}.toml"), profile(number));
        work.keystore(&format!("c{number}"));
    }
    work
}

fn build(work: &Workshop, arguments: &[&str]) -> std::process::Command {
    let mut command = work.kiln(["build", "--quiet", "--artifacts"]);
    command.arg(store()).args(arguments);
    command
}

/// What a build that succeeds says besides its result.
fn warned(work: &Workshop, arguments: &[&str]) -> String {
    let mut command = work.kiln(["build", "--artifacts"]);
    let output = command.arg(store()).args(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

fn inode(path: PathBuf) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn a_fleet_is_the_bundles_of_its_profiles() {
    let work = sites(3);
    let printed = run(&mut build(&work, &["--fleet", "sites"]));
    assert_eq!(printed, "out/sites: 3 bundles with 3 nodes\n");
    let fleet = work.path().join("out/sites");
    for number in 0..3 {
        let alone = run(&mut build(&work, &["--profile", &format!("sites/c{number}.toml")]));
        assert!(alone.contains(": 1 member of etcd 3.5.16"), "{alone}");
        let name = format!("c{number}");
        assert_eq!(snapshot(&fleet.join(&name)), snapshot(&work.path().join("out").join(&name)), "{name}");
        let layer = fleet.join(&name).join("layers/etcd.tar.gz");
        assert_eq!(inode(layer), inode(fleet.join("c0/layers/etcd.tar.gz")), "the layer is there once");
        let sums = std::process::Command::new("sha256sum")
            .args(["--quiet", "-c", "SHA256SUMS"])
            .current_dir(fleet.join(&name))
            .output();
        assert!(sums.unwrap().status.success());
    }
    let sums = std::process::Command::new("sha256sum")
        .args(["--quiet", "-c", "SHA256SUMS"])
        .current_dir(&fleet)
        .output()
        .unwrap();
    assert!(sums.status.success() && sums.stdout.is_empty());
    // The overlay is the base's, beside which it lies, and what the profile does not say is as the base says.
    let shown = run(&mut work.kiln(["show", "out/sites/c1", "a"]));
    assert!(shown.contains("etc/motd"), "{shown}");
    let plan = run(work.kiln(["plan", "--profile", "sites/c1.toml", "--artifacts"]).arg(store()));
    assert!(plan.contains("heartbeat-interval") && plan.contains("120"), "{plan}");

    assert_eq!(
        run(&mut work.kiln(["check", "out/sites"])),
        "out/sites: 3 bundles, each as the index and its manifest say\n"
    );
    let before = snapshot(&fleet);
    run(&mut build(
        &work,
        &[
            "--profile",
            "sites/c2.toml",
            "--profile",
            "sites/c0.toml",
            "--profile",
            "sites/c1.toml",
            "--jobs",
            "1",
            "--out",
            "again",
        ],
    ));
    assert_eq!(snapshot(&work.path().join("again")), before, "however it is named, and on how many cores");
    fs::write(fleet.join("c1/listing"), "x").unwrap();
    let damage = fleet.join("c2/nodes/a/listing.txt");
    fs::write(&damage, fs::read_to_string(&damage).unwrap().replace('r', "R")).unwrap();
    let said = refused(&mut work.kiln(["check", "out/sites"]), 1);
    assert!(
        said.contains("c1/listing is not in the manifest")
            && said.contains("c2/nodes/a/listing.txt has the SHA-256"),
        "{said}"
    );
    // What no build put there would go with the old fleet.
    let said = refused(&mut build(&work, &["--fleet", "sites"]), 6);
    assert!(said.contains("out/sites holds c1/listing, which no build put there"), "{said}");
}

#[test]
fn one_bad_profile_keeps_all_from_being_built() {
    let work = sites(3);
    work.file("sites/c1.toml", profile(1).replace("10.0.1.4", "10.0.1.400"));
    work.file("sites/c2.toml", profile(2).replace("[network]", "[netwrok]"));
    work.file("sites/_base.toml", BASE.replace("heartbeat-interval", "heartbeet-interval"));
    let before = snapshot(work.path());
    let said = refused(&mut build(&work, &["--fleet", "sites"]), 3);
    for part in
        ["sites/c1.toml:9:11", "sites/c2.toml:5:2", "sites/_base.toml:6:1", "did you mean heartbeat-interval"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(said.matches("sites/_base.toml:6:1").count(), 1, "what all take over is wrong once: {said}");
    assert!(said.ends_with("3 profiles have 4 mistakes; nothing was written\n"), "{said}");
    assert_eq!(snapshot(work.path()), before);
}

#[test]
fn two_profiles_are_never_one_bundle_or_one_cluster() {
    let work = sites(2);
    work.file("other/c1.toml", profile(7).replace("_base.toml", "../sites/_base.toml"));
    let said = refused(&mut build(&work, &["--profile", "sites/c1.toml", "--profile", "other/c1.toml"]), 3);
    assert!(said.contains("other/c1.toml and sites/c1.toml have the same name"), "{said}");
    work.file("sites/copy.toml", profile(1));
    let said = refused(&mut build(&work, &["--fleet", "sites"]), 3);
    assert!(said.contains("sites/c1.toml and sites/copy.toml are both of the cluster c1"), "{said}");
    assert!(!work.path().join("out").exists());
    work.file("empty/_base.toml", BASE);
    assert!(refused(&mut build(&work, &["--fleet", "empty"]), 2).contains("there is no profile in empty"));
}

#[test]
fn a_fleet_with_open_peer_ports_says_so_once_as_a_single_build_does() {
    let work = sites(2);
    work.file("sites/_base.toml", BASE.replace("3.5.16", "3.4.23"));
    let warning = "etcd 3.4.23 cannot be told the peers' names this way";
    for arguments in [["--fleet", "sites"], ["--profile", "sites/c0.toml"]] {
        assert_eq!(warned(&work, &arguments).matches(warning).count(), 1, "{arguments:?}");
    }
}

#[test]
fn a_fleet_whose_certificates_end_with_the_ca_says_so_once() {
    let work = sites(3);
    work.file("sites/_base.toml", format!("{BASE}[pki]\nca-lifetime = \"300d\"\nleaf-lifetime = \"300d\"\n"));
    assert!(!warned(&work, &["--fleet", "sites"]).contains("with the CA"), "they live as long as was asked");
    for cluster in ["c0", "c1", "c2"] {
        run(&mut work.kiln(["keystore", "renew", cluster, "--issued", "2026-02-01"]));
    }
    let said = warned(&work, &["--fleet", "sites"]);
    let warning = "certificates of c0 (and of 2 more) end on 2026-10-28T00:00:00Z with the CA, sooner than leaf-lifetime says";
    assert_eq!(said.matches(warning).count(), 1, "{said}");
}

#[test]
fn keystores_are_made_for_all_clusters_that_have_none() {
    let work = sites(2);
    work.file("sites/c2.toml", profile(2));
    let before = snapshot(&work.path().join("keystore"));
    let init = || {
        let mut command =
            work.kiln(["keystore", "init", "--fleet", "sites", "--issued", "2026-01-01", "--artifacts"]);
        command.arg(store());
        command
    };
    let printed = run(&mut init());
    assert!(printed.starts_with("made 1 keystore in keystore, where 2 were already"), "{printed}");
    let after = snapshot(&work.path().join("keystore"));
    assert!(before.iter().all(|file| after.contains(file)) && after.len() > before.len());
    // The first build records what it has fixed, and nothing else is new; later ones leave it so.
    run(&mut build(&work, &["--fleet", "sites"]));
    let recorded = snapshot(&work.path().join("keystore"));
    for (old, new) in after.iter().zip(&recorded) {
        let is_list = new.0.ends_with("keystore.toml");
        assert_eq!((&old.0, old.1, old.2 != new.2), (&new.0, new.1, is_list), "{}", new.0);
    }
    run(&mut build(&work, &["--fleet", "sites"]));
    assert_eq!(snapshot(&work.path().join("keystore")), recorded);
    assert!(run(&mut init()).starts_with("made 0 keystores"));
}

#[test]
fn what_is_extended_has_to_be_there_and_to_end() {
    let work = sites(1);
    work.file("sites/c0.toml", profile(0).replace("_base.toml", "gone.toml"));
    let said = refused(&mut build(&work, &["--profile", "sites/c0.toml"]), 3);
    assert!(said.contains("sites/c0.toml:2:11") && said.contains("reading sites/gone.toml"), "{said}");
    work.file("sites/c0.toml", profile(0).replace("_base.toml", "c0.toml"));
    let said = refused(&mut build(&work, &["--profile", "sites/c0.toml"]), 3);
    assert!(said.contains("do they extend one another?"), "{said}");
}

#[test]
fn parts_of_a_fleet_come_together_as_the_whole() {
    let work = sites(5);
    run(&mut build(&work, &["--fleet", "sites"]));
    for part in ["1", "2", "3"] {
        let printed =
            run(&mut build(&work, &["--fleet", "sites", "--shard", &format!("{part}/3"), "--out", part]));
        assert!(printed.ends_with(&format!(", part {part}/3\n")), "{printed}");
    }
    let join = |parts: &[&str]| work.kiln(["join", "--out", "joined"].iter().chain(parts));
    assert_eq!(run(&mut join(&["3", "1", "2"])), "joined: 5 bundles with 5 nodes, of 3 parts\n");
    assert_eq!(snapshot(&work.path().join("joined")), snapshot(&work.path().join("out/sites")));
    fs::remove_dir_all(work.path().join("joined")).unwrap();

    run(&mut build(&work, &["--fleet", "sites", "--shard", "3/4", "--out", "of-4"]));
    fs::write(work.path().join("sites/c4.toml"), profile(4).replace("10.0.4.4", "10.0.4.5")).unwrap();
    run(&mut build(&work, &["--fleet", "sites", "--shard", "3/3", "--out", "other"]));
    let before = snapshot(work.path());
    for (parts, part) in [
        (&["1", "3"][..], "part 2/3 is missing"),
        (&["1", "2", "2", "3"], "2 and 2 are both part 2/3"),
        (&["1", "2", "other"], "other and 1 have different profiles"),
        (&["1", "2", "of-4"], "of-4 and 1 have different numbers of parts"),
        (&["out/sites"], "out/sites is no part of a fleet but all of one"),
        (&["sites"], "sites is not a fleet's directory"),
    ] {
        let said = refused(&mut join(parts), 1);
        assert!(said.contains(part), "{said}");
    }
    for out in ["1", "./2/", "3/../3"] {
        let said = refused(&mut work.kiln(["join", "1", "2", "3", "--out", out]), 6);
        assert!(said.contains("is one of the parts"), "{said}");
    }
    assert_eq!(snapshot(work.path()), before);
    let damaged = work.path().join("2/c1/nodes/a/overlay.tar.gz");
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[40] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let said = refused(&mut join(&["1", "2", "3"]), 1);
    assert!(said.contains("2 is not as it was built: c1/nodes/a/overlay.tar.gz has the SHA-256"), "{said}");
    assert!(!work.path().join("joined").exists());
}

/// The build in a place where nothing is to be taken over: what has to come out.
fn fresh(work: &Workshop, profile: &str) -> Vec<(String, u32, Vec<u8>)> {
    let out = work.path().join("fresh");
    let _ = fs::remove_dir_all(&out);
    // Only what the programs were compressed to is taken from there.
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
    // Nothing follows from which line of the profile an option is in.
    work.file(
        "three.toml",
        format!("# A remark.\n\n{THREE}").replace("[etcd.config]", "# Another.\n[etcd.config]"),
    );
    assert!(cached(&work, "three.toml") == first);
    assert_eq!(inodes(), before);
    // One more client: no node and no layer knows of it.
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
    // What has just been written is not yet noted down, and what has rested is by the build that reads it.
    set_back();
    assert!(cached(&work, "three.toml") == good);
    assert!(cached(&work, "three.toml") == good);
    assert_eq!(inode(layer.clone()), was);
    let mut bytes = fs::read(&layer).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&layer, bytes).unwrap();
    // The same size, and the time set back: the file system still knows.
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
    // The first cluster finds nothing in the cache, makes the layer, and puts it there for the second.
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
            // A keystore is one run's at a time.
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
    assert!(show().contains("packed        3") && show().contains("part          5"), "{}", show());
    // A check leaves nothing anywhere.
    let mut check = work.kiln(["check", "--profile", "three.toml", "--cache", "none", "--artifacts"]);
    run(check.arg(store()));
    assert!(!work.path().join("none").exists());
    let mode = |path: &str| fs::metadata(work.path().join(path)).unwrap().mode() & 0o7777;
    assert_eq!(mode("cache"), 0o700);
    let shown = show();
    let packed = shown.lines().find_map(|line| line.trim().strip_prefix("packed        3")).unwrap().trim();
    let pruned = run(&mut work.kiln(["cache", "prune", "--cache", "cache", "--max-size", "10K"]));
    assert!(pruned.starts_with(&format!("cache: removed 3 entries of {packed};")), "{pruned}");
    assert!(show().contains("packed        0") && show().contains("part          5"), "{}", show());

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
    assert!(show().contains("packed        0"), "{}", show());
}
