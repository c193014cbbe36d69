//! The process that a unit of the bundle starts: program, arguments, environment, account.

use std::collections::BTreeMap;
use std::path::Path;

use super::account::{Account, account};
use super::environment::environment_file;
use super::files::{below, is, text};
use super::sandbox::Sandbox;
use super::unit::{self, Assignment, Specifiers, value, values};
use crate::disk;
use crate::failure::{Doing, Failure, Result};

/// Where systemd looks for units of the kind that are in a bundle, in its order of preference (systemd.unit(5)).
const DIRECTORIES: [&str; 4] =
    ["etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];

/// A process as the unit describes it.
#[derive(Debug)]
pub struct Service {
    /// The arguments, beginning with the program.
    pub command: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub account: Account,
    /// The unit's `User=`, also where the process runs as root for want of accounts.
    pub user: Option<String>,
    pub working_directory: String,
    pub sandbox: Sandbox,
}

/// The name of the one unit below `root` whose ExecStart runs `program` (`/usr/local/bin/etcd`).
///
/// # Errors
/// `Exit::Wrong` when there is none, or more than one.
pub fn unit_of(root: &Path, host: &str, program: &str) -> Result<String> {
    let mut found = Vec::new();
    for (name, directory) in unit_files(root)? {
        let assignments = read_unit(root, directory, &name)?;
        let runs = |a: &&str| a.trim_start_matches(PREFIXES).split_ascii_whitespace().next() == Some(program);
        if values(&assignments, "ExecStart").iter().any(runs) {
            found.push(name);
        }
    }
    match <[_; 1]>::try_from(found) {
        Ok([name]) => Ok(name),
        Err(found) if found.is_empty() => Err(Failure::wrong(format!(
            "{host} has no unit that starts {program}; a rehearsal starts etcd by the unit in the bundle"
        ))),
        Err(found) => Err(Failure::wrong(format!(
            "{host} has several units that start {program}: {}",
            found.join(", ")
        ))),
    }
}

/// The process of a unit below `root`, with its drop-ins.
///
/// Without `accounts` the node's account database is not read and the process runs as root, as is necessary in a user
/// namespace with a single account.
///
/// # Errors
/// `Exit::Wrong` when there is none of this name, or one that a rehearsal cannot start as systemd would.
pub fn service(root: &Path, host: &str, name: &str, accounts: bool) -> Result<Service> {
    let Some(directory) = unit_files(root)?.remove(name) else {
        return Err(Failure::wrong(format!("{host} has no unit {name}")));
    };
    let assignments = read_unit(root, directory, name)?;
    build(root, host, name, &assignments, accounts).doing(|| format!("reading the unit {name} of {host}"))
}

/// Every service below `root`, the preferred one where a name occurs twice.
fn unit_files(root: &Path) -> Result<BTreeMap<String, &'static str>> {
    let mut units = BTreeMap::new();
    for directory in DIRECTORIES {
        let at = below(root, directory)?;
        if !is(&at, disk::Kind::Directory)? {
            continue;
        }
        for name in disk::list(&at)? {
            if name.ends_with(".service") && is(&at.join(&name), disk::Kind::File)? {
                units.entry(name).or_insert(directory);
            }
        }
    }
    Ok(units)
}

fn read_unit(root: &Path, directory: &str, name: &str) -> Result<Vec<Assignment>> {
    let mut assignments = parse_file(&below(root, directory)?.join(name))?;
    let mut drop_ins = BTreeMap::new();
    for directory in DIRECTORIES {
        let path = below(root, directory)?.join(format!("{name}.d"));
        if is(&path, disk::Kind::Directory)? {
            for file in disk::list(&path)?.into_iter().filter(|file| file.ends_with(".conf")) {
                drop_ins.entry(file.clone()).or_insert(path.join(file));
            }
        }
    }
    // Sorted by file name, whatever their directories.
    for path in drop_ins.into_values() {
        assignments.extend(parse_file(&path)?);
    }
    Ok(assignments)
}

