//! Other members are another cluster, even where its name is the same.

use super::{FOURTH, SMALL, build, changed, workshop};
use crate::support::{output, run, store};

/// N2: nothing is lost yet, but nodes may run the bundle that is replaced.
#[test]
fn a_changed_address_or_another_node_is_told() {
    let work = workshop();
    run(&mut build(&work, &[]));
    work.file("small.toml", changed("10.0.0.6", "10.0.0.8"));
    let (code, _, said) = output(&mut build(&work, &["--quiet"]));
    assert_eq!(code, 0, "{said}");
    for part in [
        "out/small is the bundle of another cluster, small (",
        "With c=https://10.0.0.8:2380 instead of c=https://10.0.0.6:2380 it is another cluster to etcd",
        "kiln seal out/small)",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    work.file("small.toml", format!("{}{FOURTH}", changed("10.0.0.6", "10.0.0.8")));
    let (code, _, said) = output(&mut build(&work, &[]));
    assert!(
        code == 0 && said.contains("The new members d=https://10.0.0.7:2380 make it another cluster to etcd"),
        "{said}"
    );
    let (code, _, said) = output(&mut build(&work, &[]));
    assert!(code == 0 && !said.contains("another cluster"), "{said}");
}

/// N3: a copied profile, in which the name of the cluster was not changed.
#[test]
fn a_copied_profile_with_the_same_keystore_is_told() {
    let work = workshop();
    run(&mut build(&work, &[]));
    work.file("copy.toml", changed("10.0.0.6", "10.0.0.8"));
    let copy = |more: &[&str]| {
        let mut command = work.kiln(["build", "--profile", "copy.toml", "--artifacts"]);
        output(command.arg(store()).args(more))
    };
    let (code, _, said) = copy(&[]);
    assert_eq!(code, 0, "{said}");
    for part in [
        "out/small is the bundle of another cluster, small (",
        "the same [cluster] name",
        "another --keystore",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // A second bundle of one cluster is as it should be.
    work.file("copy.toml", SMALL);
    let (code, _, said) = copy(&["--out", "out/again"]);
    assert!(code == 0 && !said.contains("out/small is"), "{said}");
}
