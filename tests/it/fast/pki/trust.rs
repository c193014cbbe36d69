//! The clients that are accepted under an imported CA, and messages about an unsuitable CA before a cluster runs under
//! it.

use kiln::failure::Exit;
use kiln::pki::{Authority, Keystore};
use kiln::profile::Algorithm;
use kiln::values::Lifetime;

use super::tools::{ISSUED, Lab, client, cluster, epoch, server};

const EC: &str = "EC -pkeyopt ec_paramgen_curve:P-256";
const CA: [&str; 2] = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"];

fn authority(keystore: &Keystore) -> Authority {
    Authority::new(keystore, Algorithm::P256, Lifetime::years(10)).unwrap()
}

fn refused(case: &str, imported: kiln::failure::Result<Keystore>, sentence: &str) {
    let failure = imported.err().unwrap_or_else(|| panic!("{case} was accepted"));
    assert_eq!(failure.exit(), Exit::Untrusted, "{case}: {failure}");
    assert!(failure.to_string().contains(sentence), "{case}: {failure}");
}

/// Whether openssl accepts a leaf with its chain when only one CA is trusted.
fn is_let_in(lab: &Lab, leaf: &str) -> bool {
    let at = epoch(ISSUED).seconds().to_string();
    let arguments =
        ["verify", "-attime", &at, "-no-CApath", "-no-CAfile", "-partial_chain", "-purpose", "sslclient"];
    lab.run("openssl", &[&arguments[..], &["-trusted", "members.pem", "-untrusted", leaf, leaf]].concat())
        .status
        .success()
}

#[test]
fn intermediate_trust() {
    let lab = Lab::new();
    lab.ca("root", EC, "/CN=Corp Root", None, &[]);
    lab.ca("etcd", EC, "/CN=etcd issuing CA", Some("root"), &[]);
    lab.ca("staff", EC, "/CN=staff issuing CA", Some("root"), &[]);
    let ours = authority(&lab.import("etcd", &["etcd", "root"]).unwrap());
    lab.write("members.pem", ours.trust_pem().unwrap());
    let theirs = authority(&lab.import("staff", &["staff", "root"]).unwrap());
    for spec in [client(), server()] {
        let issue = |by: &Authority| by.issue(&spec, Algorithm::P256, Lifetime::years(1)).unwrap().cert_pem;
        lab.write("ours.pem", issue(&ours)).write("theirs.pem", issue(&theirs));
        assert!(is_let_in(&lab, "ours.pem"));
        assert!(!is_let_in(&lab, "theirs.pem"), "a sibling is of the same root, and not of this cluster");
        // Clients trust the root, and the server sends the chain to it.
        lab.write("clients.pem", ours.root_pem().unwrap());
        let at = epoch(ISSUED).seconds();
        lab.openssl(&format!("verify -attime {at} -CAfile clients.pem -untrusted ours.pem ours.pem"));
    }
    assert_eq!(ours.root().subject, "CN=Corp Root");
    assert_eq!(ours.subject(), "CN=etcd issuing CA");
}

#[test]
fn a_stranger_has_the_name_of_the_ca_and_another_key() {
    let lab = Lab::new();
    lab.ca("ca", EC, "/O=Käse/O=Käse/CN=imported", None, &[]);
    let ours = authority(&lab.import("ca", &["ca"]).unwrap());
    lab.write("members.pem", ours.trust_pem().unwrap());
    let leaf = ours.issue(&client(), Algorithm::P256, Lifetime::years(1)).unwrap().cert_pem;
    let stranger = Authority::namesake(&cluster(), leaf.as_bytes(), epoch(ISSUED)).unwrap();
    assert_eq!(stranger.subject(), ours.subject());
    lab.judge(&stranger, Algorithm::P256);
    let theirs = stranger.issue(&client(), Algorithm::P256, Lifetime::hours(1)).unwrap().cert_pem;
    lab.write("ours.pem", leaf).write("theirs.pem", theirs).write("members.pem", ours.trust_pem().unwrap());
    assert!(is_let_in(&lab, "ours.pem") && !is_let_in(&lab, "theirs.pem"));
    let name =
        |file: &str| lab.openssl(&format!("x509 -in {file} -noout -issuer -nameopt dump_all,dump_der"));
    assert_eq!(name("ours.pem"), name("theirs.pem"));
}

