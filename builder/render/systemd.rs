//! systemd's own files: their quoting, and the variables that etcd's unit removes from its environment.

/// Variables that a machine may set for all of its services (`DefaultEnvironment=`) and that no member may see.
///
/// Proxies: members reach only each other, and Go sends whatever it can through a proxy
/// (golang.org/x/net/http/httpproxy). And those of etcd's options that no profile can set, because they make it
/// another member or lose data. Its other variables are left to a drop-in: in the style `file` they have no effect,
/// and with `flags` etcd stops and names one that conflicts with a flag.
pub const UNSET: &[&str] = &[
    "ALL_PROXY",
    "FTP_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "all_proxy",
    "ftp_proxy",
    "https_proxy",
    "http_proxy",
    "no_proxy",
    "ETCD_CONFIG_FILE",
    "ETCD_DISCOVERY",
    "ETCD_DISCOVERY_PROXY",
    "ETCD_DISCOVERY_SRV",
    "ETCD_DISCOVERY_SRV_NAME",
    "ETCD_FORCE_NEW_CLUSTER",
    "ETCD_PROXY",
    "ETCD_UNSAFE_NO_FSYNC",
    "ETCD_WAL_DIR",
];

/// Those that etcd's own unit removes, which sets some of them where the profile does.
pub fn unset(sets_wal_dir: bool) -> String {
    let is_set = |name: &&str| **name == *"ETCD_WAL_DIR" && sets_wal_dir;
    UNSET.iter().copied().filter(|name| !is_set(name)).collect::<Vec<_>>().join(" ")
}

/// One argument of ExecStart=, quoted so that systemd reads back exactly this text (systemd.service(5) "Command
/// lines", systemd.unit(5) "Specifiers", systemd.syntax(7) "Quoting").
pub fn argument(text: &str) -> String {
    let escaped = text.replace('%', "%%").replace('$', "$$");
    let bare = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+$%[]".contains(c);
    if !escaped.is_empty() && escaped.chars().all(bare) { escaped } else { quoted(&escaped) }
}

/// One `NAME="value"` line of an EnvironmentFile= (systemd.exec(5)). No specifiers are expanded there.
pub fn environment(name: &str, value: &str) -> String {
    format!("{name}={}", quoted(value))
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_survive_systemd() {
        let cases = [
            ("--name=cp-a", "--name=cp-a"),
            ("--x=100%", "--x=100%%"),
            ("--x=$HOME", "--x=$$HOME"),
            ("--x=a b", "\"--x=a b\""),
            ("--x=a\"b\\c", "\"--x=a\\\"b\\\\c\""),
            ("", "\"\""),
            ("https://[::1]:2379", "https://[::1]:2379"),
        ];
        for (text, want) in cases {
            assert_eq!(argument(text), want);
        }
    }

    #[test]
    fn environment_values_are_quoted() {
        assert_eq!(environment("ETCD_NAME", "a \"b\" \\ $c"), r#"ETCD_NAME="a \"b\" \\ $c""#);
    }
}
