# Made by Kiln for control-plane-1 of golden: leaves beside the data which cluster it has served, so that this goes where the
# disk goes. etcd's own account runs it, for which a link in there leads nowhere that etcd itself could not go.
cd /srv/etcd || exit
[ "$(head -c 17 kiln-cluster 2>/dev/null | head -n 1)" != fd8d4e484be2856c ] || exit 0
rm -f kiln-cluster.new
{
    echo fd8d4e484be2856c
} >kiln-cluster.new && mv -f kiln-cluster.new kiln-cluster && sync
