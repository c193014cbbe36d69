//! The restrictions of a unit on its process (systemd.exec(5)): which of them a rehearsal imitates, and which it does
//! not.

use std::collections::{BTreeMap, BTreeSet};

use super::settings::{boolean, directory, is_true, limits, octal, umask};
use super::unit::{self, Assignment, Specifiers, value, values};
use crate::failure::{Failure, Result};

/// The access of the process to a path of the node. If there are two for one path, the first variant takes precedence,
/// as in systemd (src/core/namespace.c, `mount_path_compare`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// An empty directory without permissions.
    Hidden,
    /// An empty directory.
    Empty,
    ReadOnly,
    ReadWrite,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub access: Access,
    /// The setting that requires the path to exist, as it is in the unit: `ReadWritePaths=/var/lib/etcd`.
    pub required_by: Option<String>,
}

/// A directory that systemd makes before the process starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Absolute in the node.
    pub path: String,
    pub mode: u32,
    /// The service's account owns it.
    pub is_owned: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// By absolute path in the node.
    pub entries: BTreeMap<String, Entry>,
    pub made: Vec<Made>,
    pub private_tmp: bool,
    /// Resource -> soft and hard limit, as prlimit(1) takes them: `nofile` -> `1024:65536`.
    pub limits: BTreeMap<&'static str, String>,
    pub umask: u32,
    /// Settings of the unit that a rehearsal does not imitate.
    pub not_imitated: BTreeSet<String>,
}

/// Setting, base directory, and whether the account owns the directories (systemd.exec(5), "Sandboxing").
const DIRECTORIES: [(&str, &str, bool); 5] = [
    ("StateDirectory", "/var/lib", true),
    ("CacheDirectory", "/var/cache", true),
    ("LogsDirectory", "/var/log", true),
    ("RuntimeDirectory", "/run", true),
    ("ConfigurationDirectory", "/etc", false),
];

const PATHS: [(&str, Access); 3] = [
    ("ReadWritePaths", Access::ReadWrite),
    ("ReadOnlyPaths", Access::ReadOnly),
    ("InaccessiblePaths", Access::Hidden),
];

/// Setting, prlimit(1)'s name, and whether K, M, G and T may follow the number.
const LIMITS: [(&str, &str, bool); 15] = [
    ("LimitAS", "as", true),
    ("LimitCORE", "core", true),
    ("LimitCPU", "cpu", false),
    ("LimitDATA", "data", true),
    ("LimitFSIZE", "fsize", true),
    ("LimitLOCKS", "locks", false),
    ("LimitMEMLOCK", "memlock", true),
    ("LimitMSGQUEUE", "msgqueue", true),
    ("LimitNICE", "nice", false),
    ("LimitNOFILE", "nofile", false),
    ("LimitNPROC", "nproc", false),
    ("LimitRSS", "rss", true),
    ("LimitRTPRIO", "rtprio", false),
    ("LimitSIGPENDING", "sigpending", false),
    ("LimitSTACK", "stack", true),
];

/// Settings that are imitated, here or in service.rs.
const IMITATED: [&str; 12] = [
    "Environment",
    "EnvironmentFile",
    "ExecStart",
    "Group",
    "PrivateDevices",
    "PrivateTmp",
    "ProtectHome",
    "ProtectSystem",
    "UMask",
    "UnsetEnvironment",
    "User",
    "WorkingDirectory",
];

/// Settings without effect on one start of a few seconds: when and how the unit is restarted, stopped, weighed against
/// others, and where its output goes.
const NEUTRAL: [&str; 34] = [
    "CPUSchedulingPolicy",
    "CPUWeight",
    "ExecReload",
    "ExecStop",
    "ExecStopPost",
    "FinalKillSignal",
    "GuessMainPID",
    "IOSchedulingClass",
    "IOSchedulingPriority",
    "IOWeight",
    "KillMode",
    "KillSignal",
    "LogRateLimitBurst",
    "LogRateLimitIntervalSec",
    "Nice",
    "NotifyAccess",
    "OOMPolicy",
    "OOMScoreAdjust",
    "RemainAfterExit",
    "RemoveIPC",
    "Restart",
    "RestartForceExitStatus",
    "RestartPreventExitStatus",
    "RestartSec",
    "SendSIGKILL",
    "Slice",
    "StandardError",
    "StandardOutput",
    "SuccessExitStatus",
    "SyslogIdentifier",
    "TimeoutSec",
    "TimeoutStartSec",
    "TimeoutStopSec",
    "Type",
];

