//! CAs that other programs made.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use kiln::pki::{Authority, Keystore};
use kiln::profile::Algorithm;
use kiln::values::{Epoch, Lifetime};

use crate::support::have;

use super::tools::{ALGORITHMS, ISSUED, Lab, client, cluster, epoch, server};

const KEYS: [(&str, &str); 7] = [
    ("p256", "EC -pkeyopt ec_paramgen_curve:P-256"),
    ("p384", "EC -pkeyopt ec_paramgen_curve:P-384"),
    ("p521", "EC -pkeyopt ec_paramgen_curve:P-521"),
    ("ed25519", "ED25519"),
    ("rsa2048", "RSA -pkeyopt rsa_keygen_bits:2048"),
    ("rsa3072", "RSA -pkeyopt rsa_keygen_bits:3072"),
    ("rsa4096", "RSA -pkeyopt rsa_keygen_bits:4096"),
];

fn authority(keystore: &Keystore) -> Authority {
    Authority::new(keystore, Algorithm::P256, Lifetime::years(10)).unwrap()
}

fn now() -> Epoch {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    Epoch::from_seconds(seconds).unwrap()
}

#[test]
fn every_kind_of_key_in_every_encoding() {
    let lab = Lab::new();
    for (name, key) in KEYS {
        lab.ca(name, key, "/CN=imported", None, &[]);
        let mut encodings = vec![(format!("{name}.key"), None)];
        let mut convert = |ending: &str, line: &str, passphrase: Option<&'static str>| {
            let file = format!("{name}.{ending}");
            lab.openssl(&format!("{line} -in {name}.key -out {file}"));
            encodings.push((file, passphrase));
        };
        let hidden = "-passout pass:öffne";
        convert("pbkdf2", &format!("pkcs8 -topk8 {hidden}"), Some("öffne"));
        convert(
            "aes128",
            &format!("pkcs8 -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA512 {hidden}"),
            Some("öffne"),
        );
        convert("scrypt", &format!("pkcs8 -topk8 -scrypt -scrypt_N 1024 {hidden}"), Some("öffne"));
        match name {
            "ed25519" => {}
            rsa if rsa.starts_with("rsa") => convert("pkcs1", "rsa -traditional", None),
            _ => {
                convert("sec1", "ec", None);
                convert("bare", "ec -no_public", None);
            }
        }
        for (file, passphrase) in encodings {
            let keystore = lab.import_key(name, &[name], &lab.read(&file), passphrase, ISSUED).unwrap();
            assert!(keystore.has_imported_ca());
            assert_eq!((keystore.issue_number(), keystore.issued()), (2, epoch(ISSUED)), "{file}");
            let authority = authority(&keystore);
            assert_eq!(authority.subject(), "CN=imported");
            lab.judge(&authority, Algorithm::Ed25519);
        }
    }
}

#[test]
fn a_key_file_of_ecparam_begins_with_its_parameters() {
    let lab = Lab::new();
    lab.openssl("ecparam -name prime256v1 -genkey -out ca.key");
    assert!(lab.read("ca.key").starts_with(b"-----BEGIN EC PARAMETERS-----"));
    lab.ca("ca", "", "/CN=imported", None, &[]);
    lab.judge(&authority(&lab.import("ca", &["ca"]).unwrap()), Algorithm::P256);
}

#[test]
fn names_stay_as_the_ca_wrote_them() {
    let subjects = [
        "/DC=lan/DC=kloud/OU=one/OU=two/CN=imported",
        "/C=DE/O=Käse \"und\" Brot, GmbH/OU=a+OU=b/CN=imported+serialNumber=7",
        "/O=same/O=same/CN=imported",
        "/emailAddress=ca@kloud.lan/CN=* a <b> \\\\ #c;d=e",
        "/O=kloud",
    ];
    for subject in subjects {
        for mask in ["utf8only", "pkix", "default"] {
            let lab = Lab::new();
            lab.openssl("genpkey -algorithm ED25519 -out ca.key");
            lab.write("mask.conf", format!("[req]\ndistinguished_name=dn\nstring_mask={mask}\nx509_extensions=ca\n[dn]\n[ca]\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n"));
            lab.openssl(&format!("req -new -x509 -config mask.conf -utf8 -multivalue-rdn -key ca.key -days 20000 -subj '{subject}' -out ca.pem"));
            let keystore = lab.import("ca", &["ca"]).unwrap();
            lab.judge(&authority(&keystore), Algorithm::P256);
            let name = |file: &str, which: &str| {
                lab.openssl(&format!("x509 -in {file} -noout -{which} -nameopt dump_all,dump_der"))
                    .replace("issuer=", "")
                    .replace("subject=", "")
            };
            assert_eq!(name("leaf.pem", "issuer"), name("ca.pem", "subject"), "{subject}");
        }
    }
}

