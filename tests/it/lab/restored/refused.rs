//! What a restore refuses, without a change.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::json;

use super::machine::Lab;
use crate::support::{self, node::kiln_node, wait_for};

/// One member that has served, and a snapshot of it.
fn stopped(has_wal: bool) -> Lab {
    let lab = Lab::new("3.5.16", 1, has_wal);
    lab.serve(1);
    lab.fill();
    lab.stop(1);
    lab.orders(1, |_| {});
    lab
}

fn id(lab: &Lab, generation: usize) -> String {
    lab.ids(generation).1.to_string()
}

#[test]
fn a_snapshot_that_is_not_the_one() {
    let lab = stopped(false);
    let file = lab.path("snapshot.db");
    let good = fs::read(&file).unwrap();
    let mut bad = good.clone();
    bad[5000] ^= 1;
    fs::write(&file, &bad).unwrap();
    lab.refuses(1, "prepare", "the snapshot is damaged");
    fs::write(&file, &good[..good.len() - 512]).unwrap();
    lab.refuses(1, "prepare", "and the snapshot of the orders");
    fs::write(&file, &good).unwrap();
    lab.orders(1, |orders| orders["snapshot"]["sha256"] = json!("0a".repeat(32)));
    lab.refuses(1, "prepare", "is another snapshot");
    lab.orders(1, |orders| orders["program-sha256"] = json!("0a".repeat(32)));
    lab.refuses(1, "prepare", "is another program");
    lab.orders(1, |_| {});
    lab.shell("chown 998 snapshot.db");
    lab.refuses(1, "prepare", "is not a file that only root can write");
    lab.shell("chown 0 snapshot.db; mv snapshot.db s; ln -s s snapshot.db");
    lab.refuses(1, "prepare", "snapshot.db");
    lab.shell("mv s snapshot.db");
    // What etcd's program makes is looked at.
    lab.orders(1, |orders| orders["member-id"] = json!("0000000000000001"));
    lab.refuses(1, "prepare", "and the orders are for 0000000000000001");
    lab.orders(1, |_| {});
    lab.does(1, "prepare", "has prepared");
}

#[test]
fn the_data_of_another_cluster_or_of_a_newer_generation() {
    let lab = stopped(false);
    let other = json!([{"generation": 1, "cluster-id": "0000000000000001", "member-id": "0000000000000002"}]);
    lab.orders(1, |orders| orders["earlier"] = other);
    lab.refuses(1, "prepare", &format!("has the data of cluster {}", id(&lab, 1)));
    lab.orders(1, |_| {});
    let record = |text: &str| {
        lab.shell(&format!("printf '{text}' >data-1/kiln-cluster; chown 998:997 data-1/kiln-cluster"))
    };
    record("0000000000000007\\n");
    lab.refuses(1, "prepare", "of cluster 0000000000000007");
    record(&format!("{}\\ngeneration 2 00000000000000bb\\n", id(&lab, 2)));
    lab.refuses(1, "prepare", "this keystore is older than the cluster");
    record(&format!("{}\\ngeneration 3 00000000000000aa\\n", id(&lab, 2)));
    lab.refuses(1, "prepare", "has served generation 3 of its cluster");
    record("hello\\n");
    lab.refuses(1, "prepare", "Kiln did not write");
    // As the first generation leaves it.
    record(&format!("{}\\n", id(&lab, 1)));
    lab.does(1, "prepare", "has prepared");
    // And again where it became newer since.
    record(&format!("{}\\ngeneration 2 00000000000000bb\\n", id(&lab, 2)));
    lab.refuses(1, "switch", "this keystore is older than the cluster");
    record(&format!("{}\\n", id(&lab, 1)));
    lab.does(1, "switch", "is switched");
    // Its data is lost: it does not begin again with what it was.
    lab.shell("mv data-1/member member");
    lab.refuses(1, "prepare", "a member does not begin again with what it was");
}

