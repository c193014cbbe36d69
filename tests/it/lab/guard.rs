//! The guard that runs on a node before etcd, with real members: a first boot happens once.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{self, Workshop, ha3_with, run};

/// Runs steps with the functions of tests/guard/nodes.sh, in namespaces that are removed afterwards.
#[track_caller]
fn play(changes: &[(&str, &str)], steps: &str) {
    play_with("3.5.16", changes, steps);
}

#[track_caller]
fn play_with(release: &str, changes: &[(&str, &str)], steps: &str) {
    let (work, bundle) = built(release, changes);
    run(&mut script(&work, &bundle, steps));
}

/// A bundle of ha3, after changes to its profile.
pub fn built(release: &str, changes: &[(&str, &str)]) -> (Workshop, PathBuf) {
    support::needs_root();
    let work = Workshop::new();
    let etcd = format!("[etcd]\nversion = \"{release}\" #");
    work.file("ha3.toml", ha3_with(&[&[("# [etcd] version = \"3.5.33\"", &*etcd)], changes].concat()));
    work.keystore("ha3");
    let bundle = work.build("./ha3.toml");
    (work, bundle)
}

/// Steps on its three nodes, with the functions of tests/guard/nodes.sh.
pub fn script(work: &Workshop, bundle: &Path, steps: &str) -> Command {
    let nodes = support::root().join("tests/guard/nodes.sh");
    let machines = "node cp-a 10.240.16.10\nnode cp-b 10.240.48.10\nnode cp-c 10.240.80.10\n";
    let script = format!(". {}\n{machines}{steps}", nodes.display());
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c"]);
    command.arg(script).env("lab", work.path().join("lab")).env("bundle", bundle);
    command
}

