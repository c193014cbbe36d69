//! Kiln's own overlays, built into the program: each directory of `overlays/` with an `overlay.toml`.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use super::overlay::{Body, Overlay, OverlayFile, body};
use super::template::Template;
use crate::failure::{Exit, Failure, Result};
use crate::tree::{Blob, Origin};
use crate::values::{GuestPath, Mode};

/// An overlay in `overlays/` (`build.rs`).
pub struct Embedded {
    pub name: &'static str,
    /// The text of `overlay.toml`, which is not installed on nodes.
    pub manifest: &'static str,
    /// The path in the overlay, and the text.
    pub files: &'static [(&'static str, &'static str)],
}

/// All of them, by name.
pub const EMBEDDED: &[Embedded] = include!(concat!(env!("OUT_DIR"), "/overlays.rs"));

/// Where the units of an overlay are.
const SYSTEM: &str = "etc/systemd/system";

/// `overlay.toml`: properties that text files cannot express. A unit is enabled by one line here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// Units of this overlay to enable, according to their `WantedBy=`.
    #[serde(default)]
    enable: Vec<String>,
    /// Modes of files other than 0644.
    #[serde(default)]
    mode: BTreeMap<GuestPath, Mode>,
    /// Symbolic links and their targets.
    #[serde(default)]
    link: BTreeMap<GuestPath, String>,
    /// Files whose absolute path on a node is made from the plan, by a template.
    #[serde(default)]
    at: BTreeMap<GuestPath, String>,
}

/// Kiln's own overlays. They are parsed once per run: it takes two milliseconds, so a run that will need them may
/// parse them in parallel with reading its inputs.
///
/// # Errors
/// None with the built-in overlays.
pub fn embedded() -> Result<Vec<Arc<Overlay>>> {
    static PARSED: OnceLock<Result<Vec<Arc<Overlay>>>> = OnceLock::new();
    match PARSED.get_or_init(|| EMBEDDED.iter().map(|overlay| overlay.parse().map(Arc::new)).collect()) {
        Ok(overlays) => Ok(overlays.clone()),
        Err(failure) => Err(Failure::new(failure.exit(), failure.to_string())),
    }
}

impl Embedded {
    fn parse(&self) -> Result<Overlay> {
        let manifest: Manifest =
            toml::from_str(self.manifest).map_err(|error| self.wrong("overlay.toml", &error.to_string()))?;
        let mut files = Vec::new();
        for (path, text) in self.files {
            files.push(self.file(path, text, &manifest)?);
        }
        for unit in &manifest.enable {
            files.push(self.enabled(unit, &manifest)?);
        }
        for (path, target) in &manifest.link {
            let body = Body::Link(target.clone());
            files.push(OverlayFile { path: path.clone(), at: None, mode: Mode::FILE, body });
        }
        let named = manifest.mode.keys().map(|path| ("a mode", path));
        let mut named = named.chain(manifest.at.keys().map(|path| ("a place", path)));
        if let Some((what, path)) = named.find(|(_, path)| !files.iter().any(|file| file.path == **path)) {
            return Err(self.wrong("overlay.toml", &format!("it gives {what} to {path}, which is not there")));
        }
        Ok(Overlay {
            origin: Origin::Overlay(self.name.to_owned()),
            directory: None,
            file: None,
            files,
            findings: Vec::new(),
            warnings: Vec::new(),
        })
    }

    fn file(&self, path: &str, text: &str, manifest: &Manifest) -> Result<OverlayFile> {
        let guest = path.strip_suffix(".hbs");
        let shown = format!("overlays/{}/{path}", self.name);
        let body = body(&shown, Arc::new(Blob::new(text.as_bytes().to_vec())), guest.is_some())?;
        let path: GuestPath = self.path(guest.unwrap_or(path))?;
        let mode = manifest.mode.get(&path).copied().unwrap_or(Mode::FILE);
        let at = manifest.at.get(&path).map(|at| self.template(at)).transpose()?;
        Ok(OverlayFile { path, at, mode, body })
    }

