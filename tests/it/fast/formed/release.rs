//! Which etcd release a cluster may be built with after another.

use std::path::Path;

use super::{SMALL, workshop};
use kiln::failure::Exit;
use kiln::pki::{Keystore, Remark, Sealed, Witness};
use kiln::plan::{self, Plan};
use kiln::profile::{self, Source};

/// The plan of the profile with another release.
fn plan(keystore: &Keystore, version: &str) -> Plan {
    let text =
        SMALL.replace("3.5.16", version).replace("name = \"small\" }", "name = \"small\", formed = true }");
    let source = Source::file(Path::new("small.toml"), text.into_bytes());
    let available = [(version.parse().unwrap(), "amd64".parse().unwrap())];
    match profile::read(&source, &available, kiln::carrier::all()) {
        Ok((profile, _)) => plan::resolve(&profile, &keystore.names().unwrap()),
        Err(mistakes) => panic!("{}", mistakes.into_failure(false)),
    }
}

/// The identity of a bundle of this plan, without a bundle.
fn witness(keystore: &Keystore, plan: &Plan) -> Witness {
    let pki = &plan.pki;
    let authority = kiln::pki::Authority::new(keystore, pki.ca.algorithm, pki.ca.lifetime).unwrap();
    let leaf = authority.issue(&plan.clients[0], pki.leaf_algorithm, pki.leaf_lifetime).unwrap();
    Witness {
        token: plan.cluster.token.clone(),
        release: plan.release,
        members: plan.nodes.iter().map(|node| (node.name.clone(), node.peer_url.clone())).collect(),
        certificate: leaf.cert_pem.into_bytes(),
        trust: authority.trust_pem().unwrap().into_bytes(),
        peer_trust: None,
    }
}

#[test]
fn etcd_goes_one_minor_release_at_a_time_and_never_back() {
    let work = workshop();
    let dir = work.path().join("keystore/small");
    let name = "small".parse().unwrap();
    let mut keystore = Keystore::open(&dir, &name).unwrap();
    let witnesses: Vec<Witness> = ["3.4.30", "3.5.16", "3.6.4"]
        .iter()
        .map(|version| witness(&keystore, &plan(&keystore, version)))
        .collect();

    // Before the seal it is not known what runs, so there are warnings only.
    assert!(keystore.admit(&dir, &plan(&keystore, "3.5.16")).unwrap().is_empty());
    keystore.save(&dir).unwrap();
    assert!(keystore.admit(&dir, &plan(&keystore, "3.5.30")).unwrap().is_empty() && !keystore.is_unsaved());
    let remarks = keystore.admit(&dir, &plan(&keystore, "3.4.30")).unwrap();
    assert!(matches!(&remarks[..], [Remark::Warning(text)] if text.contains("etcd does not go back to 3.4")));
    drop(keystore);

    assert_eq!(Keystore::seal(&dir, &name, &witnesses[0], false).unwrap(), Sealed::New);
    for (sealed, version, verdict) in [
        (None, "3.4.23", Ok("")),
        (None, "3.5.16", Ok("small formed with etcd 3.4: upgrade one member at a time to 3.5")),
        (None, "3.6.4", Err("and 3.6.4 is more than one from 3.4: build with 3.5 first")),
        (Some((1, Sealed::Newer)), "3.5.30", Ok("")),
        (None, "3.6.4", Ok("upgrade one member at a time to 3.6")),
        (None, "3.4.30", Err("etcd 3.4.30 does not start with the data of 3.5")),
        // An older bundle does not lower the recorded release.
        (Some((0, Sealed::Already)), "3.4.30", Err("does not start with the data of 3.5")),
        (Some((2, Sealed::Newer)), "3.5.30", Err("does not start with the data of 3.6")),
    ] {
        if let Some((at, outcome)) = sealed {
            assert_eq!(Keystore::seal(&dir, &name, &witnesses[at], false).unwrap(), outcome);
        }
        let mut keystore = Keystore::open(&dir, &name).unwrap();
        let plan = plan(&keystore, version);
        match (keystore.admit(&dir, &plan), verdict) {
            (Ok(remarks), Ok("")) => assert!(!remarks.iter().any(|remark| matches!(remark, Remark::Note(_)))),
            (Ok(remarks), Ok(want)) => {
                assert!(matches!(&remarks[0], Remark::Note(text) if text.contains(want)), "{version}");
            }
            (Err(failure), Err(want)) => {
                assert_eq!(failure.exit(), Exit::Unsafe);
                assert!(failure.to_string().contains(want), "{failure}");
            }
            (verdict, _) => {
                panic!("{version}: {}", verdict.map_or_else(|why| why.to_string(), |_| "taken".into()))
            }
        }
    }
}