fn parse_file(path: &Path) -> Result<Vec<Assignment>> {
    unit::parse(&text(path)?).doing(|| format!("reading {}", path.display()))
}

fn build(root: &Path, host: &str, unit: &str, assignments: &[Assignment], accounts: bool) -> Result<Service> {
    let account = match value(assignments, "User") {
        Some(user) if accounts => account(root, user, value(assignments, "Group"))?,
        _ => Account::root(),
    };
    let specifiers = Specifiers { unit, host, user: &account.name, uid: account.uid, home: &account.home };
    let manager = manager(root)?;
    let mut environment = base_environment(&account);
    let defaults = manager.iter().filter(|a| a.section == "Manager" && a.key == "DefaultEnvironment");
    for assignment in defaults {
        match assignment.value.as_str() {
            "" => environment = base_environment(&account),
            line => environment.extend(pairs("DefaultEnvironment", &specifiers.expand(line)?)?),
        }
    }
    for line in values(assignments, "Environment") {
        environment.extend(pairs("Environment", &specifiers.expand(line)?)?);
    }
    for file in values(assignments, "EnvironmentFile") {
        environment.extend(environment_file(root, &specifiers.expand(file)?)?);
    }
    // Applied last, whichever setting defined them (systemd.exec(5)).
    for line in values(assignments, "UnsetEnvironment") {
        for word in unit::words(&specifiers.expand(line)?)? {
            match word.split_once('=') {
                Some((name, value)) => environment.retain(|n, v| n != name || v != value),
                None => environment.retain(|name, _| *name != word),
            }
        }
    }
    refuse_other_code(&account, &environment)?;
    let sandbox = Sandbox::of(assignments, &manager, &specifiers)?;
    let [command] = values(assignments, "ExecStart")[..] else {
        return Err(Failure::wrong("it has more than one ExecStart; a rehearsal starts one process"));
    };
    let command = command_line(command, &specifiers, &environment)?;
    let working_directory = match value(assignments, "WorkingDirectory") {
        Some("~") => account.home.clone(),
        Some(path) => specifiers.expand(path.trim_start_matches('-'))?,
        None => "/".into(),
    };
    let user = value(assignments, "User").map(str::to_owned);
    Ok(Service { command, environment, account, user, working_directory, sandbox })
}

/// Variables by which the dynamic loader or the C library loads other code into a program (ld.so(8), iconv(3)).
const LOADERS: [&str; 3] = ["LD_", "GCONV_PATH", "GLIBC_TUNABLES"];

/// Checks that the process is the program that was compared with the manifest, and not root by another name.
///
/// # Errors
/// `Exit::Untrusted` when it is not.
fn refuse_other_code(account: &Account, environment: &BTreeMap<String, String>) -> Result<()> {
    if let Some(name) = environment.keys().find(|name| LOADERS.iter().any(|loader| name.starts_with(loader)))
    {
        return Err(Failure::untrusted(format!(
            "it sets {name}, which loads other code into etcd than the manifest names; a rehearsal does not run that: \
             remove the variable from the unit, its drop-ins and its environment files"
        )));
    }
    if account.uid == 0 && account.name != "root" {
        return Err(Failure::untrusted(format!(
            "the account {} has the number 0, which is root; a rehearsal does not run a bundle's program as root by \
             another name: remove the number from the node's sysusers.d",
            account.name
        )));
    }
    Ok(())
}

/// The settings of systemd itself in the node's files (systemd-system.conf(5)): the main file first.
fn manager(root: &Path) -> Result<Vec<Assignment>> {
    const PLACES: [&str; 3] = ["etc/systemd", "usr/local/lib/systemd", "usr/lib/systemd"];
    let mut all = Vec::new();
    for place in PLACES {
        let main = below(root, place)?.join("system.conf");
        if is(&main, disk::Kind::File)? {
            all.extend(parse_file(&main)?);
            break;
        }
    }
    let mut drop_ins = BTreeMap::new();
    for place in PLACES {
        let path = below(root, place)?.join("system.conf.d");
        if is(&path, disk::Kind::Directory)? {
            for file in disk::list(&path)?.into_iter().filter(|file| file.ends_with(".conf")) {
                drop_ins.entry(file.clone()).or_insert(path.join(file));
            }
        }
    }
    for path in drop_ins.into_values() {
        all.extend(parse_file(&path)?);
    }
    Ok(all)
}

