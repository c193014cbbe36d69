//! `kiln restore` and what it hands out, with real members: the next generation of a cluster has what the snapshot has,
//! and neither an old member nor an old bundle gets into it.

use crate::guard;
use crate::support::{self, run, store};

/// Functions beside those of tests/guard/nodes.sh. There is no systemd on these machines: what `restore.sh` asks of it
/// is done by hand, in its order.
const FUNCTIONS: &str = r#"
# ctl NODE ARGUMENT…: etcdctl on that machine.
ctl() { local where
    where=$1
    shift
    on "$where" /bin/sh -c 'set -a; . /etc/etcd/etcdctl.env; exec /usr/local/bin/etcdctl "$@"' sh "$@"
}
# hand NODE: its directory, copied there as an operator would.
hand() {
    rm -rf "$lab/$1/root/root/kiln-restore"
    cp -r "$kit/nodes/$1" "$lab/$1/root/root/kiln-restore"
}
prepare() { on "$1" /bin/sh /root/kiln-restore/restore.sh prepare; }
switch() {
    on "$1" /root/kiln-restore/kiln-node restore switch --policy /root/kiln-restore/restore.json &&
        on "$1" tar -xpzf /root/kiln-restore/overlay.tar.gz -C / && own "$1"
}
restore() { (cd "$work" && "$kiln" restore "$bundle" --artifacts "$store" --no-cache --profile ./ha3.toml --cluster ha3 "$@"); }
abandon() { (cd "$work" && "$kiln" restore "$bundle" --abandon --cluster ha3); }
fails() { code=$1; shift; got=0; said=$("$@" 2>&1) || got=$?; [ "$got" = "$code" ] || { echo "$*: $got, not $code: $said"; exit 1; }; }
own() { systemd-tmpfiles --root="$lab/$1/root" --create --prefix=/etc/etcd --prefix=/var/lib/etcd --prefix=/var/lib/etcd-wal etcd.conf; }
for each in cp-a cp-b cp-c; do own $each; mount --bind /proc "$lab/$each/root/proc"; done
"#;

#[track_caller]
fn play(release: &str, changes: &[(&str, &str)], steps: &str) {
    let (work, bundle) = guard::built(release, changes);
    run(work.kiln(["seal"]).arg(&bundle));
    let mut script = guard::script(&work, &bundle, &format!("{FUNCTIONS}\n{steps}"));
    script.env("work", work.path()).env("kit", work.path().join("kit")).env("store", store());
    run(script.env("kiln", env!("CARGO_BIN_EXE_kiln")).env("NO_COLOR", "1"));
}