/// `openssl req -x509` writes no key usage without it.
const USAGE: &str = "-addext keyUsage=critical,keyCertSign,cRLSign";

#[test]
fn the_defaults_of_openssl_with_a_key_usage_make_a_usable_ca() {
    // SHA-256 with P-521: the defaults of `openssl req -x509`.
    let lab = Lab::new();
    lab.openssl(&format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-521 -nodes -days 20000 -subj /CN=plain {USAGE} \
         -keyout ca.key -out ca.pem",
    ));
    let authority = authority(&lab.import("ca", &["ca"]).unwrap());
    let issued = authority.issue(&server(), Algorithm::P521, Lifetime::years(1)).unwrap();
    lab.write("trust.pem", authority.trust_pem().unwrap()).write("leaf.pem", issued.cert_pem);
    let at = epoch(ISSUED).seconds();
    lab.openssl(&format!(
        "verify -x509_strict -attime {at} -check_ss_sig -CAfile trust.pem -purpose sslserver leaf.pem"
    ));
}

#[test]
fn every_common_hash_is_accepted() {
    for (name, key) in &KEYS[..5] {
        for hash in ["sha256", "sha384", "sha512"] {
            let lab = Lab::new();
            lab.openssl(&format!("genpkey -algorithm {key} -out ca.key"));
            let hash = if *name == "ed25519" { String::new() } else { format!("-{hash}") };
            lab.openssl(&format!(
                "req -x509 -new {hash} -key ca.key -days 20000 -subj /CN=x {USAGE} -out ca.pem"
            ));
            assert!(lab.import("ca", &["ca"]).is_ok(), "{name} {hash}");
        }
    }
}

#[test]
fn under_an_intermediate_ca_the_files_hold_the_chain() {
    let lab = Lab::new();
    lab.ca("root", KEYS[4].1, "/CN=root", None, &[]);
    lab.ca("middle", KEYS[1].1, "/CN=middle", Some("root"), &[]);
    lab.ca("low", KEYS[0].1, "/CN=low", Some("middle"), &[]);
    let count = |text: &str| text.matches("BEGIN CERTIFICATE").count();
    // The CA comes first; the others in any order, and one of them twice, as `cat ca.pem chain.pem` makes it.
    for files in [&["low", "middle", "root"][..], &["low", "root", "low", "middle"]] {
        let authority = authority(&lab.import("low", files).unwrap());
        lab.judge(&authority, Algorithm::P256);
        assert_eq!(authority.trust_pem().unwrap().as_bytes(), lab.read("low.pem"), "what members trust");
        assert_eq!(authority.root_pem().unwrap().as_bytes(), lab.read("root.pem"), "what clients trust");
        let leaf = authority.issue(&server(), Algorithm::P256, Lifetime::years(1)).unwrap();
        assert_eq!(count(&leaf.cert_pem), 3, "leaf, low and middle");
        // With only the root trusted, the leaf's file must contain the rest of the chain.
        lab.write("leaf.pem", leaf.cert_pem);
        let at = epoch(ISSUED).seconds();
        let line = format!("verify -x509_strict -attime {at} -CAfile root.pem -untrusted leaf.pem leaf.pem");
        assert_eq!(lab.openssl(&line), "leaf.pem: OK\n");
    }
    let alone = authority(&lab.import("root", &["root"]).unwrap());
    let leaf = alone.issue(&server(), Algorithm::P256, Lifetime::years(1)).unwrap();
    assert_eq!(count(&leaf.cert_pem), 1, "no root is sent");
}