impl Sandbox {
    /// `manager` are the settings of the node's system.conf.
    ///
    /// # Errors
    /// `Exit::Wrong` for a value that systemd would refuse.
    pub fn of(
        assignments: &[Assignment],
        manager: &[Assignment],
        specifiers: &Specifiers<'_>,
    ) -> Result<Self> {
        let mut sandbox = Self { umask: umask(assignments)?, ..Self::default() };
        sandbox.protect(assignments)?;
        for (key, access) in PATHS {
            for line in values(assignments, key) {
                for word in unit::words(&specifiers.expand(line)?)? {
                    sandbox.path(key, &word, access)?;
                }
            }
        }
        for (key, base, is_owned) in DIRECTORIES {
            let mode = octal(assignments, &format!("{key}Mode"), 0o755)?;
            for line in values(assignments, key) {
                for word in unit::words(&specifiers.expand(line)?)? {
                    let path = directory(key, base, &word)?;
                    sandbox.enter(path.clone(), Access::ReadWrite, None);
                    sandbox.made.push(Made { path, mode, is_owned });
                }
            }
        }
        sandbox.private_tmp = match value(assignments, "PrivateTmp") {
            Some("disconnected") => true,
            Some(text) => boolean("PrivateTmp", text)?,
            None => false,
        };
        sandbox.limit(assignments, manager);
        sandbox.not_imitated.extend(not_imitated(assignments));
        Ok(sandbox)
    }

    /// ProtectSystem= and ProtectHome=.
    fn protect(&mut self, assignments: &[Assignment]) -> Result<()> {
        let system: &[&str] = match value(assignments, "ProtectSystem") {
            Some("strict") => &["/"],
            Some("full") => &["/usr", "/boot", "/efi", "/etc"],
            Some(text) if boolean("ProtectSystem", text)? => &["/usr", "/boot", "/efi"],
            _ => &[],
        };
        system.iter().for_each(|path| self.enter((*path).to_owned(), Access::ReadOnly, None));
        let home = match value(assignments, "ProtectHome") {
            Some("read-only") => Some(Access::ReadOnly),
            Some("tmpfs") => Some(Access::Empty),
            Some(text) if boolean("ProtectHome", text)? => Some(Access::Hidden),
            _ => None,
        };
        for path in ["/home", "/root", "/run/user"] {
            home.into_iter().for_each(|access| self.enter(path.to_owned(), access, None));
        }
        Ok(())
    }

