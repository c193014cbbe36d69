# Made by Kiln for a of golden: a first boot happens once. Decides whether etcd may start here. It needs no more
# rights than etcd has, and its unit gives it none: the directory is that of etcd's account.
set -u
data=/var/lib/etcd-events
cluster=e1a7dd7017cb235
say() { echo "kiln: a $*"; }
refuse() {
    code=$1
    shift
    say "does not start etcd: $*"
    exit "$code"
}

# Certificates are not valid yet at a time before they were made, and etcd's leases count on a clock that does not jump.
waited=
until [ "$(date +%s)" -ge 1767225600 ]; do
    [ -n "$waited" ] || say "waits for the clock: it shows $(date -u '+%Y-%m-%d %H:%M') UTC, which is before this node was built"
    waited=yes
    sleep 1
done
[ -z "$waited" ] || say "has the time: $(date -u '+%Y-%m-%d %H:%M') UTC"

# What this account cannot read is not empty.
locked() { refuse 74 "the account etcd-events cannot read $1; give it the data (chown -R etcd-events:etcd-events $data)"; }
for directory in "$data" "$data/member" "$data/member/wal"; do
    [ ! -e "$directory" ] || { [ -r "$directory" ] && [ -x "$directory" ]; } || locked "$directory"
done

# A restore from a snapshot exchanges the data. Between its first and its last step there is neither the old nor the new.
[ ! -e "$data/kiln-restoring" ] && [ ! -L "$data/kiln-restoring" ] ||
    refuse 75 "$data is being restored from a snapshot, which was interrupted: run its script once more (sh restore.sh switch)"

# Which cluster the disk has served, and since which restore: of the first generation there is one line. The log decides
# where it is; the ID of a cluster is another one in each generation.
record=$data/kiln-cluster
was=
if [ ! -L "$record" ] && [ -f "$record" ] && [ -r "$record" ]; then
    was=$(head -c 17 "$record" | head -n 1 | tr -cd 0-9a-f)
    is=$(head -c 64 "$record" | sed -n '2s/^generation \([0-9]\{1,9\}\) [0-9a-f]\{16\}$/\1/p')
    [ "${is:-1}" -le 1 ] ||
        refuse 65 "$data is of generation $is of golden, and this node was built for generation 1: its keystore is older than the cluster, which was restored from a snapshot since; nothing was changed. Build from the present keystore"
fi

