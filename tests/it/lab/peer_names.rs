//! Who passes the peer port of a member whose node renews its certificates, where DNS is an attacker's: the names in
//! its answers lead to the thief's address, forwards and backwards.

use std::fs;
use std::process::Command;

use crate::support::{Workshop, run, store};

/// A thief at 10.9.0.4 has the certificate of n1, 10.9.0.1. NSS is the line for hosts in nsswitch.conf(5).
const SCRIPT: &str = r#"
ip link set lo up
ip addr add 10.9.0.1/24 dev lo
ip addr add 10.9.0.4/24 dev lo
echo 'nameserver 127.0.0.1' >resolv.conf && mount --bind resolv.conf /etc/resolv.conf
echo "$SEARCH" >>resolv.conf
echo "hosts: $NSS" >nsswitch.conf && mount --bind nsswitch.conf /etc/nsswitch.conf
tag=$(openssl x509 -in etc/kiln/pki/peer.pem -noout -ext subjectAltName | grep -o 'peer-[0-9a-f]*.kiln.invalid')
dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null --listen-address=127.0.0.1 \
    --bind-interfaces --pid-file= --host-record="$tag,10.9.0.4" --address=/evil.test/10.9.0.4 --log-queries \
    --log-facility="$PWD/dns.log" &
dns=$!
usr/local/bin/etcd --config-file etc/etcd/etcd.conf >etcd.log 2>&1 &
etcd=$!
ask() {
    curl --http1.1 -s -o /dev/null -w "$1 %{http_code}\n" --max-time 10 --interface "$1" \
        --cacert etc/etcd/pki/peer-ca.pem --cert etc/kiln/pki/peer.pem --key etc/kiln/pki/peer-key.pem \
        https://10.9.0.1:2380/version
}
until ask 10.9.0.1 | grep -q 200; do
    tries=$((${tries-0} + 1))
    [ "$tries" -lt 100 ] || { cat etcd.log >&2 && exit 1; }
    sleep 0.1
done
ask 10.9.0.1
ask 10.9.0.4 || true
kill "$etcd" "$dns"
wait
"#;

fn asked(version: &str, nss: &str, search: &str) -> String {
    let work = Workshop::new();
    work.file(
        "n1.toml",
        format!(
            "schema = 1\n[cluster]\nname = \"n1\"\n[etcd]\nversion = \"{version}\"\ndata-dir = \"/var/lib/etcd\"\n[pki]\n\
             renewal = \"node\"\n[network]\ncidr = \"10.9.0.0/24\"\n[[node]]\nname = \"n1\"\naddress = \"10.9.0.1\"\n"
        ),
    );
    run(work.kiln(["build", "--profile", "./n1.toml", "--artifacts"]).arg(store()));
    let archive = work.path().join("out/n1/nodes/n1/overlay.tar.gz");
    run(Command::new("tar").arg("-xzf").arg(archive).current_dir(work.path()));
    // The same configuration, below this directory.
    let conf = work.path().join("etc/etcd/etcd.conf");
    let here = work.path().display().to_string();
    let text = fs::read_to_string(&conf).unwrap();
    let text = text.replace("\"/etc/etcd/pki/peer", &format!("\"{here}/etc/kiln/pki/peer"));
    let text = text.replace("\"/etc/etcd/pki/server", &format!("\"{here}/etc/kiln/pki/server"));
    let text = text.replace("\"/etc/etcd", &format!("\"{here}/etc/etcd"));
    let text = text
        .replace(&format!("{here}/etc/kiln/pki/peer-ca.pem"), &format!("{here}/etc/etcd/pki/peer-ca.pem"));
    fs::write(&conf, text.replace("\"/var/lib/etcd\"", &format!("\"{here}/data\""))).unwrap();
    let mut command = Command::new("unshare");
    command
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-eu", "-c", SCRIPT])
        .current_dir(work.path());
    run(command.env("NSS", nss).env("SEARCH", search))
}

/// With hosts from files, as etcd's unit has it, an answer of DNS is no way in. Without that it is: the thief's address
/// leads to the name that only peers have.
#[test]
fn dns_makes_nobody_a_peer() {
    for version in ["3.5.16".to_owned(), crate::support::newer_release()] {
        let with_dns = asked(&version, "files dns", "");
        assert!(
            with_dns.contains("10.9.0.1 200") && with_dns.contains("10.9.0.4 200"),
            "{version}: {with_dns}"
        );
        for search in ["", "search evil.test"] {
            let files = asked(&version, "files", search);
            assert!(files.contains("10.9.0.1 200") && files.contains("10.9.0.4 000"), "{version}: {files}");
        }
    }
}