    /// A path may begin with `-` (it may be missing) and `+` (relative to RootDirectory=).
    fn path(&mut self, key: &str, word: &str, access: Access) -> Result<()> {
        let (bare, optional) = match word.strip_prefix('-') {
            Some(bare) => (bare, true),
            None => (word, false),
        };
        let path = bare.strip_prefix('+').unwrap_or(bare);
        if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(Failure::wrong(format!(
                "{key}={word} is not an absolute path; systemd would ignore it"
            )));
        }
        let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let required_by = (!optional).then(|| format!("{key}={word}"));
        self.enter(format!("/{}", parts.join("/")), access, required_by);
        Ok(())
    }

    /// Whether a directory above it is empty for the process: the unit's setting for the path then has no effect.
    pub fn is_hidden(&self, path: &str) -> bool {
        let empty =
            self.entries.iter().filter(|(_, entry)| matches!(entry.access, Access::Hidden | Access::Empty));
        empty
            .map(|(above, _)| above)
            .any(|above| path.strip_prefix(above.as_str()).is_some_and(|rest| rest.starts_with('/')))
    }

    fn enter(&mut self, path: String, access: Access, required_by: Option<String>) {
        let entry = self.entries.entry(path).or_insert_with(|| Entry { access, required_by: None });
        entry.access = entry.access.min(access);
        entry.required_by = entry.required_by.take().or(required_by);
    }

    /// For an account that may not raise its limits: limits that are too high are lowered to the allowed ones. `may`
    /// returns the highest allowed limit, `None` if there is none.
    pub fn fit(&mut self, may: impl Fn(&str) -> Option<u64>) {
        for (name, pair) in &mut self.limits {
            let Some(most) = may(name) else { continue };
            let fitted = pair.split(':').map(|one| match one.parse::<u64>() {
                Ok(wanted) if wanted <= most => one.to_owned(),
                _ => most.to_string(),
            });
            let fitted = fitted.collect::<Vec<_>>().join(":");
            if fitted != *pair {
                let setting =
                    LIMITS.iter().find(|(_, other, _)| other == name).map_or(*name, |(key, _, _)| key);
                self.not_imitated.insert(format!("{setting} (this account may have {most} at most)"));
                *pair = fitted;
            }
        }
    }

    fn limit(&mut self, assignments: &[Assignment], manager: &[Assignment]) {
        for (key, name, is_size) in LIMITS {
            let default = format!("Default{key}");
            let in_manager =
                || manager.iter().rfind(|a| a.section == "Manager" && a.key == default).map(|a| &*a.value);
            let Some(text) = value(assignments, key).or_else(in_manager) else { continue };
            match limits(text, is_size) {
                Some(pair) => {
                    self.limits.insert(name, pair);
                }
                None => {
                    self.not_imitated.insert(format!("{key}={text}"));
                }
            }
        }
    }
}

