//! Refused CAs and keys, with exit code and sentence, and that nothing is left behind.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use kiln::failure::{Exit, Failure};
use kiln::pki::{Authority, Keystore};
use kiln::profile::Algorithm;
use kiln::values::Lifetime;

use super::tools::{ISSUED, Lab, cluster, epoch, keystore_files, server};

const EC: &str = "EC -pkeyopt ec_paramgen_curve:P-256";

fn expect(case: &str, refused: kiln::failure::Result<Keystore>, exit: Exit, sentence: &str) {
    let failure: Failure = refused.err().unwrap_or_else(|| panic!("{case} was accepted"));
    assert_eq!(failure.exit(), exit, "{case}: {failure}");
    assert!(failure.to_string().contains(sentence), "{case}: {failure}");
    assert_quiet(&format!("{failure} {failure:?}"));
}

/// The text contains no part of any key of these tests: the seed in hex, or a line of base64.
fn assert_quiet(text: &str) {
    assert!(!text.contains("0707") && !text.contains("-----BEGIN PRIV"), "{text}");
    let longest = text.split(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c))).map(str::len).max();
    assert!(longest.unwrap_or(0) < 40, "{text}");
}

#[test]
fn unfit_cas() {
    let ca = "basicConstraints=critical,CA:TRUE";
    let sign = "keyUsage=critical,keyCertSign";
    let cases: [(&str, &str, &[&str], &str); 11] = [
        ("not a CA", EC, &["basicConstraints=critical,CA:FALSE", sign], "is not a CA"),
        ("no basic constraints", EC, &[sign], "is not a CA"),
        ("no keyCertSign", EC, &[ca, "keyUsage=critical,cRLSign,digitalSignature"], "lacks keyCertSign"),
        ("RSA-1024", "RSA -pkeyopt rsa_keygen_bits:1024", &[ca, sign], "RSA key of 1024 bits"),
        ("RSA above 4096", "RSA -pkeyopt rsa_keygen_bits:4608", &[ca, sign], "RSA key of 4608 bits"),
        ("secp256k1", "EC -pkeyopt ec_paramgen_curve:secp256k1", &[ca, sign], "on the curve 1.3.132.0.10"),
        (
            "for servers only",
            EC,
            &[ca, sign, "extendedKeyUsage=serverAuth"],
            "both serverAuth and clientAuth",
        ),
        ("unknown critical", EC, &[ca, sign, "1.2.3.4=critical,DER:0500"], "critical extension 1.2.3.4"),
        (
            "policies that must be",
            EC,
            &[ca, sign, "policyConstraints=critical,requireExplicitPolicy:0"],
            "critical extension 2.5.29.36",
        ),
        (
            "names that Go refuses",
            EC,
            &[ca, sign, "nameConstraints=critical,permitted;dirName:sub\n[sub]\nO=kloud"],
            "of a kind that etcd refuses",
        ),
        ("Ed448", "ED448", &[ca, sign], "a key of the algorithm 1.3.101.113"),
    ];
    for (case, key, extensions, sentence) in cases {
        let lab = Lab::new();
        lab.ca("ca", key, "/CN=unfit", None, extensions);
        expect(case, lab.import("ca", &["ca"]), Exit::Untrusted, sentence);
    }
}

#[test]
fn broken_hashes() {
    for (hash, sentence) in [("sha1", "signed with SHA-1"), ("md5", "signed with MD5")] {
        let lab = Lab::new();
        lab.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out ca.key");
        lab.openssl(&format!("req -x509 -new -{hash} -key ca.key -days 20000 -subj /CN=old -out ca.pem"));
        expect(hash, lab.import("ca", &["ca"]), Exit::Untrusted, sentence);
    }
    let lab = Lab::new();
    lab.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out ca.key");
    lab.openssl(
        "req -x509 -new -sigopt rsa_padding_mode:pss -key ca.key -days 20000 -subj /CN=pss -out ca.pem",
    );
    expect("PSS", lab.import("ca", &["ca"]), Exit::Untrusted, "that Kiln does not support");
}

