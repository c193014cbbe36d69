# Made by Kiln: root's etcdctl talks to this node's member without a flag to remember.
if [ "$(id -u)" = 0 ] && [ -r /etc/etcd/etcdctl.env ]; then
    set -a
    . /etc/etcd/etcdctl.env
    set +a
fi
