//! The few fields that Kiln needs of a Debian package's control file (deb-control(5)).

use crate::etcd::Release;
use crate::failure::{Failure, Result};
use crate::values::Arch;

/// The two packages that Debian and Ubuntu split etcd into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    Server,
    Client,
}

impl Half {
    pub fn package(self) -> &'static str {
        match self {
            Half::Server => "etcd-server",
            Half::Client => "etcd-client",
        }
    }

    pub fn other(self) -> Self {
        match self {
            Half::Server => Half::Client,
            Half::Client => Half::Server,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    pub half: Half,
    /// In Debian's form: `3.4.23-4+b4`.
    pub version: String,
    pub release: Release,
    pub arch: Arch,
}

impl Control {
    /// # Errors
    /// `Exit::Untrusted` when it is another package, or its version or architecture is not one of etcd's.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Failure::untrusted("its control file is not UTF-8 text"))?;
        let package = field(text, "Package")?;
        let half = [Half::Server, Half::Client].into_iter().find(|half| half.package() == package);
        let half = half.ok_or_else(|| {
            Failure::untrusted(format!(
                "it is the package {package:?}; Kiln imports etcd-server and etcd-client"
            ))
        })?;
        let version = field(text, "Version")?;
        let release = release_of(version)
            .ok_or_else(|| Failure::untrusted(format!("its version {version:?} is not an etcd release")))?;
        let arch = field(text, "Architecture")?;
        let arch = arch_of(arch).ok_or_else(|| {
            Failure::untrusted(format!("it is for {arch:?}; Kiln supports amd64, arm64, ppc64el and s390x"))
        })?;
        Ok(Self { half, version: version.to_owned(), release, arch })
    }
}

fn field<'t>(text: &'t str, name: &str) -> Result<&'t str> {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.trim()),
        (None, _) => Err(Failure::untrusted(format!("its control file has no {name}"))),
        _ => Err(Failure::untrusted(format!("its control file has {name} twice"))),
    }
}

/// `[epoch:]upstream[-revision]` (deb-version(7)). A repacked upstream (`3.3.25+dfsg`) is still that release; a
/// preview (`3.6.0~rc1`) is not a release.
fn release_of(version: &str) -> Option<Release> {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let upstream = version.rsplit_once('-').map_or(version, |(upstream, _)| upstream);
    upstream.split_once('+').map_or(upstream, |(release, _)| release).parse().ok()
}

/// Debian's names are Go's with one exception.
fn arch_of(name: &str) -> Option<Arch> {
    match name {
        "ppc64el" => Some(Arch::Ppc64le),
        "ppc64le" => None,
        name => name.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_lead_to_releases() {
        let cases = [
            ("3.5.16-4", Some((3, 5, 16))),
            ("3.4.23-4+b4", Some((3, 4, 23))),
            ("3.4.30-1ubuntu0.24.04.3", Some((3, 4, 30))),
            ("1:3.5.16-4", Some((3, 5, 16))),
            ("3.3.25+dfsg-7", Some((3, 3, 25))),
            ("3.5.16", Some((3, 5, 16))),
            ("3.6.0~rc1-1", None),
            ("3.5-4", None),
            ("v3.5.16-4", None),
            ("", None),
        ];
        for (version, want) in cases {
            let want = want.map(|(major, minor, patch)| Release::new(major, minor, patch));
            assert_eq!(release_of(version), want, "{version}");
        }
    }

    #[test]
    fn a_control_file_is_read_or_refused() {
        let good = "Package: etcd-client\nSource: etcd (3.4.23-4)\nVersion: 3.4.23-4+b4\n\
                    Architecture: ppc64el\nDescription: x\n Package: not a field\n";
        let control = Control::parse(good.as_bytes()).unwrap();
        assert_eq!((control.half, control.arch), (Half::Client, Arch::Ppc64le));
        assert_eq!(control.version, "3.4.23-4+b4");
        let cases = [
            (good.replace("etcd-client", "bash"), "\"bash\""),
            (good.replace("3.4.23-4+b4", "one"), "\"one\""),
            (good.replace("ppc64el", "riscv64"), "\"riscv64\""),
            (good.replace("Version", "Vision"), "no Version"),
            (format!("{good}Package: etcd-server\n"), "Package twice"),
            (String::new(), "no Package"),
        ];
        for (text, want) in cases {
            let error = Control::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        assert!(Control::parse(b"Package: \xff").is_err());
    }
}
