//! Issuers that are damaged, or another node's, or open to others.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use super::authority::{self, TAG};
use super::machine::{Machine, PLAIN, UID};

#[test]
fn a_node_with_a_damaged_issuer_serves_on() {
    let machine = Machine::new();
    machine.renewed();
    machine.etcd(&PLAIN);
    machine.another_subject("other");
    let issuer = |name: &str| machine.at(&format!("etc/issuer/{name}"));
    let cut = |name: &str, length: usize| {
        let text = fs::read(issuer(name)).unwrap();
        fs::write(issuer(name), &text[..length]).unwrap();
    };
    let whole = || ["server", "peer"].iter().for_each(|name| machine.bring_issuer(name, name));
    let key = "etc/issuer/server-key.pem";
    let cases: [(&str, &dyn Fn()); 11] = [
        ("server-key.pem: it is not a PEM file", &|| cut("server-key.pem", 100)),
        ("server-key.pem: it is empty", &|| cut("server-key.pem", 0)),
        ("server.pem: it is not a PEM file", &|| cut("server.pem", 200)),
        ("peer-key.pem: it is not the key of", &|| {
            machine.bring("server-key.pem", "etc/issuer/peer-key.pem", 0o600)
        }),
        ("server-key.pem: it has a block that is no PRIVATE KEY", &|| {
            machine.bring("server.pem", key, 0o600)
        }),
        ("server.pem: it has a block that is no CERTIFICATE", &|| {
            machine.bring("server-key.pem", "etc/issuer/server.pem", 0o600);
        }),
        ("server-key.pem can be read by other accounts", &|| {
            fs::set_permissions(issuer("server-key.pem"), fs::Permissions::from_mode(0o640)).unwrap();
        }),
        ("server.pem can be written by other accounts", &|| {
            fs::set_permissions(issuer("server.pem"), fs::Permissions::from_mode(0o666)).unwrap();
        }),
        ("server-key.pem belongs to another account", &|| {
            chown(issuer("server-key.pem"), Some(UID), None).unwrap()
        }),
        ("opening /mnt/etc/issuer/server-key.pem: Too many levels of symbolic links", &|| {
            fs::rename(issuer("server-key.pem"), issuer("elsewhere")).unwrap();
            symlink("elsewhere", issuer("server-key.pem")).unwrap();
        }),
        ("server-key.pem is not a file", &|| {
            machine.shell("rm /mnt/etc/issuer/server-key.pem; mkfifo -m 600 /mnt/etc/issuer/server-key.pem");
        }),
    ];
    for (reason, damage) in cases {
        damage();
        machine.keeps_what_it_has(reason);
        machine.serves();
        machine.shell("rm -f /mnt/etc/issuer/*");
        whole();
    }
    machine.renewed();
    machine.serves();
}

/// Another node's own CAs, which are below the same ones: they may not issue this node's names.
#[test]
fn another_nodes_issuer_issues_nothing_here() {
    let machine = Machine::new();
    machine.renewed();
    machine.etcd(&PLAIN);
    let here = machine.work.path();
    let other = "permitted;DNS:n2,permitted;IP:10.9.9.9/255.255.255.255";
    authority::below(here, "other-server", "ca", "serverAuth", other, -10..1815);
    let tagged = format!("permitted;DNS:{TAG},permitted;IP:10.9.9.9/255.255.255.255");
    authority::below(here, "other-peer", "peer-ca", "serverAuth,clientAuth", &tagged, -10..1815);
    for kind in ["server", "peer"] {
        machine.bring_issuer(&format!("other-{kind}"), kind);
        let reason =
            format!("may not issue the {kind} certificate: its chain is refused: NameConstraintViolation");
        machine.keeps_what_it_has(&reason);
        machine.serves();
        machine.bring_issuer(kind, kind);
    }
    // Nor one that is for other usages, or below another CA.
    authority::below(here, "narrow", "peer-ca", "serverAuth", &authority::permitted("peer"), -10..1815);
    machine.bring_issuer("narrow", "peer");
    machine
        .keeps_what_it_has("may not issue the peer certificate: its chain is refused: RequiredEkuNotFound");
    authority::below(
        here,
        "foreign",
        "ca",
        "serverAuth,clientAuth",
        &authority::permitted("peer"),
        -10..1815,
    );
    machine.bring_issuer("foreign", "peer");
    machine.keeps_what_it_has("may not issue the peer certificate: its chain is refused: UnknownIssuer");
    machine.serves();
    // A new one of its own is taken at once.
    authority::below(
        here,
        "new",
        "peer-ca",
        "serverAuth,clientAuth",
        &authority::permitted("peer"),
        -1..1815,
    );
    machine.bring_issuer("new", "peer");
    machine.renewed();
    machine.serves();
}

/// The live files are damaged: an earlier generation is used, also where no new one can be made.
#[test]
fn damaged_certificates_are_replaced() {
    let machine = Machine::new();
    machine.renewed();
    machine.another_subject("other");
    machine.renewed();
    machine.etcd(&PLAIN);
    fs::write(machine.at("var/pki/2/server.pem"), "").unwrap();
    let (code, said) = machine.renew(&[]);
    assert!(code == 0 && said.contains("has certificates that are not as they should be"), "{code}: {said}");
    assert_eq!(machine.live(), "3");
    machine.serves();
    // 2 and 1 are no help by the policy, but 1 is better than none.
    fs::write(machine.at("var/pki/3/peer-key.pem"), "").unwrap();
    fs::write(machine.at("etc/issuer/server-key.pem"), "").unwrap();
    for options in [&[][..], &["--ensure"]] {
        let (code, said) = machine.renew(options);
        assert!(
            code == i32::from(options.is_empty()) && said.contains("server-key.pem: it is empty"),
            "{code}: {said}"
        );
        assert_eq!(machine.live(), "1");
        machine.serves();
    }
}
