//! The tables of a profile, one after the other.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeTable;

use super::diagnostics::Diagnostics;
use super::hosts::Hosts;
use super::mistake::Mistake;
use super::reader::{Section, choose, listed, quoted};
use super::rules::Around;
use super::source::Source;
use super::{
    Binaries, Bundle, Client, Cluster, Compression, ConfigStyle, EXTENDS, Etcd, FileSpec, Host, Login,
    Machine, OptionSet, Pki, Profile, SCHEMA, Span, Written, addresses, backup, directories, files, instance,
    link, network, node_options, nodes, options, pki, programs, release, service,
};
use crate::etcd::Release;
use crate::values::{
    Arch, BaseSystem, Carrier, ClusterName, Digest, GuestPath, InstanceName, Invalid, LoginName, SshKey,
};

/// `None` when a mistake leaves no usable profile; the diagnostics then contain every mistake. They may also contain
/// some beside a profile.
pub(super) fn profile(
    diagnostics: &mut Diagnostics,
    source: &Source,
    document: &DeTable,
    available: &[(Release, Arch)],
    carriers: &[Carrier],
) -> Option<Profile> {
    let top = Section::top(document);
    schema(diagnostics, &top)?;
    extended(diagnostics, &top, source);
    let name = name(diagnostics, source);
    let table = top.table(diagnostics, "cluster", "[cluster]");
    let (cluster, two_allowed) = cluster(diagnostics, &table);
    table.finish(diagnostics);
    let network = network::read(diagnostics, &top);
    let (nodes, hosts, files) = nodes(diagnostics, &top, network.as_ref(), cluster.as_ref(), two_allowed);
    let table = top.table(diagnostics, "etcd", "[etcd]");
    let instance = instance::read(diagnostics, &table);
    instance::warn_of_host_keys(diagnostics, document, &instance);
    let (clients, pki) = certificates(diagnostics, &top, &nodes, cluster.as_ref(), &instance);
    let near = Near { instance: &instance, cluster: &cluster, nodes: &nodes, network: &network, pki: &pki };
    let (own_options, mut etcd) = etcd(diagnostics, &table, &near, available);
    let names_bin_dir = table.has("bin-dir");
    table.finish(diagnostics);
    let backup = backup::read(diagnostics, &top, (&instance, etcd.as_ref(), pki.as_ref().map(|pki| &pki.0)));
    let table = top.table(diagnostics, "machine", "[machine]");
    let machine = machine(diagnostics, &table, &hosts);
    let login_place = table.place("login-user");
    table.finish(diagnostics);
    let table = top.table(diagnostics, "bundle", "[bundle]");
    let bundle = bundle(diagnostics, &table, carriers, &instance);
    table.finish(diagnostics);
    diagnostics.marks.keep_base(machine.base.as_ref(), &bundle.carriers, &instance);
    if let Some(etcd) = etcd.as_mut().filter(|_| !names_bin_dir) {
        etcd.bin_dir = programs::usual(&bundle.carriers)?;
    }
    top.finish(diagnostics);
    network::check_dhcp(diagnostics, network.as_ref(), nodes.count, [&bundle.carriers, carriers]);
    check_login(diagnostics, &machine, login_place.clone(), &bundle, carriers);
    check_account(diagnostics, &machine, etcd.as_ref(), login_place);
    Some(Profile {
        name: name?,
        cluster: cluster?,
        etcd: etcd?,
        network: network?.network,
        nodes: nodes.with(own_options),
        hosts: hosts.into_iter().map(|(host, _)| host).collect(),
        files,
        clients,
        pki: pki?.0,
        backup,
        machine,
        bundle,
        written: Written::default(),
    })
}

/// The nodes, the hosts that they are on with their places, and the profile's own files.
type Topology<'t> = (nodes::Nodes<'t>, Vec<(Host, Option<Span>)>, Vec<FileSpec>);

fn nodes<'t>(
    diagnostics: &mut Diagnostics,
    top: &Section<'t>,
    network: Option<&network::Placed>,
    cluster: Option<&Cluster>,
    two_allowed: Option<Span>,
) -> Topology<'t> {
    let tables = top.tables(diagnostics, "host", "[[host]]");
    let mut hosts = Hosts::read(diagnostics, tables);
    let tables = top.tables(diagnostics, "node", "[[node]]");
    let cluster = cluster.map(|cluster| cluster.name.as_str());
    let nodes = nodes::nodes(diagnostics, tables, network, cluster, two_allowed, &mut hosts);
    let hosts = hosts.finish(diagnostics, nodes.count);
    let tables = top.tables(diagnostics, "file", "[[file]]");
    let files = files::read(diagnostics, tables, &nodes);
    (nodes, hosts, files)
}

