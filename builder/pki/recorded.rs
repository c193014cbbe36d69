//! The part of a keystore's record that describes CAs which need more than an algorithm and a lifetime: subjects,
//! intermediates, name constraints, and the CA of the peers' own.

use std::fmt::Write;
use std::net::IpAddr;

use serde::Deserialize;

use super::damage::changed;
use crate::failure::Result;
use crate::plan::{AuthoritySpec, CA, Made, PEER_CA, Permits};
use crate::profile::Subject;
use crate::values::{ClusterName, Lifetime, steers, toml_string};

/// A CA that Kiln makes, by its name.
pub(super) type Recorded = (&'static str, Made);

/// `[[issued.authority]]` in `keystore.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawAuthority {
    name: String,
    algorithm: String,
    lifetime: String,
    path_length: u8,
    common_name: String,
    #[serde(default)]
    subject: Vec<String>,
    issuing: Option<RawIssuing>,
    #[serde(default)]
    permitted_names: Vec<String>,
    #[serde(default)]
    permitted_addresses: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawIssuing {
    common_name: String,
    lifetime: String,
    path_length: u8,
}

impl RawAuthority {
    pub fn read(&self) -> Result<Recorded> {
        let name = [CA, PEER_CA].into_iter().find(|name| *name == self.name).ok_or_else(changed)?;
        let lifetime = |text: &str| text.parse::<Lifetime>().map_err(|_| changed());
        let mut subject = Subject::default();
        for attribute in &self.subject {
            let (key, value) = attribute.split_once('=').ok_or_else(changed)?;
            let value = value.to_owned();
            match key {
                "C" => subject.country = Some(value),
                "ST" => subject.state = Some(value),
                "L" => subject.locality = Some(value),
                "O" => subject.organization.push(value),
                "OU" => subject.organizational_unit = Some(value),
                _ => return Err(changed()),
            }
        }
        let intermediate = match &self.issuing {
            None => None,
            Some(below) => Some((below.common_name.clone(), lifetime(&below.lifetime)?)),
        };
        let ips: std::result::Result<Vec<IpAddr>, _> =
            self.permitted_addresses.iter().map(|ip| ip.parse()).collect();
        let permits = Permits { dns: self.permitted_names.clone(), ips: ips.map_err(|_| changed())? };
        let made = Made {
            algorithm: self.algorithm.parse().map_err(|_| changed())?,
            lifetime: lifetime(&self.lifetime)?,
            subject,
            common_name: self.common_name.clone(),
            intermediate,
            permits: (permits != Permits::default()).then_some(permits),
            // The other lengths are compared below.
            is_above_nodes: self.issuing.as_ref().map_or(self.path_length, |below| below.path_length) > 0,
        };
        // Names are encoded with these limits, so another one was never written.
        let is_name = |text: &str| {
            (1..=64).contains(&text.chars().count()) && text.trim() == text && !text.chars().any(steers)
        };
        let subject = made.subject.attributes().map(|(_, value)| value);
        let below = made.intermediate.iter().map(|(name, _)| name.as_str());
        let are_names = subject.chain(below).chain([made.common_name.as_str()]).all(is_name);
        let lengths = (self.path_length, self.issuing.as_ref().map(|below| below.path_length));
        match made.path_lengths() == lengths && are_names {
            true => Ok((name, made)),
            false => Err(changed()),
        }
    }
}

/// The same as a part of `keystore.toml`.
pub(super) fn render(all: &[Recorded]) -> String {
    let mut text = String::new();
    for (name, made) in all {
        let (length, below) = made.path_lengths();
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n[[issued.authority]]\nname = \"{name}\"\nalgorithm = \"{}\"\nlifetime = \"{}\"\npath-length = {length}\n\
             common-name = {}\n",
            made.algorithm,
            made.lifetime,
            toml_string(&made.common_name)
        );
        let subject: Vec<_> =
            made.subject.attributes().map(|(key, value)| toml_string(&format!("{key}={value}"))).collect();
        if !subject.is_empty() {
            let _ = writeln!(text, "subject = [{}]", subject.join(", "));
        }
        if let Some((common_name, lifetime)) = &made.intermediate {
            let _ = writeln!(
                text,
                "issuing = {{ common-name = {}, lifetime = \"{lifetime}\", path-length = {} }}",
                toml_string(common_name),
                below.unwrap_or_default()
            );
        }
        if let Some(permits) = &made.permits {
            let dns: Vec<_> = permits.dns.iter().map(|name| toml_string(name)).collect();
            let ips: Vec<_> = permits.ips.iter().map(|ip| toml_string(&ip.to_string())).collect();
            let _ = writeln!(text, "permitted-names = [{}]", dns.join(", "));
            let _ = writeln!(text, "permitted-addresses = [{}]", ips.join(", "));
        }
    }
    text
}

/// What has to be recorded of these authorities beside the algorithm and the lifetime of the first, which may be an
/// imported one. Those that are imported are recorded by their certificates.
pub(super) fn to_record(
    cluster: &ClusterName,
    is_imported: impl Fn(&str) -> bool,
    specs: &[AuthoritySpec],
) -> Vec<Recorded> {
    let needs_more =
        |spec: &&AuthoritySpec| !is_imported(spec.name) && (spec.name != CA || !spec.made.is_plain(cluster));
    specs.iter().filter(needs_more).map(|spec| (spec.name, spec.made.clone())).collect()
}

/// `C=CA, O=Kloud, CN=etcd.kloud.lan, p521, 20y, path length 0`.
pub(super) fn describe(made: &Made) -> String {
    let (length, below) = made.path_lengths();
    let subject = made.subject.attributes().chain([("CN", made.common_name.as_str())]);
    let mut parts: Vec<_> = subject.map(|(key, value)| format!("{key}={value}")).collect();
    parts.extend([made.algorithm.to_string(), made.lifetime.to_string(), format!("path length {length}")]);
    if let (Some((name, lifetime)), Some(length)) = (&made.intermediate, below) {
        parts.push(format!("with the issuing CA CN={name}, {lifetime}, path length {length}"));
    }
    if let Some(permits) = &made.permits {
        let names = permits.dns.iter().cloned().chain(permits.ips.iter().map(ToString::to_string));
        parts.push(format!("for {} only", names.collect::<Vec<_>>().join(" ")));
    }
    parts.join(", ")
}
