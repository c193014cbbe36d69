//! A keystore decides once who renews, and a profile that does not say it follows.

use super::renewal::{NODES, build, profile};
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
}

#[test]
fn nodes_renew_for_a_new_keystore_where_they_can() {
    // None, one that has issued nothing, and one from before nodes could renew.
    let init = |work: &Workshop| drop(run(&mut work.kiln(["keystore", "init", "ha3"])));
    let desk = |work: &Workshop| work.desk("ha3");
    let none = |_: &Workshop| {};
    type Make<'m> = (&'m dyn Fn(&Workshop), bool);
    let makes: [Make; 3] = [(&none, true), (&init, true), (&desk, false)];
    let by = |said: &str| match said.split_once("  renewal    ") {
        Some((_, rest)) => rest.lines().next().unwrap().to_owned(),
        None => panic!("{said}"),
    };
    for (make, is_by_nodes) in makes {
        let work = Workshop::new();
        make(&work);
        run(&mut build(&work, ""));
        let said = by(&plan(&work, "keystore/ha3"));
        let want = match is_by_nodes {
            true => {
                "each node: certificates of 90d, with CAs of its own of 5y (strict), as its keystore has decided"
            }
            false => "kiln keystore renew, and a build (\"desk\")",
        };
        assert_eq!(said, want);
        // What was decided stays, also for a profile that nodes could not renew for.
        let (code, _, said) = output(&mut build(&work, "certificates = \"one-per-node\"\n"));
        assert_eq!(code, if is_by_nodes { 3 } else { 0 }, "{said}");
    }
    // Where they cannot, the desk does, and the plan says why.
    for (more, why) in [
        ("certificates = \"one-per-node\"\n", "needs certificates for each use"),
        ("leaf-algorithm = \"p521\"\n", "makes keys of p256, p384 and ed25519"),
        ("[pki.ca]\nsource = \"imported\"\n", "needs CAs that Kiln makes"),
    ] {
        let work = Workshop::new();
        work.file("p/ha3.toml", profile(more));
        let said = by(&plan(&work, "keystore/ha3"));
        assert!(
            said.starts_with("kiln keystore renew, and a build (\"desk\"): renewal = \"node\" ")
                && said.contains(why),
            "{said}"
        );
    }
}

fn plan(work: &Workshop, keystore: &str) -> String {
    run(work.kiln(["plan", "--profile", "p/ha3.toml", "--keystore", keystore, "--artifacts"]).arg(store()))
}
