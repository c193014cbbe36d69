# Real members on this machine, each in namespaces and on a root of its own: sourced by the tests of the guard.
# Run in a network and mount namespace of its own; $lab is a directory on a real file system, $bundle a bundle.
set -eu
mkdir -p "$lab"
mount -t tmpfs none /run
ip link set lo up
ip link add br0 type bridge
ip link set br0 up

# node NAME ADDRESS: a machine that has the node's files, and no process yet.
node() {
    mkdir -p "$lab/$1/upper" "$lab/$1/work" "$lab/$1/root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$lab/$1/upper,workdir=$lab/$1/work" "$lab/$1/root"
    tar -xpzf "$bundle/nodes/$1/overlay.tar.gz" -C "$lab/$1/root"
    mount --bind /dev "$lab/$1/root/dev"
    : >"$lab/$1/console"
    mount --bind "$lab/$1/console" "$lab/$1/root/dev/console"
    # As at a boot: the account, and the owners of its files.
    systemd-sysusers --root="$lab/$1/root" etcd.conf >/dev/null 2>&1
    systemd-tmpfiles --root="$lab/$1/root" --create --prefix=/etc/etcd --prefix=/var/lib/etcd etcd.conf
    ip netns add "$1"
    ip link add "$1" type veth peer name eth0 netns "$1"
    ip link set "$1" master br0 up
    ip -n "$1" link set lo up
    ip -n "$1" address add "$2/16" dev eth0
    ip -n "$1" link set eth0 up
}

# on NAME COMMAND…: on that machine.
on() { local where
    where=$1
    shift
    ip netns exec "$where" env -i PATH="$PATH" chroot "$lab/$where/root" "$@"
}

# as_etcd NAME COMMAND…: there, as etcd's account.
as_etcd() { local where
    where=$1
    shift
    ip netns exec "$where" env -i PATH="$PATH" chroot --userspec=etcd:etcd "$lab/$where/root" "$@"
}

# become NAME UNIT COMMAND…: replaces this process by that command of that unit, on a machine that sets a proxy for all
# services.
become() {
    where=$1
    unset=$(sed -n 's/^UnsetEnvironment=//p' "$lab/$1/root/etc/systemd/system/$2" | sed 's/[^ ]*/-u &/g')
    shift 2
    # shellcheck disable=SC2086 # a word per variable
    exec ip netns exec "$where" env -i PATH="$PATH" HTTPS_PROXY=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 \
        ALL_PROXY=http://127.0.0.1:9 ETCD_FORCE_NEW_CLUSTER=true \
        env $unset chroot --userspec=etcd:etcd "$lab/$where/root" "$@"
}
as_unit() { (become "$@"); }

# etcd NAME: starts the member; etcd_stop NAME ends it.
etcd() {
    become "$1" etcd.service /usr/local/bin/etcd --config-file /etc/etcd/etcd.conf >>"$lab/$1/log" 2>&1 &
    echo $! >"$lab/$1/pid"
}
etcd_stop() {
    kill -KILL "$(cat "$lab/$1/pid")"
    wait "$(cat "$lab/$1/pid")" 2>/dev/null || :
}

# guard NAME CODE: runs the guard before etcd, which must exit with this code.
guard() {
    code=0
    as_unit "$1" kiln-guard.service /bin/sh /etc/kiln/guard.sh >>"$lab/$1/console" 2>>"$lab/$1/stderr" || code=$?
    [ "$code" = "$2" ] || { echo "the guard of $1 exits with $code, not $2" && cat "$lab/$1/console" "$lab/$1/stderr" && exit 1; }
    [ ! -s "$lab/$1/stderr" ] || { cat "$lab/$1/stderr" && exit 1; }
}

# says NAME WORDS: the last line on its console, which is then cleared; nothing where WORDS is empty.
says() {
    line=$(tail -n 1 "$lab/$1/console")
    : >"$lab/$1/console"
    case $line in
    *"$2"*) [ -n "$2" ] || [ -z "$line" ] || { echo "$1 says: $line" && exit 1; } ;;
    *) echo "$1 says: $line, and not: $2" && exit 1 ;;
    esac
}

# serves NAME: waits until the member answers.
serves() {
    for _ in $(seq 60); do
        on "$1" /bin/sh -c 'set -a; . /etc/etcd/etcdctl.env; /usr/local/bin/etcdctl endpoint health' >/dev/null 2>&1 && return
        sleep 0.5
    done
    tail -n 5 "$lab/$1/log"
    echo "$1 does not serve"
    exit 1
}

# knows NAME COUNT: waits until the member itself has stored on its disk that COUNT members have served. etcd stores
# the commit index of its log only with the next entry.
knows() {
    tries=120
    until [ "$(on "$1" /bin/sh -c 'set -a; . /etc/etcd/etcdctl.env; /usr/local/bin/etcdctl member list' 2>/dev/null | grep -c :2379)" = "$2" ]; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { echo "$1 does not know that $2 members have served" && exit 1; }
        sleep 0.5
    done
    for _ in 1 2 3; do
        on "$1" /bin/sh -c 'set -a; . /etc/etcd/etcdctl.env; /usr/local/bin/etcdctl put later entry' >/dev/null
    done
}

# listens NAME: waits until others can reach the member.
listens() {
    for _ in $(seq 600); do
        [ -z "$(ip netns exec "$1" ss -Hltn 'sport = :2380')" ] || return 0
        sleep 0.1
    done
    echo "$1 does not listen"
    exit 1
}

data() { echo "$lab/$1/root/var/lib/etcd"; }
