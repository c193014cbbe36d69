//! The tables of a profile, one after the other.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeTable;

use super::desk::Desk;
use super::mistake::Mistake;
use super::reader::{Section, choose, listed, quoted};
use super::rules::Around;
use super::source::Source;
use super::{
    Algorithm, Binaries, Bundle, Certificates, Cluster, Compression, ConfigStyle, EXTENDS, Etcd, Login,
    Machine, Pki, Profile, SCHEMA, Span, Written, directories, nodes, options, programs, release,
};
use crate::etcd::Release;
use crate::values::{Arch, BaseSystem, Carrier, Digest, GuestPath, Invalid, Lifetime, LoginName, SshKey};

/// `None` when something without which there is no profile is wrong; every mistake is then on the desk. It may
/// also be there beside a profile.
pub(super) fn profile(
    desk: &mut Desk,
    source: &Source,
    document: &DeTable,
    available: &[(Release, Arch)],
    carriers: &[Carrier],
) -> Option<Profile> {
    let top = Section::top(document);
    schema(desk, &top)?;
    extended(desk, &top, source);
    let name = source.name.parse();
    if let Err(Invalid(why)) = &name {
        let reason = format!("the file's name, which names the bundle, cannot be {:?}: {why}", source.name);
        desk.mistake(Mistake::missing(None, reason).help("rename the file, as in ha3.toml"));
    }
    let table = top.table(desk, "cluster", "[cluster]");
    let (cluster, two_allowed) = cluster(desk, &table);
    table.finish(desk);
    let table = top.table(desk, "network", "[network]");
    let network = nodes::network(desk, &table);
    table.finish(desk);
    let tables = top.tables(desk, "node", "[[node]]");
    let cluster_name = cluster.as_ref().map(|cluster| cluster.name.as_str());
    let nodes = nodes::nodes(desk, tables, network.as_ref(), cluster_name, two_allowed);
    let tables = top.tables(desk, "client", "[[client]]");
    let clients = nodes::clients(desk, tables);
    let table = top.table(desk, "pki", "[pki]");
    let pki = pki(desk, &table);
    table.finish(desk);
    if pki.as_ref().is_some_and(|(pki, _)| pki.certificates == Certificates::OnePerNode) {
        nodes::check_common_names(desk, &nodes, &clients);
    }
    let clients = clients.into_iter().map(Spanned::into_inner).collect();
    let table = top.table(desk, "etcd", "[etcd]");
    let mut etcd = etcd(desk, &table, &nodes, network.as_ref(), available, pki.as_ref());
    let names_bin_dir = table.has("bin-dir");
    table.finish(desk);
    let table = top.table(desk, "machine", "[machine]");
    let machine = machine(desk, &table);
    let login_place = table.place("login-user");
    table.finish(desk);
    let table = top.table(desk, "bundle", "[bundle]");
    let bundle = bundle(desk, &table, carriers);
    table.finish(desk);
    if let Some(etcd) = etcd.as_mut().filter(|_| !names_bin_dir) {
        etcd.bin_dir = programs::usual(&bundle.carriers)?;
    }
    top.finish(desk);
    check_login(desk, &machine, login_place, &bundle, carriers);
    let network = network?.network;
    Some(Profile {
        name: name.ok()?,
        cluster: cluster?,
        etcd: etcd?,
        network,
        nodes: nodes.list,
        clients,
        pki: pki?.0,
        machine,
        bundle,
        written: Written::default(),
    })
}

/// Read first: a file of another schema may have other keys, of which nothing can be said.
fn schema(desk: &mut Desk, top: &Section) -> Option<()> {
    top.require(desk, "schema");
    let schema = top.integer(desk, "schema");
    if !top.has("schema") {
        return Some(());
    }
    // What is no number at all is a slip, and the rest of the file is what it seems to be.
    let Some(schema) = schema else { return Some(()) };
    if *schema.get_ref() == i128::from(SCHEMA) {
        return Some(());
    }
    let reason =
        format!("schema {} is not supported; this kiln reads schema {SCHEMA}", desk.written(&schema.span()));
    desk.mistake(
        Mistake::new(schema.span(), reason)
            .help("use the kiln that this profile was written for, or a newer one"),
    );
    None
}

/// What is extended has been read; here is only said why it could not be.
fn extended(desk: &mut Desk, top: &Section, source: &Source) {
    let Some(named) = top.text(desk, EXTENDS) else { return };
    // In the text that names it, which may itself be extended.
    if let Some(why) = source.missing_base() {
        let reason = format!("cannot read the base profile {}: {why}", quoted(named.get_ref()));
        desk.mistake(Mistake::new(named.span(), reason));
    }
}