#[test]
fn a_chain_without_its_root_is_taken_and_said() {
    let lab = Lab::new();
    lab.ca("root", EC, "/CN=root", None, &[]);
    lab.ca("middle", EC, "/CN=middle", Some("root"), &[]);
    lab.ca("low", EC, "/CN=low", Some("middle"), &[]);
    for (files, top) in [(&["low"][..], "CN=low"), (&["low", "middle"], "CN=middle")] {
        let keystore = lab.import("low", files).unwrap();
        let ca = keystore.imported_ca().unwrap().unwrap();
        assert_eq!((ca.clients_trust.as_str(), ca.is_rooted), (top, false));
        let authority = authority(&keystore);
        assert_eq!(authority.root().subject, top);
        // A client with the root can still verify with it, because everything that was imported is sent.
        let leaf = authority.issue(&server(), Algorithm::P256, Lifetime::years(1)).unwrap().cert_pem;
        lab.write("leaf.pem", leaf);
        let above = if top == "CN=low" { "-untrusted middle.pem" } else { "" };
        let at = epoch(ISSUED).seconds();
        lab.openssl(&format!("verify -attime {at} -CAfile root.pem -untrusted leaf.pem {above} leaf.pem"));
    }
    assert!(lab.import("low", &["low", "middle", "root"]).unwrap().imported_ca().unwrap().unwrap().is_rooted);
    refused(
        "a gap",
        lab.import("low", &["low", "root"]),
        "the certificate of its issuer, CN=middle, is missing",
    );
}

#[test]
fn ca_that_go_refuses() {
    let lab = Lab::new();
    lab.openssl(&format!("genpkey -algorithm {EC} -out ca.key"));
    let config = |identifier: &str| {
        format!(
            "[req]\ndistinguished_name=d\nx509_extensions=v\nprompt=no\n[d]\nCN=Example CA\n[v]\n{}\n{}\n\
             subjectKeyIdentifier={identifier}hash\n",
            CA[0], CA[1]
        )
    };
    let make = "req -x509 -new -key ca.key -config ca.conf -days 20000 -out ca.pem";
    lab.write("ca.conf", config("critical,")).openssl(make);
    refused(
        "SKI",
        lab.import("ca", &["ca"]),
        "CN=Example CA has a subject key identifier that is marked critical",
    );
    lab.write("ca.conf", config("")).openssl(&format!("{make} -set_serial -1234567890123"));
    refused("serial", lab.import("ca", &["ca"]), "CN=Example CA has a negative serial number");
    lab.openssl(make);
    assert!(lab.import("ca", &["ca"]).is_ok());
}

#[test]
fn ca_file_messages() {
    let lab = Lab::new();
    lab.ca("root", EC, "/CN=root", None, &[]).ca("low", EC, "/CN=low", Some("root"), &[]);
    lab.write("mark.pem", [b"\xef\xbb\xbf", &lab.read("root.pem")[..]].concat());
    lab.write("latin.pem", [b"Schl\xfcssel der Firma\n", &lab.read("root.pem")[..]].concat());
    for text in ["mark", "latin"] {
        assert!(lab.import("root", &[text]).is_ok(), "{text}");
    }
    refused("order", lab.import("low", &["root", "low"]), "the CA that signs comes first");
    let root = lab.read("root.key");
    let mixed = lab.import_key("low", &["low", "root"], &root, None, ISSUED);
    refused(
        "whose key",
        mixed,
        "the key belongs to CN=root, and the first certificate in the file is CN=low",
    );

    // The CA has changed its key, and signed the new one with the old one.
    lab.ca("new", EC, "/CN=root", Some("root"), &[]);
    refused(
        "rollover",
        lab.import("new", &["new"]),
        "CN=root names itself as its issuer, but is signed by another key",
    );
    lab.judge(&authority(&lab.import("new", &["new", "root"]).unwrap()), Algorithm::P256);

    let long = format!("0x01{}", "23".repeat(25));
    lab.openssl(&format!(
        "req -x509 -new -key root.key -days 20000 -subj /CN=long -set_serial {long} -out long.pem"
    ));
    refused("serial", lab.import("root", &["long"]), "serial number has 26 bytes; X.509 allows 20");

    lab.ca("three", "RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3", "/CN=three", None, &[]);
    refused(
        "exponent",
        lab.import("three", &["three"]),
        "its public exponent is 3, but Kiln needs at least 65537",
    );
}

