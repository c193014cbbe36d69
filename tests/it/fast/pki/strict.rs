//! CAs that `openssl verify -x509_strict` refuses get a warning at the import, and no others; those that plain
//! `openssl verify` refuses are refused.

use super::tools::{ISSUED, Lab, epoch};

const BASIC: &str = "basicConstraints=critical,CA:TRUE";
const USAGE: &str = "keyUsage=critical,keyCertSign,cRLSign";
const OWN: &str = "subjectKeyIdentifier=hash";
const ISSUER: &str = "authorityKeyIdentifier=keyid:always";

/// `NAME.pem` with exactly these extensions, signed by itself or by another one.
fn make(lab: &Lab, name: &str, extensions: &[&str], by: Option<&str>) {
    lab.openssl(&format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key"));
    let head = "[req]\ndistinguished_name=dn\n[dn]\n[own]\n";
    lab.write("own.conf", format!("{head}{}\n", extensions.join("\n")));
    let by = by.map(|by| format!("-CA {by}.pem -CAkey {by}.key ")).unwrap_or_default();
    lab.openssl(&format!(
        "req -new -x509 -config own.conf -extensions own -key {name}.key {by}-days 20000 -subj /CN={name} -out {name}.pem"
    ));
}

/// openssl's verdict on a leaf below the first of these, of which the last one is trusted.
fn openssl_accepts(lab: &Lab, chain: &[&str], strictly: bool) -> bool {
    let has_own = !lab
        .openssl(&format!("x509 -in {}.pem -noout -ext subjectKeyIdentifier", chain[0]))
        .trim()
        .is_empty();
    let issuer = if has_own { ISSUER } else { "authorityKeyIdentifier=none" };
    make(
        lab,
        "leaf",
        &["basicConstraints=critical,CA:FALSE", OWN, issuer, "subjectAltName=DNS:a"],
        Some(chain[0]),
    );
    let below: Vec<u8> = chain.iter().flat_map(|name| lab.read(&format!("{name}.pem"))).collect();
    lab.write("sent.pem", below);
    let (at, root) = (epoch(ISSUED).seconds().to_string(), format!("{}.pem", chain[chain.len() - 1]));
    let line =
        ["verify", "-x509_strict", "-attime", &at, "-CAfile", &root, "-untrusted", "sent.pem", "leaf.pem"];
    let line: Vec<_> = line.into_iter().filter(|word| strictly || *word != "-x509_strict").collect();
    lab.run("openssl", &line).status.success()
}

/// What is wrong, the extensions, whether a root may have them, whether a CA below one may, and the sentence.
const CASES: [(&str, &[&str], bool, bool, &str); 9] = [
    ("nothing", &[BASIC, USAGE, OWN, ISSUER], true, true, ""),
    (
        "usual",
        &["basicConstraints=critical,CA:TRUE,pathlen:1", "keyUsage=keyCertSign", OWN, ISSUER],
        true,
        true,
        "",
    ),
    ("no key usage", &[BASIC, OWN, ISSUER], false, false, "no key usage"),
    (
        "not critical",
        &["basicConstraints=CA:TRUE", USAGE, OWN, ISSUER],
        false,
        false,
        "basic constraints that are not critical",
    ),
    (
        "no own identifier",
        &[BASIC, USAGE, "subjectKeyIdentifier=none", "authorityKeyIdentifier=none"],
        false,
        false,
        "no subject key identifier",
    ),
    (
        "no issuer's identifier",
        &[BASIC, USAGE, OWN, "authorityKeyIdentifier=none"],
        true,
        false,
        "no identifier of its issuer's key",
    ),
    (
        "the issuer's number only",
        &[BASIC, USAGE, OWN, "authorityKeyIdentifier=issuer:always"],
        true,
        false,
        "no identifier of its issuer's key",
    ),
    (
        "critical identifier",
        &[BASIC, USAGE, OWN, "authorityKeyIdentifier=critical,keyid:always"],
        false,
        false,
        "critical extension 2.5.29.35",
    ),
    (
        "critical own",
        &[BASIC, USAGE, "subjectKeyIdentifier=critical,hash", ISSUER],
        false,
        false,
        "marked critical",
    ),
];

#[test]
fn a_ca_that_only_strict_clients_refuse_is_imported_with_a_warning() {
    for (case, extensions, as_root, below_root, sentence) in CASES {
        let lab = Lab::new();
        make(&lab, "top", &[BASIC, USAGE, OWN, ISSUER], None);
        make(&lab, "root", extensions, None);
        make(&lab, "below", extensions, Some("top"));
        // Without an identifier of its key the CA above cannot be named.
        if case != "no own identifier" {
            make(&lab, "lowest", &[BASIC, USAGE, OWN, ISSUER], Some("below"));
        }
        for (chain, is_fine) in [
            (&["root"][..], as_root),
            (&["below", "top"], below_root),
            (&["lowest", "below", "top"], below_root),
        ] {
            if case == "no own identifier" && chain[0] == "lowest" {
                continue;
            }
            assert_eq!(openssl_accepts(&lab, chain, true), is_fine, "{case}: openssl and {chain:?}");
            // A critical identifier is not for Go, or not for Kiln, which would have to understand it.
            let is_refused = case.starts_with("critical");
            match lab.import(chain[0], chain) {
                Ok(keystore) => {
                    assert!(openssl_accepts(&lab, chain, false), "{case}: {chain:?}");
                    let said = keystore.missed_by_strict_clients("ca").unwrap().join("\n");
                    assert!(!is_refused && said.is_empty() == is_fine, "{case}: {chain:?}: {said}");
                    assert!(is_fine || said.contains(sentence), "{case}: {chain:?}: {said}");
                }
                Err(failure) => {
                    let failure = failure.to_string();
                    assert!(is_refused && failure.contains(sentence), "{case}: {chain:?}: {failure}");
                }
            }
        }
    }
}

/// An issuer that was renewed with another key, whose old certificate is appended.
#[test]
fn a_ca_that_names_another_key_of_its_issuer_is_refused() {
    let lab = Lab::new();
    make(&lab, "root", &[BASIC, USAGE, OWN, ISSUER], None);
    make(&lab, "below", &[BASIC, USAGE, OWN, ISSUER], Some("root"));
    // The same key and name with another identifier.
    lab.write(
        "own.conf",
        format!("[req]\ndistinguished_name=dn\n[dn]\n[own]\n{BASIC}\n{USAGE}\nsubjectKeyIdentifier=0102\n"),
    );
    lab.openssl("req -new -x509 -config own.conf -extensions own -key root.key -days 20000 -subj /CN=root -out root.pem");
    assert!(!openssl_accepts(&lab, &["below", "root"], false));
    let failure = lab.import("below", &["below", "root"]).err().unwrap().to_string();
    assert!(failure.contains("CN=below names another key of its issuer than CN=root has"), "{failure}");
}

/// What a certificate says of its issuer, in words and as an extension, where it is not true.
const OTHER_ISSUERS: [(&str, &str); 3] = [
    ("another key", "[named]\nkey=IMPLICIT:0,FORMAT:HEX,OCTETSTRING:0102"),
    ("another serial number", "[named]\nnumber=IMPLICIT:2,INTEGER:5"),
    (
        "another issuer",
        "[named]\nnames=IMPLICIT:1,SEQUENCE:names\n[names]\nname=EXPLICIT:4,SEQUENCE:name\n[name]\nset=SET:set\n\
         [set]\nattribute=SEQUENCE:attribute\n[attribute]\ntype=OID:2.5.4.3\nvalue=UTF8:stranger",
    ),
];

/// A root of which the same key made another certificate, and one that was made by hand.
#[test]
fn a_ca_that_names_another_issuer_than_it_has_is_refused() {
    for (what, named) in OTHER_ISSUERS {
        let lab = Lab::new();
        let wrong = format!("2.5.29.35=ASN1:SEQUENCE:named\n{named}");
        make(&lab, "top", &[BASIC, USAGE, OWN, ISSUER], None);
        make(&lab, "below", &[BASIC, USAGE, OWN, &wrong], Some("top"));
        make(&lab, "root", &[BASIC, USAGE, OWN, &wrong], None);
        make(&lab, "under", &[BASIC, USAGE, OWN, ISSUER], Some("root"));
        for (chain, sentence) in [
            (&["below", "top"][..], format!("CN=below names {what} of its issuer than CN=top has")),
            (&["root"], format!("CN=root is signed by itself, but names {what} of its issuer than its own")),
            (&["under", "root"], format!("CN=root is signed by itself, but names {what}")),
        ] {
            assert!(!openssl_accepts(&lab, chain, false), "openssl and {chain:?}: {what}");
            let failure = lab.import(chain[0], chain).err().unwrap().to_string();
            assert!(failure.contains(&sentence), "{failure}");
        }
    }
}

/// As the CAs of running clusters were made: by `openssl req -x509`, with the extensions that openssl.cnf gives.
#[test]
fn the_warning_names_what_is_missing_and_who_refuses_it() {
    let lab = Lab::new();
    make(&lab, "plain", &[BASIC, OWN, "authorityKeyIdentifier=keyid"], None);
    let said = lab.import("plain", &["plain"]).unwrap().missed_by_strict_clients("ca").unwrap();
    let [said] = &said[..] else { panic!("{said:?}") };
    for word in [
        "CN=plain has no key usage;",
        "-x509_strict",
        "Python from 3.13",
        "Patroni",
        "keyUsage=critical,keyCertSign",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
}
