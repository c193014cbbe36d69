# Made by Kiln for control-plane-1 of golden: says once whether its member serves. etcd tells systemd after quorum.
set -u
say() {
    echo "kiln: $*"
    { echo "kiln: $*" >/dev/console; } 2>/dev/null || :
}
left=900
until systemctl is-active --quiet etcd.service; do
    left=$((left - 1))
    if [ "$left" -le 0 ]; then
        say "control-plane-1 does not serve after 15 minutes: etcd is $(systemctl show -P SubState etcd.service), and a majority of golden is needed"
        exit 1
    fi
    sleep 1
done
# Whoever empties the directory later does not make this a first boot again.
echo fd8d4e484be2856c >/srv/etcd/kiln-cluster.new && mv /srv/etcd/kiln-cluster.new /srv/etcd/kiln-cluster && sync
say "control-plane-1 serves as a member of golden"
