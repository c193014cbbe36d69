//! Failure domains: the members that a cluster has left when one of its hosts fails.

use std::fmt;

use serde::Serialize;

use crate::profile::{self, Profile};
use crate::values::{Connect, HostName, Members, NodeName, counted};

/// A host, and the consequence of its loss.
#[derive(Clone, Debug, Serialize)]
pub struct Host {
    pub name: HostName,
    /// The libvirt that runs its nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Connect>,
    /// In the order of the profile.
    pub nodes: Vec<NodeName>,
    /// The members on all other hosts.
    pub left: usize,
    /// Whether these are a quorum.
    pub survives: bool,
}

/// The hosts of a profile, in its order.
pub fn hosts(profile: &Profile) -> Vec<Host> {
    let members = profile.nodes.len();
    let of = |host: &profile::Host| {
        let on_it = profile.nodes.iter().filter(|node| node.host.as_ref() == Some(&host.name));
        let nodes: Vec<NodeName> = on_it.map(|node| node.name.clone()).collect();
        let (left, survives) = (members - nodes.len(), Members::new(members).survives(nodes.len()));
        Host { name: host.name.clone(), connect: host.connect.clone(), nodes, left, survives }
    };
    profile.hosts.iter().map(of).collect()
}

/// The hosts as lines of the plan's first part; nothing without hosts.
pub struct Table<'a>(pub &'a [Host]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.0;
        let width = hosts.iter().map(|host| host.name.len()).max().unwrap_or(0);
        for (at, host) in hosts.iter().enumerate() {
            let nodes: Vec<_> = host.nodes.iter().map(NodeName::as_str).collect();
            writeln!(
                f,
                "  {:<9}  {:width$}  {}; without it {} left: {}",
                if at == 0 { "hosts" } else { "" },
                host.name,
                nodes.join(", "),
                counted(host.left, "member"),
                if host.survives { "a quorum" } else { "no quorum, the cluster stops" }
            )?;
            if let Some(connect) = &host.connect {
                writeln!(f, "             {:width$}  by {connect}", "")?;
            }
        }
        if !hosts.is_empty() && !hosts.iter().any(|host| host.survives) {
            writeln!(f, "             the cluster survives the loss of none of them")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::Release;
    use crate::profile::{Source, read};
    use crate::values::{Arch, Token, example_carriers};

    /// The table and the warnings for nodes on these hosts, one letter each.
    fn told(hosts: &str) -> (String, Vec<String>) {
        let mut text = "schema = 1\n[cluster]\nname = \"x\"\n[network]\ncidr = \"10.0.0.0/16\"\n".to_owned();
        let mut names: Vec<char> = hosts.chars().collect();
        for (at, host) in names.iter().enumerate() {
            text.push_str(&format!(
                "[[node]]\nname = \"n{at}\"\naddress = \"10.0.0.{}\"\nhost = \"{host}\"\n",
                at + 1
            ));
        }
        names.sort();
        names.dedup();
        names.iter().for_each(|host| text.push_str(&format!("[[host]]\nname = \"{host}\"\n")));
        let source = Source::file("x.toml".as_ref(), text.into());
        let (profile, warnings) =
            read(&source, &[(Release::new(3, 5, 33), Arch::Amd64)], &example_carriers())
                .unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)));
        let plan = super::super::resolve(&profile, &crate::plan::Named::by(&Token::placeholder()));
        let hosts = warnings.into_iter().map(|warning| warning.text).filter(|text| text.contains("host"));
        (Table(&plan.hosts).to_string(), hosts.collect())
    }

    #[test]
    fn six_members_on_two_hosts_survive_neither() {
        let (table, warnings) = told("aaabbb");
        assert_eq!(
            table,
            "  hosts      a  n0, n1, n2; without it 3 members left: no quorum, the cluster stops\n\
             \x20            b  n3, n4, n5; without it 3 members left: no quorum, the cluster stops\n\
             \x20            the cluster survives the loss of none of them\n"
        );
        assert_eq!(
            warnings,
            [
                "the loss of the host a stops the cluster: 3 of 6 members are on it, and a quorum is 4",
                "the loss of the host b stops the cluster: 3 of 6 members are on it, and a quorum is 4",
            ]
        );
    }

    #[test]
    fn a_member_on_each_of_three_hosts_survives_any() {
        let (table, warnings) = told("abc");
        assert_eq!(table.matches("2 members left: a quorum").count(), 3, "{table}");
        assert!(!table.contains("none of them") && warnings.is_empty(), "{table}{warnings:?}");
        let (table, warnings) = told("aab");
        assert_eq!((table.matches("no quorum").count(), warnings.len()), (1, 1), "{table}");
    }
}