/// `[[client]]` and `[pki]`; also returns the place of the certificates' directory.
fn certificates(
    diagnostics: &mut Diagnostics,
    top: &Section,
    nodes: &nodes::Nodes,
    cluster: Option<&Cluster>,
    instance: &InstanceName,
) -> (Vec<Client>, Option<(Pki, Option<Span>)>) {
    let tables = top.tables(diagnostics, "client", "[[client]]");
    let pki::Clients { list: clients, lifetimes } = pki::clients(diagnostics, tables);
    let table = top.table(diagnostics, "pki", "[pki]");
    let pki = pki::pki(diagnostics, &table, instance, lifetimes);
    instance::mark(diagnostics, &table, &["directory"]);
    if let (Some((pki, _)), Some(cluster)) = (&pki, cluster) {
        let place = table.span.clone();
        let has_backup = top.has("backup");
        pki::check(diagnostics, &pki::Around { pki, nodes, clients: &clients, cluster, has_backup, place });
    }
    table.finish(diagnostics);
    (clients.into_iter().map(Spanned::into_inner).collect(), pki)
}

/// The name of the bundle, which is that of the file.
fn name(diagnostics: &mut Diagnostics, source: &Source) -> Option<ClusterName> {
    let name = source.name.parse();
    if let Err(Invalid(why)) = &name {
        let reason = format!("the file's name, which names the bundle, cannot be {:?}: {why}", source.name);
        diagnostics.mistake(Mistake::missing(None, reason).help("rename the file, as in ha3.toml"));
    }
    name.ok()
}

/// Read first: a file of another schema may have other keys, which cannot be checked.
fn schema(diagnostics: &mut Diagnostics, top: &Section) -> Option<()> {
    top.require(diagnostics, "schema");
    let schema = top.integer(diagnostics, "schema");
    if !top.has("schema") {
        return Some(());
    }
    // A schema that is not a number is a slip, and the rest of the file is checked as usual.
    let Some(schema) = schema else { return Some(()) };
    if *schema.get_ref() == i128::from(SCHEMA) {
        return Some(());
    }
    let reason = format!(
        "schema {} is not supported; this version of Kiln reads schema {SCHEMA}",
        diagnostics.written(&schema.span())
    );
    diagnostics.mistake(
        Mistake::new(schema.span(), reason)
            .help("use the version of Kiln that this profile was written for, or a newer one"),
    );
    None
}

/// The base has been read before; here only the reason why it could not be read is reported.
fn extended(diagnostics: &mut Diagnostics, top: &Section, source: &Source) {
    let Some(named) = top.text(diagnostics, EXTENDS) else { return };
    // Reported in the text that names it, which may itself be a base.
    if let Some(why) = source.missing_base() {
        let reason = format!("cannot read the base profile {}: {why}", quoted(named.get_ref()));
        diagnostics.mistake(Mistake::new(named.span(), reason));
    }
}

/// Also returns the place of `allow-two-members`, when it is true.
fn cluster(diagnostics: &mut Diagnostics, table: &Section) -> (Option<Cluster>, Option<Span>) {
    table.require(diagnostics, "name");
    let name = table.value(diagnostics, "name");
    let domain = table.value_with(diagnostics, "domain", addresses::domain).map(Spanned::into_inner);
    let token = table.value(diagnostics, "token").map(Spanned::into_inner);
    instance::mark(diagnostics, table, &["token"]);
    let formed = table.bool(diagnostics, "formed").is_some_and(|formed| *formed.get_ref());
    let two = table.bool(diagnostics, "allow-two-members").filter(|two| *two.get_ref());
    let cluster = name.map(|name| Cluster { name: name.into_inner(), domain, token, formed });
    (cluster, two.map(|two| two.span()))
}

/// The parts of the profile that `[etcd]` refers to. `None` for a part that could not be read.
struct Near<'a> {
    instance: &'a InstanceName,
    cluster: &'a Option<Cluster>,
    nodes: &'a nodes::Nodes<'a>,
    network: &'a Option<network::Placed>,
    pki: &'a Option<(Pki, Option<Span>)>,
}

