//! Certificates and CAs as a profile wants them, in whole bundles: openssl accepts the chains, and the keystore's
//! record holds what was chosen.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::constraints::CONSTRAINED;
use crate::support::{Workshop, output, refused, root, run, store};

/// The profile of a golden case, with another text for some of its parts.
fn profile(case: &str, changes: &[(&str, &str)]) -> String {
    let path = root().join("tests/golden").join(case).join("profile.toml");
    let mut text = fs::read_to_string(path).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    text
}

/// A bundle of it, and its only node's files.
fn built(case: &str) -> (Workshop, PathBuf, PathBuf) {
    let work = Workshop::new();
    work.keystore("golden");
    work.file("p.toml", profile(case, &[]));
    let bundle = work.build("./p.toml");
    let node = fs::read_dir(bundle.join("nodes")).unwrap().next().unwrap().unwrap().path();
    let files = work.path().join("files");
    fs::create_dir(&files).unwrap();
    run(Command::new("tar").arg("-xzf").arg(node.join("overlay.tar.gz")).arg("-C").arg(&files));
    (work, bundle, files)
}

/// openssl's verdict on a file with a leaf and its intermediates.
pub(super) fn verified(root: &Path, purpose: &str, file: &Path) -> Result<(), String> {
    let mut command = Command::new("openssl");
    command.args(["verify", "-x509_strict", "-purpose", purpose, "-attime", "1768000000", "-CAfile"]);
    command.arg(root).arg("-untrusted").arg(file).arg(file);
    match output(&mut command) {
        (0, ..) => Ok(()),
        (_, out, err) => Err(format!("{out}{err}")),
    }
}

pub(super) fn text(file: &Path, of: &[&str]) -> String {
    run(Command::new("openssl").args(["x509", "-noout", "-in"]).arg(file).args(of))
}

pub(super) fn build(work: &Workshop, text: &str) -> Command {
    work.file("p.toml", text);
    let mut command = work.kiln(["build", "--profile", "./p.toml", "--artifacts"]);
    command.arg(store());
    command
}

/// The most names that a profile may add, on a node with addresses of all kinds: what is built can be read.
#[test]
fn a_bundle_with_the_most_names_can_be_read() {
    let names: Vec<_> = (0..48).map(|at| format!("\"h{at}.example.com\"")).collect();
    let work = Workshop::new();
    work.keystore("golden");
    let text = profile("dual-stack", &[]);
    assert!(!text.contains("[pki"));
    let names = names.join(", ");
    let more =
        format!("\n[pki.server]\nnames = [{names}]\n\n[[client]]\nname = \"many\"\nnames = [{names}]\n");
    work.file("p.toml", text + &more);
    let bundle = work.build("./p.toml");
    run(work.kiln(["show"]).arg(bundle));
}

#[test]
fn openssl_accepts_two_authorities_with_intermediates_and_constraints() {
    let (_work, bundle, files) = built("pki-two-authorities");
    let pki = files.join("etc/etcd/ssl");
    let (ca, peer_ca) = (bundle.join("client/ca.pem"), bundle.join("client/peer-ca.pem"));
    for (on_node, in_bundle) in
        [("client-root.crt", &ca), ("root_ca.crt", &ca), ("client-ca.crt", &ca), ("peer-ca.crt", &peer_ca)]
    {
        assert_eq!(fs::read(pki.join(on_node)).unwrap(), fs::read(in_bundle).unwrap(), "{on_node}");
    }
    for (file, root, other, purposes) in [
        ("n1-server.crt", &ca, &peer_ca, &["sslserver", "sslclient"][..]),
        ("n1-client.crt", &ca, &peer_ca, &["sslclient"]),
        ("n1-peer.crt", &peer_ca, &ca, &["sslserver", "sslclient"]),
        ("kube-apiserver-a.pem", &ca, &peer_ca, &["sslclient"]),
    ] {
        for purpose in purposes {
            assert_eq!(verified(root, purpose, &pki.join(file)), Ok(()), "{file} {purpose}");
            assert!(verified(other, purpose, &pki.join(file)).is_err(), "{file} {purpose}");
        }
    }
    assert_eq!(verified(&ca, "sslclient", &bundle.join("client/etcdctl.pem")), Ok(()));
    let root = text(&ca, &["-ext", "basicConstraints,nameConstraints"]);
    for part in
        ["CA:TRUE, pathlen:1", "Name Constraints: critical", "DNS:n1\n", "IP:10.0.0.11/255.255.255.255"]
    {
        assert!(root.contains(part), "{part}: {root}");
    }
    let chain = fs::read_to_string(pki.join("n1-peer.crt")).unwrap();
    let below = chain.rfind("-----BEGIN").unwrap();
    let issuing = pki.join("issuing");
    fs::write(&issuing, &chain[below..]).unwrap();
    let issuing =
        text(&issuing, &["-subject", "-nameopt", "RFC2253", "-enddate", "-ext", "basicConstraints"]);
    assert!(issuing.contains("CN=peers of golden") && issuing.contains("pathlen:0"), "{issuing}");
    assert!(issuing.contains("2030 GMT"), "{issuing}");
    let client = text(&pki.join("kube-apiserver-a.pem"), &["-subject", "-nameopt", "RFC2253"]);
    assert_eq!(client, "subject=CN=kube-apiserver,O=kloud,O=system:masters\n");
}

