//! What a profile would refuse is left out of it, each with its reason.

use super::draft::{Draft, Path, Place};
use super::guard;
use crate::etcd::Release;
use crate::profile::{self, Profile, Source};
use crate::values::{Arch, Carrier};

pub fn check(
    text: &str,
    name: &str,
    release: Release,
    carriers: &[Carrier],
) -> std::result::Result<Profile, profile::Mistakes> {
    let source = Source::file(format!("{name}.toml").as_ref(), text.as_bytes().to_vec());
    profile::read(&source, &[(release, Arch::Amd64)], carriers).map(|(profile, _)| profile)
}

/// The lines of `[etcd.config]`. An option that Kiln does not accept beside the others is left out, with its reason.
pub fn options(draft: &mut Draft, release: Release, flags: bool, carriers: &[Carrier]) -> Vec<String> {
    let mut all = super::options::lines(draft, release, flags);
    let mistakes = |lines: &[&str]| check(&smallest(lines, release, flags), "a", release, carriers).err();
    let mut index = 0;
    while index < all.len() {
        let with: Vec<&str> = all.iter().map(|(_, line, _)| line.as_str()).collect();
        let mut without = with.clone();
        without.remove(index);
        match (mistakes(&with), mistakes(&without).map_or(0, |mistakes| mistakes.count())) {
            (Some(found), others) if found.count() > others => {
                let kept = mistakes(&without).map(|mistakes| mistakes.render(false)).unwrap_or_default();
                let (key, line, place) = all.remove(index);
                let told = found.render(false);
                // Alone, an option may lack what it has here.
                let of_all = told.lines().find(|line| line.starts_with("error: ") && !kept.contains(line));
                // It is about other options, too, and shows their values no more than this one's.
                let hide = |why: &str| {
                    let others = draft.options.iter().filter(|(other, _)| **other != key);
                    others.map(|(_, (value, _))| value).try_fold(why.to_owned(), |why, value| {
                        let is_absent = value.contains('"') && !why.contains('\\');
                        if is_absent { Some(why) } else { guard::without(&why, value) }
                    })
                };
                let alone = mistakes(&[&line]).unwrap_or(found).render(false);
                let first = || alone.lines().next().unwrap_or_default().to_owned();
                let why = of_all.and_then(hide).unwrap_or_else(first);
                let value = draft.options.get(&key).map(|(value, _)| value.as_str()).unwrap_or_default();
                let why = guard::without(why.trim_start_matches("error: "), value);
                let why = why.unwrap_or_else(|| "a profile cannot say this value".to_owned());
                draft.leave(&place, format!("{key}: {why}"));
            }
            _ => index += 1,
        }
    }
    all.into_iter().map(|(_, line, _)| line).collect()
}

/// The smallest profile with these options.
fn smallest(lines: &[&str], release: Release, flags: bool) -> String {
    let style = if flags { "flags" } else { "file" };
    format!(
        "schema = 1\n[cluster]\nname = \"a\"\n[network]\ncidr = \"10.0.0.0/24\"\n[[node]]\nname = \"b\"\naddress = \
         \"10.0.0.4\"\n[etcd]\nconfig-style = \"{style}\"\naccept-risk = [\"{release}\"]\nversion = \"{release}\"\n\
         [etcd.config]\n{}\n",
        lines.join("\n")
    )
}

/// A key, or a line of the unit.
enum What {
    Key(Path),
    Line((&'static str, String)),
}

/// Leaves out the keys that Kiln does not accept. Nodes, the cluster's name and its token stay: without them there is
/// no profile, or it is that of another cluster.
pub fn keys(draft: &mut Draft, lines: &[String], release: Release, carriers: &[Carrier]) {
    let keys = draft.keys.keys().filter(|(table, key)| {
        ![("[cluster]", "name"), ("[cluster]", "token"), ("[network]", "cidr")].contains(&(table, key))
    });
    let mut all: Vec<What> = keys.map(|path| What::Key(*path)).collect();
    all.extend(draft.lines.keys().cloned().map(What::Line));
    let mistakes = |draft: &Draft| check(&draft.toml("", lines), "a", release, carriers).err();
    let mut found = mistakes(draft);
    for what in all {
        let Some(now) = &found else { return };
        let place = match &what {
            What::Key(path) => without(draft, &mistakes, now, |draft| &mut draft.keys, path),
            What::Line(line) => without(draft, &mistakes, now, |draft| &mut draft.lines, line),
        };
        if let Some((value, place, others)) = place {
            draft.leave(&place, why(&what, &value, now, others.as_ref()));
            found = others;
        }
    }
}

/// A value as one text.
trait Shown {
    fn shown(&self) -> String;
}

impl Shown for String {
    fn shown(&self) -> String {
        self.clone()
    }
}

impl Shown for Vec<String> {
    fn shown(&self) -> String {
        self.join(" ")
    }
}

/// Takes an entry out if there are fewer mistakes then: its place, and those that are left.
fn without<K: Ord + Clone, V: Clone + Shown>(
    draft: &mut Draft,
    mistakes: &impl Fn(&Draft) -> Option<profile::Mistakes>,
    now: &profile::Mistakes,
    map: impl Fn(&mut Draft) -> &mut std::collections::BTreeMap<K, (V, Place)>,
    key: &K,
) -> Option<(String, Place, Option<profile::Mistakes>)> {
    let (value, place) = map(draft).remove(key)?;
    let others = mistakes(draft);
    if others.as_ref().map_or(0, profile::Mistakes::count) < now.count() {
        return Some((value.shown(), place, others));
    }
    map(draft).insert(key.clone(), (value, place));
    None
}

/// The first of these mistakes that is not among the others.
fn why(what: &What, value: &str, now: &profile::Mistakes, others: Option<&profile::Mistakes>) -> String {
    let kept = others.map(|others| others.render(false)).unwrap_or_default();
    let all = now.render(false);
    let mut reasons = all.lines().filter_map(|line| line.strip_prefix("error: "));
    let reason = reasons.find(|reason| !kept.contains(reason)).unwrap_or("a profile cannot say it");
    match what {
        // Its value may contain a password.
        What::Line((_, name)) if !reason.contains("is managed by Kiln") => {
            format!("{name} of the unit: a profile cannot say this value")
        }
        What::Line(_) => reason.to_owned(),
        What::Key((table, key)) => guard::without(reason, value)
            .unwrap_or_else(|| format!("{table} {key}: a profile cannot say this value")),
    }
}