/// Also returns the options of each node's own.
fn etcd(
    diagnostics: &mut Diagnostics,
    table: &Section,
    near: &Near<'_>,
    available: &[(Release, Arch)],
) -> (Vec<Vec<OptionSet>>, Option<Etcd>) {
    let &Near { instance, nodes, .. } = near;
    let (cluster, network, pki) = (near.cluster.as_ref(), near.network.as_ref(), near.pki.as_ref());
    let arch = table.value::<Arch>(diagnostics, "arch").map_or(Arch::Amd64, Spanned::into_inner);
    let chosen = release::choose(diagnostics, table, arch, available);
    let sha256 = table.values(diagnostics, "sha256", |text| text.parse::<Digest>()).unwrap_or_default();
    let config_style = table
        .value_with(diagnostics, "config-style", config_style)
        .map_or(ConfigStyle::File, Spanned::into_inner);
    let data_dir = data_dir(diagnostics, table, pki, instance);
    let bin_dir = programs::bin_dir(diagnostics, table, data_dir.as_ref());
    let accepted = table.values(diagnostics, "accept-risk", |text| text.parse()).unwrap_or_default();
    if let Some(chosen) = &chosen {
        release::judge(diagnostics, chosen, nodes.count, &accepted);
        pki::check_release(diagnostics, pki.map(|(pki, _)| pki), chosen.release, config_style);
    }
    let beside = service::Beside {
        instance,
        cluster,
        nodes: &nodes.list,
        pki: pki.map(|(pki, _)| pki),
        data_dir: data_dir.as_ref(),
    };
    let service = service::service(diagnostics, table, &beside);
    let config = table.table(diagnostics, "config", "[etcd.config]");
    let release = chosen.as_ref().map(|chosen| chosen.release);
    let ranges: Vec<_> = network.into_iter().flat_map(network::Placed::ranges).collect();
    let around = Around {
        style: config_style,
        pki: pki.map(|(pki, _)| pki),
        data_dir: data_dir.as_ref(),
        service: service.as_ref(),
        nodes: &nodes.list,
        node: None,
        ranges: &ranges,
    };
    let set = options::read(diagnostics, &config, release, config_style);
    let own = node_options::of_nodes(diagnostics, &set, &nodes.configs, release, &around);
    let options = set.into_iter().map(|(option, _)| option).collect();
    let etcd = || {
        let chosen = chosen?;
        Some(Etcd {
            release: chosen.release,
            pinned: chosen.pinned.is_some(),
            arch,
            sha256: sha256.into_iter().map(Spanned::into_inner).collect(),
            config_style,
            data_dir: data_dir?,
            bin_dir: bin_dir?,
            service: service?,
            options,
        })
    };
    (own, etcd())
}

/// By Kiln's own words; those of other tools for the same style get a hint of their own.
fn config_style(text: &str) -> Result<ConfigStyle, Invalid> {
    choose(text, ConfigStyle::CHOICES).map_err(|Invalid(why)| match text {
        "yaml" | "yml" | "config-file" | "config" => Invalid(format!("{why}; did you mean file?")),
        "args" | "arguments" | "cmdline" => Invalid(format!("{why}; did you mean flags?")),
        "environment" | "variables" => Invalid(format!("{why}; did you mean env?")),
        _ => Invalid(why),
    })
}

fn data_dir(
    diagnostics: &mut Diagnostics,
    table: &Section,
    pki: Option<&(Pki, Option<Span>)>,
    instance: &InstanceName,
) -> Option<GuestPath> {
    let given = table.value_with(diagnostics, "data-dir", directories::data);
    let (path, span) = match given {
        Some(given) => (given.get_ref().clone(), Some(given.span())),
        None if table.has("data-dir") => return None,
        None => (format!("var/lib/etcd{}", instance.suffix()).parse().ok()?, None),
    };
    diagnostics.marks.data_dir = span.clone();
    let (pki, keys_span) = pki?;
    let keys = &pki.directory;
    if path.overlaps(keys) {
        let reason = format!(
            "the data directory {} and the certificates' directory {} must not contain each other",
            path.absolute(),
            keys.absolute()
        );
        let help = "etcd wants its data directory for itself; move one of the two";
        diagnostics.mistake(Mistake::new(span.or(keys_span.clone()), reason).help(help));
    }
    Some(path)
}

fn machine(diagnostics: &mut Diagnostics, table: &Section, hosts: &[(Host, Option<Span>)]) -> Machine {
    let base = table.value::<BaseSystem>(diagnostics, "base");
    diagnostics.marks.base = base.as_ref().map(Spanned::span);
    Machine {
        memory_mib: table.number(diagnostics, "memory-mib").unwrap_or(1024),
        vcpus: table.number(diagnostics, "vcpus").and_then(|n| u16::try_from(n).ok()).unwrap_or(2),
        data_disk_mib: table.number(diagnostics, "data-disk-mib").unwrap_or(8192),
        base: base.map(Spanned::into_inner),
        link: link::link(diagnostics, table, hosts),
        login: login(diagnostics, table),
    }
}