#[test]
fn subjects_are_encoded_as_openssl_does() {
    let (work, bundle, files) = built("pki-one-per-node");
    let (root, node) = (bundle.join("client/ca.pem"), files.join("etc/etcd/pki/k8s0etcd1.crt"));
    for purpose in ["sslserver", "sslclient"] {
        assert_eq!(verified(&root, purpose, &node), Ok(()), "{purpose}");
    }
    let subject = "subject=CN=etcd.kloud.lan,OU=etcd-ca,O=ETCDRootCA,L=Montreal,ST=QC,C=CA\n";
    assert_eq!(text(&root, &["-subject", "-nameopt", "RFC2253"]), subject);
    assert!(text(&root, &["-text"]).contains("secp521r1"));
    let names = text(&node, &["-ext", "subjectAltName"]);
    for name in ["DNS:localhost", "DNS:*.localhost", "DNS:etcd.kloud.lan", "IP Address:10.103.0.100"] {
        assert!(names.contains(name), "{name}: {names}");
    }
    // The subject that openssl makes of the same text has the same bytes.
    let own = work.path().join("own.pem");
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-utf8"])
        .args(["-keyout", "/dev/null", "-subj"])
        .arg("/C=CA/ST=QC/L=Montréal/O=ETCD/OU=etcd/CN=k8s0etcd1.kloud.lan")
        .arg("-out")
        .arg(&own));
    let hash = |file: &Path| text(file, &["-subject", "-nameopt", "multiline,show_type,utf8"]);
    assert_eq!(hash(&node), hash(&own));
    // The copies are the same files.
    let client = |name: &str| fs::read(bundle.join("client").join(name)).unwrap();
    assert_eq!(client("apiserver-etcd-client.crt"), client("kube-apiserver.crt"));
    assert_eq!(client("apiserver-etcd-client.key"), client("kube-apiserver.key"));
    assert_eq!(
        client("kube-apiserver.crt"),
        fs::read(files.join("etc/etcd/pki/apiserver-etcd-client.crt")).unwrap()
    );
    // And all of it can be read back.
    run(work.kiln(["check", "out/p"]).arg("--quiet"));
    let shown = run(&mut work.kiln(["show", "out/p"]));
    assert!(shown.contains("7 certificates"), "{shown}");
}

#[test]
fn kinds_of_certificates_have_subjects_of_their_own() {
    let work = Workshop::new();
    work.keystore("golden");
    let subjects = "[pki.subject]\ncountry = \"CA\"\norganization = \"Kloud\"\n[pki.server.subject]\norganization = \"Servers\"\n\
                    [pki.peer.subject]\ncountry = \"CH\"\norganizational-unit = \"peers\"\n[pki.server]";
    run(&mut build(&work, &profile("pki-two-authorities", &[("[pki.server]", subjects)])));
    let files = work.path().join("files");
    fs::create_dir(&files).unwrap();
    let archive = work.path().join("out/p/nodes/n1/overlay.tar.gz");
    run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&files));
    for (kind, subject) in [
        ("server", "subject=CN=n1,O=Servers,C=CA\n"),
        ("peer", "subject=CN=etcd-peer,OU=peers,O=Kloud,C=CH\n"),
        ("client", "subject=CN=root,O=Kloud,C=CA\n"),
    ] {
        let file = files.join(format!("etc/etcd/ssl/n1-{kind}.crt"));
        assert_eq!(text(&file, &["-subject", "-nameopt", "RFC2253"]), subject);
    }
    run(work.kiln(["check", "out/p"]).arg("--quiet"));
}

