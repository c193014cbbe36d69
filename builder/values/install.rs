//! Lines of a unit's section `[Install]`.

use std::fmt;

use super::{Invalid, UnitName, serialize_displayed};

/// The settings, with the directory in which each of them makes a link; an alias is a link itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    Alias,
    RequiredBy,
    UpheldBy,
    WantedBy,
}

impl Setting {
    const ALL: [Self; 4] = [Self::Alias, Self::RequiredBy, Self::UpheldBy, Self::WantedBy];

    fn name(self) -> &'static str {
        match self {
            Self::Alias => "Alias",
            Self::RequiredBy => "RequiredBy",
            Self::UpheldBy => "UpheldBy",
            Self::WantedBy => "WantedBy",
        }
    }

    /// As in systemd.unit(5).
    fn directory(self) -> Option<&'static str> {
        match self {
            Self::Alias => None,
            Self::RequiredBy => Some("requires"),
            Self::UpheldBy => Some("upholds"),
            Self::WantedBy => Some("wants"),
        }
    }
}

/// The types of unit that can be started.
const TYPES: [&str; 9] =
    ["automount", "device", "mount", "path", "service", "slice", "socket", "target", "timer"];

/// A setting and its units: what systemctl(1) enable links to the unit that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallLine {
    setting: Setting,
    units: Vec<String>,
}

impl InstallLine {
    /// # Errors
    /// With another setting, and names that no unit has.
    pub fn new(setting: &str, text: &str) -> Result<Self, Invalid> {
        let setting = Setting::ALL.into_iter().find(|one| one.name() == setting);
        let setting = setting.ok_or_else(|| Invalid("it is not a setting of [Install]".into()))?;
        for name in text.split_whitespace() {
            check(setting, name)?;
        }
        Ok(Self { setting, units: text.split_whitespace().map(str::to_owned).collect() })
    }

    /// The links in the directory of the units, which lead to this unit.
    pub fn links(&self, unit: &str) -> Vec<String> {
        let link = |name: &String| match self.setting.directory() {
            Some(directory) => format!("{name}.{directory}/{unit}"),
            None => name.clone(),
        };
        self.units.iter().map(link).collect()
    }

    /// Further names of the unit.
    pub fn aliases(&self) -> &[String] {
        if self.setting == Setting::Alias { &self.units } else { &[] }
    }
}

fn check(setting: Setting, name: &str) -> Result<(), Invalid> {
    let no_unit = || Err(Invalid(format!("{name:?} is not the name of a unit, as in backup.target")));
    let Some((stem, kind)) = name.rsplit_once('.') else { return no_unit() };
    let plain = |c: char| c.is_ascii_alphanumeric() || ":_.-".contains(c);
    if setting == Setting::Alias {
        if kind != "service" {
            return Err(Invalid(format!("{name:?} has to end in .service, as etcd's unit does")));
        }
        stem.parse::<UnitName>().map_err(|Invalid(why)| Invalid(format!("of {name:?}, {why}")))?;
    } else if !TYPES.contains(&kind) || stem.is_empty() || !stem.chars().all(plain) || name.len() > 255 {
        return no_unit();
    } else if (setting, name) == (Setting::WantedBy, "multi-user.target") {
        return Err(Invalid("multi-user.target starts etcd already".into()));
    }
    Ok(())
}

impl fmt::Display for InstallLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.setting.name(), self.units.join(" "))
    }
}

serialize_displayed!(InstallLine);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn install_lines_know_their_links() {
        let line = |setting, text| InstallLine::new(setting, text).unwrap();
        let wanted = line("WantedBy", "backup.target  a.mount");
        assert_eq!(wanted.to_string(), "WantedBy=backup.target a.mount");
        let links = ["backup.target.wants/etcd.service", "a.mount.wants/etcd.service"];
        assert_eq!(wanted.links("etcd.service"), links);
        assert!(wanted.aliases().is_empty());
        assert_eq!(line("UpheldBy", "x.service").links("e.service"), ["x.service.upholds/e.service"]);
        assert_eq!(line("RequiredBy", "x.path").links("e.service"), ["x.path.requires/e.service"]);
        let alias = line("Alias", "kv.service");
        assert_eq!(
            (alias.links("etcd.service"), alias.aliases()),
            (vec!["kv.service".into()], &["kv.service".into()][..])
        );
        for (setting, text) in [
            ("Alias", "kv.target"),
            ("Alias", "kiln-x.service"),
            ("WantedBy", "multi-user.target"),
            ("WantedBy", "x"),
            ("WantedBy", "../x.target"),
            ("After", "x.target"),
        ] {
            assert!(InstallLine::new(setting, text).is_err(), "{setting}={text}");
        }
    }
}
