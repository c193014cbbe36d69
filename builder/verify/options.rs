//! The options of a node's etcd, from its unit and its configuration in the bundle, compared with those that the
//! member reports.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::Settings;
use crate::etcd::keys;

/// `DefaultQuotaBytes` of server/storage/quota.go: the meaning of 0, or of no value.
const DEFAULT_QUOTA: f64 = 2_147_483_648.0;

/// Options that other checks cover: the member's identity and URLs by its member list, the certificates by those that
/// the ports send, and the accepted clients by probes.
const SEEN_ELSEWHERE: [&str; 17] = [
    "name",
    "listen-peer-urls",
    "listen-client-urls",
    "initial-advertise-peer-urls",
    "advertise-client-urls",
    "initial-cluster",
    "initial-cluster-token",
    // It describes how a member was created; etcd ignores it when there is data.
    "initial-cluster-state",
    "cert-file",
    "key-file",
    "trusted-ca-file",
    "client-cert-auth",
    "peer-cert-file",
    "peer-key-file",
    "peer-trusted-ca-file",
    "peer-client-cert-auth",
    "peer-cert-allowed-cn",
];

/// Options that a member reports however they were set.
const TOLD: [&str; 5] =
    ["quota-backend-bytes", "metrics", "enable-pprof", "tls-min-version", "tls-max-version"];

/// The options of one node's etcd.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// The arguments, beginning with the program.
    pub command: Vec<String>,
    /// By flag, for all styles; `None` when the file with them was not written by Kiln.
    pub values: Option<BTreeMap<String, String>>,
}

/// The result of a comparison.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compared {
    pub differences: Vec<String>,
    /// The options that were compared.
    pub held: Vec<&'static str>,
    /// Options of the bundle that etcd does not report to clients.
    pub untold: BTreeSet<String>,
}

impl Options {
    /// From the node's units, by path, and from the file that the command line names.
    ///
    /// `None` when no unit, or more than one, starts `program`, or when one of its lines has a meaning for systemd
    /// that Kiln's units do not use: the command line is then unknown.
    pub fn read(
        program: &str,
        units: &BTreeMap<String, String>,
        file: impl Fn(&str) -> Option<String>,
        environment: Option<String>,
    ) -> Option<Self> {
        let starts = |text: &str| exec_start(text).filter(|command| command[0] == program);
        let mut found = units.iter().filter_map(|(path, text)| Some((path, starts(text)?)));
        let (path, command) = found.next()?;
        let drop_ins = format!("{path}.d/");
        let drop_ins = units.iter().filter(|(other, _)| other.starts_with(&drop_ins));
        let changed = |(_, text): (&String, &String)| {
            let line = |line: &str| {
                let line = line.trim_start();
                line.starts_with("ExecStart=")
                    || line.starts_with("EnvironmentFile=")
                    || line.contains("ETCD_")
            };
            text.lines().any(line)
        };
        if found.next().is_some() || drop_ins.into_iter().any(changed) {
            return None;
        }
        let flags = flags(&command[1..]);
        let values = match flags.get("config-file") {
            Some(path) => file(path).as_deref().and_then(yaml_values),
            None if flags.is_empty() => environment.as_deref().and_then(environment_values),
            None => Some(flags),
        };
        Some(Self { command, values })
    }