/// The settings in `[Service]` that this module does not know, except those that are switched off.
fn not_imitated(assignments: &[Assignment]) -> BTreeSet<String> {
    let mut last = BTreeMap::new();
    for assignment in assignments.iter().filter(|a| a.section == "Service") {
        last.insert(assignment.key.as_str(), assignment.value.as_str());
    }
    let known = |key: &str| {
        IMITATED.contains(&key)
            || NEUTRAL.contains(&key)
            || PATHS.iter().any(|(path, _)| *path == key)
            || LIMITS.iter().any(|(limit, _, _)| *limit == key)
            || DIRECTORIES.iter().any(|(name, _, _)| key.strip_suffix("Mode").unwrap_or(key) == *name)
            || key.starts_with("X-")
    };
    let unknown = last.into_iter().filter(|(key, text)| !known(key) && is_true(text) != Some(false));
    unknown.map(|(key, _)| key.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(text: &str) -> Result<Sandbox> {
        let assignments = unit::parse(&format!("[Service]\n{text}")).unwrap();
        let manager = unit::parse("[Manager]\nDefaultLimitNOFILE=10:20\nDefaultLimitCORE=0\n").unwrap();
        let specifiers =
            Specifiers { unit: "etcd.service", host: "cp-a", user: "etcd", uid: 998, home: "/var/lib/etcd" };
        Sandbox::of(&assignments, &manager, &specifiers)
    }

    fn access(sandbox: &Sandbox) -> Vec<(&str, Access)> {
        sandbox.entries.iter().map(|(path, entry)| (path.as_str(), entry.access)).collect()
    }

    #[test]
    fn a_unit_says_what_may_be_written() {
        use Access::{Empty, Hidden, ReadOnly, ReadWrite};
        let cases: &[(&str, &[(&str, Access)])] = &[
            ("", &[]),
            ("ProtectSystem=no\nProtectHome=off", &[]),
            ("ProtectSystem=yes", &[("/boot", ReadOnly), ("/efi", ReadOnly), ("/usr", ReadOnly)]),
            (
                "ProtectSystem=full",
                &[("/boot", ReadOnly), ("/efi", ReadOnly), ("/etc", ReadOnly), ("/usr", ReadOnly)],
            ),
            (
                "ProtectSystem=strict\nReadWritePaths=/var/lib/etcd -/srv//x/\nLogsDirectory=etcd",
                &[
                    ("/", ReadOnly),
                    ("/srv/x", ReadWrite),
                    ("/var/lib/etcd", ReadWrite),
                    ("/var/log/etcd", ReadWrite),
                ],
            ),
            ("ProtectHome=yes", &[("/home", Hidden), ("/root", Hidden), ("/run/user", Hidden)]),
            ("ProtectHome=tmpfs", &[("/home", Empty), ("/root", Empty), ("/run/user", Empty)]),
            // An empty assignment resets the list; of two for one path the stricter takes precedence.
            ("ReadWritePaths=/a\nReadWritePaths=\nReadWritePaths=/b", &[("/b", ReadWrite)]),
            ("ReadWritePaths=/a\nInaccessiblePaths=/a\nReadOnlyPaths=/a", &[("/a", Hidden)]),
        ];
        for (text, want) in cases {
            assert_eq!(access(&sandbox(text).unwrap()), *want, "{text}");
        }
        let hidden = sandbox("ProtectHome=yes\nReadOnlyPaths=/root/keys /rooted").unwrap();
        assert!(hidden.is_hidden("/root/keys") && !hidden.is_hidden("/rooted") && !hidden.is_hidden("/root"));
        let strict =
            sandbox("ReadWritePaths=/a -/b\nStateDirectory=etcd/wal:x\nStateDirectoryMode=0700").unwrap();
        assert_eq!(strict.entries["/a"].required_by.as_deref(), Some("ReadWritePaths=/a"));
        assert_eq!(strict.entries["/b"].required_by, None);
        assert_eq!(strict.made, [Made { path: "/var/lib/etcd/wal".into(), mode: 0o700, is_owned: true }]);
    }

    #[test]
    fn what_systemd_would_ignore_is_refused() {
        for bad in [
            "ProtectSystem=stirct",
            "ProtectHome=maybe",
            "PrivateTmp=tmp",
            "ReadWritePaths=var/lib",
            "ReadWritePaths=/a/../b",
            "StateDirectory=../x",
            "LogsDirectory=/var/log/x",
            "UMask=9",
        ] {
            let said = sandbox(bad).unwrap_err().to_string();
            assert!(said.contains("would ignore it"), "{bad}: {said}");
        }
    }

    #[test]
    fn limits_are_those_of_the_unit_and_else_the_managers() {
        let cases = [
            ("LimitNOFILE=65536", "nofile", "65536:65536"),
            ("LimitNOFILE=1024:524288", "nofile", "1024:524288"),
            ("LimitNOFILE=infinity", "nofile", "unlimited:unlimited"),
            ("", "nofile", "10:20"),
            ("", "core", "0:0"),
            ("LimitMEMLOCK=8M", "memlock", "8388608:8388608"),
        ];
        for (text, name, want) in cases {
            assert_eq!(sandbox(text).unwrap().limits[name], want, "{text}");
        }
        let odd = sandbox("LimitCPU=10min").unwrap();
        assert!(odd.not_imitated.contains("LimitCPU=10min") && !odd.limits.contains_key("cpu"));
    }

    #[test]
    fn an_account_that_may_not_raise_limits_is_told() {
        let mut sandbox = sandbox("LimitNOFILE=1024:65536\nLimitCORE=infinity\nLimitSTACK=5").unwrap();
        sandbox.fit(|name| match name {
            "nofile" => Some(4096),
            "stack" => Some(5),
            _ => None,
        });
        assert_eq!(sandbox.limits["nofile"], "1024:4096");
        assert_eq!(sandbox.limits["core"], "unlimited:unlimited");
        let want = "LimitNOFILE (this account may have 4096 at most)".to_owned();
        assert_eq!(sandbox.not_imitated, BTreeSet::from([want]));
    }

    #[test]
    fn what_is_not_imitated_is_named() {
        let said = sandbox(
            "Type=notify\nExecStart=/x\nProtectSystem=strict\nSystemCallFilter=@a\nSystemCallFilter=~@b\n\
             CapabilityBoundingSet=\nPrivateUsers=yes\nDynamicUser=no\nLimitNOFILE=5\nStateDirectoryMode=0700\n",
        );
        let want = ["CapabilityBoundingSet", "PrivateUsers", "SystemCallFilter"].map(str::to_owned);
        assert_eq!(said.unwrap().not_imitated, BTreeSet::from(want));
    }
}
