//! A cluster from a bundle, without Kiln: tar, ip, chroot and the unit's own command line.

use std::process::Command;

use crate::support::{Workshop, ha3_with, root, run};

#[test]
fn three_members_form_from_the_tarballs_alone() {
    let work = Workshop::new();
    let etcd = "[etcd]\nversion = \"3.5.16\"\n\n# Client certificates";
    work.file("ha3.toml", ha3_with(&[("# Client certificates", etcd)]));
    let bundle = work.build("./ha3.toml");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"]);
    command.arg(root().join("tests/by_hand/form.sh")).arg(&bundle).arg(work.path().join("hosts"));
    let printed = run(&mut command);
    for address in ["10.240.16.10", "10.240.48.10", "10.240.80.10"] {
        let healthy = format!("https://{address}:2379 is healthy: successfully committed proposal");
        assert!(printed.contains(&healthy), "{printed}");
    }
}