/// `NAME=VALUE` words.
fn pairs(key: &str, line: &str) -> Result<Vec<(String, String)>> {
    let pair = |word: String| match word.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(Failure::wrong(format!("{key}={word} is not NAME=VALUE; systemd would ignore it"))),
    };
    unit::words(line)?.into_iter().map(pair).collect()
}

/// The variables that systemd sets for a system service with User= (systemd.exec(5), "Environment variables in spawned
/// processes").
fn base_environment(account: &Account) -> BTreeMap<String, String> {
    let pairs = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"),
        ("LANG", "C.UTF-8"),
        ("USER", &account.name),
        ("LOGNAME", &account.name),
        ("HOME", &account.home),
        ("SHELL", "/bin/sh"),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// The characters that systemd allows before the program (systemd.service(5), "Command lines").
const PREFIXES: [char; 5] = ['@', '-', ':', '+', '!'];

fn command_line(
    line: &str,
    specifiers: &Specifiers<'_>,
    environment: &BTreeMap<String, String>,
) -> Result<Vec<String>> {
    let bare = line.trim_start_matches(PREFIXES);
    let prefixes = &line[..line.len() - bare.len()];
    if prefixes.contains(['@', '+', '!']) {
        return Err(Failure::wrong(format!(
            "ExecStart begins with {prefixes}, which changes the account or the program's name; \
             a rehearsal starts it without"
        )));
    }
    let mut command = Vec::new();
    for word in unit::words(bare)? {
        if word == ";" {
            return Err(Failure::wrong("ExecStart has several commands; a rehearsal starts one process"));
        }
        let word = specifiers.expand(&word)?;
        if command.is_empty() || prefixes.contains(':') {
            command.push(word);
        } else {
            command.extend(variables(&word, environment));
        }
    }
    Ok(command)
}

/// `${NAME}` anywhere is replaced by the value, `$NAME` as a word of its own by the value's words, `$$` by a dollar
/// sign.
fn variables(word: &str, environment: &BTreeMap<String, String>) -> Vec<String> {
    let value = |name: &str| environment.get(name).map(String::as_str).unwrap_or_default();
    if let Some(name) = word.strip_prefix('$')
        && !name.starts_with(['{', '$'])
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    {
        return value(name).split_ascii_whitespace().map(str::to_owned).collect();
    }
    let mut text = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        text.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some((name, after)) = after.strip_prefix('{').and_then(|after| after.split_once('}')) {
            text.push_str(value(name));
            rest = after;
        } else {
            text.push('$');
            rest = after;
        }
    }
    text.push_str(rest);
    vec![text]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::Mode;

    const UNIT: &str = "[Service]\nType=notify\nUser=etcd\nGroup=kv\nEnvironment=A=1 \"B=two words\"\n\
        EnvironmentFile=/etc/etcd/etcd.env\nEnvironmentFile=-/etc/missing\n\
        ExecStart=/usr/local/bin/etcd --name=%H \\\n  --a=${A} $LIST '--b=x y' $$C\n";

    fn node(files: &[(&str, &str)]) -> disk::Scratch {
        let scratch = disk::Scratch::new("test").unwrap();
        let base = [
            ("etc/passwd", "etcd:x:998:997:etcd:/var/lib/etcd:/usr/sbin/nologin\n"),
            ("etc/group", "etcd:x:997:\nkv:x:500:\n"),
            (
                "etc/etcd/etcd.env",
                "# c\nA=file\nLIST=\"p q\"\nLONG=a\\\nb\nS='$x'\nE=\"\\\"q\\n\"\nnonsense\n",
            ),
            ("etc/systemd/system/etcd.service", UNIT),
            ("etc/systemd/system/backup.service", "[Service]\nExecStart=/usr/local/bin/etcdctl snapshot\n"),
        ];
        for (path, text) in base.iter().chain(files) {
            let path = scratch.path().join(path);
            disk::make_directories(path.parent().unwrap(), Mode::DIRECTORY).unwrap();
            disk::write_whole(&path, text.as_bytes(), Mode::FILE).unwrap();
        }
        scratch
    }

    fn read(scratch: &disk::Scratch, accounts: bool) -> Result<Service> {
        let unit = unit_of(scratch.path(), "cp-a", "/usr/local/bin/etcd")?;
        service(scratch.path(), "cp-a", &unit, accounts)
    }

    #[test]
    fn a_unit_becomes_a_process() {
        let scratch = node(&[]);
        let service = read(&scratch, true).unwrap();
        let want = ["/usr/local/bin/etcd", "--name=cp-a", "--a=file", "p", "q", "--b=x y", "$C"];
        assert_eq!(service.command, want);
        let account = Account { name: "etcd".into(), uid: 998, gid: 500, home: "/var/lib/etcd".into() };
        assert_eq!(service.account, account);
        let environment = |name: &str| service.environment.get(name).map(String::as_str);
        for (name, value) in [
            ("A", Some("file")),
            ("B", Some("two words")),
            ("LONG", Some("ab")),
            ("S", Some("$x")),
            ("E", Some("\"q\\n")),
            ("HOME", Some("/var/lib/etcd")),
            ("nonsense", None),
        ] {
            assert_eq!(environment(name), value, "{name}");
        }
        assert_eq!(read(&scratch, false).unwrap().account, Account::root());
    }

    #[test]
    fn drop_ins_change_it() {
        let scratch = node(&[(
            "etc/systemd/system/etcd.service.d/10-x.conf",
            "[Service]\nExecStart=\nExecStart=-/usr/local/bin/etcd --config-file /etc/c\nUser=\nWorkingDirectory=/var\n",
        )]);
        let service = read(&scratch, true).unwrap();
        assert_eq!(service.command, ["/usr/local/bin/etcd", "--config-file", "/etc/c"]);
        assert_eq!((service.account.uid, service.working_directory.as_str()), (0, "/var"));
    }

    #[test]
    fn what_cannot_be_started_the_same_way_is_refused() {
        let unit = "etc/systemd/system/etcd.service";
        let other = "etc/systemd/system/other.service";
        let start = |line: &str| format!("[Service]\n{line}\nExecStart=/usr/local/bin/etcd\n");
        let cases: &[(&str, String, &str)] = &[
            (unit, "[Service]\nExecStart=/bin/true\n".into(), "has no unit"),
            (other, start("User=etcd"), "several units"),
            (unit, start("User=nobody"), "User nobody"),
            (unit, start("User=etcd\nGroup=none"), "Group none"),
            (unit, start("EnvironmentFile=/etc/no"), "/etc/no"),
            (unit, start("EnvironmentFile=/etc/*.env"), "pattern"),
            (unit, start("Environment=JUNK"), "JUNK"),
            (unit, start("Environment=LD_LIBRARY_PATH=/opt/evil"), "LD_LIBRARY_PATH, which loads other code"),
            (unit, start("Environment=LD_PRELOAD=/x GCONV_PATH=/y"), "GCONV_PATH, which loads other code"),
            ("etc/passwd", "etcd:x:0:500::/var/lib/etcd:/bin/sh\n".into(), "etcd has the number 0"),
            (unit, start("ExecStart=/bin/other"), "more than one"),
            (unit, "[Service]\nExecStart=+/usr/local/bin/etcd\n".into(), "begins with +"),
            (unit, "[Service]\nExecStart=/usr/local/bin/etcd --id=%m\n".into(), "%m"),
            (unit, "[Service]\nExecStart=/usr/local/bin/etcd 'x\n".into(), "quote"),
            (unit, "[Service]\nExecStart=/usr/local/bin/etcd ; /bin/true\n".into(), "several commands"),
        ];
        for (path, text, want) in cases {
            let error = read(&node(&[(path, text)]), true).unwrap_err().to_string();
            assert!(error.contains(want), "{error} lacks {want}");
        }
    }
}
