//! `[[host]]`: what a node shares its fate with.

use toml::Spanned;

use super::diagnostics::Diagnostics;
use super::mistake::Mistake;
use super::reader::{Section, listed, quoted};
use super::unique::Unique;
use super::{Host, Span};
use crate::suggest;
use crate::values::{Connect, HostName, Members, counted};

/// The hosts of a profile, and the nodes that name them.
pub(super) struct Hosts {
    list: Vec<One>,
    /// Whether there is a table that could not be read, so that a name may be its.
    is_partial: bool,
}

struct One {
    name: Spanned<HostName>,
    connect: Option<Spanned<Connect>>,
    /// The number of nodes on it.
    nodes: usize,
}

impl Hosts {
    pub fn read(diagnostics: &mut Diagnostics, tables: Vec<Section>) -> Self {
        let count = tables.len();
        let mut names = Unique::new("host name");
        let mut list = Vec::new();
        for table in tables {
            table.require(diagnostics, "name");
            let connect = table.value::<Connect>(diagnostics, "connect");
            if let Some(name) = table.value::<HostName>(diagnostics, "name")
                && names.see(diagnostics, &name)
            {
                list.push(One { name, connect, nodes: 0 });
            }
            table.finish(diagnostics);
        }
        Self { is_partial: list.len() < count, list }
    }

    /// The host of a node: named if there are any, and one of them.
    pub fn of_node(&mut self, diagnostics: &mut Diagnostics, node: &Section) -> Option<HostName> {
        let Some(named) = node.value::<HostName>(diagnostics, "host") else {
            if !node.has("host") && !self.list.is_empty() {
                let reason =
                    "[[node]] host is missing: other tables of the profile say that its nodes are on hosts";
                let help = format!("write the host that it runs on: {}", self.names());
                diagnostics.mistake(Mistake::missing(node.span.clone(), reason).help(help));
            }
            return None;
        };
        let there = self.list.iter_mut().find(|one| one.name.get_ref() == named.get_ref());
        if let Some(one) = there {
            one.nodes += 1;
            return Some(one.name.get_ref().clone());
        }
        if !self.is_partial {
            let reason =
                format!("[[node]] host cannot be {}: the profile has no such host", quoted(named.get_ref()));
            let meant =
                suggest::nearest(named.get_ref(), self.list.iter().map(|one| one.name.get_ref().as_str()));
            let help = match (meant, self.list.is_empty()) {
                (Some(meant), _) => format!("did you mean {meant}?"),
                (None, true) => format!("write\n[[host]]\nname = \"{}\"", named.get_ref()),
                (None, false) => format!("it is one of {}; write a [[host]] for another one", self.names()),
            };
            diagnostics.mistake(Mistake::new(named.span(), reason).help(help));
        }
        None
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.list.iter().map(|one| one.name.get_ref().as_str()).collect();
        listed(&names)
    }

    /// After all nodes: a host that none of them names is likely a slip. Warns where the loss of a single host stops
    /// the cluster. Returns each host with the place of its `connect`.
    pub fn finish(self, diagnostics: &mut Diagnostics, members: usize) -> Vec<(Host, Option<Span>)> {
        for One { name, .. } in self.list.iter().filter(|one| one.nodes == 0) {
            let reason = format!("no node is on the host {}", name.get_ref());
            let help =
                format!("write host = \"{}\" in the [[node]] that runs there, or remove it", name.get_ref());
            diagnostics.mistake(Mistake::new(name.span(), reason).help(help));
        }
        let all = Members::new(members);
        let fatal = |nodes: usize| nodes > 0 && members > 1 && !all.survives(nodes);
        for One { name, nodes, .. } in self.list.iter().filter(|one| fatal(one.nodes)) {
            let text = format!(
                "the loss of the host {} stops the cluster: {nodes} of {} are on it, and a quorum is {}",
                name.get_ref(),
                counted(members, "member"),
                all.quorum()
            );
            diagnostics.warn(Some(&name.span()), text);
        }
        let host = |One { name, connect, .. }: One| {
            let place = connect.as_ref().map(Spanned::span);
            (Host { name: name.into_inner(), connect: connect.map(Spanned::into_inner) }, place)
        };
        self.list.into_iter().map(host).collect()
    }
}