#[test]
fn cfssl_makes_cas_and_accepts_ours() {
    if !have("cfssl") {
        return;
    }
    for (algorithm, size) in [("ecdsa", 256), ("ecdsa", 384), ("ecdsa", 521), ("rsa", 2048)] {
        let lab = Lab::new();
        lab.write("csr.json", format!(
            r#"{{"CN":"kloud","key":{{"algo":"{algorithm}","size":{size}}},"names":[{{"O":"a","OU":"b"}},{{"O":"a","OU":"c"}}],"ca":{{"expiry":"87600h"}}}}"#
        ));
        let output = lab.run("cfssl", &["gencert", "-initca", "csr.json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        lab.write("ca.pem", made["cert"].as_str().unwrap()).write("ca.key", made["key"].as_str().unwrap());
        let today = now().to_string();
        let keystore = lab.import_key("ca", &["ca"], &lab.read("ca.key"), None, &today).unwrap();
        accepted_by_go(&lab, &authority(&keystore));
    }
}

#[test]
fn go_accepts_the_derived_ca_and_a_chain() {
    if !have("cfssl") {
        return;
    }
    let lab = Lab::new();
    let keystore = Keystore::create(&lab.path("keystore"), &cluster(), None, now()).unwrap();
    for algorithm in ALGORITHMS {
        accepted_by_go(&lab, &Authority::new(&keystore, algorithm, Lifetime::years(10)).unwrap());
    }
    lab.ca("root", KEYS[1].1, "/CN=root", None, &[]);
    let limits =
        "nameConstraints=critical,permitted;DNS:kloud.lan,permitted;DNS:localhost,permitted;DNS:cp-a";
    let usual = ["basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign", limits];
    lab.ca("low", KEYS[0].1, "/CN=low", Some("root"), &usual);
    let today = now().to_string();
    let keystore = lab.import_key("low", &["low", "root"], &lab.read("low.key"), None, &today).unwrap();
    accepted_by_go(&lab, &authority(&keystore));
}

#[test]
fn go_refuses_what_it_should() {
    if !have("cfssl") {
        return;
    }
    let lab = Lab::new();
    let one = Authority::throwaway(&cluster(), now()).unwrap();
    let two = Authority::throwaway(&cluster(), now()).unwrap();
    let leaf = one.issue(&server(), Algorithm::P256, Lifetime::days(1)).unwrap().cert_pem;
    lab.write("trust.pem", two.trust_pem().unwrap()).write("leaf.pem", leaf);
    let bundle = ["bundle", "-ca-bundle", "trust.pem", "-int-bundle", "trust.pem", "-cert", "leaf.pem"];
    assert!(!lab.run("cfssl", &bundle).status.success(), "belongs to another CA");
    let leaf = two.issue(&client(), Algorithm::P256, Lifetime::days(1)).unwrap().cert_pem;
    lab.write("leaf.pem", leaf);
    assert!(!lab.run("cfssl", &bundle).status.success(), "a client's as a server's");
    let leaf = two.issue(&server(), Algorithm::P256, Lifetime::days(1)).unwrap().cert_pem;
    lab.write("leaf.pem", leaf);
    assert!(lab.run("cfssl", &bundle).status.success());
}

/// `cfssl bundle` verifies a server's certificate with Go's crypto/x509, as etcd's clients do.
fn accepted_by_go(lab: &Lab, authority: &Authority) {
    // With the trust of clients, and with that of members.
    for trust in [authority.root_pem().unwrap(), authority.trust_pem().unwrap()] {
        lab.write("trust.pem", trust);
        accepted_below(lab, authority);
    }
}

fn accepted_below(lab: &Lab, authority: &Authority) {
    // cfssl itself refuses to bundle a leaf with an Ed25519 key.
    for algorithm in [Algorithm::P256, Algorithm::P384, Algorithm::P521] {
        let issued = authority.issue(&server(), algorithm, Lifetime::days(30)).unwrap();
        lab.write("leaf.pem", &issued.cert_pem);
        let output = lab.run(
            "cfssl",
            &[
                "bundle",
                "-loglevel=3",
                "-ca-bundle",
                "trust.pem",
                "-int-bundle",
                "trust.pem",
                "-cert",
                "leaf.pem",
            ],
        );
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{algorithm:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["subject"], "/CommonName=cp-a");
    }
}

#[test]
fn rcgen_makes_cas_and_reads_ours() {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
    let lab = Lab::new();
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "rcgen's CA");
        // Without an expiry, or nearly so.
        params.not_after = rcgen::date_time_ymd(9999, 12, 31);
        params.use_authority_key_identifier_extension = true;
        lab.write("ca.pem", params.self_signed(&key).unwrap().pem()).write("ca.key", key.serialize_pem());
        let authority = authority(&lab.import("ca", &["ca"]).unwrap());
        lab.judge(&authority, Algorithm::P384);
    }
    let keystore = lab.keystore("keystore");
    for algorithm in [Algorithm::P256, Algorithm::P384, Algorithm::Ed25519] {
        let authority = Authority::new(&keystore, algorithm, Lifetime::years(10)).unwrap();
        let issued = authority.issue(&server(), algorithm, Lifetime::years(1)).unwrap();
        let key = KeyPair::from_pem(std::str::from_utf8(issued.key_pem.as_bytes()).unwrap()).unwrap();
        let public = lab.write("leaf.pem", &issued.cert_pem).openssl("x509 -in leaf.pem -noout -pubkey");
        assert_eq!(key.public_key_pem().replace("\r\n", "\n"), public);
    }
}