#[test]
fn members_found_once_and_go_on_with_their_own_data() {
    play(
        &[],
        "
        # All three at once, empty: nobody waits for anybody.
        for node in cp-a cp-b cp-c; do on $node /bin/sh /etc/kiln/prepare.sh; guard $node 0; done
        grep -q '10.240.48.10 cp-b.kloud.lan cp-b' $lab/cp-a/root/etc/hosts
        grep -q localhost $lab/cp-a/root/etc/hosts
        # Forming begins and is cut short; then it goes on.
        etcd cp-a; sleep 1; etcd_stop cp-a; guard cp-a 0; etcd cp-a
        guard cp-b 0; etcd cp-b; serves cp-b
        on cp-a /bin/sh /etc/kiln/prepare.sh
        [ \"$(grep -c 'kiln: ha3' $lab/cp-a/root/etc/hosts)\" = 1 ]
        # Two serve already; the third has never been there and may come.
        guard cp-c 0; etcd cp-c; serves cp-c
        # A reboot with data.
        etcd_stop cp-c; guard cp-c 0; says cp-c ''; etcd cp-c; serves cp-c
        ",
    );
}

/// The guard reads what a member reports of its cluster from the output of an etcd that asks it, and that output may
/// change.
#[test]
fn an_empty_disk_founds_nothing_after_the_cluster_has_formed() {
    an_empty_disk_founds_nothing("3.5.16");
}

#[test]
fn an_empty_disk_founds_nothing_with_the_oldest_etcd() {
    an_empty_disk_founds_nothing("3.4.23");
}

#[test]
fn an_empty_disk_founds_nothing_with_the_newest_etcd() {
    an_empty_disk_founds_nothing(&support::newer_release());
}

fn an_empty_disk_founds_nothing(release: &str) {
    play_with(
        release,
        &[],
        "
        for node in cp-a cp-b cp-c; do etcd $node; done
        for node in cp-a cp-b cp-c; do serves $node; done
        knows cp-c 3; etcd_stop cp-a; rm -rf $(data cp-a)/member
        guard cp-a 66; says cp-a 'says that cp-a has served ha3 before, but /var/lib/etcd is empty'
        # A majority comes back empty: the one that is left knows, without a quorum.
        etcd_stop cp-b; etcd_stop cp-c; rm -rf $(data cp-b)/member; etcd cp-c; listens cp-c
        guard cp-a 66; says cp-a 'cp-c says that cp-a has served'
        guard cp-b 66; says cp-b 'cp-c says that cp-b has served'
        # The directory itself remembers as well.
        etcd_stop cp-c
        sed -n 's/^cluster=//p' $lab/cp-a/root/etc/kiln/guard.sh >$(data cp-a)/kiln-cluster
        guard cp-a 66; says cp-a 'served ha3 and its data is gone'
        echo 1234 >$(data cp-a)/kiln-cluster
        guard cp-a 65; says cp-a 'has served another cluster (1234) than ha3'
        rm $(data cp-a)/kiln-cluster
        # So does root, whatever became of the directory.
        mkdir -p $lab/cp-a/root/var/lib/kiln
        : >$lab/cp-a/root/var/lib/kiln/served-$(sed -n 's/^cluster=//p' $lab/cp-a/root/etc/kiln/guard.sh)
        guard cp-a 66; says cp-a 'cp-a has served ha3 before and its data is gone'
        ",
    );
}

#[test]
fn the_data_of_another_cluster_is_left_alone() {
    play(
        &[],
        "
        as_etcd cp-a timeout 3 /usr/local/bin/etcd --data-dir /var/lib/etcd >/dev/null 2>&1 || :
        before=$(cd $(data cp-a) && find . -type f -exec sha256sum {} +)
        # The ID of the cluster that etcd forms when it is told nothing.
        guard cp-a 65
        says cp-a 'belongs to another cluster than ha3: it holds the data of cluster cdf818194e3a8c32, and this node was built for'
        [ \"$before\" = \"$(cd $(data cp-a) && find . -type f -exec sha256sum {} +)\" ]
        # Of the same cluster, but another member's.
        for node in cp-b cp-c; do etcd $node; done
        serves cp-b
        etcd_stop cp-b; rm -rf $(data cp-a)/*; cp -a $(data cp-b)/member $(data cp-a)/
        guard cp-a 65; says cp-a 'has the data of cp-b; attach this node'
        ",
    );
}

/// The steps of the README for replacing a member.
#[test]
fn a_member_that_was_added_anew_goes_on_with_what_it_got() {
    play(
        &[],
        "
        ctl() { on cp-b /bin/sh -c \"set -a; . /etc/etcd/etcdctl.env; /usr/local/bin/etcdctl $*\"; }
        for node in cp-a cp-b cp-c; do etcd $node; done
        for node in cp-a cp-b cp-c; do serves $node; done
        # etcd wants all members connected for five seconds before it lets one go, and again before it takes one.
        patiently() { for _ in $(seq 30); do \"$@\" && return; sleep 1; done; exit 1; }
        patiently ctl member remove $(ctl member list | sed -n 's/, started, cp-a,.*//p')
        wait $(cat $lab/cp-a/pid) || :
        rm -rf $(data cp-a)/member
        guard cp-a 66; says cp-a 'says that cp-a is no member of ha3 any more; add it again with etcdctl member add'
        patiently ctl member add cp-a --peer-urls=https://10.240.16.10:2380
        cd $lab/cp-a/root/etc/etcd; cp etcd.conf etcd.conf.build
        sed -i 's/^initial-cluster-state:.*/initial-cluster-state: existing/' etcd.conf; grep -q existing etcd.conf
        etcd cp-a; serves cp-a; etcd_stop cp-a
        mv etcd.conf.build etcd.conf
        guard cp-a 0; etcd cp-a; serves cp-a
        ",
    );
}

#[test]
fn a_data_disk_that_is_gone_is_missed() {
    play(
        &[],
        "
        on cp-a /bin/sh /etc/kiln/data-disk.sh >>$lab/cp-a/console; says cp-a ''
        : >$lab/cp-a/root/etc/kiln/has-data-disk
        code=0; on cp-a /bin/sh /etc/kiln/data-disk.sh >>$lab/cp-a/console || code=$?
        [ $code = 74 ]; says cp-a 'its data disk /dev/disk/by-id/virtio-kiln-cp-a is missing'
        ",
    );
}

#[test]
fn a_sealed_build_founds_nothing() {
    play(
        &[("name = \"ha3\"", "name = \"ha3\"\nformed = true")],
        "
        founds_nothing() {
            code=0; as_etcd $1 timeout 8 /bin/sh /etc/kiln/guard.sh >>$lab/$1/console || code=$?
            [ $code = 124 ]; says $1 \"$1 does not bootstrap a new cluster: ha3 has formed before, but /var/lib/etcd is empty and no peer answers\"
        }
        founds_nothing cp-a
        # The host remembers it of one node only, and the others have formed without it: it may join.
        for node in cp-b cp-c; do etcd $node; done
        serves cp-b
        guard cp-a 0; etcd cp-a; serves cp-a
        ",
    );
}

#[test]
fn etcd_waits_for_a_plausible_clock() {
    play(
        &[],
        "
        # A build of tomorrow.
        tomorrow=$(($(date +%s) + 86400))
        sed -i \"s/-ge [0-9]*/-ge $tomorrow/\" $lab/cp-a/root/etc/kiln/guard.sh
        code=0; as_etcd cp-a timeout 3 /bin/sh /etc/kiln/guard.sh >>$lab/cp-a/console || code=$?
        [ $code = 124 ]; says cp-a 'cp-a waits for the clock'
        sed -i \"s/-ge [0-9]*/-ge $(($(date +%s) + 5))/\" $lab/cp-a/root/etc/kiln/guard.sh
        guard cp-a 0; says cp-a 'cp-a has the time'
        ",
    );
}

#[test]
fn data_that_etcd_cannot_read_is_not_taken_for_an_empty_directory() {
    play(
        &[],
        "
        etcd cp-a; for _ in $(seq 100); do ls $(data cp-a)/member/wal/*.wal >/dev/null 2>&1 && break; sleep 0.1; done
        etcd_stop cp-a
        # As after a restore by root, who forgot whose it is.
        for path in member/wal/0000000000000000-0000000000000000.wal member/wal member .; do
            chown root:root $(data cp-a)/$path; chmod go= $(data cp-a)/$path
            guard cp-a 74; says cp-a 'the account etcd cannot read /var/lib/etcd'
            chown etcd:etcd $(data cp-a)/$path 2>/dev/null || chown --reference=$lab/cp-a/root/etc/etcd/pki/peer-key.pem $(data cp-a)/$path
        done
        guard cp-a 0
        ",
    );
}

#[test]
fn root_writes_through_link() {
    play(
        &[],
        "
        secret=$lab/cp-a/root/etc/secret
        echo 'root:$6$secret-hash:1:' >$secret; chmod 600 $secret
        link() { as_etcd cp-a ln -sf /etc/secret /var/lib/etcd/$1; }
        # What is written beside the data is written as etcd, in the place of whatever lies there.
        link kiln-cluster.new; link kiln-cluster
        as_etcd cp-a /bin/sh /etc/kiln/record.sh
        grep -q secret-hash $secret
        [ ! -L $(data cp-a)/kiln-cluster ]
        guard cp-a 66; says cp-a 'has served ha3 and its data is gone'
        # Root itself would show nothing that it could read there: by a link, by a name, by a pipe.
        link kiln-cluster
        code=0; on cp-a /bin/sh /etc/kiln/guard.sh >>$lab/cp-a/console 2>&1 || code=$?; [ $code = 74 ]
        ! grep -q secret-hash $lab/cp-a/console
        says cp-a 'kiln-cluster is a link'
        rm $(data cp-a)/kiln-cluster
        printf '\\033[2Jnot hex' >$(data cp-a)/kiln-cluster
        guard cp-a 65; says cp-a 'has served another cluster (2e) than ha3'
        rm $(data cp-a)/kiln-cluster; as_etcd cp-a mkfifo /var/lib/etcd/kiln-cluster
        guard cp-a 74; says cp-a 'cannot read /var/lib/etcd/kiln-cluster'
        rm $(data cp-a)/kiln-cluster
        # What else runs as root does not go there at all.
        ! grep -n /var/lib/etcd $lab/cp-a/root/etc/kiln/formed.sh $lab/cp-a/root/etc/kiln/prepare.sh
        ",
    );
}

/// A torn block, a file made by hand, a container's mount: only files that Kiln itself has written are replaced.
#[test]
fn names_are_written_beside_and_lose_no_line() {
    play(
        &[],
        "
        hosts=$lab/cp-a/root/etc/hosts
        prepare() { on cp-a /bin/sh /etc/kiln/prepare.sh >>$lab/cp-a/console; }
        block() { grep -A 3 '^# kiln: ha3$' $hosts | tail -n 3; }
        # A file of its own mode, without a last line end.
        printf '127.0.0.1 localhost\\n10.9.9.9 mine' >$hosts; chmod 640 $hosts; chgrp 12 $hosts
        before=$(stat -c %i $hosts)
        prepare
        [ \"$(head -n 2 $hosts)\" = \"127.0.0.1 localhost
10.9.9.9 mine\" ]
        [ \"$(stat -c '%a %g' $hosts)\" = '640 12' ]; [ $(stat -c %i $hosts) != $before ]; block | grep -q cp-c.kloud.lan
        [ ! -e $hosts.kiln ]
        # Nothing to do is nothing done.
        before=$(stat -c '%i %z' $hosts); prepare; [ \"$(stat -c '%i %z' $hosts)\" = \"$before\" ]
        # Another node's address has changed: only the block does.
        sed -i 's/^10.240.48.10 .*/10.240.48.99 old old/' $hosts; prepare
        ! grep -q old $hosts; [ $(wc -l <$hosts) = 7 ]
        # A begin mark without its end deletes nothing, now and the next time.
        printf '# kiln: ha3\\n10.9.9.9 torn\\n127.0.0.1 localhost\\n' >$hosts
        prepare; prepare
        grep -q torn $hosts; grep -q localhost $hosts; [ $(grep -c cp-a.kloud.lan $hosts) = 1 ]; [ $(wc -l <$hosts) = 8 ]
        # An end without a begin is a line like others.
        printf '# kiln: end of ha3\\n127.0.0.1 localhost\\n' >$hosts
        prepare; [ $(wc -l <$hosts) = 7 ]
        says cp-a ''
        # A link is somebody's decision.
        mv $hosts $hosts.real; ln -s hosts.real $hosts; printf '127.0.0.1 localhost\\n' >$hosts.real; prepare
        [ -L $hosts ]; [ $(wc -l <$hosts.real) = 1 ]; says cp-a 'does not change /etc/hosts, because it is a link'
        # A mount cannot be renamed over.
        rm $hosts; printf '127.0.0.1 localhost\\n' >$hosts; mount --bind $hosts.real $hosts; prepare
        says cp-a 'into /etc/hosts in place'
        grep -q localhost $hosts.real; grep -q cp-b.kloud.lan $hosts.real; [ ! -e $lab/cp-a/root/etc/hosts.kiln ]
        ",
    );
}

/// A flag is accepted beside variables that the shell has set, on a node and on an operator's machine, in any shell.
#[test]
fn etcdctl_takes_flags_beside_its_environment() {
    play(
        &[],
        "
        for node in cp-a cp-b cp-c; do etcd $node; done
        for node in cp-a cp-b cp-c; do serves $node; done
        PATH=/usr/sbin:/usr/bin:/sbin:/bin
        for shell in dash bash; do
            ctl() { on cp-a $shell -c \". /etc/profile.d/etcdctl.sh; $*\"; }
            [ $(ctl etcdctl member list | wc -l) = 3 ]
            ctl etcdctl endpoint status | grep -q '^https://10.240.16.10:2379,'
            ctl etcdctl --endpoints https://10.240.48.10:2379 endpoint status | grep -q '^https://10.240.48.10:2379,'
            ctl etcdctl endpoint status --endpoints=https://10.240.80.10:2379 | grep -q '^https://10.240.80.10:2379,'
            ctl etcdctl --cacert /etc/etcd/pki/ca.pem --cert=/etc/etcd/pki/etcdctl.pem --key=/etc/etcd/pki/etcdctl-key.pem endpoint health
            # What was exported by hand has its way as well.
            ctl 'ETCDCTL_ENDPOINTS=https://10.240.48.10:2379 etcdctl endpoint status' | grep -q '^https://10.240.48.10:2379,'
            # stdin is etcdctl's, and what it exits with is seen.
            ctl 'echo 42 | etcdctl put answer'; [ \"$(ctl etcdctl get --print-value-only answer)\" = 42 ]
            ! ctl etcdctl --endpoints=https://10.240.16.99:2379 --command-timeout=1s endpoint health
            # Nothing is left in the shell that other programs could stumble over.
            ! ctl 'etcdctl member list >/dev/null; env' | grep ETCDCTL_

            export PATH=$lab/cp-a/root/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
            operator() { ip netns exec cp-a $shell -c \"cd $bundle/client; . ./etcdctl.sh; cd /; $*\"; }
            [ $(operator etcdctl endpoint status | wc -l) = 3 ]
            operator etcdctl --endpoints https://10.240.48.10:2379 endpoint status | grep -q '^https://10.240.48.10:2379,'
        done
        ",
    );
}
