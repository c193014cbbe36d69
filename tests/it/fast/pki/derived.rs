//! The CA and the leaves that are derived from the secret alone.

use std::collections::BTreeSet;
use std::fmt::Write;

use kiln::pki::{Authority, Keystore};
use kiln::profile::Algorithm;
use kiln::values::{Digest, Lifetime};

use super::tools::{ALGORITHMS, ISSUED, Lab, client, cluster, epoch, server};

#[test]
fn openssl_accepts_every_pair_of_algorithms() {
    let lab = Lab::new();
    let keystore = lab.keystore("keystore");
    for ca in ALGORITHMS {
        let authority = Authority::new(&keystore, ca, Lifetime::years(10)).unwrap();
        lab.write("trust.pem", authority.trust_pem().unwrap());
        lab.verify("trust.pem", "-purpose crlsign");
        for leaf in ALGORITHMS {
            lab.judge(&authority, leaf);
        }
    }
}

/// Part of the format: when this changes, every certificate of every cluster does, and the changelog must say so.
#[test]
fn the_same_secret_gives_the_same_bytes_for_ever() {
    let lab = Lab::new();
    let keystore = lab.keystore("keystore");
    let mut digests = String::new();
    for algorithm in ALGORITHMS {
        let authority = Authority::new(&keystore, algorithm, Lifetime::years(10)).unwrap();
        let leaf = authority.issue(&server(), algorithm, Lifetime::years(1)).unwrap();
        let ca = Digest::of(authority.trust_pem().unwrap().as_bytes()).to_string();
        let (cert, key) = (Digest::of(leaf.cert_pem.as_bytes()), Digest::of(leaf.key_pem.as_bytes()));
        let (cert, key) = (cert.to_string(), key.to_string());
        writeln!(digests, "{algorithm:?} {} {} {}", &ca[..16], &cert[..16], &key[..16]).unwrap();
    }
    assert_eq!(keystore.token().as_str(), "ha3-e1230b70");
    let want = "P256 752dca64744eb1bd 2af0fea8c24329e5 caccd6a880ad3626\n\
                P384 47c6869e32af844d a41eb40b5fe42021 b21d511db1dfb058\n\
                P521 83bb97a970d75045 90955c52fd4e921c 93fd52943e4fe75c\n\
                Ed25519 c2d4f3f614adbaa1 39639963cc88c345 d796071c5c1de43e\n";
    assert_eq!(digests, want);
}

#[test]
fn the_extensions_are_these_and_no_others() {
    let lab = Lab::new();
    let keystore = lab.keystore("keystore");
    let authority = Authority::new(&keystore, Algorithm::P256, Lifetime::years(10)).unwrap();
    let issued = authority.issue(&server(), Algorithm::P256, Lifetime::years(1)).unwrap();
    lab.write("ca.pem", authority.trust_pem().unwrap()).write("leaf.pem", &issued.cert_pem);
    // `verify -x509_strict` compares the identifiers; here only their presence is checked.
    let shown = |file: &str| {
        let text =
            lab.openssl(&format!("x509 -in {file} -noout -text -certopt no_pubkey,no_sigdump,no_serial"));
        let lines = text.lines().map(str::trim).filter(|line| !line.contains("X509v3 extensions"));
        lines
            .map(|line| if line.contains(':') && line.len() == 59 { "(identifier)" } else { line })
            .collect::<Vec<_>>()
            .join("\n")
    };
    let ca = "Certificate:\nData:\nVersion: 3 (0x2)\nSignature Algorithm: ecdsa-with-SHA256\n\
              Issuer: CN = ha3 etcd CA\nValidity\nNot Before: Jan  1 03:04:05 2030 GMT\n\
              Not After : Dec 31 03:04:05 2039 GMT\nSubject: CN = ha3 etcd CA\n\
              X509v3 Basic Constraints: critical\nCA:TRUE, pathlen:0\n\
              X509v3 Key Usage: critical\nCertificate Sign, CRL Sign\n\
              X509v3 Subject Key Identifier:\n(identifier)\nX509v3 Authority Key Identifier:\n(identifier)";
    let leaf = "Certificate:\nData:\nVersion: 3 (0x2)\nSignature Algorithm: ecdsa-with-SHA256\n\
                Issuer: CN = ha3 etcd CA\nValidity\nNot Before: Jan  1 03:04:05 2030 GMT\n\
                Not After : Jan  2 03:04:05 2031 GMT\nSubject: CN = cp-a\n\
                X509v3 Basic Constraints: critical\nCA:FALSE\n\
                X509v3 Key Usage: critical\nDigital Signature\n\
                X509v3 Extended Key Usage:\nTLS Web Server Authentication, TLS Web Client Authentication\n\
                X509v3 Subject Alternative Name:\nDNS:cp-a, DNS:cp-a.kloud.lan, DNS:localhost, \
                IP Address:10.240.16.10, IP Address:FD00:0:0:0:0:0:0:10, IP Address:127.0.0.1, \
                IP Address:0:0:0:0:0:0:0:1\n\
                X509v3 Subject Key Identifier:\n(identifier)\nX509v3 Authority Key Identifier:\n(identifier)";
    assert_eq!(shown("ca.pem"), ca);
    assert_eq!(shown("leaf.pem"), leaf);
    assert_eq!(issued.subject, "CN=cp-a");
    assert_eq!(
        issued.sans,
        [
            "DNS:cp-a",
            "DNS:cp-a.kloud.lan",
            "DNS:localhost",
            "IP:10.240.16.10",
            "IP:fd00::10",
            "IP:127.0.0.1",
            "IP:::1"
        ]
    );
    let serial = lab.openssl("x509 -in leaf.pem -noout -serial");
    assert_eq!(serial.trim().to_lowercase(), format!("serial={}", issued.serial));
    assert_eq!(
        (issued.not_before, issued.not_after),
        (epoch("2030-01-01T03:04:05Z"), epoch("2031-01-02T03:04:05Z"))
    );
    assert!(!issued.shortened);
}

