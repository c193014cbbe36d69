# Made by Kiln for cp-a of golden: a first boot happens once. Decides whether etcd may start here.
set -u
data=/var/lib/etcd
cluster=15809fbd59a767ea
say() {
    echo "kiln: $*"
    { echo "kiln: $*" >/dev/console; } 2>/dev/null || :
}
refuse() {
    code=$1
    shift
    say "cp-a does not start etcd: $*"
    exit "$code"
}

# Names without a DNS server. Only the block between the two marks is Kiln's.
block() {
    echo "# kiln: golden"
    echo "10.240.16.10 cp-a.kloud.lan cp-a"
    echo "10.240.48.10 cp-b.kloud.lan cp-b"
    echo "10.240.80.10 cp-c.kloud.lan cp-c"
    echo "# kiln: end of golden"
}
if [ "$(sed -n '/^# kiln: golden$/,/^# kiln: end of golden$/p' /etc/hosts 2>/dev/null)" != "$(block)" ]; then
    others=$(sed '/^# kiln: golden$/,/^# kiln: end of golden$/d' /etc/hosts 2>/dev/null)
    { printf '%s\n' "$others" && block; } >/etc/hosts || say "cp-a has no names of its peers: /etc/hosts cannot be written"
fi

# Certificates are not valid yet at a time before they were made, and etcd's leases count on a clock that does not jump.
waited=
until [ "$(date +%s)" -ge 1767225600 ]; do
    [ -n "$waited" ] || say "cp-a waits for the clock: it shows $(date -u '+%Y-%m-%d %H:%M') UTC, which is before this node was built"
    waited=yes
    sleep 1
done
[ -z "$waited" ] || say "cp-a has the time: $(date -u '+%Y-%m-%d %H:%M') UTC"

# Every segment of etcd's log begins with the IDs of the member and of its cluster.
for segment in "$data"/member/wal/*.wal; do
    [ -e "$segment" ] || continue
    case $(od -An -v -tx1 -N 512 "$segment" | tr -d ' \n') in
    *08c8818bae87c9e5e0bd0110eacf9dcdd5f7a7c015*) refuse 65 "$data is that of cp-b; bring this node's own disk" ;;
    *08d9e9ae9ed985a991cb0110eacf9dcdd5f7a7c015*) refuse 65 "$data is that of cp-c; bring this node's own disk" ;;
    *10eacf9dcdd5f7a7c015*) exit 0 ;;
    esac
    refuse 65 "$data belongs to another cluster than golden ($cluster); bring this node's own disk, or empty this one if nobody needs it"
done
if [ -e "$data/kiln-cluster" ]; then
    was=$(cat "$data/kiln-cluster")
    [ "$was" = "$cluster" ] || refuse 65 "$data belonged to the cluster $was, not to golden ($cluster); empty it if nobody needs it"
    refuse 66 "$data served golden and its data is gone; put it back, or remove this member and add it anew"
fi

formed=false
# What the host remembers, where it says so: QEMU's -fw_cfg name=opt/kiln/formed,string=yes.
modprobe -q qemu_fw_cfg 2>/dev/null || :
[ "$(cat /sys/firmware/qemu_fw_cfg/by_name/opt/kiln/formed/raw 2>/dev/null)" != yes ] || formed=true

# An empty disk may found or join once. Whether it has before, every peer knows without a majority: a member's client
# URLs are recorded when it first serves. Only HTTP/1.1 on the peer port tells, and etcd itself is the one program
# that is surely here and speaks it: told of a cluster that cannot be, it prints the peer's members and exits.
asked=$(mktemp -d) || refuse 74 "there is no room for a temporary directory"
trap 'rm -rf "$asked"' EXIT
waited=
while :; do
    timeout 20 /usr/local/bin/etcd --name=ask --data-dir="$asked/cp-b" --initial-cluster-state=existing \
        --initial-cluster=ask=https://127.0.0.1:1,peer=https://10.240.48.10:2380 --initial-advertise-peer-urls=https://127.0.0.1:1 \
        --listen-peer-urls=http://127.0.0.1:0 --listen-client-urls=http://127.0.0.1:0 --advertise-client-urls=http://127.0.0.1:1 \
        --peer-trusted-ca-file=/etc/etcd/pki/ca.pem --peer-cert-file=/etc/etcd/pki/peer.pem \
        --peer-key-file=/etc/etcd/pki/peer-key.pem >"$asked/cp-b.log" 2>&1 &
    timeout 20 /usr/local/bin/etcd --name=ask --data-dir="$asked/cp-c" --initial-cluster-state=existing \
        --initial-cluster=ask=https://127.0.0.1:1,peer=https://10.240.80.10:2380 --initial-advertise-peer-urls=https://127.0.0.1:1 \
        --listen-peer-urls=http://127.0.0.1:0 --listen-client-urls=http://127.0.0.1:0 --advertise-client-urls=http://127.0.0.1:1 \
        --peer-trusted-ca-file=/etc/etcd/pki/ca.pem --peer-cert-file=/etc/etcd/pki/peer.pem \
        --peer-key-file=/etc/etcd/pki/peer-key.pem >"$asked/cp-c.log" 2>&1 &
    wait
    known=
    for peer in cp-b cp-c; do
        answer=$(grep -o "ClusterID:$cluster Members:.*RemovedMemberIDs:" "$asked/$peer.log" | tail -n 1)
        [ -n "$answer" ] || continue
        own=${answer#*"&{ID:457dd784d0cb5f36 "}
        [ "$own" != "$answer" ] || refuse 66 "$peer says that cp-a is no member of golden any more; its place has to be added anew"
        case ${own%%"}}"*} in
        *"ClientURLs:[]") known=yes ;;
        *) refuse 66 "$peer says that cp-a has served golden before, but $data is empty; put its data back, or remove this member and add it anew" ;;
        esac
    done
    [ -z "$known" ] && [ "$formed" = true ] || exit 0
    # A peer that answers can still say that this member is new.
    [ -n "$waited" ] || say "cp-a founds nothing: golden has formed before, but $data is empty and no peer answers; start the other members, or put its data back"
    waited=yes
    sleep 5
    rm -rf "${asked:?}"/*
done