#[test]
fn dates_outside_of_the_ca() {
    let lab = Lab::new();
    lab.ca("ca", EC, "/CN=dated", None, &[]);
    let key = lab.read("ca.key");
    let import = |at: &str| lab.import_key("ca", &["ca"], &key, None, at);
    expect("expired", import("2150-01-01"), Exit::Untrusted, "CN=dated expired on");
    // The keystore is as good as before: only another CA is needed.
    let message = import("2150-01-01").err().unwrap().to_string();
    assert!(message.contains("have it issued again, or import a CA that is still valid"), "{message}");
    assert!(!message.contains("new keystore"), "{message}");
    expect("too early", import("2002-01-01"), Exit::Untrusted, "CN=dated is not valid before");
    // An expired root invalidates everything below it, even where the CA itself is valid longer.
    lab.openssl("genpkey -algorithm ED25519 -out root.key");
    lab.openssl(
        "req -x509 -new -key root.key -days 1 -subj /CN=short -addext keyUsage=critical,keyCertSign -out root.pem",
    );
    lab.ca("low", EC, "/CN=low", Some("root"), &[]);
    let key = lab.read("low.key");
    let refused = lab.import_key("low", &["low", "root"], &key, None, ISSUED);
    expect("root expired", refused, Exit::Untrusted, "CN=short expired on");
}

#[test]
fn chains_that_do_not_hold() {
    let lab = Lab::new();
    lab.ca("root", EC, "/CN=root", None, &[]);
    lab.ca("low", EC, "/CN=low", Some("root"), &[]);
    lab.ca("stray", EC, "/CN=stray", None, &[]);
    lab.ca("namesake", EC, "/CN=root", None, &[]);
    let tight = ["basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign"];
    lab.ca("tight", EC, "/CN=tight", None, &tight);
    lab.ca("below", EC, "/CN=below", Some("tight"), &[]);
    lab.ca(
        "servers",
        EC,
        "/CN=servers",
        None,
        &["basicConstraints=critical,CA:TRUE", "extendedKeyUsage=serverAuth"],
    );
    lab.ca("under", EC, "/CN=under", Some("servers"), &[]);
    let cases: [(&str, &[&str], &str); 6] = [
        ("low", &["low", "stray"], "the certificate of its issuer, CN=root, is missing"),
        ("low", &["low", "root", "stray"], "CN=stray does not belong to the chain of CN=low"),
        ("low", &["low", "namesake"], "a signature that was not made by CN=root"),
        ("low", &["root", "low"], "CN=low is issued by CN=root, which comes before it in the file"),
        ("below", &["below", "tight"], "allows 0 CA certificates below it"),
        ("under", &["under", "servers"], "both serverAuth and clientAuth"),
    ];
    for (name, certificates, sentence) in cases {
        expect(name, lab.import(name, certificates), Exit::Untrusted, sentence);
    }
    assert!(lab.import("low", &["low", "namesake", "root"]).is_err(), "the namesake is not of this chain");
    assert!(lab.import("low", &["low", "root"]).is_ok());
    let nine = ["low"; 9].map(|_| "low");
    assert!(lab.import("low", &[&nine[..], &["root"]].concat()).is_ok(), "the same one again does no harm");

    // One flipped bit in the signature.
    let text = String::from_utf8(lab.read("tight.pem")).unwrap();
    let at = text.rfind("\n-----END").unwrap() - 12;
    let other = if &text[at..=at] == "A" { "B" } else { "A" };
    lab.write("tight.pem", format!("{}{other}{}", &text[..at], &text[at + 1..]));
    expect(
        "bit",
        lab.import("tight", &["tight"]),
        Exit::Untrusted,
        "but is signed by another key: it is damaged",
    );
}