/// And where `allow-two-members` stands, when it is true.
fn cluster(desk: &mut Desk, table: &Section) -> (Option<Cluster>, Option<Span>) {
    table.require(desk, "name");
    let name = table.value(desk, "name");
    let domain = table.value(desk, "domain").map(Spanned::into_inner);
    let token = table.value(desk, "token").map(Spanned::into_inner);
    let formed = table.bool(desk, "formed").is_some_and(|formed| *formed.get_ref());
    let two = table.bool(desk, "allow-two-members").filter(|two| *two.get_ref());
    let cluster = name.map(|name| Cluster { name: name.into_inner(), domain, token, formed });
    (cluster, two.map(|two| two.span()))
}

fn etcd(
    desk: &mut Desk,
    table: &Section,
    nodes: &nodes::Nodes,
    network: Option<&nodes::Placed>,
    available: &[(Release, Arch)],
    pki: Option<&(Pki, Option<Span>)>,
) -> Option<Etcd> {
    let arch = table.value::<Arch>(desk, "arch").map_or(Arch::Amd64, Spanned::into_inner);
    let chosen = release::choose(desk, table, arch, available);
    let sha256 = table.values(desk, "sha256", |text| text.parse::<Digest>()).unwrap_or_default();
    let config_style =
        table.value_with(desk, "config-style", config_style).map_or(ConfigStyle::File, Spanned::into_inner);
    let data_dir = data_dir(desk, table, pki);
    let bin_dir = programs::bin_dir(desk, table, data_dir.as_ref());
    let accepted = table.values(desk, "accept-risk", |text| text.parse()).unwrap_or_default();
    if let Some(chosen) = &chosen {
        release::judge(desk, chosen, nodes.count, &accepted);
    }
    let config = table.table(desk, "config", "[etcd.config]");
    let release = chosen.as_ref().map(|chosen| chosen.release);
    let around = Around {
        style: config_style,
        leaf: pki.map(|(pki, _)| pki.leaf_algorithm),
        data_dir: data_dir.as_ref(),
        nodes: &nodes.list,
        cidr: network.map(|placed| placed.network.cidr),
    };
    let options = options::options(desk, &config, release, &around);
    let chosen = chosen?;
    Some(Etcd {
        release: chosen.release,
        pinned: chosen.pinned.is_some(),
        arch,
        sha256: sha256.into_iter().map(Spanned::into_inner).collect(),
        config_style,
        data_dir: data_dir?,
        bin_dir: bin_dir?,
        options,
    })
}

/// By Kiln's word; the ones that others use for the same are told from slips.
fn config_style(text: &str) -> Result<ConfigStyle, Invalid> {
    choose(text, ConfigStyle::CHOICES).map_err(|Invalid(why)| match text {
        "yaml" | "yml" | "config-file" | "config" => Invalid(format!("{why}; did you mean file?")),
        "args" | "arguments" | "cmdline" => Invalid(format!("{why}; did you mean flags?")),
        "environment" | "variables" => Invalid(format!("{why}; did you mean env?")),
        _ => Invalid(why),
    })
}

fn data_dir(desk: &mut Desk, table: &Section, pki: Option<&(Pki, Option<Span>)>) -> Option<GuestPath> {
    let given = table.value_with(desk, "data-dir", directories::data);
    let (path, span) = match given {
        Some(given) => (given.get_ref().clone(), Some(given.span())),
        None if table.has("data-dir") => return None,
        None => ("var/lib/etcd".parse().ok()?, None),
    };
    desk.marks.data_dir = span.clone();
    let (pki, keys_span) = pki?;
    let keys = &pki.directory;
    if path.is_within(keys.as_str()) || keys.is_within(path.as_str()) {
        let reason = format!(
            "the data directory {} and the certificates' directory {} lie in one another",
            path.absolute(),
            keys.absolute()
        );
        let help = "etcd wants its data directory for itself; move one of the two";
        desk.mistake(Mistake::new(span.or(keys_span.clone()), reason).help(help));
    }
    Some(path)
}

fn machine(desk: &mut Desk, table: &Section) -> Machine {
    let base = table.value::<BaseSystem>(desk, "base");
    Machine {
        memory_mib: table.number(desk, "memory-mib").unwrap_or(1024),
        vcpus: table.number(desk, "vcpus").and_then(|n| u16::try_from(n).ok()).unwrap_or(2),
        data_disk_mib: table.number(desk, "data-disk-mib").unwrap_or(8192),
        base: base.map(Spanned::into_inner),
        login: login(desk, table),
    }
}

/// A user without a key could not log in, and a key without a user is nobody's.
fn login(desk: &mut Desk, table: &Section) -> Option<Login> {
    let user = table.value::<LoginName>(desk, "login-user");
    let keys = table.values(desk, "ssh-keys", |text| text.parse::<SshKey>());
    let both = "write both login-user and ssh-keys, or neither: nobody has to log in";
    if table.has("login-user") && (!table.has("ssh-keys") || table.is_empty_list("ssh-keys")) {
        let reason = "[machine] login-user has no ssh-keys, and there is no password";
        desk.mistake(Mistake::new(table.place("login-user"), reason).help(both));
    } else if table.has("ssh-keys") && !table.has("login-user") {
        let reason = "[machine] ssh-keys are nobody's: there is no login-user";
        desk.mistake(Mistake::new(table.place("ssh-keys"), reason).help(both));
    }
    let keys = keys?.into_iter().map(Spanned::into_inner).collect();
    Some(Login { user: user?.into_inner(), keys })
}

