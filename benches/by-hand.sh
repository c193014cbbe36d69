#!/usr/bin/env bash
# The nodes of one etcd cluster by hand, which ci/bench compares with Kiln. openssl makes a CA and three leaves per
# node, each node has a configuration, a unit and the programs, and GNU tar, cpio and cdrkit pack that as an archive,
# as a segment of an initramfs and on a seed for cloud-init. Nothing is checked, synced or reproducible.
#
# by-hand.sh NODES ETCD_BIN_DIR OUT [shared]   with `shared` the programs are packed once, apart from the nodes
set -euo pipefail

nodes=$1
programs=$(realpath "$2")
out=$3
placement=${4:-embedded}

rm -rf "$out"
mkdir -p "$out/.ca"
out=$(realpath "$out")
ca=$out/.ca

address() { echo "10.$((64 + $1 / 65536)).$((($1 / 256) % 256)).$(($1 % 256))"; }

# leaf NAME ROLE ADDRESS: a key, a request and a certificate.
leaf() {
    local at=$ca/$1-$2
    openssl ecparam -genkey -name prime256v1 -noout -out "$at-key.pem"
    openssl req -new -sha256 -key "$at-key.pem" -subj "/CN=$1" -out "$at.csr"
    cat >"$ca/extensions" <<END
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = IP:$3, IP:127.0.0.1, DNS:$1, DNS:localhost
END
    openssl x509 -req -sha256 -days 365 -in "$at.csr" -CA "$ca/ca.pem" -CAkey "$ca/ca-key.pem" -CAcreateserial \
        -extfile "$ca/extensions" -out "$at.pem" 2>"$ca/said"
}

# configuration NAME ADDRESS: etcd's.
configuration() {
    cat <<END
name: $1
data-dir: /var/lib/etcd
initial-advertise-peer-urls: https://$2:2380
listen-peer-urls: https://$2:2380
listen-client-urls: https://$2:2379,https://127.0.0.1:2379
advertise-client-urls: https://$2:2379
initial-cluster: ${members:-$1=https://$2:2380}
initial-cluster-state: new
client-transport-security:
  cert-file: /etc/etcd/pki/$1-server.pem
  key-file: /etc/etcd/pki/$1-server-key.pem
  trusted-ca-file: /etc/etcd/pki/ca.pem
  client-cert-auth: true
peer-transport-security:
  cert-file: /etc/etcd/pki/$1-peer.pem
  key-file: /etc/etcd/pki/$1-peer-key.pem
  trusted-ca-file: /etc/etcd/pki/ca.pem
  client-cert-auth: true
END
}

# pack TREE ARCHIVE: ARCHIVE.tar.gz and ARCHIVE.cpio.gz.
pack() {
    tar -C "$1" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -czf "$2.tar.gz" .
    (cd "$1" && find . | LC_ALL=C sort | cpio --quiet --reproducible -H newc -o | gzip -n) >"$2.cpio.gz"
}

# seed DIRECTORY NAME: a disc with the label that cloud-init looks for.
seed() {
    printf '#cloud-config\nhostname: %s\n' "$2" >"$1/user-data"
    printf 'instance-id: %s-1\nlocal-hostname: %s\n' "$2" "$2" >"$1/meta-data"
    genisoimage -quiet -V cidata -J -r -o "$1/seed.iso" "$1/user-data" "$1/meta-data" "$1/overlay.tar.gz"
}

node() { # NAME ADDRESS
    local tree=$out/.tree role
    mkdir -p "$tree/etc/etcd/pki" "$tree/etc/systemd/system" "$tree/usr/local/bin" "$out/$1"
    for role in server peer client; do
        leaf "$1" "$role" "$2"
        cp "$ca/$1-$role.pem" "$ca/$1-$role-key.pem" "$tree/etc/etcd/pki/"
    done
    cp "$ca/ca.pem" "$tree/etc/etcd/pki/"
    configuration "$1" "$2" >"$tree/etc/etcd/etcd.conf"
    cat >"$tree/etc/systemd/system/etcd.service" <<END
[Unit]
After=network-online.target
[Service]
Type=notify
ExecStart=/usr/local/bin/etcd --config-file=/etc/etcd/etcd.conf
[Install]
WantedBy=multi-user.target
END
    if [ "$placement" = embedded ]; then cp "$programs"/etcd{,ctl,utl} "$tree/usr/local/bin/"; fi
    pack "$tree" "$out/$1/overlay"
    seed "$out/$1" "$1"
    rm -rf "$tree"
}

openssl ecparam -genkey -name prime256v1 -noout -out "$ca/ca-key.pem"
openssl req -x509 -new -sha256 -days 3650 -key "$ca/ca-key.pem" -subj '/CN=etcd CA' -out "$ca/ca.pem"

# More than nine nodes are not one cluster: each then bootstraps alone.
members=
if [ "$nodes" -le 9 ]; then
    for ((i = 1; i <= nodes; i++)); do members+=${members:+,}node$i=https://$(address "$i"):2380; done
fi
for ((i = 1; i <= nodes; i++)); do node "node$i" "$(address "$i")"; done

if [ "$placement" = shared ]; then
    mkdir -p "$out/.layer/usr/local/bin"
    cp "$programs"/etcd{,ctl,utl} "$out/.layer/usr/local/bin/"
    pack "$out/.layer" "$out/etcd"
    rm -rf "$out/.layer"
fi