#[test]
fn files_that_are_not_what_they_should_be() {
    let lab = Lab::new();
    lab.ca("ca", EC, "/CN=fine", None, &[]).ca("other", EC, "/CN=other", None, &[]);
    lab.ca("rsa", "RSA -pkeyopt rsa_keygen_bits:2048", "/CN=rsa", None, &[]);
    lab.openssl("pkcs8 -topk8 -in ca.key -passout pass:right -out hidden.key");
    lab.openssl("pkcs8 -topk8 -v2 des3 -in ca.key -passout pass:right -out des3.key");
    lab.openssl("pkcs8 -topk8 -v1 PBE-SHA1-3DES -in ca.key -passout pass:right -out pbes1.key");
    lab.openssl("pkcs8 -topk8 -iter 20000000 -in ca.key -passout pass:right -out slow.key");
    lab.openssl("rsa -traditional -aes256 -in rsa.key -passout pass:right -out legacy.key");
    lab.openssl("ec -param_enc explicit -in ca.key -out explicit.key");
    lab.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out small.key");
    lab.openssl("genpkey -algorithm ED448 -out ed448.key");
    lab.openssl("pkey -in ca.key -outform der -out der.key");
    lab.openssl("x509 -in ca.pem -outform der -out der.pem");
    lab.write("junk.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    lab.write("junk.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    lab.write("empty.pem", "").write("empty.key", "");
    lab.write("two.key", [lab.read("ca.key"), lab.read("other.key")].concat());
    lab.write("cert.key", lab.read("ca.pem"));
    lab.write("ssh.key", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n");
    let wrong = Some("wrong");
    let cases: [(&str, &str, Option<&str>, &str); 20] = [
        ("ca", "other", None, "it belongs to another CA"),
        ("ca", "rsa", None, "it belongs to another CA"),
        ("ca", "hidden", None, "give its passphrase with --passphrase-file"),
        ("ca", "hidden", wrong, "the passphrase is wrong"),
        ("ca", "hidden", Some(""), "the passphrase is wrong"),
        ("ca", "des3", Some("right"), "`openssl pkcs8 -topk8 -v2 aes-256-cbc"),
        ("ca", "pbes1", Some("right"), "`openssl pkcs8 -topk8 -v2 aes-256-cbc"),
        ("ca", "slow", Some("right"), "more than 10000000 rounds"),
        ("rsa", "legacy", Some("right"), "`openssl pkcs8 -topk8 -in KEY -out NEW`"),
        ("ca", "explicit", None, "curve is not given by name"),
        ("rsa", "small", None, "the RSA private key is refused"),
        ("ca", "ed448", None, "is not supported"),
        ("ca", "der", None, "the file is not PEM"),
        ("der", "ca", None, "the file is not PEM"),
        ("junk", "ca", None, "it is not an X.509 certificate"),
        ("ca", "junk", None, "it is damaged"),
        ("empty", "ca", None, "the file is not PEM"),
        ("ca", "two", None, "one private key and nothing else"),
        ("ca", "cert", None, "holds a certificate instead"),
        ("ca", "ssh", None, "ssh-keygen"),
    ];
    for (certificate, key, passphrase, sentence) in cases {
        let key_bytes = lab.read(&format!("{key}.key"));
        let refused = lab.import_key("x", &[certificate], &key_bytes, passphrase, ISSUED);
        expect(&format!("{certificate} {key}"), refused, Exit::Untrusted, sentence);
    }
}

#[test]
fn a_ca_is_imported_once_and_its_key_is_no_certificate() {
    let lab = Lab::new();
    lab.ca("ca", EC, "/CN=fine", None, &[]);
    let key = lab.read("ca.key");
    assert!(lab.import_key("x", &["ca"], &key, Some("not needed"), ISSUED).is_ok());
    let refused = Keystore::import_ca(
        &lab.path("x.keystore"),
        &cluster(),
        &lab.read("ca.pem"),
        &key,
        None,
        epoch(ISSUED),
    );
    expect("again", refused, Exit::Unsafe, "has an imported CA already");
    lab.write("key.pem", key);
    expect("key as certificate", lab.import("ca", &["key"]), Exit::Untrusted, "CERTIFICATE blocks only");
}

#[test]
fn wrong_passphrases_are_told_even_when_the_padding_fits() {
    let lab = Lab::new();
    lab.ca("ca", EC, "/CN=fine", None, &[]);
    lab.openssl("pkcs8 -topk8 -iter 1 -in ca.key -passout pass:right -out hidden.key");
    let key = lab.read("hidden.key");
    for number in 0..600 {
        let certificate = lab.read("ca.pem");
        let wrong = number.to_string();
        // Nothing is read or locked before the key, so the keystore need not exist.
        let nowhere = lab.path("nowhere");
        let refused =
            Keystore::import_ca(&nowhere, &cluster(), &certificate, &key, Some(&wrong), epoch(ISSUED));
        expect("wrong", refused, Exit::Untrusted, "the passphrase is wrong");
    }
}

#[test]
fn keystores_that_others_may_reach() {
    let lab = Lab::new();
    lab.ca("ca", EC, "/CN=fine", None, &[]);
    drop(lab.import("ca", &["ca"]).unwrap());
    let dir = lab.path("ca.keystore");
    let chmod =
        |path: &std::path::Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for (name, good) in
        [("", 0o700), ("keystore.toml", 0o600), ("secret", 0o600), ("ca.pem", 0o600), ("ca-key.pem", 0o600)]
    {
        let path = if name.is_empty() { dir.clone() } else { dir.join(name) };
        for bit in [0o040, 0o020, 0o010, 0o004, 0o002, 0o001] {
            chmod(&path, good | bit);
            let advice = format!("`chmod -R go= {}`", dir.display());
            expect(name, Keystore::open(&dir, &cluster()), Exit::Unsafe, &advice);
            expect(name, Keystore::renew(&dir, &cluster(), epoch("2031-01-01")), Exit::Unsafe, &advice);
        }
        chmod(&path, good);
    }
    assert!(Keystore::open(&dir, &cluster()).is_ok());
}

#[test]
fn keystores_with_a_flipped_byte() {
    let lab = Lab::new();
    lab.ca("ca", "ED25519", "/CN=fine", None, &[]);
    drop(lab.import("ca", &["ca"]).unwrap());
    let dir = lab.path("ca.keystore");
    let witness = lab.witness("ca.keystore", Algorithm::P256);
    assert_eq!(lab.seal("ca.keystore", "own-token", &witness).unwrap(), kiln::pki::Sealed::New);
    let files = keystore_files(&dir);
    assert_eq!(
        files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["ca-key.pem", "ca.pem", "keystore.toml", "secret"]
    );
    for (name, good) in files {
        for at in 0..good.len() {
            for bit in [0x01, 0x20, 0x80] {
                let mut bad = good.clone();
                bad[at] ^= bit;
                fs::write(dir.join(&name), &bad).unwrap();
                expect(&format!("{name} {at} {bit}"), Keystore::open(&dir, &cluster()), Exit::Untrusted, "");
            }
        }
        for bad in [&good[..good.len() - 1], &[], &[&good[..], b"\n"].concat()[..]] {
            fs::write(dir.join(&name), bad).unwrap();
            expect(&name, Keystore::open(&dir, &cluster()), Exit::Untrusted, "");
        }
        fs::write(dir.join(&name), &good).unwrap();
    }
    assert!(Keystore::open(&dir, &cluster()).is_ok());
}

#[test]
fn keystores_that_miss_a_part() {
    let lab = Lab::new();
    lab.ca("ca", EC, "/CN=fine", None, &[]);
    drop(lab.import("ca", &["ca"]).unwrap());
    let dir = lab.path("ca.keystore");
    for (name, good) in keystore_files(&dir) {
        fs::remove_file(dir.join(&name)).unwrap();
        let sentence = format!("its file {name} is missing");
        expect(&name, Keystore::open(&dir, &cluster()), Exit::Untrusted, &sentence);
        expect(&name, Keystore::renew(&dir, &cluster(), epoch("2031-01-01")), Exit::Untrusted, &sentence);
        symlink("/dev/null", dir.join(&name)).unwrap();
        expect(&name, Keystore::open(&dir, &cluster()), Exit::Unsafe, "is not a regular file");
        fs::remove_file(dir.join(&name)).unwrap();
        fs::write(dir.join(&name), good).unwrap();
        fs::set_permissions(dir.join(&name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert!(Keystore::open(&dir, &cluster()).is_ok());
}

#[test]
fn keystores_in_the_wrong_place() {
    let lab = Lab::new();
    let dir = lab.path("keystore");
    expect("none", Keystore::open(&dir, &cluster()), Exit::Usage, "there is no keystore at");
    assert!(kiln::disk::list(&lab.path("")).unwrap().is_empty(), "not even a lock is left");
    let keystore = lab.keystore("keystore");
    let create = |dir: &str| Keystore::create(&lab.path(dir), &cluster(), None, epoch(ISSUED));
    expect("held", Keystore::open(&dir, &cluster()), Exit::Locked, "another run of kiln has locked");
    expect(
        "held",
        Keystore::renew(&dir, &cluster(), epoch(ISSUED)),
        Exit::Locked,
        "another run of kiln has locked",
    );
    drop(keystore);
    let before = keystore_files(&dir);
    expect("exists", create("keystore"), Exit::Unsafe, "already exists");
    let other = "ha4".parse().unwrap();
    expect(
        "other",
        Keystore::open(&dir, &other),
        Exit::Unsafe,
        "it is the keystore of cluster ha3, not of ha4",
    );
    expect("back", Keystore::renew(&dir, &cluster(), epoch("2029-01-01")), Exit::Unsafe, "check the clock");
    symlink(&dir, lab.path("link")).unwrap();
    expect("link", Keystore::open(&lab.path("link"), &cluster()), Exit::Unsafe, "is a symbolic link");
    expect("link", create("link"), Exit::Unsafe, "already exists");
    lab.write("file", "");
    expect(
        "file",
        Keystore::open(&lab.path("file"), &cluster()),
        Exit::Usage,
        "file is a file, not a keystore",
    );
    fs::create_dir(lab.path("empty")).unwrap();
    expect("empty", create("empty"), Exit::Unsafe, "already exists");
    assert_eq!(keystore_files(&dir), before);

    let text = String::from_utf8(lab.read("keystore/keystore.toml")).unwrap();
    lab.write("keystore/keystore.toml", text.replace("schema = 1", "schema = 8"));
    expect(
        "schema",
        Keystore::open(&dir, &cluster()),
        Exit::Untrusted,
        "keystore schema 8 is not supported; this version of Kiln reads the schemas 1 to 7",
    );
}

#[test]
fn nothing_secret_is_shown() {
    let lab = Lab::new();
    let keystore = lab.keystore("keystore");
    assert_quiet(&format!("{keystore:?}"));
    for algorithm in super::tools::ALGORITHMS {
        let authority = Authority::new(&keystore, algorithm, Lifetime::years(10)).unwrap();
        let issued = authority.issue(&server(), algorithm, Lifetime::years(1)).unwrap();
        let key = String::from_utf8(issued.key_pem.as_bytes().to_vec()).unwrap();
        let line = key.lines().nth(1).unwrap();
        let shown = format!("{issued:?}");
        assert!(!shown.contains(line) && shown.contains("KeyPem(…)"), "{shown}");
    }
}

#[test]
fn a_seed_makes_the_same_keystore_and_chance_another() {
    let lab = Lab::new();
    let digest = |name: &str, seed: Option<&[u8; 32]>| {
        let keystore = Keystore::create(&lab.path(name), &cluster(), seed, epoch(ISSUED)).unwrap();
        let authority = Authority::new(&keystore, Algorithm::Ed25519, Lifetime::years(1)).unwrap();
        (keystore_files(&lab.path(name)), authority.trust_pem().unwrap())
    };
    assert_eq!(digest("a", Some(&[7; 32])), digest("b", Some(&[7; 32])));
    assert_ne!(digest("c", None), digest("d", None));
    assert_eq!(lab.read("a/secret"), [&b"07".repeat(32)[..], b"\n"].concat());
}
