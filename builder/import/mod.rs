//! Files of clusters that exist -> a profile, and a list of what it does not say.
//!
//! Each kind of file is recognised by its contents, and read into the same [`Draft`]. Files are other people's: sizes,
//! depths and characters are limited here.

mod ansible;
mod command;
mod compare;
mod draft;
mod founders;
mod guard;
mod inventory;
mod judge;
mod kubeadm;
mod member;
mod merge;
mod networks;
mod options;
mod settle;
mod strength;
#[cfg(test)]
mod tests;
mod text;
mod unit;
mod variable;
mod variables;
mod words;
mod yaml;

use draft::{Draft, Left, MAX_ENTRIES, Place};

use crate::etcd::{Release, keys};
use crate::failure::{Exit, Failure, Result};
use crate::profile;
use crate::values::{Carrier, ClusterName, printable, steers, without_passwords};

/// The largest file that is read; inventories of thousands of hosts are smaller.
pub const MAX_BYTES: u64 = 1 << 20;
/// So many things that were left out are told where no member was found.
const MAX_REASONS: usize = 3;

/// A profile that was made of files.
pub struct Imported {
    /// TOML, with comments.
    pub text: String,
    /// `FILE:LINE: TEXT`, for each thing that the profile does not say, in the order of the files.
    pub left: Vec<String>,
    /// Mistakes that the profile has all the same.
    pub mistakes: Option<Mistakes>,
}

/// Those of the profile that was made.
pub struct Mistakes {
    /// As a person reads them.
    pub text: String,
    /// Each as in the JSON of any verb that reads a profile.
    pub list: serde_json::Value,
}

/// What a new profile says at least.
pub struct New {
    pub name: String,
    /// Names and addresses.
    pub nodes: Vec<(String, std::net::IpAddr)>,
    pub clients: Vec<String>,
    pub cidr: Option<String>,
    pub gateway: Option<String>,
    pub domain: Option<String>,
}

/// A minimal profile, with the mistakes that it has.
pub fn new(new: &New, carriers: &[Carrier]) -> Imported {
    let mut draft = Draft::default();
    let place = Place { file: "the command line".to_owned(), line: 1 };
    // Not by `say`, which leaves out what others' files cannot mean: what was asked for is refused with its reason.
    draft.keys.insert(("[cluster]", "name"), (new.name.clone(), place.clone()));
    let more = [
        (("[cluster]", "domain"), &new.domain),
        (("[network]", "cidr"), &new.cidr),
        (("[network]", "gateway"), &new.gateway),
    ];
    for (path, value) in more {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            draft.keys.insert(path, (value.clone(), place.clone()));
        }
    }
    let member = |(name, address): &(String, _)| draft::Member {
        name: name.clone(),
        domain: String::new(),
        address: Some(*address),
        place: place.clone(),
        peer: None,
    };
    draft.members = new.nodes.iter().map(member).collect();
    for client in &new.clients {
        draft.client(client);
    }
    let header = format!(
        "{}: made by kiln profile new. README, \"A profile\", lists all keys.\nWithout [etcd] version, the newest \
         imported release is used.",
        new.name
    );
    let text = draft.toml(&header, &[]);
    let mistakes = judge::check(&text, &new.name, newest(), carriers).err().map(told);
    Imported { text, left: Vec::new(), mistakes }
}

/// Whether addresses can be those of one network, which a profile gets without being told.
pub fn are_of_one(addresses: &[std::net::IpAddr]) -> bool {
    text::network(addresses).is_some()
}