#[test]
fn dates_change_their_type_with_the_year_2050() {
    // First issue; lifetime in years; ASN.1 types of the CA's two dates.
    let cases = [
        ("2026-11-21", 10, ["UTCTIME", "UTCTIME"]),
        ("2045-01-01", 10, ["UTCTIME", "GENERALIZEDTIME"]),
        ("2050-01-01T23:59:59Z", 10, ["UTCTIME", "GENERALIZEDTIME"]),
        ("2050-01-02T00:00:00Z", 10, ["GENERALIZEDTIME", "GENERALIZEDTIME"]),
        ("2051-06-01", 100, ["GENERALIZEDTIME", "GENERALIZEDTIME"]),
        ("9999-12-31", 10, ["GENERALIZEDTIME", "GENERALIZEDTIME"]),
        ("1970-01-01", 1, ["UTCTIME", "UTCTIME"]),
    ];
    for (at, (issued, years, want)) in cases.into_iter().enumerate() {
        let lab = Lab::new();
        let dir = lab.path(&format!("keystore{at}"));
        let keystore = Keystore::create(&dir, &cluster(), Some(&[7; 32]), epoch(issued)).unwrap();
        let authority = Authority::new(&keystore, Algorithm::P256, Lifetime::years(years)).unwrap();
        lab.write("ca.pem", authority.trust_pem().unwrap());
        let parsed = lab.openssl("asn1parse -in ca.pem");
        let types: Vec<_> = parsed
            .lines()
            .filter_map(|line| ["UTCTIME", "GENERALIZEDTIME"].into_iter().find(|kind| line.contains(kind)))
            .collect();
        assert_eq!(types, want, "{issued}");
        let at = epoch(issued).seconds();
        lab.openssl(&format!("verify -x509_strict -attime {at} -CAfile ca.pem ca.pem"));
    }
}

#[test]
fn a_leaf_ends_with_its_ca_and_says_so() {
    let lab = Lab::new();
    let dir = lab.path("keystore");
    drop(lab.keystore("keystore"));
    let keystore = Keystore::renew(&dir, &cluster(), epoch("2039-06-01")).unwrap();
    let authority = Authority::new(&keystore, Algorithm::P256, Lifetime::years(10)).unwrap();
    let leaf = authority.issue(&server(), Algorithm::P256, Lifetime::years(1)).unwrap();
    assert_eq!(leaf.not_after, epoch("2039-12-31T03:04:05Z"));
    assert!(leaf.shortened);
    drop(keystore);

    let keystore = Keystore::renew(&dir, &cluster(), epoch("2040-01-01")).unwrap();
    let refused = Authority::new(&keystore, Algorithm::P256, Lifetime::years(10)).err().unwrap();
    assert_eq!(refused.exit(), kiln::failure::Exit::Untrusted);
    assert!(refused.to_string().contains("expired on 2039-12-31T03:04:05Z"), "{refused}");
    assert!(Authority::new(&keystore, Algorithm::P256, Lifetime::years(20)).is_ok());
}

#[test]
fn a_renewal_changes_the_leaves_and_nothing_else() {
    let lab = Lab::new();
    let first = lab.keystore("keystore");
    let token = first.token().clone();
    let before = Authority::new(&first, Algorithm::P256, Lifetime::years(10)).unwrap();
    drop(first);
    let second = Keystore::renew(&lab.path("keystore"), &cluster(), epoch("2030-06-01")).unwrap();
    let after = Authority::new(&second, Algorithm::P256, Lifetime::years(10)).unwrap();
    assert_eq!((second.issue_number(), second.issued()), (2, epoch("2030-06-01")));
    assert_eq!(second.dates(), [epoch(ISSUED), epoch("2030-06-01")]);
    assert_eq!(*second.token(), token, "the cluster keeps its identity");
    assert_eq!(before.trust_pem().unwrap(), after.trust_pem().unwrap());
    let old = before.issue(&server(), Algorithm::P256, Lifetime::years(1)).unwrap();
    let new = after.issue(&server(), Algorithm::P256, Lifetime::years(1)).unwrap();
    assert_ne!(old.key_pem.as_bytes(), new.key_pem.as_bytes());
    assert_ne!(old.serial, new.serial);
    assert_eq!(new.not_after, epoch("2031-06-01"));
}

