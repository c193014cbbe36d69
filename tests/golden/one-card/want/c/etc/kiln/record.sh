# Made by Kiln for c of golden: leaves beside the data which cluster it has served, so that this goes where the
# disk goes. etcd's own account runs it, for which a link in there leads nowhere that etcd itself could not go.
cd /var/lib/etcd || exit
[ "$(head -c 17 kiln-cluster 2>/dev/null | head -n 1)" != 2721799f23eda9e ] || exit 0
rm -f kiln-cluster.new
{
    echo 2721799f23eda9e
} >kiln-cluster.new && mv -f kiln-cluster.new kiln-cluster && sync
