//! A keystore decides once who renews, and a profile that does not say it follows.

use super::renewal::{NODES, build};
use crate::support::{Workshop, output, refused, run, store};

#[test]
fn a_keystore_decides_once_who_renews() {
    let work = Workshop::new();
    work.keystore("ha3");
    run(&mut build(&work, NODES));
    let said = refused(&mut build(&work, "renewal = \"desk\""), 6);
    assert!(said.contains("nodes renew the certificates that it has issued"), "{said}");
    assert!(said.contains("write renewal = \"node\" in [pki], or omit it"), "{said}");

    let other = Workshop::new();
    other.keystore("ha3");
    run(&mut build(&other, ""));
    let said = refused(&mut build(&other, NODES), 6);
    assert!(said.contains("a build renews the certificates that it has issued"), "{said}");
    assert!(!other.path().join("keystore/ha3/ca-next.pem").exists());
}

#[test]
fn a_profile_that_does_not_say_who_renews_follows_its_keystore() {
    let silent = NODES.replace("renewal = \"node\"\n", "");
    let work = Workshop::new();
    work.keystore_of_renewal("ha3");
    let plan = |work: &Workshop, keystore: &str| {
        run(work
            .kiln(["plan", "--profile", "p/ha3.toml", "--keystore", keystore, "--artifacts"])
            .arg(store()))
    };
    run(&mut build(&work, NODES));
    let said = plan(&work, "keystore/ha3");
    assert!(
        said.contains("renewal    each node: ") && !said.contains("as its keystore has decided"),
        "{said}"
    );
    let before = crate::support::snapshot(&work.path().join("out/ha3"));
    let (code, _, said) = output(&mut build(&work, &silent));
    assert_eq!((code, said.contains("has no effect")), (0, false), "{said}");
    assert!(before == crate::support::snapshot(&work.path().join("out/ha3")), "the same bundle");
    for keystore in ["keystore/ha3", "keystore"] {
        let said = plan(&work, keystore);
        assert!(
            said.contains("renewal    each node: ") && said.contains(", as its keystore has decided\n"),
            "{said}"
        );
    }
    let fleet = ["build", "--fleet", "p", "--keystore", "keystore", "--out", "fleet", "--artifacts"];
    run(work.kiln(fleet).arg(store()));
    assert!(before == crate::support::snapshot(&work.path().join("fleet/ha3")), "also in a fleet");

    // Mistakes that only nodes that renew make are told as what they are.
    let said = refused(&mut build(&work, &format!("{silent}certificates = \"one-per-node\"\n")), 3);
    for part in
        ["p/ha3.toml: nodes renew what keystore/ha3 has issued, so", "needs certificates for each use"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }

    // A new keystore, and one that has issued nothing, are for the desk.
    for make in [None, Some(["keystore", "init", "ha3"])] {
        let new = Workshop::new();
        make.into_iter().for_each(|make| drop(run(&mut new.kiln(make))));
        run(&mut build(&new, ""));
        assert!(plan(&new, "keystore/ha3").contains("renewal    kiln keystore renew, and a build"));
    }
}
