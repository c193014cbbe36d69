# Made by Kiln for k8s0etcd1 of golden: leaves beside the data which cluster it has served, so that this goes where the
# disk goes. etcd's own account runs it, for which a link in there leads nowhere that etcd itself could not go.
cd /var/lib/etcd || exit
[ "$(head -c 17 kiln-cluster 2>/dev/null | head -n 1)" != 79d5ea982f6c8d17 ] || exit 0
rm -f kiln-cluster.new
{
    echo 79d5ea982f6c8d17
} >kiln-cluster.new && mv -f kiln-cluster.new kiln-cluster && sync
