//! A rehearsal refuses what the unit would refuse and accepts what it would accept: real etcd, started according to
//! its unit with a drop-in.

use crate::support::{Workshop, refused, run};

/// One member of 3.5.16 with these options and files in addition to its own.
fn built(options: &str, files: &[(&str, &str)]) -> Workshop {
    let work = Workshop::new();
    work.file(
        "p.toml",
        format!(
            "schema = 1\n[cluster]\nname = \"unit\"\n[etcd]\nversion = \"3.5.16\"\n[network]\ncidr = \"10.77.0.0/24\"\n\
             [[node]]\nname = \"db-1\"\naddress = \"10.77.0.11\"\n[bundle]\ncarriers = [\"tar\"]\noverlays = [\"./overlay\"]\n{options}"
        ),
    );
    work.file("overlay/etc/kiln-test", "x");
    for (path, text) in files {
        work.file(&format!("overlay/{path}"), text);
    }
    work.build("./p.toml");
    work
}

const DROP_IN: &str = "etc/systemd/system/etcd.service.d/50-test.conf";

#[test]
fn rehearse_ignores_sandbox() {
    // A drop-in, files of the node, and the expected messages.
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: &[Case] = &[
        // ProtectSystem=strict: only named paths are writable.
        (
            "[Service]\nReadWritePaths=\nReadOnlyPaths=/var/lib/etcd\n",
            &[],
            &["etcd on db-1 ended with", "read-only file system", "lets etcd write"],
        ),
        // ProtectHome=yes: existing files are hidden.
        (
            "[Service]\nExecStart=\nExecStart=/usr/local/bin/etcd --config-file /root/etcd.conf\n",
            &[("root/etcd.conf", "name: x\n")],
            &["etcd on db-1 ended with", "/root/etcd.conf: "],
        ),
        // PrivateTmp=yes: an empty one.
        (
            "[Service]\nExecStart=\nExecStart=/usr/local/bin/etcd --config-file /tmp/etcd.conf\n",
            &[("etc/tmpfiles.d/test.conf", "f /tmp/etcd.conf 0644 root root - name: x\n")],
            &["etcd on db-1 ended with", "/tmp/etcd.conf: no such file"],
        ),
        (
            "[Service]\nExecStart=\nExecStart=/usr/local/bin/etcd --config-file /srv/etcd.conf\nInaccessiblePaths=/srv/etcd.conf\n",
            &[("srv/etcd.conf", "not: yaml: at all\n")],
            &["etcd on db-1 ended with"],
        ),
        (
            "[Service]\nReadWritePaths=/srv/nowhere\n",
            &[],
            &["ReadWritePaths=/srv/nowhere is not on the node", "226/NAMESPACE"],
        ),
        (
            "[Service]\nProtectSystem=stirct\n",
            &[],
            &["ProtectSystem=stirct is not a value that systemd knows"],
        ),
        // Too few descriptors for etcd's own files.
        ("[Service]\nLimitNOFILE=4\n", &[], &["db-1 ended with"]),
    ];
    for (drop_in, files, wants) in cases {
        let work = built("", &[&[(DROP_IN, *drop_in)], *files].concat());
        let said = refused(&mut work.kiln(["rehearse", "out/p", "--deadline", "30"]), 1);
        for want in *wants {
            assert!(said.contains(want), "{drop_in}\n{want}:\n{said}");
        }
    }
}

#[test]
fn rehearse_refuses_good() {
    let drop_in = "[Service]\nLimitNOFILE=8192\nStateDirectory=etcd-more\nLogsDirectory=etcd-more\nReadOnlyPaths=-/nowhere\n\
                   Environment=KILN_TEST=1\nUnsetEnvironment=KILN_TEST\nDynamicUser=no\n";
    let options = "[etcd.config]\nlog-outputs = [\"systemd/journal\"]\n";
    let work = built(options, &[(DROP_IN, drop_in)]);
    let report = run(&mut work.kiln(["rehearse", "out/p", "--json"]));
    assert!(report.contains("\"passed\": true"), "{report}");
    let note = report
        .lines()
        .find(|line| line.contains("settings of the unit that a rehearsal does not apply: "))
        .unwrap();
    assert!(note.contains("SystemCallFilter") && note.contains("CapabilityBoundingSet"), "{note}");
    for imitated in ["ProtectSystem", "LimitNOFILE", "StateDirectory", "UnsetEnvironment", "Restart"] {
        assert!(!note.contains(imitated), "{note}");
    }
    // Messages that it logs to the journal are shown when it ends.
    let broken = "[Service]\nReadWritePaths=\nReadOnlyPaths=/var/lib/etcd\n";
    let work = built(options, &[(DROP_IN, broken)]);
    let said = refused(&mut work.kiln(["rehearse", "out/p"]), 1);
    assert!(said.contains("read-only file system"), "{said}");
}
