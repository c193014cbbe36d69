//! Clusters whose nodes renew their own certificates.

use std::process::Command;

use super::site::Site;
use crate::support::{ha3_with, is_inside, root, run};

/// Off for 500 days, past the end of the certificates that they were delivered with: the members make new ones when
/// they start, and form by themselves. Peers that do not trust each other's certificates would not.
#[test]
fn members_that_were_off_past_the_end_of_their_certificates_form() {
    if !is_inside(
        "boot::renewal::members_that_were_off_past_the_end_of_their_certificates_form",
        &["live", "cloud"],
    ) {
        return;
    }
    let etcd = format!(
        "[etcd]\nversion = \"3.5.16\"\n\n[pki]\nrenewal = \"node\"\n\n[machine]\nmemory-mib = 512\n\n[bundle]\noverlays = \
         [\"{}\"]\n\n# Client certificates",
        root().join("tests/boot/later").display()
    );
    let nodes = ["cp-a", "cp-b", "cp-c"].map(str::to_owned).to_vec();
    let site = Site::of("ha3", ha3_with(&[("# Client certificates", &etcd)]), nodes, "qemu", "initramfs");
    run(&mut site.up(&["--no-wait"]));
    for node in &site.nodes {
        let said = site.wait_for(node, "has new certificates (generation 1)", 1);
        assert!(said.contains("expired"), "{said}");
        site.wait_for(node, "serves as a member of ha3", 1);
        let console = site.console(node);
        assert!(!console.contains("does not start etcd"), "{console}");
    }
    // What a member presents begins after the end of what it was delivered with.
    let client = site.work.path().join("out/ha3/client");
    for (port, ca) in [("10.240.16.10:2379", "ca.pem"), ("10.240.80.10:2380", "peer-ca.pem")] {
        let script = format!(
            "openssl s_client -connect {port} -no_check_time -verify_return_error -CAfile {ca} -cert etcdctl.pem -key \
             etcdctl-key.pem </dev/null 2>/dev/null | openssl x509 -noout -checkend 40000000 -startdate -issuer"
        );
        let shown = run(Command::new("sh").arg("-c").arg(script).current_dir(&client));
        assert!(shown.contains("Certificate will not expire") && shown.contains(" CA\n"), "{shown}");
    }
}
