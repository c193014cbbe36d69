//! Units without which systemd does not start etcd's, or stops it.

use crate::profile::UnitLine;
use crate::tree::Tree;
use crate::values::is_of_a_base;

/// Settings by which a unit that is missing keeps etcd's from running (systemd.unit(5)).
const NEEDS: [&str; 3] = ["BindsTo", "Requires", "Requisite"];

/// Directories of units (systemd.unit(5)), those that a machine's own files can be in.
const DIRECTORIES: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// A sentence for each unit that lines of `[Unit]` need, and that neither the tree nor a known base system has.
pub fn warnings(lines: &[UnitLine], tree: &Tree) -> Vec<String> {
    let of =
        |key: &'static str| lines.iter().flat_map(move |line| line.units(key)).map(move |unit| (key, unit));
    let missing = |(_, unit): &(&str, &str)| !is_of_a_base(unit) && !is_brought(unit, tree);
    NEEDS
        .into_iter()
        .flat_map(of)
        .filter(missing)
        .map(|(key, unit)| {
            format!(
                "nothing of this bundle brings {unit}, and etcd's unit has {key}={unit} ([etcd.service.unit]): the member does \
                 not start without it; add it as a [[file]] or in an overlay, or make sure that the base system has it"
            )
        })
        .collect()
}

/// Also as the template of an instance.
fn is_brought(unit: &str, tree: &Tree) -> bool {
    let template = unit
        .split_once('@')
        .zip(unit.rsplit_once('.'))
        .map(|((stem, _), (_, kind))| format!("{stem}@.{kind}"));
    let names = [Some(unit.to_owned()), template];
    let mut paths =
        names.iter().flatten().flat_map(|name| DIRECTORIES.map(|directory| format!("{directory}/{name}")));
    paths.any(|path| tree.get(&path).is_some())
}
