//! Nodes that take snapshots of their member.

use super::site::Site;
use crate::support::{is_inside, root};

/// The timer runs, and what its unit allows is enough: one is taken, and an interval later another.
#[test]
fn a_node_takes_snapshots_by_its_timer() {
    if !is_inside("boot::snapshots::a_node_takes_snapshots_by_its_timer", &["live", "cloud"]) {
        return;
    }
    let recipient = "age1ykdregx80u7llcmfxzsv8xttws0g69wxadd7axn0fw4wfwnqjpgstnusn7";
    let profile = format!(
        "schema = 1\n[cluster]\nname = \"snap\"\n[etcd]\nversion = \"3.5.16\"\n[network]\ncidr = \"10.240.0.0/16\"\n\
         [backup]\nrecipients = [\"{recipient}\"]\ninterval = \"1m\"\n[bundle]\noverlays = [\"{}\"]\n\
         [[node]]\nname = \"one\"\naddress = \"10.240.16.10\"\n",
        root().join("tests/boot/soon").display()
    );
    let site = Site::of("snap", profile, vec!["one".to_owned()], "qemu", "initramfs");
    site.form();
    let first = site.wait_for("one", "one has taken a snapshot: snap-", 1);
    assert!(site.put("between", "two"));
    let second = site.wait_for("one", "one has taken a snapshot: snap-", 2);
    assert_ne!(first, second);
}