/// The whole way, with the log in a directory of its own or in the data.
// long: one story, in its order.
fn a_cluster_is_restored(release: &str, changes: &[(&str, &str)]) {
    play(
        release,
        changes,
        r#"
        all="cp-a cp-b cp-c"
        for node in $all; do guard $node 0; etcd $node; done
        for node in $all; do serves $node; done
        for at in $(seq 20); do ctl cp-a put before/$at $at >/dev/null; done
        ctl cp-a snapshot save /root/old.db >/dev/null 2>&1
        cp "$lab/cp-a/root/root/old.db" "$work/old.db"
        for at in $(seq 5); do ctl cp-a put after/$at $at >/dev/null; done

        # Nobody has signed it.
        fails 6 restore --snapshot old.db -o "$kit"
        case $said in *--accept-unsigned*) ;; *) echo "$said"; exit 1 ;; esac
        # Another name than the cluster's.
        fails 2 restore --snapshot old.db --accept-unsigned --cluster ha4 -o "$kit"
        [ ! -e "$kit" ]
        head -c 5000 "$work/old.db" >"$work/cut.db"
        fails 1 restore --snapshot cut.db --accept-unsigned -o "$kit"
        [ ! -e "$kit" ]
        # Nothing that is there already is lost, and the keystore does not count.
        mkdir -p "$kit/nodes" && echo mine >"$kit/nodes/notes"
        fails 6 restore --snapshot old.db --accept-unsigned -o "$kit"
        case $said in *'nodes/notes is not of a restore'*) ;; *) echo "$said"; exit 1 ;; esac
        rm "$kit/nodes/notes"
        (cd "$work" && "$kiln" keystore show ha3) | grep -q 'restored as' && exit 1
        restore --snapshot old.db --accept-unsigned -o "$kit"
        # Once more is the same restore.
        before=$(sha256sum <"$kit/nodes/cp-a/restore.json")
        restore --snapshot old.db --accept-unsigned -o "$kit"
        [ "$before" = "$(sha256sum <"$kit/nodes/cp-a/restore.json")" ]
        # All of it here, before any node is touched.
        (cd "$work" && "$kiln" rehearse "$kit/bundle" --restore "$kit" --allow-unverified) >"$work/rehearsed"
        grep -q '^ok       snapshot restored  *cp-a, cp-b, cp-c: revision ' "$work/rehearsed"
        fails 2 "$kiln" rehearse "$bundle" --restore "$kit"
        # Another snapshot is another restore, of a generation that nodes do not run yet.
        ctl cp-a snapshot save /root/new.db >/dev/null 2>&1
        cp "$lab/cp-a/root/root/new.db" "$work/new.db"
        fails 6 restore --snapshot new.db --accept-unsigned -o "$kit-other"
        case $said in *'says that it was restored since'*) ;; *) echo "$said"; exit 1 ;; esac

        # The data of another node is not replaced.
        hand cp-a
        cp "$kit/nodes/cp-b/restore.json" "$lab/cp-a/root/root/kiln-restore/restore.json"
        fails 1 prepare cp-a
        for node in $all; do hand $node; prepare $node; done
        # Everything serves on until the switch.
        ctl cp-a put while/prepared yes >/dev/null
        fails 1 switch cp-a

        for node in $all; do etcd_stop $node; done
        # An old member with the files of the new generation, and a restored one with the old files.
        on cp-c tar -xpzf /root/kiln-restore/overlay.tar.gz -C /
        guard cp-c 65; says cp-c 'has the data of generation 1 of ha3, which was restored from a snapshot as generation 2'
        for node in cp-a cp-b; do switch $node; guard $node 0; etcd $node; done
        serves cp-a; serves cp-b
        # An empty disk joins no restored cluster, though peers say that its member is new: it would have nothing of the
        # snapshot, and a log that begins as theirs.
        if [ ! -d "$lab/cp-c/root/var/lib/etcd-wal" ]; then
            mv "$(data cp-c)" "$work/data-c"; own cp-c
            guard cp-c 66; says cp-c 'generation 2 of ha3 begins with a snapshot'
            rm -r "$(data cp-c)"; mv "$work/data-c" "$(data cp-c)"
        fi
        tar -xpzf "$bundle/nodes/cp-b/overlay.tar.gz" -C "$lab/cp-b/root"
        guard cp-b 65; says cp-b 'its keystore is older than the cluster'
        on cp-b tar -xpzf /root/kiln-restore/overlay.tar.gz -C /; own cp-b
        switch cp-c; guard cp-c 0; etcd cp-c; serves cp-c

        [ "$(ctl cp-c get before/ --prefix --keys-only | grep -c before/)" = 20 ]
        [ -z "$(ctl cp-c get after/ --prefix --keys-only)" ]
        for node in $all; do
            [ -d "$(data $node)/kiln-before-g1" ]
            grep -q '^generation 2 ' "$(data $node)/kiln-cluster"
        done
        ip link add desk0 type veth peer name desk1
        ip link set desk1 master br0 up; ip link set desk0 up; ip address add 10.240.0.1/16 dev desk0
        (cd "$work" && "$kiln" verify "$kit/bundle" >&2)
        # Builds are of this generation now, and replace the old bundle.
        (cd "$work" && "$kiln" build --profile ./ha3.toml --artifacts "$store" --no-cache -o "$bundle")
        diff -r "$bundle" "$kit/bundle"
        # Back is only from what the nodes ran before.
        fails 6 abandon
        "#,
    );
}

#[test]
fn a_cluster_is_restored_and_nothing_old_gets_in() {
    a_cluster_is_restored("3.5.16", &[]);
}

#[test]
fn a_log_of_its_own_is_restored_with_the_data() {
    a_cluster_is_restored(
        &support::newer_release(),
        &[("[etcd]\nversion", "[etcd]\nwal-dir = \"/var/lib/etcd-wal/wal\"\nversion")],
    );
}

#[test]
fn the_oldest_etcd_is_restored() {
    a_cluster_is_restored("3.4.23", &[]);
}