#[test]
fn the_authorities_that_have_issued_stay() {
    let two = "pki-two-authorities";
    let (work, ..) = built(two);
    let recorded = fs::read_to_string(work.path().join("keystore/golden/keystore.toml")).unwrap();
    for line in ["schema = 3", "name = \"peer-ca\"", "path-length = 1", "common-name = \"peers of golden\""] {
        assert!(recorded.contains(line), "{line}: {recorded}");
    }
    run(&mut build(&work, &profile(two, &[("lifetime = \"30d\"", "lifetime = \"31d\"")])));
    let issuing = "[pki.peer-ca]\nintermediate = true";
    for (change, want) in [
        (
            (issuing, "[pki.peer-ca]\ncommon-name = \"x\"\nintermediate = true"),
            &["it was CN=golden etcd peer CA"][..],
        ),
        (("peers of golden", "peers"), &["path length 0; it would be"]),
        (
            ("name-constraints = true", "name-constraints = false"),
            &[
                "the CA ca was made with name constraints, and would be made again without them",
                "write name-constraints = true in [pki.ca]",
            ],
        ),
        (("[pki.ca]", "[pki.ca]\nlifetime = \"11y\""), &["the CA would be another certificate"]),
    ] {
        let message = refused(&mut build(&work, &profile(two, &[change])), 6);
        for want in want {
            assert!(message.contains(want), "{want}: {message}");
        }
    }
    // All of it at once.
    let all = [
        ("[pki.ca]", "[pki.ca]\nalgorithm = \"p384\""),
        ("peers of golden", "peers"),
        ("[[client]]", "[[client]]\nname = \"late\"\nnames = [\"late.example.org\"]\n\n[[client]]"),
    ];
    let message = refused(&mut build(&work, &profile(two, &all)), 6);
    for want in ["the CA's key would be p384", "the CA ca may issue only", "late.example.org", "CN=peers, 5y"]
    {
        assert!(message.contains(want), "{want}: {message}");
    }
    // The bundle is recognised as one of this keystore, and renewed certificates have the same CAs.
    run(&mut build(&work, &profile(two, &[])));
    run(&mut work.kiln(["seal", "out/p"]));
    let before = fs::read(work.path().join("out/p/client/peer-ca.pem")).unwrap();
    run(&mut work.kiln(["keystore", "renew", "golden"]));
    run(&mut build(&work, &profile(two, &[])));
    assert_eq!(before, fs::read(work.path().join("out/p/client/peer-ca.pem")).unwrap());
    let shown = run(&mut work.kiln(["keystore", "show", "golden"]));
    assert!(shown.contains("CN=golden etcd issuing CA"), "{shown}");
    assert!(shown.contains("\n  peer-ca CN=golden etcd peer CA, p256"), "{shown}");
}

/// A keystore that has issued under a CA without a subject keeps that one.
#[test]
fn a_keystore_from_before_keeps_its_authority() {
    let work = Workshop::new();
    work.keystore("golden");
    let plain = profile("pki-one-per-node", &[("common-name = \"etcd.kloud.lan\"\n", "")]);
    let (from, to) = (plain.find("[pki.ca.subject]").unwrap(), plain.find("[pki.node]").unwrap());
    let plain = format!("{}{}", &plain[..from], &plain[to..]);
    run(&mut build(&work, &plain));
    let list = work.path().join("keystore/golden/keystore.toml");
    assert!(fs::read_to_string(&list).unwrap().contains("schema = 2"));
    let message = refused(&mut build(&work, &profile("pki-one-per-node", &[])), 6);
    assert!(
        message.contains("it was CN=golden etcd CA, p521, 20y, path length 0; it would be C=CA, ST=QC"),
        "{message}"
    );
    run(&mut build(&work, &plain));
}

/// The advice said "write [pki.peer-ca] as it was" of a table that was never there.
#[test]
fn advice_about_authorities_that_changed_fits_the_change() {
    let work = Workshop::new();
    work.keystore("golden");
    let with = |tables: &str| format!("{CONSTRAINED}{tables}");
    let without = CONSTRAINED.replace("name-constraints = true\n", "");
    assert_ne!(without, CONSTRAINED);
    run(&mut build(&work, CONSTRAINED));
    let message = refused(&mut build(&work, &without), 6);
    assert!(
        message.contains("without them") && message.contains("write name-constraints = true"),
        "{message}"
    );
    let message = refused(&mut build(&work, &with("[pki.peer-ca]\n")), 6);
    assert!(message.contains("omit [pki.peer-ca], or use another --keystore"), "{message}");
    fs::remove_dir_all(work.path().join("keystore")).unwrap();
    work.keystore("golden");
    run(&mut build(&work, &format!("{without}[pki.peer-ca]\n")));
    let message = refused(&mut build(&work, &without), 6);
    assert!(message.contains("write [pki.peer-ca] as it was, or use another"), "{message}");
    let message = refused(&mut build(&work, &with("[pki.peer-ca]\n")), 6);
    assert!(message.contains("with them") && message.contains("omit name-constraints = true"), "{message}");
}

