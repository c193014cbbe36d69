//! The options of each member, those of `[node.config]` before those of `[etcd.config]`, and what all members must have
//! alike.

use super::diagnostics::Diagnostics;
use super::mistake::Mistake;
use super::nodes::NODE_CONFIG;
use super::reader::Section;
use super::rules::{self, Around, text};
use super::whole::merged;
use super::{Node, OptionSet, Span, options};
use crate::etcd::Release;

/// The options of a member, each with its place.
type Set = Vec<(OptionSet, Span)>;

/// Reads the table of each node, and checks the options of each member as a whole. Returns those of the tables.
pub(super) fn of_nodes(
    diagnostics: &mut Diagnostics,
    common: &Set,
    configs: &[Section],
    release: Option<Release>,
    around: &Around,
) -> Vec<Vec<OptionSet>> {
    let own: Vec<Set> =
        configs.iter().map(|config| options::read(diagnostics, config, release, around.style)).collect();
    if let Some(release) = release {
        let whole: Vec<Set> = own.iter().map(|own| of_member(common, own)).collect();
        rules::check(diagnostics, common, release, around);
        for ((node, set), _) in around.nodes.iter().zip(&whole).zip(&own).filter(|(_, own)| !own.is_empty()) {
            let of_node = Around { nodes: std::slice::from_ref(node), node: Some(node), ..*around };
            once(diagnostics, |diagnostics| rules::check(diagnostics, set, release, &of_node));
        }
        check_alike(diagnostics, around.nodes, &whole);
        check_tls(diagnostics, around.nodes, &whole);
    }
    own.into_iter().map(|own| own.into_iter().map(|(option, _)| option).collect()).collect()
}

fn of_member(common: &Set, own: &Set) -> Set {
    merged(common, own, |(option, _)| &option.key).into_iter().cloned().collect()
}

/// Runs checks of options that have been checked before beside others: what has been said is not said again.
fn once(diagnostics: &mut Diagnostics, check: impl FnOnce(&mut Diagnostics)) {
    let (mistakes, warnings) = (diagnostics.mistakes.len(), diagnostics.warnings.len());
    check(diagnostics);
    let new = diagnostics.mistakes.split_off(mistakes);
    for mistake in new {
        let is_same = |said: &Mistake| said.span == mistake.span && said.reason == mistake.reason;
        if !diagnostics.mistakes.iter().any(is_same) {
            diagnostics.mistakes.push(mistake);
        }
    }
    for warning in diagnostics.warnings.split_off(warnings) {
        if !diagnostics.warnings.contains(&warning) {
            diagnostics.warnings.push(warning);
        }
    }
}

/// What it means when members differ in an option.
enum Differs {
    Refuse,
    Warn,
}

use Differs::{Refuse, Warn};

/// Options that concern all members, etcd's default as a flag takes it where Kiln knows it, and the effect of a
/// difference.
///
/// The first two: "Tuning" in etcd's documentation. Raft's leader alone runs the compactor and the lessor's checkpoints
/// (`NewServer` and `run` in server/etcdserver/server.go), an alarm of one member stops the writes of all
/// (`applierV3Capped` in server/etcdserver/apply.go), and the member that takes a request judges its size.
const ALIKE: [(&str, &str, Differs, &str); 11] = [
    ("heartbeat-interval", "100", Refuse, "members with other intervals force elections"),
    ("election-timeout", "1000", Refuse, "the member with the shortest one forces elections"),
    ("auth-token", "simple", Warn, "a token of one member may be worth nothing at another"),
    ("quota-backend-bytes", "0", Warn, "the member with the smallest quota stops the writes of all"),
    ("auto-compaction-mode", "periodic", Warn, LEADER),
    ("auto-compaction-retention", "0", Warn, LEADER),
    ("max-request-bytes", "1572864", Warn, LIMIT),
    ("max-txn-ops", "128", Warn, LIMIT),
    ("experimental-enable-lease-checkpoint", "false", Warn, LEADER),
    ("experimental-enable-lease-checkpoint-persist", "false", Warn, LEADER),
    ("feature-gates", "", Warn, "a feature that not all members have may do nothing, or half of its work"),
];
const LEADER: &str = "the leader's value is in force, so it changes with the leader";
const LIMIT: &str = "a request that one member takes is refused by another";

