//! Reads `[[client]]`.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeValue;

use super::fields;
use super::pattern::{alternative, certificate_file, key_file};
use super::subject::{self, Subject};
use super::types::{Client, OnNodes};
use crate::profile::diagnostics::Diagnostics;
use crate::profile::mistake::Mistake;
use crate::profile::reader::{Section, what};
use crate::profile::{OPERATOR, PEER_COMMON_NAME, Span};
use crate::values::{CA_FILES, ClientName, Invalid, Lifetime, NodeName, PEER_CA_FILES, PemFile};

/// Clients, each with the place of its name, and the lifetimes that are written for them.
pub struct Clients {
    pub list: Vec<Spanned<Client>>,
    pub lifetimes: Vec<Spanned<Lifetime>>,
}

pub fn clients(diagnostics: &mut Diagnostics, tables: Vec<Section>) -> Clients {
    let mut first: BTreeMap<ClientName, Span> = BTreeMap::new();
    let (mut list, mut lifetimes) = (Vec::new(), Vec::new());
    for table in tables {
        table.require(diagnostics, "name");
        let lifetime = table.value::<Lifetime>(diagnostics, "lifetime");
        if let Some(client) = client(diagnostics, &table, lifetime.as_ref().map(|life| *life.get_ref())) {
            let (name, place) = (client.get_ref().name.clone(), client.span());
            match first.get(&name) {
                Some(there) => diagnostics.mistake(
                    Mistake::new(place, format!("duplicate client name {name}"))
                        .other(there.clone(), "first here")
                        .help("names and addresses must be unique; change one of the two"),
                ),
                None => {
                    first.insert(name, place);
                    list.push(client);
                }
            }
        }
        lifetimes.extend(lifetime);
        table.finish(diagnostics);
    }
    Clients { list, lifetimes }
}

/// With the place of its name.
fn client(
    diagnostics: &mut Diagnostics,
    table: &Section,
    lifetime: Option<Lifetime>,
) -> Option<Spanned<Client>> {
    let name = table.value_with(diagnostics, "name", client_name);
    let common_name = table.value_with(diagnostics, "common-name", common_name).map(Spanned::into_inner);
    let subject = subject_of(diagnostics, table);
    let cert = table.value_with(diagnostics, "cert", certificate_file).map(Spanned::into_inner);
    let key = table.value_with(diagnostics, "key", key_file).map(Spanned::into_inner);
    let names = table.values(diagnostics, "names", alternative).unwrap_or_default();
    fields::few(diagnostics, "[[client]]", &names);
    let stems = table.values(diagnostics, "copies", stem).unwrap_or_default();
    let nodes = on_nodes(diagnostics, table).unwrap_or(OnNodes::Some(Vec::new()));
    let name = name?;
    let place = name.span();
    let name = name.into_inner();
    let cert = cert.unwrap_or_else(|| PemFile::Certificate.usual(&name));
    let key = key.unwrap_or_else(|| PemFile::Key.usual(&name));
    let ending = |file: &str| PemFile::split(file).map(|(.., ending)| ending).unwrap_or_default();
    let (of_cert, of_key) = (ending(&cert), ending(&key));
    let copies = stems.iter().map(|stem| {
        let stem = stem.get_ref();
        (format!("{stem}{of_cert}"), format!("{stem}{of_key}"))
    });
    let copies = copies.collect();
    let client = Client {
        common_name: common_name.unwrap_or_else(|| name.to_string()),
        subject,
        lifetime,
        names: names.into_iter().map(Spanned::into_inner).collect(),
        name,
        cert,
        key,
        copies,
        nodes,
    };
    Some(Spanned::new(place, client))
}

/// `[client.subject]`, of which the organization may also be in `[[client]]` itself.
fn subject_of(diagnostics: &mut Diagnostics, table: &Section) -> Subject {
    let organization = table.values(diagnostics, "organization", subject::name).unwrap_or_default();
    let below = table.table(diagnostics, "subject", "[client.subject]");
    let subject = fields::subject(diagnostics, &below);
    if let (Some(first), Some(second)) = (table.place("organization"), below.place("organization")) {
        let reason = "[[client]] organization and [client.subject] organization are two names of one key";
        let mistake = Mistake::new(second, reason).other(first, "its other name");
        diagnostics.mistake(mistake.help("keep one of them"));
    }
    below.finish(diagnostics);
    match organization.is_empty() {
        true => subject,
        false => {
            Subject { organization: organization.into_iter().map(Spanned::into_inner).collect(), ..subject }
        }
    }
}

/// `nodes = true`, or the names of some; `None` where the key is missing or wrong.
pub fn on_nodes(diagnostics: &mut Diagnostics, table: &Section) -> Option<OnNodes> {
    let item = table.item("nodes")?;
    match item.get_ref() {
        DeValue::Boolean(true) => return Some(OnNodes::All),
        DeValue::Boolean(false) => return Some(OnNodes::Some(Vec::new())),
        DeValue::Array(_) | DeValue::String(_) => {}
        other => {
            let reason =
                format!("{} nodes takes true or a list of nodes, not {}", table.title(), what(other));
            diagnostics.mistake(Mistake::new(item.span(), reason));
            return None;
        }
    }
    let names = table.values(diagnostics, "nodes", |text| text.parse::<NodeName>()).unwrap_or_default();
    Some(OnNodes::Some(names.into_iter().map(Spanned::into_inner).collect()))
}

/// The beginning of the names of a copy's two files.
fn stem(text: &str) -> Result<String, Invalid> {
    if PemFile::has_ending(text) {
        return Err(Invalid("write it without its ending: the two files get those of cert and key".into()));
    }
    certificate_file(&format!("{text}.crt"))?;
    Ok(text.to_owned())
}

fn common_name(text: &str) -> Result<String, Invalid> {
    match text == PEER_COMMON_NAME {
        true => Err(Invalid("it is the members' own, and would open the peer port to this client".into())),
        false => subject::name(text),
    }
}

/// A client's name is also that of its files, beside those that every bundle has.
fn client_name(text: &str) -> Result<ClientName, Invalid> {
    let name: ClientName = text.parse()?;
    let taken = |why: &str| Err(Invalid(why.into()));
    match text {
        OPERATOR => taken("every bundle has that one already; omit it"),
        PEER_COMMON_NAME => taken("it is the members' own, and would open the peer port to this client"),
        _ => match PemFile::Certificate.usual(text) {
            file if file == CA_FILES.cert => taken(&format!("{file} is the CA's certificate")),
            file if file == PEER_CA_FILES.cert => {
                taken(&format!("{file} is the certificate of the peers' CA"))
            }
            file if PemFile::of(&file) != Some(PemFile::Certificate) => {
                taken("its certificate would have the name of a key file")
            }
            _ => Ok(name),
        },
    }
}
