# Made by Kiln for n3 of golden: says once whether its member serves. etcd tells systemd after quorum.
set -u
say() { echo "kiln: n3 $*"; }
left=900
until systemctl is-active --quiet etcd.service; do
    left=$((left - 1))
    if [ "$left" -le 0 ]; then
        say "does not serve after 15 minutes: etcd is $(systemctl show -P SubState etcd.service), and a quorum of golden is needed"
        exit 1
    fi
    sleep 1
done
# Root's own, so that whoever empties the data directory does not make this a first boot again. Where the system disk is
# new at each boot, the record that etcd.service leaves beside the data says it.
served=/var/lib/kiln/served-3085885be645182c
if [ ! -e "$served" ]; then
    mkdir -p /var/lib/kiln && true >"$served" && sync || say "cannot record in /var/lib/kiln that it has served golden"
fi
say "serves as a member of golden"
