# Made by Kiln for n1 of golden: says once whether its member serves. etcd tells systemd after quorum.
set -u
say() { echo "kiln: n1 $*"; }
left=900
until systemctl is-active --quiet etcd-events.service; do
    left=$((left - 1))
    if [ "$left" -le 0 ]; then
        say "does not serve after 15 minutes: etcd is $(systemctl show -P SubState etcd-events.service), and a quorum of golden is needed"
        exit 1
    fi
    sleep 1
done
# Root's own, so that whoever empties the data directory does not make this a first boot again. Where the system disk is
# new at each boot, the record that etcd-events.service leaves beside the data says it.
served=/var/lib/kiln/events/served-6cab9b34544f7ee7
if [ ! -e "$served" ]; then
    mkdir -p /var/lib/kiln/events && true >"$served" && sync || say "cannot record in /var/lib/kiln/events that it has served golden"
fi
say "serves as a member of golden"