#[test]
fn links_and_directories_of_others() {
    let lab = stopped(true);
    lab.shell("mkdir elsewhere; chown 998 elsewhere; echo 1 >elsewhere/file");
    for place in ["data-1", "wal-1"] {
        for name in ["kiln-restore.new", "kiln-restore"] {
            lab.shell(&format!("ln -s $PWD/elsewhere {place}/{name}"));
            lab.refuses(1, "prepare", "is a link");
            lab.refuses(1, "abandon", "is a link");
            lab.shell(&format!("rm {place}/{name}; install -d -m 700 -o 998 {place}/{name}"));
            lab.refuses(1, "prepare", "was not made by this program");
            lab.shell(&format!("rmdir {place}/{name}"));
        }
    }
    for live in ["data-1/member", "data-1/member/snap", "wal-1/wal", "data-1"] {
        lab.does(1, "prepare", "");
        lab.shell(&format!("mv {live} {live}.old; ln -s $PWD/{live}.old {live}"));
        lab.refuses(1, "switch", "is a link");
        lab.shell(&format!("rm {live}; mv {live}.old {live}"));
    }
    lab.shell("ln -s $PWD/elsewhere data-1/kiln-before-g1");
    lab.refuses(1, "switch", "is a link");
    lab.shell("rm data-1/kiln-before-g1; ln -s $PWD/elsewhere/file data-1/kiln-restoring");
    lab.refuses(1, "switch", "kiln-restoring is a link");
    lab.shell("rm data-1/kiln-restoring; echo generation 2 00000000000000aa >data-1/kiln-restoring; chown 998 data-1/kiln-restoring");
    lab.refuses(1, "switch", "is not a short text");
    lab.shell("rm data-1/kiln-restoring; install -d -o 998 -m 700 data-1/kiln-before-g1/member");
    lab.refuses(1, "switch", "is kept from a restore before");
    lab.shell("rm -r data-1/kiln-before-g1; chown 997 data-1");
    lab.refuses(1, "switch", "is not etcd's alone");
    lab.shell("chown 998 data-1; [ \"$(ls elsewhere)\" = file ]");
    lab.does(1, "switch", "is switched");
    lab.is_tidy(1);
}

#[test]
fn mount_points_and_full_disks() {
    let lab = stopped(false);
    lab.shell("mv data-1/member m; mkdir data-1/member; mount -t tmpfs none data-1/member; cp -a m/. data-1/member/; chown 998:997 data-1/member; chmod 700 data-1/member");
    lab.refuses(1, "prepare", "is a mount point");
    lab.shell(
        "umount data-1/member; rmdir data-1/member; mv m data-1/member; mv data-1 d; mkdir data-1
               mount -t tmpfs -o size=60m,mode=700,uid=998,gid=997 none data-1",
    );
    lab.refuses(1, "prepare", "bytes free, and");
    lab.shell("mount -o remount,size=400m data-1");
    // An empty disk is a new one.
    lab.does(1, "prepare", "has prepared");
    lab.does(1, "switch", "there was no data before");
    lab.is_tidy(1);
    lab.start(1, 2);
    assert!(lab.has(1, "k0"));
    lab.stop(1);
}

/// Only a copy that was prepared is ever replaced.
#[test]
fn orders_that_change() {
    let lab = stopped(true);
    lab.does(1, "prepare", "has prepared");
    let data = lab.shell("cd data-1/member; find . -type f -exec sha256sum {} + | sort");
    lab.orders(1, |orders| orders["restore"] = json!("00000000000000bb"));
    lab.refuses(1, "switch", "is not prepared with these orders");
    lab.does(1, "prepare", "has prepared generation 2 of r1");
    assert_eq!(lab.shell("cd data-1/member; find . -type f -exec sha256sum {} + | sort"), data);
    lab.does(1, "switch", "is switched");
    assert!(lab.shell("cat data-1/kiln-cluster").ends_with("generation 2 00000000000000bb\n"));
    assert_eq!(
        lab.shell("cd data-1/kiln-before-g1/member; find . -type f -exec sha256sum {} + | sort"),
        data
    );
    // Somebody else's file is no orders.
    fs::set_permissions(lab.path("restore-1.json"), fs::Permissions::from_mode(0o666)).unwrap();
    let (code, _, said) = support::output(&mut lab.restoring(1, "switch", None));
    assert!(code == 1 && said.contains("can be written by other accounts"), "{said}");
}

