use super::*;

fn read(exec_start: &str, file: &str) -> Option<Options> {
    let unit = format!("[Service]\nType=notify\nExecStart={exec_start}\nLimitNOFILE=65536\n");
    let units = [("etc/systemd/system/etcd.service".to_owned(), unit)];
    let (conf, env) = (Some(file.to_owned()), Some(file.to_owned()));
    Options::read("/bin/etcd", &units.into(), |path| conf.clone().filter(|_| path == "/etc/etcd.conf"), env)
}

fn values(options: &Options) -> Vec<String> {
    options.values.iter().flatten().map(|(flag, value)| format!("{flag}={value}")).collect()
}

#[test]
fn options_are_read_in_each_style() {
    let yaml = "# Made by Kiln.\nname: \"a\"\nheartbeat-interval: 250\npeer-transport-security:\n  \
                allowed-cn: [\"x\",\"y\"]\n  client-cert-auth: true\nquota-backend-bytes: 8589934592\n";
    let want = [
        "heartbeat-interval=250",
        "name=a",
        "peer-cert-allowed-cn=x,y",
        "peer-client-cert-auth=true",
        "quota-backend-bytes=8589934592",
    ];
    let file = read("/bin/etcd --config-file /etc/etcd.conf", yaml).unwrap();
    assert_eq!(values(&file), want);
    let flags =
        read("/bin/etcd \\\n  --name=a \\\n  \"--auth-token=jwt,k=/100%% $$HOME \\\"k\\\"\"", "").unwrap();
    assert_eq!(values(&flags), ["auth-token=jwt,k=/100% $HOME \"k\"", "name=a"]);
    let env = read("/bin/etcd", "# x\nETCD_NAME=\"a\"\nETCD_HEARTBEAT_INTERVAL=\"250\"\n").unwrap();
    assert_eq!(values(&env), ["heartbeat-interval=250", "name=a"]);
}

#[test]
fn what_kiln_did_not_write_is_not_guessed_at() {
    for other in
        ["/bin/sh -c x", "/bin/etcd --name=%H", "/bin/etcd --name=$HOST", "/bin/etcd '--x y'", "-/bin/etcd"]
    {
        assert_eq!(read(other, ""), None, "{other}");
    }
    for other in ["name: a\n", "- x\n", "a:\n    b: 1\n", "a: {\"b\": 1}\n"] {
        assert_eq!(read("/bin/etcd --config-file /etc/etcd.conf", other).unwrap().values, None, "{other}");
    }
    let unit = ("etc/systemd/system/a.service".to_owned(), "ExecStart=/bin/etcd\n".to_owned());
    let drop_in = |text: &str| ("etc/systemd/system/a.service.d/x.conf".to_owned(), text.to_owned());
    let read = |units: &[(String, String)]| {
        Options::read("/bin/etcd", &units.iter().cloned().collect(), |_| None, None).is_some()
    };
    assert!(read(&[unit.clone(), drop_in("[Service]\nNice=5\n")]));
    assert!(!read(&[unit.clone(), drop_in("[Service]\nExecStart=\nExecStart=/bin/etcd --x\n")]));
    assert!(!read(&[unit.clone(), drop_in("[Service]\nEnvironment=ETCD_NAME=b\n")]));
    assert!(!read(&[unit.clone(), ("etc/systemd/system/b.service".into(), unit.1)]));
}

#[test]
fn differences_are_named_one_by_one() {
    let line = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let baked =
        read("/bin/etcd --name=a --heartbeat-interval=250 --quota-backend-bytes=8589934592", "").unwrap();
    let told = |command: &str, quota| Settings {
        command: Some(line(command)),
        quota: Some(quota),
        extensive: Some(false),
        tls12: Some(true),
        ..Settings::default()
    };
    let good =
        told("/bin/etcd -heartbeat-interval 250 --name=a --quota-backend-bytes=8589934592", 8_589_934_592.0);
    let compared = baked.compare(&good);
    assert_eq!(compared.differences, Vec::<String>::new());
    assert!(compared.untold.is_empty());
    assert_eq!(compared.held, ["command line", "quota-backend-bytes", "metrics", "TLS 1.2"]);
    let other = told("/usr/bin/etcd --name=a --heartbeat-interval=100 --discovery-password=x", DEFAULT_QUOTA);
    let want = [
        "it runs /usr/bin/etcd, not /bin/etcd",
        "discovery-password is another, and the bundle does not set it",
        "heartbeat-interval is 100, not 250",
        "quota-backend-bytes is not set; the bundle sets 8589934592",
    ];
    assert_eq!(baked.compare(&other).differences, want);
}

#[test]
fn what_a_file_sets_and_etcd_does_not_tell_is_named() {
    let file = "name: \"a\"\nheartbeat-interval: 250\nmetrics: \"extensive\"\ntls-min-version: \"TLS1.3\"\n";
    let baked = read("/bin/etcd --config-file /etc/etcd.conf", file).unwrap();
    let told = Settings {
        command: Some(baked.command.clone()),
        quota: Some(DEFAULT_QUOTA),
        extensive: Some(false),
        tls12: Some(true),
        pprof: Some(true),
        ..Settings::default()
    };
    let compared = baked.compare(&told);
    assert_eq!(compared.untold.iter().collect::<Vec<_>>(), ["heartbeat-interval"]);
    let want = [
        "metrics is basic, not extensive",
        "enable-pprof is true, not false",
        "TLS 1.2 is accepted, not refused",
    ];
    assert_eq!(compared.differences, want);
}

/// The rehearsal of a bundle with this log level failed, with the advice to copy the files again.
#[test]
fn debug_as_the_log_level_opens_pprof() {
    for (file, is_open) in
        [("log-level: \"debug\"\n", true), ("log-level: \"info\"\n", false), ("debug: true\n", true)]
    {
        let baked = read("/bin/etcd --config-file /etc/etcd.conf", file).unwrap();
        let told = |pprof| Settings { command: Some(baked.command.clone()), pprof, ..Settings::default() };
        assert_eq!(baked.compare(&told(Some(is_open))).differences, Vec::<String>::new(), "{file}");
        assert_eq!(baked.compare(&told(Some(!is_open))).differences.len(), 1, "{file}");
    }
}
