#!/bin/sh
# Forms a cluster from a bundle without Kiln, following the README: form.sh BUNDLE DIRECTORY. Runs inside user,
# network, mount and PID namespaces of its own, which are removed with all their processes.
set -eu
bundle=$1 work=$2
mount -t tmpfs none /run
ip link add hosts type bridge
ip link set hosts up
for node in cp-a cp-b cp-c; do
    root=$work/$node
    mkdir -p "$root/var/lib" "$root/tmp" "$root/dev" "$root/proc"
    tar -xpzf "$bundle/nodes/$node/overlay.tar.gz" -C "$root"
    # The base system: its C library, and /dev.
    for directory in lib lib64 usr/lib; do
        if [ -d "/$directory" ]; then
            mkdir -p "$root/$directory"
            mount --bind "/$directory" "$root/$directory"
        fi
    done
    mount --rbind /dev "$root/dev"
    # The address of the card according to the unpacked network file.
    address=$(sed -n 's/^Address=//p' "$root/etc/systemd/network/05-kiln.network")
    ip netns add "$node"
    ip link add "$node" type veth peer name eth0 netns "$node"
    ip link set "$node" master hosts up
    ip -n "$node" link set lo up
    ip -n "$node" address add "$address" dev eth0
    ip -n "$node" link set eth0 up
done
for node in cp-a cp-b cp-c; do
    command=$(sed -n 's/^ExecStart=//p' "$work/$node/etc/systemd/system/etcd.service")
    # shellcheck disable=SC2086 # the unit's words
    ip netns exec "$node" chroot "$work/$node" $command >"$work/$node.log" 2>&1 &
done
# The settings in the node's own files for root's etcdctl; a minute is far more than an election takes.
for try in $(seq 60); do
    # shellcheck disable=SC2046 # a word per variable
    if env -i PATH="$PATH" $(grep '^ETCDCTL_' "$work/cp-a/etc/etcd/etcdctl.env") \
        ip netns exec cp-a chroot "$work/cp-a" /usr/local/bin/etcdctl \
        endpoint health --cluster 2>&1; then
        exit 0
    fi
    echo "try $try" >&2
    sleep 1
done
tail -n 3 "$work"/*.log >&2
exit 1