#[test]
fn options_that_do_not_belong_together() {
    for (arguments, why) in [
        (&["restore"][..], "restore needs --policy FILE"),
        (&["restore", "--policy", "x"], "prepare, switch, abandon or attached"),
        (&["restore", "undo", "--policy", "x"], "prepare, switch, abandon or attached"),
        (&["restore", "prepare", "--policy", "x"], "needs --snapshot FILE"),
        (&["restore", "switch", "--policy", "x", "--snapshot", "y"], "--snapshot is for restore prepare"),
        (&["snapshot", "--snapshot", "y"], "--snapshot is for restore"),
        (&["restore", "switch", "--policy", "x", "--ensure"], "--ensure is for renew"),
        (&["snapshot", "switch"], "unexpected argument"),
    ] {
        let said = support::refused(Command::new(kiln_node()).args(arguments), 2);
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
}

/// Two runs at the same time: one waits for a moment and says so.
#[test]
fn two_runs_exclude_each_other() {
    let lab = stopped(false);
    lab.shell("flock data-1 sleep 5 >/dev/null 2>&1 & sleep 0.3");
    lab.refuses(1, "prepare", "another run of this program has locked");
    wait_for("the lock", || {
        lab.restoring(1, "prepare", None).output().unwrap().status.success().then_some(())
    });
    // etcd locks its database and its log, each in another way.
    lab.shell("flock data-1/member/snap/db sleep 5 >/dev/null 2>&1 & sleep 0.3");
    lab.refuses(1, "switch", "stop it first: systemctl stop etcd.service");
}

/// Whatever the account does while root works in its directory, nothing outside changes.
#[test]
fn an_account_that_swaps_what_is_in_its_directory() {
    let lab = stopped(false);
    let script = support::root().join("tests/it/lab/restored/swapping.py");
    lab.shell(
        "mkdir -p elsewhere/data/member/snap elsewhere/data/member/wal elsewhere/member elsewhere/wal
         for file in policy data/member/snap/db member/db wal/0.wal; do echo mine >elsewhere/$file; done
         # As this program makes its own.
         chmod 700 elsewhere; tar -cf before.tar data-1",
    );
    let outside =
        || lab.shell("find elsewhere -printf '%p %y %u %g %m %s %T@\\n' | sort; [ ! -e $PWD/policy ]");
    let before = outside();
    lab.shell(&format!(
        "exec </dev/null >/dev/null 2>&1; setpriv --reuid 998 --regid 997 --clear-groups /usr/bin/python3 {} $PWD/data-1 \
         $PWD/elsewhere $PWD/stop &",
        script.display()
    ));
    wait_for("the account to begin", || lab.path("data-1/swapping").exists().then_some(()));
    let mut ends = Vec::new();
    // On a busy machine its moments may all be others than ours.
    while ends.len() < 24 || (!ends.contains(&1) && ends.len() < 600) {
        for verb in ["prepare", "switch", "abandon"] {
            let output = lab.restoring(1, verb, None).output().unwrap();
            ends.push(output.status.code().unwrap_or_else(|| panic!("{verb}: {output:?}")));
            assert_eq!(outside(), before, "{verb}: {output:?}");
        }
    }
    lab.shell("touch stop; sleep 1");
    assert!(ends.contains(&1), "nothing was in the way: {ends:?}");
    assert_eq!(outside(), before);
    // With its own data back, all is well.
    lab.shell("find data-1 -mindepth 1 -delete; tar -xpf before.tar");
    lab.does(1, "prepare", "has prepared");
    lab.does(1, "switch", "is switched");
    lab.is_tidy(1);
}