/// A user without a key could not log in, and a key needs a user.
fn login(diagnostics: &mut Diagnostics, table: &Section) -> Option<Login> {
    let user = table.value::<LoginName>(diagnostics, "login-user");
    let keys = table.values(diagnostics, "ssh-keys", |text| text.parse::<SshKey>());
    let both = "write both login-user and ssh-keys, or neither: no login is needed";
    if table.has("login-user") && (!table.has("ssh-keys") || table.is_empty_list("ssh-keys")) {
        let reason = "[machine] login-user has no ssh-keys, and no password exists";
        diagnostics.mistake(Mistake::new(table.place("login-user"), reason).help(both));
    } else if table.has("ssh-keys") && !table.has("login-user") {
        let reason = "[machine] ssh-keys has no login-user";
        diagnostics.mistake(Mistake::new(table.place("ssh-keys"), reason).help(both));
    }
    let keys = keys?.into_iter().map(Spanned::into_inner).collect();
    Some(Login { user: user?.into_inner(), keys })
}

/// The login is not etcd's own account.
fn check_account(diagnostics: &mut Diagnostics, machine: &Machine, etcd: Option<&Etcd>, place: Option<Span>) {
    if let (Some(login), Some(etcd)) = (&machine.login, etcd)
        && login.user.as_str() == etcd.service.user.as_str()
    {
        let reason = format!("the account {} is etcd's own ([etcd] user)", login.user);
        diagnostics.mistake(Mistake::new(place, reason).help("choose another login-user, such as ops"));
    }
}

/// Warns about a login that no machine will have.
fn check_login(
    diagnostics: &mut Diagnostics,
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
    diagnostics.warn(
        place.as_ref(),
        format!(
            "login-user has no effect: of the carriers, {} create accounts, and {} do not",
            listed(&names(&make)),
            listed(&names(&do_not))
        ),
    );
}

fn names(carriers: &[Carrier]) -> Vec<&'static str> {
    carriers.iter().map(|carrier| carrier.name).collect()
}

fn bundle(
    diagnostics: &mut Diagnostics,
    table: &Section,
    carriers: &[Carrier],
    instance: &InstanceName,
) -> Bundle {
    let choices: Vec<_> = carriers.iter().map(|carrier| (carrier.name, *carrier)).collect();
    let carriers = match table.values(diagnostics, "carriers", |text| choose(text, &choices)) {
        Some(chosen) => {
            instance::check_carriers(diagnostics, instance, &chosen, carriers);
            let is_chosen = |carrier: &&Carrier| chosen.iter().any(|one| one.get_ref() == *carrier);
            carriers.iter().filter(is_chosen).copied().collect()
        }
        None => carriers.iter().filter(|carrier| instance::takes(instance, **carrier)).copied().collect(),
    };
    if table.is_empty_list("carriers") {
        let known: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        let help = format!("name at least one of {}, or omit the key for all", listed(&known));
        let reason = "[bundle] carriers is empty: no carrier would deliver the files to the machines";
        diagnostics.mistake(Mistake::new(table.place("carriers"), reason).help(help));
    }
    let binaries = table.choice(diagnostics, "binaries", Binaries::CHOICES).unwrap_or(Binaries::Embedded);
    let initramfs_compression =
        table.choice(diagnostics, "initramfs-compression", Compression::CHOICES).unwrap_or(Compression::Gzip);
    let overlay = |text: &str| match text.is_empty() || text.contains('\0') {
        true => Err(Invalid("it is not a path".into())),
        false => Ok(PathBuf::from(text)),
    };
    let overlays = table.values(diagnostics, "overlays", overlay).unwrap_or_default();
    let below = |path: Spanned<PathBuf>| {
        let span = path.span();
        (diagnostics.directory(&span).join(path.into_inner()), span)
    };
    diagnostics.marks.overlays = overlays.into_iter().map(below).collect();
    let overlays = diagnostics.marks.overlays.iter().map(|(path, _)| path.clone()).collect();
    let replace = table.values(diagnostics, "replace", directories::guest_path).unwrap_or_default();
    diagnostics.marks.replace = replace.iter().map(|path| (path.get_ref().clone(), path.span())).collect();
    Bundle {
        carriers,
        binaries,
        initramfs_compression,
        overlays,
        replace: replace.into_iter().map(Spanned::into_inner).collect(),
    }
}
