# Made by Kiln: etcd's programs are found, and root's etcdctl talks to this node's member without a flag to remember.
case :$PATH: in
*:/usr/local/bin:*) ;;
*) PATH=$PATH:/usr/local/bin ;;
esac
if [ "$(id -u)" = 0 ] && [ -r /etc/etcd/etcdctl.env ]; then
    # A function, because etcdctl refuses to be told the same thing by a variable and by a flag.
    etcdctl() (
        while IFS='=' read -r name value; do
            case $name in
            ETCDCTL_*) ;;
            *) continue ;;
            esac
            # What is set already has its way, and so has a flag.
            eval "[ -z \"\${$name+set}\" ]" || continue
            flag=$(printf %s "${name#ETCDCTL_}" | tr A-Z a-z)
            for word do
                case $word in
                --"$flag" | --"$flag"=*) continue 2 ;;
                esac
            done
            export "$name=$value"
        done </etc/etcd/etcdctl.env
        exec /usr/local/bin/etcdctl "$@"
    )
fi