# number BYTE…: a varint of protobuf in hex; what follows it is left alone.
number() {
    value=0 shift=0
    for byte in "$@"; do
        value=$((value | (0x$byte & 127) << shift)) shift=$((shift + 7))
        [ $((0x$byte)) -ge 128 ] || break
    done
    printf %x "$value"
}
# Every segment of etcd's log begins with the IDs of the member and of its cluster.
for segment in "$data"/member/wal/*.wal; do
    [ -e "$segment" ] || [ -L "$segment" ] || continue
    [ -f "$segment" ] && [ -r "$segment" ] || locked "$segment"
    begins=$(od -An -v -tx1 -N 512 "$segment") || locked "$segment"
    case $(echo "$begins" | tr -d ' \n') in
    *08e697f4c7b39489d4d20110b5e4f28bf0ba9f8d0e*) refuse 65 "$data has the data of b; attach this node's own disk" ;;
    *08a1f9bca2dc92f2815210b5e4f28bf0ba9f8d0e*) refuse 65 "$data has the data of c; attach this node's own disk" ;;
    *10b5e4f28bf0ba9f8d0e*) exit 0 ;;
    esac
    # The second record, after one of 16 bytes (server/storage/wal): type 1, a checksum, and Metadata with its two fields.
    varint='\( [89a-f].\)* [0-7].'
    was=$(echo "$begins" | tr -d '\n' | cut -c 73- | sed -n "s/^ 08 01 10$varint 1a .. 08$varint 10\(.*\)/\3/p")
    # shellcheck disable=SC2086 # a word per byte
    [ -z "$was" ] || was=$(number $was)
    refuse 65 "$data belongs to another cluster than golden: it holds the data of cluster ${was:-unknown}, and this node was built for $cluster; nothing was changed. Use the bundle that cluster ${was:-unknown} was formed from, or build it again from its sealed keystore"
done
if [ -e "$record" ] || [ -L "$record" ]; then
    [ ! -L "$record" ] || refuse 74 "$record is a link, which neither Kiln nor etcd creates; inspect its target"
    [ -f "$record" ] && [ -r "$record" ] || locked "$record"
    [ "$was" = "$cluster" ] ||
        refuse 65 "$data has served another cluster (${was:-unknown}) than golden ($cluster), and its data is gone; restore the data and its bundle, or, to start a new member here, move $record elsewhere"
    refuse 66 "$data has served golden and its data is gone; restore it, or replace this member (README: A first boot happens once)"
fi
[ ! -e "/var/lib/kiln/events/served-$cluster" ] ||
    refuse 66 "a has served golden before and its data is gone from $data; restore it, or replace this member (README: A first boot happens once)"

formed=false
[ ! -e /run/kiln/events/formed ] || formed=true

# An empty disk may found or join once. Whether it has before, every peer knows without a majority: a member's client
# URLs are recorded when it first serves. Only HTTP/1.1 on the peer port tells, and etcd itself is the one program
# that is surely here and speaks it: told of a cluster that cannot be, it prints the peer's members and exits. It has to
# listen somewhere: on sockets in a directory that nobody else can enter, which etcd 3.4 takes as NAME:NUMBER only.
asked=$(mktemp -d) || refuse 74 "there is no space for a temporary directory"
trap 'cd / && rm -rf "$asked"' EXIT
cd "$asked" || refuse 74 "$asked cannot be entered"
waited=
looks=0
while :; do
    timeout 20 /usr/local/bin/etcd --name=ask --data-dir="$asked/b" --initial-cluster-state=existing \
        --initial-cluster=ask=https://127.0.0.1:1,peer=https://10.103.0.102:2382 --initial-advertise-peer-urls=https://127.0.0.1:1 \
        --listen-peer-urls=unix://b:1 --listen-client-urls=unix://b:2 \
        --advertise-client-urls=http://127.0.0.1:1 \
        --peer-trusted-ca-file=/etc/etcd-events/pki/ca.pem --peer-cert-file=/etc/etcd-events/pki/peer.pem \
        --peer-key-file=/etc/etcd-events/pki/peer-key.pem >"$asked/b.log" 2>&1 &
    timeout 20 /usr/local/bin/etcd --name=ask --data-dir="$asked/c" --initial-cluster-state=existing \
        --initial-cluster=ask=https://127.0.0.1:1,peer=https://10.103.0.103:2382 --initial-advertise-peer-urls=https://127.0.0.1:1 \
        --listen-peer-urls=unix://c:1 --listen-client-urls=unix://c:2 \
        --advertise-client-urls=http://127.0.0.1:1 \
        --peer-trusted-ca-file=/etc/etcd-events/pki/ca.pem --peer-cert-file=/etc/etcd-events/pki/peer.pem \
        --peer-key-file=/etc/etcd-events/pki/peer-key.pem >"$asked/c.log" 2>&1 &
    wait
    known=
    young=
    for peer in b:d2a824a338fd0be6 c:5203c895c44f3ca1; do
        id=${peer#*:} peer=${peer%:*}
        answer=$(grep -o "ClusterID:$cluster Members:.*RemovedMemberIDs:" "$asked/$peer.log" | tail -n 1)
        [ -n "$answer" ] || continue
        own=${answer#*"&{ID:b9fcd7fa795b7cd9 "}
        [ "$own" != "$answer" ] || refuse 66 "$peer says that a is no member of golden any more; add it again with etcdctl member add"
        case ${own%%"}}"*} in
        *"ClientURLs:[]")
            # A peer without any of its own has never served, or has just begun to read its log again.
            theirs=${answer#*"&{ID:$id "}
            case ${theirs%%"}}"*} in
            *"ClientURLs:[]") young=yes ;;
            *) known=yes ;;
            esac ;;
        *) refuse 66 "$peer says that a has served golden before, but $data is empty; restore its data, or replace this member (README: A first boot happens once)" ;;
        esac
    done
    if [ -z "$known" ] && [ -n "$young" ] && [ "$looks" -lt 3 ]; then
        looks=$((looks + 1))
        sleep 1
        rm -rf "${asked:?}"/*
        continue
    fi
    [ -z "$known$young" ] && [ "$formed" = true ] || exit 0
    # A peer that answers can still say that this member is new.
    [ -n "$waited" ] || say "does not bootstrap a new cluster: golden has formed before, but $data is empty and no peer answers; start the other members, or restore its data"
    waited=yes
    sleep 5
    rm -rf "${asked:?}"/*
done