#[test]
fn what_a_ca_lacks_is_said_at_import() {
    let lab = Lab::new();
    lab.ca("nameless", EC, "/", None, &CA);
    refused("no subject", lab.import("nameless", &["nameless"]), "has an empty subject");
    lab.ca("any", EC, "/CN=any", None, &[CA[0], CA[1], "extendedKeyUsage=anyExtendedKeyUsage"]);
    refused("any usage", lab.import("any", &["any"]), "anyExtendedKeyUsage, which OpenSSL refuses");
    lab.openssl("ecparam -name prime256v1 -genkey -noout -param_enc explicit -out explicit.key");
    lab.ca("explicit", "", "/CN=explicit", None, &CA);
    refused(
        "curve",
        lab.import("explicit", &["explicit"]),
        "written out as parameters instead of by its name",
    );
    lab.ca("a", EC, "/CN=A", None, &[]).ca("b", EC, "/CN=B", Some("a"), &[]).ca(
        "a",
        EC,
        "/CN=A",
        Some("b"),
        &[],
    );
    refused("circle", lab.import("a", &["a", "b"]), "CN=A and CN=B issue each other");
}

#[test]
fn name_constraints_are_judged_at_import() {
    let cases = [
        ("excluded;DNS:localhost", "do not allow localhost, which every node's server certificate contains"),
        ("permitted;DNS:kloud.lan", "only DNS:kloud.lan is permitted"),
        ("excluded;IP:127.0.0.0/255.0.0.0", "do not allow 127.0.0.1"),
        ("excluded;IP:0.0.0.0/0.0.0.0", "IP:0.0.0.0/0.0.0.0 is excluded"),
        ("permitted;IP:10.240.0.0/255.255.0.0", "do not allow 127.0.0.1"),
    ];
    for (names, sentence) in cases {
        let lab = Lab::new();
        let limits = format!("nameConstraints=critical,{names}");
        lab.ca("ca", EC, "/CN=limited", None, &[CA[0], CA[1], &limits]);
        refused(names, lab.import("ca", &["ca"]), sentence);
        // The constraints of a CA above it count as well.
        lab.ca("low", EC, "/CN=low", Some("ca"), &[]);
        refused(names, lab.import("low", &["low", "ca"]), sentence);
    }
}

#[test]
fn plan_of_an_imported_ca() {
    let lab = Lab::new();
    lab.ca("ca", "RSA -pkeyopt rsa_keygen_bits:2048", "/CN=Example CA", None, &[]);
    assert!(lab.keystore("derived").imported_ca().unwrap().is_none());
    let ca = lab.import("ca", &["ca"]).unwrap().imported_ca().unwrap().unwrap();
    assert_eq!((ca.subject.as_str(), ca.algorithm.as_str()), ("CN=Example CA", "RSA 2048"));
    let end = lab.openssl("x509 -in ca.pem -noout -enddate -dateopt iso_8601");
    assert_eq!(end.trim().replace(' ', "T"), format!("notAfter={}", ca.not_after));
    assert_eq!(ca.line(), format!("CN=Example CA, RSA 2048, ends {}", ca.not_after));
}