/// Options in which members must not differ, or should not.
fn check_alike(diagnostics: &mut Diagnostics, nodes: &[Node], whole: &[Set]) {
    for (key, usual, differs, why) in &ALIKE {
        let of = |set: &Set| set.iter().find(|(option, _)| option.key == *key).cloned();
        let text = |found: &Option<(OptionSet, Span)>| match found {
            Some((option, _)) => option.value.to_flag(),
            None => (*usual).to_owned(),
        };
        let all: Vec<_> = nodes.iter().zip(whole).map(|(node, set)| (node, of(set))).collect();
        // The table of a node causes the difference: its place is shown.
        let is_own = |(_, found): &&(&Node, Option<(OptionSet, Span)>)| {
            found.as_ref().is_some_and(|(option, _)| option.table == NODE_CONFIG)
        };
        let Some((node, Some((option, span)))) = all
            .iter()
            .filter(is_own)
            .find(|(_, found)| all.iter().any(|(_, other)| text(found) != text(other)))
        else {
            continue;
        };
        let mine = option.value.to_flag();
        let Some((other, theirs)) = all.iter().find(|(_, theirs)| text(theirs) != mine) else { continue };
        let default = if theirs.is_none() { " (etcd's default)" } else { "" };
        let reason = format!(
            "{key} is {mine} on {} and {}{default} on {}: {why}",
            node.name,
            text(theirs),
            other.name
        );
        match differs {
            Warn => diagnostics.warn(Some(span), reason),
            Refuse => {
                let mistake = Mistake::new(span.clone(), reason)
                    .help(format!("write {key} in [etcd.config], for all members"));
                diagnostics.mistake(match theirs {
                    Some((_, place)) => mistake.other(place.clone(), "the other value"),
                    None => mistake,
                });
            }
        }
    }
}

/// Members connect to each other with the versions that both allow (`ClientConfig` in
/// client/pkg/transport/listener.go).
fn check_tls(diagnostics: &mut Diagnostics, nodes: &[Node], whole: &[Set]) {
    let members = || nodes.iter().zip(whole);
    // Bounds in the same table have been checked with the others of a member.
    let is_own = |(option, _): &&(OptionSet, Span)| {
        option.table == NODE_CONFIG && ["tls-min-version", "tls-max-version"].contains(&&*option.key)
    };
    if !whole.iter().flatten().any(|option| is_own(&option)) {
        return;
    }
    for (node, set) in members() {
        let Some(("TLS1.3", least)) = text(set, "tls-min-version") else { continue };
        for (other, set) in members().filter(|(other, _)| other.name != node.name) {
            let Some(("TLS1.2", most)) = text(set, "tls-max-version") else { continue };
            let reason = format!(
                "{} takes no TLS before 1.3, and {} none after 1.2: the two cannot connect",
                node.name, other.name
            );
            let mistake = Mistake::new(least.clone(), reason).other(most.clone(), "the other's maximum");
            diagnostics.mistake(mistake.help("write the versions in [etcd.config], for all members"));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Source, read};
    use crate::etcd::Release;
    use crate::values::{Arch, example_carriers};

    const LEAST: &str = "schema = 1\n[cluster]\nname = \"a\"\n[network]\ncidr = \"10.0.0.0/24\"\n[[node]]\nname = \"b\"\naddress = \"10.0.0.10\"\n";

    /// The settings of each member, and the warnings.
    fn read_with(more: &str) -> (Vec<Vec<String>>, Vec<String>) {
        let others = |n| format!("[[node]]\nname = \"n{n}\"\naddress = \"10.0.0.1{n}\"\n");
        let text = format!("{LEAST}{more}\n{}{}", others(1), others(2));
        let text = format!(
            "{text}[etcd.config]\nlog-level = \"warn\"\nquota-backend-bytes = 2000000\nmax-wals = 7\n"
        );
        let source = Source::file("a.toml".as_ref(), text.into());
        let read = read(&source, &[(Release::new(3, 5, 33), Arch::Amd64)], &example_carriers());
        let (profile, warnings) = read.unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)));
        let of = |node| {
            profile.options(node).into_iter().map(|one| format!("{}={}", one.key, one.value.to_flag()))
        };
        (
            profile.nodes.iter().map(|node| of(node).collect()).collect(),
            warnings.into_iter().map(|warning| warning.text).collect(),
        )
    }

    #[test]
    fn a_value_of_the_node_wins_in_place() {
        let (settings, warnings) = read_with(
            "[node.config]\nsnapshot-count = 5\nquota-backend-bytes = 3000000\nlog-level = \"warn\"",
        );
        let common = ["log-level=warn", "quota-backend-bytes=2000000", "max-wals=7"];
        assert_eq!(
            settings[0],
            ["log-level=warn", "quota-backend-bytes=3000000", "max-wals=7", "snapshot-count=5"]
        );
        assert_eq!(
            (&settings[1][..], &settings[2][..]),
            (&common.map(str::to_owned)[..], &common.map(str::to_owned)[..])
        );
        let said: Vec<_> = warnings.iter().filter(|text| text.contains("quota")).collect();
        assert_eq!(said.len(), 1, "{warnings:?}");
        assert!(said[0].contains("is 3000000 on b and 2000000 on n1"), "{said:?}");
    }

    #[test]
    fn members_that_agree_with_the_default_are_alike() {
        let (_, warnings) = read_with("[node.config]\nheartbeat-interval = 100\nmax-txn-ops = 128");
        assert_eq!(warnings, Vec::<String>::new());
        let (_, warnings) = read_with("[node.config]\nmax-txn-ops = 256");
        assert!(warnings.len() == 1 && warnings[0].contains("128 (etcd's default) on n1"), "{warnings:?}");
    }
}
