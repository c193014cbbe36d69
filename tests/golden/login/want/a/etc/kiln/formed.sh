# Made by Kiln for a of golden: says once whether its member serves. etcd tells systemd after quorum.
set -u
say() {
    echo "kiln: $*"
    { echo "kiln: $*" >/dev/console; } 2>/dev/null || :
}
left=900
until systemctl is-active --quiet etcd.service; do
    left=$((left - 1))
    if [ "$left" -le 0 ]; then
        say "a does not serve after 15 minutes: etcd is $(systemctl show -P SubState etcd.service), and a majority of golden is needed"
        exit 1
    fi
    sleep 1
done
# Whoever empties the directory later does not make this a first boot again.
echo fadeff13ef5e54ea >/var/lib/etcd/kiln-cluster.new && mv /var/lib/etcd/kiln-cluster.new /var/lib/etcd/kiln-cluster && sync
say "a serves as a member of golden"