    /// The link with which systemd starts a unit with its target, as systemctl(1) enable makes it.
    fn enabled(&self, unit: &str, manifest: &Manifest) -> Result<OverlayFile> {
        let of_unit = |path: &str| {
            let name = path.strip_prefix("etc/systemd/system/").unwrap_or_default();
            name.strip_suffix(".hbs").unwrap_or(name) == unit
        };
        let text = self.files.iter().find(|(path, _)| of_unit(path)).map(|(_, text)| text);
        let target = text.and_then(|text| text.lines().find_map(|line| line.strip_prefix("WantedBy=")));
        let target = target.ok_or_else(|| {
            self.wrong("overlay.toml", &format!("{unit} is not in etc/systemd/system, or has no WantedBy="))
        })?;
        let path = self.path(&format!("{SYSTEM}/{target}.wants/{unit}"))?;
        let own = manifest.at.get(&self.path(&format!("{SYSTEM}/{unit}"))?);
        let (at, body) = match own {
            Some(own) => {
                let name = own.rsplit('/').next().unwrap_or(own);
                let at = self.template(&format!("/{SYSTEM}/{target}.wants/{name}"))?;
                (Some(at), Body::LinkTo(self.template(own)?))
            }
            None => (None, Body::Link(format!("/{SYSTEM}/{unit}"))),
        };
        Ok(OverlayFile { path, at, mode: Mode::FILE, body })
    }

    fn template(&self, text: &str) -> Result<Template> {
        Template::new(&format!("overlays/{}/overlay.toml", self.name), text.to_owned())
    }

    fn path(&self, path: &str) -> Result<GuestPath> {
        path.parse().map_err(|why| self.wrong(path, &format!("it is not a path in the guest: {why}")))
    }

    fn wrong(&self, file: &str, why: &str) -> Failure {
        Failure::new(Exit::Profile, format!("overlays/{}/{file}: {why}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMER: &str = "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n";

    fn overlay(manifest: &'static str) -> Embedded {
        Embedded {
            name: "own",
            manifest,
            files: &[("etc/systemd/system/a.timer", TIMER), ("usr/local/lib/a.sh.hbs", "#!/bin/sh\n")],
        }
    }

    #[test]
    fn an_overlay_brings_links_modes_and_units_to_enable() {
        let overlay = overlay(
            "enable = [\"a.timer\"]\nmode = { \"usr/local/lib/a.sh\" = \"0755\" }\n\
             link = { \"usr/local/bin/a\" = \"../lib/a.sh\" }\n",
        )
        .parse()
        .unwrap();
        let all: Vec<_> = overlay
            .files
            .iter()
            .map(|file| match &file.body {
                Body::LinkTo(target) => format!("{} -> {}", file.at.as_ref().unwrap().text(), target.text()),
                Body::Link(target) => format!("{} -> {target}", file.path),
                _ => format!("{} {}", file.path, file.mode),
            })
            .collect();
        assert_eq!(
            all,
            [
                "etc/systemd/system/a.timer 0644",
                "usr/local/lib/a.sh 0755",
                "etc/systemd/system/timers.target.wants/a.timer -> /etc/systemd/system/a.timer",
                "usr/local/bin/a -> ../lib/a.sh",
            ]
        );
    }

    #[test]
    fn what_an_overlay_does_not_have_is_named() {
        for (manifest, want) in [
            ("enable = [\"b.timer\"]", "b.timer is not in etc/systemd/system"),
            ("at = { \"usr/x\" = \"/{{unit}}\" }", "a place to usr/x, which is not there"),
            ("mode = { \"usr/x\" = \"0755\" }", "a mode to usr/x, which is not there"),
            ("enabled = []", "unknown field"),
            ("mode = { \"../x\" = \"0755\" }", "overlays/own/overlay.toml"),
        ] {
            let Err(failure) = overlay(manifest).parse() else { panic!("{manifest}") };
            assert!(failure.to_string().contains(want), "{failure}");
        }
    }
}