#[test]
fn an_imported_ca_that_the_profile_wants_must_be_there() {
    let work = Workshop::new();
    let (from, to) = ("root-file = \"root_ca.crt\"", "source = \"imported\"");
    let wanted = profile("pki-two-authorities", &[(from, to)])
        .replace("[pki.ca]\nintermediate = true\nname-constraints = true", "[pki.ca]");
    let message = refused(&mut build(&work, &wanted), 4);
    assert!(
        message.contains("kiln keystore import-ca golden --keystore keystore/golden --cert ca.pem"),
        "{message}"
    );
    assert!(!work.path().join("keystore").join("golden").exists() && !work.path().join("out/p").exists());

    run(&mut work.kiln(["keystore", "init", "golden"]));
    let ca = "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -subj /CN=Corp -days 3000 -addext keyUsage=critical,keyCertSign -out ca.pem";
    run(Command::new("openssl").args(ca.split(' ')).current_dir(work.path()));
    run(&mut work.kiln(["keystore", "import-ca", "golden", "--cert", "ca.pem", "--key", "ca.key"]));
    run(&mut build(&work, &wanted));
    let ca = fs::read(work.path().join("ca.pem")).unwrap();
    assert_eq!(fs::read(work.path().join("out/p/client/ca.pem")).unwrap(), ca);
    let described = wanted.replace("source = \"imported\"", "common-name = \"x\"");
    let (code, _, warned) = output(&mut build(&work, &described));
    assert!(code == 0 && warned.contains("name-constraints of [pki.ca] have no effect"), "{warned}");
    // The CA of the peers is Kiln's own beside it.
    let peer_ca = text(&work.path().join("out/p/client/peer-ca.pem"), &["-subject"]);
    assert!(peer_ca.contains("golden etcd peer CA"), "{peer_ca}");
}

#[test]
fn plan_names_every_file() {
    let work = Workshop::new();
    work.file("p.toml", profile("pki-two-authorities", &[]));
    let mut command = work.kiln(["plan", "--profile", "./p.toml", "--artifacts"]);
    let planned = run(command.arg(store()));
    for line in [
        "  ca         client-root.crt CN=golden etcd CA, p256, 10y, over CN=golden etcd issuing CA, 10y, for ",
        "  peer-ca    peer-root.crt CN=golden etcd peer CA, p256, 10y, over CN=peers of golden, 5y\n",
        "    /etc/etcd/ssl/n1-server.crt  CN=n1 for n1, localhost, etcd-1.golden.example.com, 10.0.0.11",
        "      0444, key n1-server.key 0400, 90d, by ca\n",
        "      0644, key n1-peer.key 0400, 2y, by peer-ca\n",
        "    /etc/etcd/ssl/peer-ca.crt -> peer-root.crt\n",
        "  kube-apiserver-a.pem  O=system:masters, O=kloud, CN=kube-apiserver for kube-apiserver-a.example.com, 10.0.0.21\n",
    ] {
        assert!(planned.contains(line), "{line}\n{planned}");
    }
    let json = run(work.kiln(["plan", "--json", "--profile", "./p.toml", "--artifacts"]).arg(store()));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["authorities"][1]["intermediate"]["lifetime"], "5y");
    assert_eq!(json["nodes"][0]["certificates"][0]["key"]["mode"], "0400");
    assert_eq!(json["nodes"][0]["links"][0]["target"].as_str().map(|to| to.ends_with(".crt")), Some(true));
}

#[test]
fn a_client_has_a_subject_of_its_own() {
    let work = Workshop::new();
    work.keystore("golden");
    let subject =
        "[pki.subject]\ncountry = \"CA\"\norganization = [\"ETCD\"]\norganizational-unit = \"etcd\"\n";
    let own = "[[client]]\nname = \"own\"\n[client.subject]\ncountry = \"DE\"\nstate = \"BE\"\nlocality = \"Berlin\"\n\
               organization = [\"a\", \"b\"]\norganizational-unit = \"apps\"\n";
    let part =
        "[[client]]\nname = \"part\"\norganization = [\"system:masters\"]\nsubject = { locality = \"x\" }\n";
    run(&mut build(&work, &format!("{CONSTRAINED}{subject}{own}{part}[[client]]\nname = \"plain\"\n")));
    let client = work.path().join("out/p/client");
    for (name, want) in [
        ("own", "subject=CN=own,OU=apps,O=b,O=a,L=Berlin,ST=BE,C=DE"),
        ("part", "subject=CN=part,OU=etcd,O=system:masters,L=x,C=CA"),
        ("plain", "subject=CN=plain,OU=etcd,O=ETCD,C=CA"),
    ] {
        let file = client.join(format!("{name}.pem"));
        assert_eq!(text(&file, &["-subject", "-nameopt", "RFC2253"]).trim(), want);
        assert_eq!(verified(&client.join("ca.pem"), "sslclient", &file), Ok(()), "{name}");
    }
}
