//! The variables of a template, as the README lists them.

/// Each with its description, in the order of the README.
pub const VARIABLES: &[(&str, &str)] = &[
    ("cluster", "the cluster's name"),
    ("domain", "`[cluster] domain`, or nothing"),
    ("token", "etcd's `initial-cluster-token`"),
    ("version", "the etcd release: `3.5.33`"),
    ("node", "the node's name"),
    ("fqdn", "`NODE.DOMAIN`, or the name alone"),
    ("address", "the node's address"),
    ("ipv4", "whether the address is IPv4"),
    ("mac", "the address of the node's card"),
    ("prefix", "the length of the network's prefix: `16`"),
    ("gateways", "a list: the gateway, or nothing"),
    ("dns", "a list: addresses of DNS servers"),
    ("dns_search", "a list: domains for short names"),
    ("ntp", "a list: time servers"),
    ("mtu", "the MTU, or nothing"),
    ("client_url", "URL of the member for clients"),
    ("peer_url", "URL of the member for peers"),
    ("nodes", "a list of all nodes, each with `name fqdn address client_url peer_url`"),
    ("peers", "a list of the other nodes, each with `name peer_url member_id record`"),
    ("program", "the path of etcd"),
    ("bin_dir", "the directory of etcd and etcdctl"),
    ("member_id", "the member's ID, in hex as etcdctl prints it"),
    ("cluster_id", "the cluster's ID, in hex"),
    ("cluster_record", "the cluster's ID as etcd's log writes it"),
    ("formed", "whether the cluster exists already"),
    ("epoch", "the build's date, in seconds since 1970"),
    ("data_serial", "the serial number of the data disk"),
    ("unit", "etcd's systemd unit: `etcd.service`"),
    ("user", "the account that etcd runs as"),
    ("data_dir", "etcd's data directory"),
    ("wal", "`[etcd] wal-dir`: `dir`, and `parent` that it is in; nothing without the key"),
    ("config_dir", "the directory of etcd's configuration"),
    ("endpoint", "the URL that etcdctl on the node dials"),
    ("pki_dir", "the directory of keys and certificates"),
    ("client_cert", "the file in `pki_dir` with the client certificate: `etcdctl.pem`"),
    ("client_key", "the file with its key: `etcdctl-key.pem`"),
    ("client_ca", "the file with the CA of the client port: `ca.pem`"),
    ("peer_cert", "the file with the peer certificate: `peer.pem`"),
    ("peer_key", "the file with its key: `peer-key.pem`"),
    ("peer_ca", "the file with the CA of the peer port: `ca.pem`"),
    ("exec_start", "the command line of etcd's unit"),
    ("environment_files", "a list: the files with etcd's variables"),
    ("unset", "the variables that etcd must not inherit"),
    ("etcd_unset", "the same for etcd's own unit, without those that it sets"),
    (
        "service",
        "`[etcd.service]`: `description restart restart_sec limit_nofile`, and lists `unit service install`",
    ),
    ("log_directories", "a list: directories of log files"),
    ("log_files", "a list: log files"),
    ("etcd_keys", "a list: paths of the keys that etcd reads"),
    ("root_keys", "a list: paths of the keys that root alone reads"),
    ("keys", "a list of all keys, each with `path mode user`"),
];

/// The README's table.
pub fn markdown() -> String {
    let rows = VARIABLES.iter().map(|(name, about)| format!("| `{name}` | {about} |\n"));
    format!("| variable | |\n|---|---|\n{}", rows.collect::<String>())
}
