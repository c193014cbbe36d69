//! A fleet that is built in parts, which are joined.

use std::fs;

use super::{build, profile, sites};
use crate::support::{refused, run, snapshot};

#[test]
fn parts_of_a_fleet_come_together_as_the_whole() {
    let work = sites(5);
    run(&mut build(&work, &["--fleet", "sites"]));
    for part in ["1", "2", "3"] {
        let printed =
            run(&mut build(&work, &["--fleet", "sites", "--shard", &format!("{part}/3"), "--out", part]));
        assert!(printed.ends_with(&format!(", shard {part}/3\n")), "{printed}");
    }
    let join = |parts: &[&str]| work.kiln(["join", "--out", "joined"].iter().chain(parts));
    assert_eq!(run(&mut join(&["3", "1", "2"])), "joined: 5 bundles with 5 nodes, of 3 shards\n");
    assert_eq!(snapshot(&work.path().join("joined")), snapshot(&work.path().join("out/sites")));
    fs::remove_dir_all(work.path().join("joined")).unwrap();

    run(&mut build(&work, &["--fleet", "sites", "--shard", "3/4", "--out", "of-4"]));
    fs::write(work.path().join("sites/c4.toml"), profile(4).replace("10.0.4.4", "10.0.4.5")).unwrap();
    run(&mut build(&work, &["--fleet", "sites", "--shard", "3/3", "--out", "other"]));
    let before = snapshot(work.path());
    for (parts, part) in [
        (&["1", "3"][..], "shard 2/3 is missing"),
        (&["1", "2", "2", "3"], "2 and 2 are both shard 2/3"),
        (&["1", "2", "other"], "other and 1 have different profiles"),
        (&["1", "2", "of-4"], "of-4 and 1 have different numbers of shards"),
        (&["out/sites"], "out/sites is a whole fleet, not a shard"),
        (&["sites"], "sites is not a fleet directory"),
    ] {
        let said = refused(&mut join(parts), 1);
        assert!(said.contains(part), "{said}");
    }
    for out in ["1", "./2/", "3/../3"] {
        let said = refused(&mut work.kiln(["join", "1", "2", "3", "--out", out]), 6);
        assert!(said.contains("is one of the shards"), "{said}");
    }
    assert_eq!(snapshot(work.path()), before);
    let damaged = work.path().join("2/c1/nodes/a/overlay.tar.gz");
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[40] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    let said = refused(&mut join(&["1", "2", "3"]), 1);
    assert!(
        said.contains("2 does not match its manifest: c1/nodes/a/overlay.tar.gz has the SHA-256"),
        "{said}"
    );
    assert!(!work.path().join("joined").exists());
}