    pub fn compare(&self, told: &Settings) -> Compared {
        let mut compared = Compared::default();
        let mut by_command = false;
        if let Some(command) = &told.command {
            compared.held.push("command line");
            compared.differences.extend(differences(&self.command, command));
            by_command = flags(&self.command[1..]).keys().any(|flag| flag != "config-file");
        }
        let Some(values) = &self.values else {
            compared
                .untold
                .insert("the options in its configuration file, which Kiln did not write".to_owned());
            return compared;
        };
        let value = |flag: &str| values.get(flag).map_or("", String::as_str);
        let mut judge = |what: &'static str, is: Option<String>, want: &str| {
            let Some(is) = is else { return };
            compared.held.push(what);
            // A difference in a flag on the command line has been reported already.
            let said = |text: &String| text.split(' ').next() == Some(what);
            if is != want && !compared.differences.iter().any(said) {
                compared.differences.push(format!("{what} is {is}, not {want}"));
            }
        };
        let quota = value("quota-backend-bytes").parse().ok().filter(|bytes| *bytes != 0.0);
        let quota: f64 = quota.unwrap_or(DEFAULT_QUOTA);
        judge("quota-backend-bytes", told.quota.map(|bytes| bytes.to_string()), &quota.to_string());
        let choice =
            |is: Option<bool>, [no, yes]: [&str; 2]| is.map(|is| if is { yes } else { no }.to_owned());
        let metrics = choice(told.extensive, ["basic", "extensive"]);
        judge("metrics", metrics, if value("metrics") == "extensive" { "extensive" } else { "basic" });
        let pprof = choice(told.pprof, ["false", "true"]);
        judge("enable-pprof", pprof, if value("enable-pprof") == "true" { "true" } else { "false" });
        let (least, most) = (value("tls-min-version"), value("tls-max-version"));
        let answers = ["refused", "accepted"];
        judge("TLS 1.2", choice(told.tls12, answers), answers[usize::from(least != "TLS1.3")]);
        judge("TLS 1.3", choice(told.tls13, answers), answers[usize::from(most != "TLS1.2")]);
        if !by_command {
            let unseen =
                |flag: &&String| !SEEN_ELSEWHERE.contains(&flag.as_str()) && !TOLD.contains(&flag.as_str());
            compared.untold = values.keys().filter(unseen).cloned().collect();
        }
        compared
    }
}

/// The differences of two command lines, flag by flag.
fn differences(baked: &[String], running: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    if baked.first() != running.first() {
        let name = |line: &[String]| line.first().cloned().unwrap_or_default();
        all.push(format!("it runs {}, not {}", name(running), name(baked)));
    }
    let [want, have] = [baked, running].map(|line| flags(line.get(1..).unwrap_or_default()));
    let shown = |flag: &str, value: &str| match flag.contains("password") {
        true => "another".to_owned(),
        false => value.to_owned(),
    };
    for flag in want.keys().chain(have.keys()).collect::<BTreeSet<_>>() {
        match (have.get(flag), want.get(flag)) {
            (Some(is), Some(want)) if is != want => {
                all.push(format!("{flag} is {}, not {}", shown(flag, is), shown(flag, want)));
            }
            (Some(is), None) => {
                all.push(format!("{flag} is {}, and the bundle does not set it", shown(flag, is)))
            }
            (None, Some(want)) => {
                all.push(format!("{flag} is not set; the bundle sets {}", shown(flag, want)))
            }
            _ => {}
        }
    }
    all
}

/// Flags as Go's package flag parses them: one or two dashes, the value after `=` or in the next argument.
fn flags(arguments: &[String]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut rest = arguments.iter().peekable();
    while let Some(argument) = rest.next() {
        let name = argument.trim_start_matches('-');
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            // A boolean flag has none.
            None if rest.peek().is_none_or(|next| next.starts_with('-')) => (name, "true".to_owned()),
            None => (name, rest.next().cloned().unwrap_or_default()),
        };
        all.insert(name.to_owned(), value);
    }
    all
}

/// The command line of a unit as `render` writes it: words bare or in double quotes, in which a single one is itself
/// (systemd.syntax(7)), `%%` and `$$` as escapes. `None` for anything else that systemd would interpret.
fn exec_start(unit: &str) -> Option<Vec<String>> {
    let mut lines = unit.lines().skip_while(|line| !line.starts_with("ExecStart="));
    let mut text = String::new();
    for line in lines.by_ref() {
        text.push_str(line.trim_end_matches('\\'));
        text.push(' ');
        if !line.ends_with('\\') {
            break;
        }
    }
    // A second line would replace the first or add to it.
    if lines.any(|line| line.starts_with("ExecStart=")) {
        return None;
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut rest = text.strip_prefix("ExecStart=")?.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => {
                word.get_or_insert_default();
                quoted = !quoted;
            }
            '\\' if quoted => word.get_or_insert_default().push(rest.next()?),
            '%' | '$' => match rest.next() {
                Some(twin) if twin == c => word.get_or_insert_default().push(c),
                _ => return None,
            },
            '\\' | '\'' if !quoted => return None,
            c if c.is_ascii_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    (!quoted && !words.is_empty()).then_some(words)
}

/// etcd's configuration file as `render` writes it, by flag: a map of JSON scalars and lists, with one level of
/// sections.
fn yaml_values(text: &str) -> Option<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    let mut section = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (key, value) = line.split_once(':')?;
        let key = match key.strip_prefix("  ") {
            Some(inner) if !section.is_empty() => format!("{section}.{inner}"),
            Some(_) => return None,
            None => key.to_owned(),
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        if !key.chars().all(plain) {
            return None;
        }
        if value.is_empty() {
            section = key;
            continue;
        }
        if !line.starts_with(' ') {
            section.clear();
        }
        let value: serde_json::Value = serde_json::from_str(value).ok()?;
        // An option of the file only has no flag; its own name is used instead.
        values.insert(keys::flag_name(&key).unwrap_or(key), scalar(&value)?);
    }
    Some(values)
}

