# Made by Kiln for a of golden: a first boot happens once. Decides whether etcd may start here.
set -u
data=/var/lib/etcd
cluster=fadeff13ef5e54ea
say() {
    echo "kiln: $*"
    { echo "kiln: $*" >/dev/console; } 2>/dev/null || :
}
refuse() {
    code=$1
    shift
    say "a does not start etcd: $*"
    exit "$code"
}

# Certificates are not valid yet at a time before they were made, and etcd's leases count on a clock that does not jump.
waited=
until [ "$(date +%s)" -ge 1767225600 ]; do
    [ -n "$waited" ] || say "a waits for the clock: it shows $(date -u '+%Y-%m-%d %H:%M') UTC, which is before this node was built"
    waited=yes
    sleep 1
done
[ -z "$waited" ] || say "a has the time: $(date -u '+%Y-%m-%d %H:%M') UTC"

# Every segment of etcd's log begins with the IDs of the member and of its cluster.
for segment in "$data"/member/wal/*.wal; do
    [ -e "$segment" ] || continue
    case $(od -An -v -tx1 -N 512 "$segment" | tr -d ' \n') in
    *10eaa9f9fabee2bfeffa01*) exit 0 ;;
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
[ "$formed" = false ] || refuse 66 "golden has formed before, but $data is empty; put its data back"
exit 0