/// Reads files, each with its name for messages.
///
/// # Errors
/// `Exit::Usage` for a file that is not text, is of no kind that is known, or says something twice; and where no file
/// names a member.
pub fn import(files: &[(String, Vec<u8>)], carriers: &[Carrier]) -> Result<Imported> {
    let mut draft = Draft::default();
    draft.strength = strength::look(&mut draft, files);
    for (name, bytes) in files {
        read(&mut draft, name, bytes)?;
    }
    variables::settle(&mut draft);
    networks::settle(&mut draft);
    draft.resolve();
    merge::merge(&mut draft);
    merge::unused(&mut draft);
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    refuse_unsuitable(&draft, &names)?;
    unversioned(&mut draft);
    let release = version(&mut draft);
    let names_peers = draft.value(("[pki.peer]", "common-name")).is_some();
    settle::settle(&mut draft);
    if !names_peers {
        settle::peers(&mut draft, release);
    }
    let flags = draft.keys.contains_key(&("[etcd]", "config-style"));
    refuse_long(&draft)?;
    let lines = judge::options(&mut draft, release, flags, carriers);
    judge::keys(&mut draft, &lines, release, carriers);
    let header = format!(
        "Made by kiln profile import from {}.\nCompare it with the cluster before the first build.",
        printable(&names.join(", "))
    );
    let mut text = draft.toml(&header, &lines);
    let name = draft.value(("[cluster]", "name")).filter(|name| name.parse::<ClusterName>().is_ok());
    let name = &name.unwrap_or("etcd").to_owned();
    let mut checked = judge::check(&text, name, release, carriers);
    if !founders::compare(&mut draft, checked.as_ref().ok()) {
        text = draft.toml(&header, &lines);
        checked = judge::check(&text, name, release, carriers);
    }
    let (text, mistakes) = match checked {
        Ok(profile) => {
            draft.notes = compare::notes(&draft, &profile);
            (draft.toml(&header, &lines), None)
        }
        Err(mistakes) => (text, Some(told(mistakes))),
    };
    // In the order of the files, whatever was looked at first.
    let order = |place: &Place| names.iter().position(|name| *name == place.file);
    let mut left: Vec<&Left> = draft.left.iter().collect();
    left.sort_by_key(|left| (order(&left.place), left.place.line));
    Ok(Imported { left: left.into_iter().map(one_line).collect(), text, mistakes })
}

/// Escapes of YAML are decoded by now: a key may have a line end in it.
fn one_line(Left { place, text }: &Left) -> String {
    printable(&format!("{}:{}: {}", place.file, place.line, without_passwords(text))).into_owned()
}

/// Files that name no member, or far more of something than a cluster has.
fn refuse_unsuitable(draft: &Draft, names: &[&str]) -> Result<()> {
    let names = printable(&names.join(", ")).into_owned();
    let too_many = [
        (draft.units.len(), "units"),
        (draft.operator.len(), "files of etcdctl"),
        (draft.lines.len(), "lines of units"),
    ];
    let more = too_many.iter().find(|(count, _)| *count > MAX_ENTRIES).map(|(_, what)| *what);
    if let Some(what) = draft.too_many.or(more) {
        let reason = format!(
            "more {what} than any cluster of etcd's has, in {names}; name only the files of one cluster"
        );
        return Err(Failure::new(Exit::Usage, reason));
    }
    if let Some(why) = draft.unsuitable.clone().or_else(|| founders::strangers(draft)) {
        return Err(Failure::new(Exit::Usage, format!("{}, in {names}", printable(&why))));
    }
    if !draft.members.is_empty() {
        return Ok(());
    }
    let mut reason =
        format!("no member of an etcd cluster in {names}; add the inventory, or a member's file");
    let left: Vec<String> = draft.left.iter().take(MAX_REASONS).map(one_line).collect();
    if !left.is_empty() {
        reason.push_str(&format!(" (not read: {})", left.join("; ")));
    }
    Err(Failure::new(Exit::Usage, reason))
}

/// A profile has a limit of its own, and each key is judged by reading the whole.
fn refuse_long(draft: &Draft) -> Result<()> {
    let options: usize = draft.options.iter().map(|(key, (value, _))| key.len() + value.len()).sum();
    let length = (draft.toml("", &[]).len() + options) as u64;
    match length > profile::MAX_PROFILE_BYTES {
        false => Ok(()),
        true => {
            let reason = format!(
                "the profile would have {length} bytes; it has at most {}",
                profile::MAX_PROFILE_BYTES
            );
            Err(Failure::new(Exit::Usage, format!("{reason}; import fewer files, or shorten their values")))
        }
    }
}

/// The text is without its last line, which says that nothing was written.
fn told(mistakes: profile::Mistakes) -> Mistakes {
    let text = mistakes.render(false);
    let text = text.trim_end().rsplit_once("\n").map_or(text.as_str(), |(mistakes, _)| mistakes).trim_end();
    Mistakes { text: text.to_owned(), list: mistakes.into_failure(false).json()["mistakes"].take() }
}