/// One member was cut off, one disk is gone: of the writes that the third one had, at most the newest is not restored,
/// because etcd stores how far its log is committed only with the next entry.
/// `wal`: where the members have their log, `-` for in the data.
// long: one story, in its order.
fn quorum_is_lost(release: &str, changes: &[(&str, &str)], wal: &str) {
    let steps = r#"
        left="$(data cp-b)"
        mkdir "$work/tmp"; export TMPDIR=$work/tmp
        log() { [ "$wal" = - ] || echo "--wal-dir $lab/$1/root$wal"; }
        for node in cp-a cp-b cp-c; do guard $node 0; etcd $node; done
        for node in cp-a cp-b cp-c; do serves $node; done
        # While it is in use.
        # shellcheck disable=SC2046 # an option and its value
        fails 7 restore --from-data "$left" $(log cp-b) -o "$kit"
        case $said in *'is in use: stop etcd'*) ;; *) echo "$said"; exit 1 ;; esac
        # Members ask for a password, which nobody has here.
        ctl cp-a user add root:not-known >/dev/null
        ctl cp-a user grant-role root root >/dev/null
        ctl cp-a put first write >/dev/null
        etcd_stop cp-c
        for at in $(seq 30); do ctl cp-a put last/$at $at >/dev/null; done
        until [ "$(ctl cp-b get last/30 --consistency=s --print-value-only)" = 30 ]; do :; done
        kill -KILL "$(cat "$lab/cp-a/pid")" "$(cat "$lab/cp-b/pid")"
        for node in cp-a cp-b; do wait "$(cat "$lab/$node/pid")" 2>/dev/null || :; done
        cp -a "$(data cp-c)" "$work/other"
        rm -rf "$(data cp-a)"/* "$(data cp-c)"/*
        before=$(cd "$left" && find . -type f -exec sha256sum {} + | sort)

        fails 2 restore --from-data "$lab" -o "$kit"
        fails 2 restore --from-data "$left" --wal-dir "$left" --wal-dir "$left" -o "$kit"
        fails 2 restore --from-data "$left" --snapshot newest -o "$kit"
        fails 2 restore --from-data "$left" --wal-dir "$lab" -o "$kit"
        case $said in *"name etcd's wal-dir itself"*) ;; *) echo "$said"; exit 1 ;; esac
        fails 6 restore --from-data "$left" -o "$left/kit"
        # Of a cluster that is not sealed there: nothing is kept.
        cp -a "$work/keystore" "$work/unsealed"; sed -i '/^\[\[formed\]\]/,$d' "$work/unsealed/ha3/keystore.toml"
        # shellcheck disable=SC2046
        ! restore --from-data "$left" $(log cp-b) -o "$kit" --keystore "$work/unsealed/ha3" 2>/dev/null
        [ ! -e "$kit" ]
        mkdir "$work/linked"; ln -s "$left/member" "$work/linked/member"
        fails 2 restore --from-data "$work/linked" -o "$kit"
        case $said in *'name the one that it leads to'*) ;; *) echo "$said"; exit 1 ;; esac
        # Somebody else cannot look into it.
        chmod 0755 "$work"
        fails 5 setpriv --reuid 65534 --regid 65534 --clear-groups "$kiln" restore "$bundle" --from-data "$left" \
            --artifacts "$store" --no-cache --profile "$work/ha3.toml" --cluster ha3 -o "$kit"
        # What etcd cannot read: it says why, and nothing comes of it.
        cp -a "$left" "$work/broken"
        head -c 100000 /dev/urandom | dd of="$work/broken/member/snap/db" conv=notrunc status=none
        # shellcheck disable=SC2046
        fails 1 restore --from-data "$work/broken" $(log cp-b) -o "$kit"
        case $said in *': panic: '*|*'fatal'*) ;; *) echo "$said"; exit 1 ;; esac
        [ ! -e "$kit" ]

        # The one with the most is taken, whichever is named first.
        [ "$wal" != - ] || others="--from-data $work/other"
        # shellcheck disable=SC2046,SC2086
        restore ${others-} --from-data "$left" $(log cp-b) -o "$kit"
        [ "$before" = "$(cd "$left" && find . -type f -exec sha256sum {} + | sort)" ]
        # Once more is the same restore, with the same bytes.
        made=$(cd "$kit/nodes" && find . -type f -exec sha256sum {} + | sort)
        # shellcheck disable=SC2046
        restore --from-data "$left" $(log cp-b) -o "$kit"
        [ "$made" = "$(cd "$kit/nodes" && find . -type f -exec sha256sum {} + | sort)" ]
        [ -z "$(ls -A "$work/tmp")" ]
        for node in cp-a cp-b cp-c; do hand $node; prepare $node; switch $node; guard $node 0; etcd $node; done
        for node in cp-a cp-b cp-c; do serves $node; done
        [ "$(ctl cp-a get first --print-value-only)" = write ]
        found=$(ctl cp-a get last/ --prefix --keys-only | grep -c last/)
        [ "$found" -ge 29 ] || { echo "$found of 30 are found"; exit 1; }
        ip link add desk0 type veth peer name desk1
        ip link set desk1 master br0 up; ip link set desk0 up; ip address add 10.240.0.1/16 dev desk0
        (cd "$work" && "$kiln" verify "$kit/bundle" >&2)
        # What was left is of the generation before, and not of the one that is made next.
        bundle=$kit/bundle
        [ "$wal" != - ] || fails 6 restore --from-data "$left/kiln-before-g1" -o "$kit-3"
        "#;
    play(release, changes, &format!("wal={wal}\n{steps}"));
}

#[test]
fn what_one_disk_has_left_is_restored() {
    quorum_is_lost("3.5.16", &[], "-");
}

#[test]
fn what_one_disk_has_left_of_the_oldest_etcd_is_restored() {
    quorum_is_lost("3.4.23", &[], "-");
}

#[test]
fn what_one_disk_has_left_of_a_log_of_its_own_is_restored() {
    quorum_is_lost(
        &support::newer_release(),
        &[("[etcd]\nversion", "[etcd]\nwal-dir = \"/var/lib/etcd-wal/wal\"\nversion")],
        "/var/lib/etcd-wal/wal",
    );
}