#[test]
fn another_secret_cluster_label_or_name_is_another_certificate() {
    let lab = Lab::new();
    let seeds = [("a", [7; 32], "ha3"), ("b", [8; 32], "ha3"), ("c", [7; 32], "ha4")];
    let mut keys = BTreeSet::new();
    let mut serials = BTreeSet::new();
    let mut tokens = BTreeSet::new();
    for (dir, seed, name) in seeds {
        let name = name.parse().unwrap();
        let keystore = Keystore::create(&lab.path(dir), &name, Some(&seed), epoch(ISSUED)).unwrap();
        tokens.insert(keystore.token().to_string());
        let authority = Authority::new(&keystore, Algorithm::P256, Lifetime::years(10)).unwrap();
        serials.insert(authority.root().serial);
        let mut renamed = server();
        renamed.dns.push("etcd.kloud.lan".into());
        let same_key = [server(), renamed]
            .map(|spec| authority.issue(&spec, Algorithm::P256, Lifetime::years(1)).unwrap());
        assert_eq!(same_key[0].key_pem.as_bytes(), same_key[1].key_pem.as_bytes());
        for issued in same_key {
            keys.insert(issued.key_pem.as_bytes().to_vec());
            serials.insert(issued.serial);
        }
        let other = authority.issue(&client(), Algorithm::P256, Lifetime::years(1)).unwrap();
        keys.insert(other.key_pem.as_bytes().to_vec());
        serials.insert(other.serial);
    }
    assert_eq!((keys.len(), serials.len(), tokens.len()), (6, 12, 3));
}

#[test]
fn many_threads_issue_at_once() {
    let lab = Lab::new();
    let keystore = lab.keystore("keystore");
    let authority = Authority::new(&keystore, Algorithm::P256, Lifetime::years(10)).unwrap();
    let issue = |number: usize| {
        let mut spec = server();
        spec.label = format!("node/n{number}/server");
        spec.common_name = format!("n{number}");
        authority.issue(&spec, Algorithm::P256, Lifetime::years(1)).unwrap().cert_pem
    };
    let alone: Vec<_> = (0..32).map(issue).collect();
    let together: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|t| scope.spawn(move || (t * 8..t * 8 + 8).map(issue).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(alone, together);
    assert_eq!(alone.iter().collect::<BTreeSet<_>>().len(), 32);
}

#[test]
fn a_throwaway_ca_is_nobodys() {
    let lab = Lab::new();
    let name = cluster();
    let one = Authority::throwaway(&name, epoch(ISSUED)).unwrap();
    let two = Authority::throwaway(&name, epoch(ISSUED)).unwrap();
    assert_ne!(one.trust_pem().unwrap(), two.trust_pem().unwrap());
    lab.judge(&one, Algorithm::P256);
    lab.write("two.pem", two.trust_pem().unwrap());
    let arguments = ["verify", "-no_check_time", "-CAfile", "two.pem", "leaf.pem"];
    assert!(!lab.run("openssl", &arguments).status.success());
}

#[test]
fn of_many_that_make_one_keystore_one_does() {
    let lab = Lab::new();
    let dir = lab.path("keystore");
    let start = std::sync::Barrier::new(8);
    let made = std::thread::scope(|scope| {
        let make = || {
            start.wait();
            Keystore::create(&dir, &cluster(), None, epoch(ISSUED))
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let tokens: Vec<_> = made.iter().flatten().map(|keystore| keystore.token().clone()).collect();
    assert_eq!(tokens.len(), 1, "{made:?}");
    drop(made);
    assert_eq!(*Keystore::open(&dir, &cluster()).unwrap().token(), tokens[0]);
}

#[test]
fn long_names_fit_into_a_common_name() {
    let lab = Lab::new();
    let mut subjects = BTreeSet::new();
    for last in ["a", "b"] {
        let name = format!("{}{last}", "a".repeat(62)).parse().unwrap();
        let dir = lab.path(last);
        let keystore = Keystore::create(&dir, &name, Some(&[7; 32]), epoch(ISSUED)).unwrap();
        let authority = Authority::new(&keystore, Algorithm::P256, Lifetime::years(10)).unwrap();
        assert_eq!(authority.subject().len(), "CN=".len() + 64);
        subjects.insert(authority.subject());
        let mut spec = server();
        spec.common_name = "x".repeat(65);
        assert!(authority.issue(&spec, Algorithm::P256, Lifetime::years(1)).is_err());
        spec.common_name = "x".repeat(64);
        assert!(authority.issue(&spec, Algorithm::P256, Lifetime::years(1)).is_ok());
        spec.usages.clear();
        assert!(authority.issue(&spec, Algorithm::P256, Lifetime::years(1)).is_err());
    }
    assert_eq!(subjects.len(), 2);
}
