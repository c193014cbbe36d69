# Made by Kiln. In this directory: . ./etcdctl.sh; then etcdctl has the endpoints and certificates of etcdctl.env, and any
# flag has its way: etcdctl itself refuses to be told the same thing by a variable and by a flag.
kiln_client=$PWD
etcdctl() (
    while IFS='=' read -r name value; do
        case $name in
        ETCDCTL_CACERT | ETCDCTL_CERT | ETCDCTL_KEY) value=$kiln_client/$value ;;
        ETCDCTL_*) ;;
        *) continue ;;
        esac
        # What is set already has its way, too.
        eval "[ -z \"\${$name+set}\" ]" || continue
        flag=$(printf %s "${name#ETCDCTL_}" | tr A-Z a-z)
        for word do
            case $word in
            --"$flag" | --"$flag"=*) continue 2 ;;
            esac
        done
        export "$name=$value"
    done <"$kiln_client/etcdctl.env"
    exec etcdctl "$@"
)