/// The release that the files name, or the newest that Kiln knows; one that it does not know is reported.
fn version(draft: &mut Draft) -> Release {
    let path = ("[etcd]", "version");
    let Some((named, place)) = draft.keys.get(&path).cloned() else { return newest() };
    match named.parse::<Release>() {
        Ok(release) if keys::known_release(release) => release,
        _ => {
            draft.keys.remove(&path);
            let is_number = named.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let named = if is_number { named.as_str() } else { "of this version" };
            draft.leave(&place, format!("etcd {named} is not a release that Kiln knows"));
            newest()
        }
    }
}

/// A build would take the newest release that is imported, whatever the members run.
fn unversioned(draft: &mut Draft) {
    let is_said = draft.value(("[etcd]", "version")).is_some();
    if let Some(place) = draft.about.clone().filter(|_| !is_said) {
        let text = "no file says which release of etcd the members run: write it as [etcd] version, or a build takes the newest \
                    imported one";
        draft.leave(&place, text);
    }
}

/// The newest release of 3.5 that Kiln knows, by which options are judged where no file says the release.
fn newest() -> Release {
    let of_3_5 = keys::known_releases().iter().map(|(_, last)| *last).filter(|last| last.minor == 5);
    of_3_5.max().unwrap_or(Release::new(3, 5, 0))
}

fn read(draft: &mut Draft, name: &str, bytes: &[u8]) -> Result<()> {
    let refuse = |line: usize, why: &str| {
        let reason = format!("{name}:{line}: {}; nothing was written", without_passwords(why));
        Err(Failure::new(Exit::Usage, printable(&reason).into_owned()))
    };
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            return refuse(line, "it is not UTF-8 text");
        }
    };
    let is_bad = |c: char| steers(c) && !['\n', '\r', '\t'].contains(&c);
    if let Some(line) = text.split('\n').position(|line| line.contains(is_bad)) {
        return refuse(line + 1, "it has a control character");
    }
    if let Some(line) = profile_at(text) {
        return refuse(line, "it is a profile of Kiln's, which needs no import");
    }
    if unit::is_unit(text) {
        unit::unit(draft, text, name);
    } else if inventory::is_hosts(text) {
        inventory::hosts(draft, text, name);
    } else if member::is_environment(text) {
        member::environment(draft, text, name);
    } else if ansible::is_ini(text) {
        ansible::ini(draft, text, name);
    } else {
        let yaml::Stream { documents, tags } = match yaml::read(text) {
            Ok(stream) => stream,
            Err(refused) => {
                return refuse(refused.line, &format!("not YAML that can be read: {}", refused.why));
            }
        };
        for (line, tag) in tags {
            draft.leave(
                &Place { file: name.to_owned(), line },
                format!("a value with the tag {tag} is not read"),
            );
        }
        for document in &documents {
            if let Err(why) = read_document(draft, name, document) {
                return refuse(document.line, why);
            }
        }
        if documents.is_empty() {
            return refuse(1, "it is empty");
        }
    }
    Ok(())
}

/// The line with a profile's schema, if the text is one.
fn profile_at(text: &str) -> Option<usize> {
    let is_schema = |line: &str| line.split_once('=').is_some_and(|(key, _)| key.trim() == "schema");
    let line = text.lines().position(is_schema)?;
    text.lines().any(|line| ["[cluster]", "[network]"].contains(&line.trim())).then_some(line + 1)
}

/// One YAML document, by its keys.
fn read_document(
    draft: &mut Draft,
    name: &str,
    document: &yaml::Node,
) -> std::result::Result<(), &'static str> {
    if kubeadm::is_configuration(document) {
        kubeadm::configuration(draft, document, name);
    } else if kubeadm::is_pod(document) {
        kubeadm::pod(draft, document, name);
    } else if member::is_configuration(document) {
        member::configuration(draft, document, name);
    } else if ansible::is_yaml(document) {
        ansible::yaml(draft, document, name);
    } else if inventory::is_manifest(document) {
        inventory::manifest(draft, document, name);
    } else if inventory::is_inventory(document) {
        inventory::inventory(draft, document, name);
    } else if variables::is_variables(document) {
        variables::read(draft, document, name);
    } else if let Some(kind) = document.get("kind").and_then(yaml::Node::text) {
        let place = Place { file: name.to_owned(), line: document.line };
        draft.leave(&place, format!("a document of the kind {}", guard::key(kind)));
    } else {
        return Err("it is not an inventory, a manifest, or a file of etcd's that is known");
    }
    Ok(())
}