/// Tells of a login that no machine will have.
fn check_login(
    desk: &mut Desk,
    machine: &Machine,
    place: Option<Span>,
    bundle: &Bundle,
    carriers: &[Carrier],
) {
    if machine.login.is_none() || bundle.carriers.iter().any(|carrier| carrier.makes_accounts) {
        return;
    }
    let (make, do_not): (Vec<Carrier>, Vec<Carrier>) =
        carriers.iter().partition(|carrier| carrier.makes_accounts);
    desk.warn(
        place.as_ref(),
        format!(
            "login-user has no effect: of the carriers, {} make accounts, and {} do not",
            listed(&names(&make)),
            listed(&names(&do_not))
        ),
    );
}

fn names(carriers: &[Carrier]) -> Vec<&'static str> {
    carriers.iter().map(|carrier| carrier.name).collect()
}

/// And where its directory is named.
fn pki(desk: &mut Desk, table: &Section) -> Option<(Pki, Option<Span>)> {
    let both = table.choice(desk, "algorithm", Algorithm::CHOICES).unwrap_or(Algorithm::P256);
    let ca_algorithm = table.choice(desk, "ca-algorithm", Algorithm::CHOICES).unwrap_or(both);
    let leaf_algorithm = table.choice(desk, "leaf-algorithm", Algorithm::CHOICES).unwrap_or(both);
    let ca = table.value::<Lifetime>(desk, "ca-lifetime");
    let leaf = table.value::<Lifetime>(desk, "leaf-lifetime");
    let place = leaf.as_ref().or(ca.as_ref()).map(Spanned::span);
    let ca_lifetime = ca.map_or(Lifetime::days(3650), Spanned::into_inner);
    let leaf_lifetime = leaf.map_or(Lifetime::days(365), Spanned::into_inner);
    if leaf_lifetime > ca_lifetime {
        let reason = format!("leaf-lifetime {leaf_lifetime} is longer than ca-lifetime {ca_lifetime}");
        let help = "a certificate ends with the CA that issued it; make leaf-lifetime shorter, or ca-lifetime longer";
        desk.mistake(Mistake::new(place, reason).help(help));
    }
    let given = table.value_with(desk, "directory", directories::keys);
    let span = given.as_ref().map(Spanned::span);
    let directory = match given {
        Some(given) => given.into_inner(),
        None => "etc/etcd/pki".parse().ok()?,
    };
    let certificates =
        table.choice(desk, "certificates", Certificates::CHOICES).unwrap_or(Certificates::PerUse);
    let pki = Pki { ca_algorithm, leaf_algorithm, ca_lifetime, leaf_lifetime, directory, certificates };
    Some((pki, span))
}

fn bundle(desk: &mut Desk, table: &Section, carriers: &[Carrier]) -> Bundle {
    let choices: Vec<_> = carriers.iter().map(|carrier| (carrier.name, *carrier)).collect();
    let carriers = match table.values(desk, "carriers", |text| choose(text, &choices)) {
        Some(chosen) => {
            let is_chosen = |carrier: &&Carrier| chosen.iter().any(|one| one.get_ref() == *carrier);
            carriers.iter().filter(is_chosen).copied().collect()
        }
        None => carriers.to_vec(),
    };
    if table.is_empty_list("carriers") {
        let known: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        let help = format!("name at least one of {}, or leave the key out for all", listed(&known));
        let reason = "[bundle] carriers is empty: nothing would bring the files to the machines";
        desk.mistake(Mistake::new(table.place("carriers"), reason).help(help));
    }
    let binaries = table.choice(desk, "binaries", Binaries::CHOICES).unwrap_or(Binaries::Embedded);
    let initramfs_compression =
        table.choice(desk, "initramfs-compression", Compression::CHOICES).unwrap_or(Compression::Gzip);
    let overlay = |text: &str| match text.is_empty() || text.contains('\0') {
        true => Err(Invalid("it is no path".into())),
        false => Ok(PathBuf::from(text)),
    };
    let overlays = table.values(desk, "overlays", overlay).unwrap_or_default();
    let below = |path: Spanned<PathBuf>| {
        let span = path.span();
        (desk.directory(&span).join(path.into_inner()), span)
    };
    desk.marks.overlays = overlays.into_iter().map(below).collect();
    let overlays = desk.marks.overlays.iter().map(|(path, _)| path.clone()).collect();
    let replace = table.values(desk, "replace", directories::guest_path).unwrap_or_default();
    desk.marks.replace = replace.iter().map(|path| (path.get_ref().clone(), path.span())).collect();
    Bundle {
        carriers,
        binaries,
        initramfs_compression,
        overlays,
        replace: replace.into_iter().map(Spanned::into_inner).collect(),
    }
}