fn scalar(value: &serde_json::Value) -> Option<String> {
    Some(match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => value.to_string(),
        serde_json::Value::Array(list) => list.iter().map(scalar).collect::<Option<Vec<_>>>()?.join(","),
        serde_json::Value::Null | serde_json::Value::Object(_) => return None,
    })
}

/// An environment file as `render` writes it, by flag: `ETCD_HEARTBEAT_INTERVAL="100"`.
fn environment_values(text: &str) -> Option<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, value) = line.split_once('=')?;
        let flag = name.strip_prefix("ETCD_")?.to_ascii_lowercase().replace('_', "-");
        // JSON has the two escapes of systemd's that `render` writes.
        values.insert(flag, serde_json::from_str(value).ok()?);
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(exec_start: &str, file: &str) -> Option<Options> {
        let unit = format!("[Service]\nType=notify\nExecStart={exec_start}\nLimitNOFILE=65536\n");
        let units = [("etc/systemd/system/etcd.service".to_owned(), unit)];
        let (conf, env) = (Some(file.to_owned()), Some(file.to_owned()));
        Options::read(
            "/bin/etcd",
            &units.into(),
            |path| conf.clone().filter(|_| path == "/etc/etcd.conf"),
            env,
        )
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
            read("/bin/etcd \\\n  --name=a \\\n  \"--auth-token=jwt,k='/100%% $$HOME \\\"k\\\"\"", "")
                .unwrap();
        assert_eq!(values(&flags), ["auth-token=jwt,k='/100% $HOME \"k\"", "name=a"]);
        let env = read("/bin/etcd", "# x\nETCD_NAME=\"a\"\nETCD_HEARTBEAT_INTERVAL=\"250\"\n").unwrap();
        assert_eq!(values(&env), ["heartbeat-interval=250", "name=a"]);
    }

    #[test]
    fn what_kiln_did_not_write_is_not_guessed_at() {
        for other in [
            "/bin/sh -c x",
            "/bin/etcd --name=%H",
            "/bin/etcd --name=$HOST",
            "/bin/etcd '--x y'",
            "-/bin/etcd",
        ] {
            assert_eq!(read(other, ""), None, "{other}");
        }
        for other in ["name: a\n", "- x\n", "a:\n    b: 1\n", "a: {\"b\": 1}\n"] {
            assert_eq!(
                read("/bin/etcd --config-file /etc/etcd.conf", other).unwrap().values,
                None,
                "{other}"
            );
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
        let good = told(
            "/bin/etcd -heartbeat-interval 250 --name=a --quota-backend-bytes=8589934592",
            8_589_934_592.0,
        );
        let compared = baked.compare(&good);
        assert_eq!(compared.differences, Vec::<String>::new());
        assert!(compared.untold.is_empty());
        assert_eq!(compared.held, ["command line", "quota-backend-bytes", "metrics", "TLS 1.2"]);
        let other =
            told("/usr/bin/etcd --name=a --heartbeat-interval=100 --discovery-password=x", DEFAULT_QUOTA);
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
        let file =
            "name: \"a\"\nheartbeat-interval: 250\nmetrics: \"extensive\"\ntls-min-version: \"TLS1.3\"\n";
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
}