#[test]
fn a_ca_may_limit_names_and_is_obeyed() {
    let permits = |names: &str| format!("nameConstraints=critical,{names}");
    let cases = [
        ("permitted;DNS:kloud.lan,permitted;DNS:cp-a,permitted;DNS:localhost", None),
        (
            "permitted;DNS:kloud.lan,permitted;DNS:localhost",
            Some(("cp-a", "only DNS:kloud.lan, DNS:localhost are permitted")),
        ),
        ("excluded;DNS:kloud.lan", Some(("cp-a.kloud.lan", "DNS:kloud.lan is excluded"))),
        (
            "permitted;IP:10.240.0.0/255.255.0.0,permitted;IP:127.0.0.0/255.0.0.0,permitted;IP:::1/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            Some(("fd00::10", "only IP:10.240.0.0/255.255.0.0, IP:127.0.0.0/255.0.0.0, IP:::1/")),
        ),
        (
            "excluded;IP:10.240.16.0/255.255.255.0",
            Some(("10.240.16.10", "IP:10.240.16.0/255.255.255.0 is excluded")),
        ),
        ("excluded;IP:10.241.0.0/255.255.0.0", None),
        ("permitted;email:kloud.lan", None),
    ];
    for (names, refused) in cases {
        let lab = Lab::new();
        let limits = permits(names);
        let usual = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign", &limits];
        lab.ca("ca", KEYS[0].1, "/CN=limited", None, &usual);
        let authority = authority(&lab.import("ca", &["ca"]).unwrap());
        match refused {
            None => lab.judge(&authority, Algorithm::P256),
            Some((name, why)) => {
                let failure = authority.issue(&server(), Algorithm::P256, Lifetime::years(1)).err().unwrap();
                assert_eq!(failure.exit(), kiln::failure::Exit::Untrusted);
                let said = failure.to_string();
                assert!(said.contains(&format!("do not allow {name},")) && said.contains(why), "{said}");
                assert!(authority.issue(&client(), Algorithm::P256, Lifetime::years(1)).is_ok());
            }
        }
    }
}

#[test]
fn an_imported_ca_survives_a_renewal_and_gives_the_same_bytes() {
    let lab = Lab::new();
    lab.ca("ca", KEYS[4].1, "/CN=rsa", None, &[]);
    let dir = lab.path("ca.keystore");
    let one = authority(&lab.import("ca", &["ca"]).unwrap());
    let two = authority(&Keystore::open(&dir, &cluster()).unwrap());
    let issue = |by: &Authority| by.issue(&server(), Algorithm::P256, Lifetime::years(1)).unwrap().cert_pem;
    assert_eq!(issue(&one), issue(&two), "RSA signs without chance");
    let renewed = authority(&Keystore::renew(&dir, &cluster(), epoch("2031-01-01")).unwrap());
    assert_eq!(renewed.trust_pem().unwrap(), one.trust_pem().unwrap());
    assert_ne!(issue(&renewed), issue(&one));
    // Only the owner may access the parts, whatever the umask was.
    let modes = Command::new("stat")
        .args(["-c", "%a %n"])
        .arg(&dir)
        .args(["ca-key.pem", "ca.pem", "keystore.toml", "secret"].map(|name| dir.join(name)))
        .output()
        .unwrap();
    let modes = String::from_utf8(modes.stdout).unwrap();
    let modes: Vec<_> = modes.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(modes, ["700", "600", "600", "600", "600"]);
}
