//! Reads `[pki.ca]` and `[pki.peer-ca]`.

use toml::Spanned;

use super::pattern::certificate_file;
use super::types::{Ca, CaKeys, Intermediate};
use super::{fields, subject};
use crate::profile::diagnostics::Diagnostics;
use crate::profile::mistake::Mistake;
use crate::profile::reader::Section;
use crate::profile::{Algorithm, Certificates, Span};
use crate::values::{CA_FILES, Lifetime, PEER_CA_FILES};

/// The lifetimes of leaves, which no CA may be shorter than.
pub struct Lives {
    /// Of those without one of their own.
    pub usual: Lifetime,
    /// `[pki] leaf-lifetime`, where it is written.
    pub usual_place: Option<Span>,
    /// Of kinds with one of their own, by the header of their table.
    pub own: Vec<(&'static str, Spanned<Lifetime>)>,
}

impl Lives {
    /// Those of the kinds that a CA issues.
    fn of(&self, is_issued: impl Fn(&str) -> bool) -> Self {
        let own = self.own.iter().filter(|(kind, _)| is_issued(kind)).cloned().collect();
        Self { usual: self.usual, usual_place: self.usual_place.clone(), own }
    }
}

/// The kind that a CA of the peers' own issues.
const PEER: &str = "[pki.peer]";

/// A CA's table: its headers, and its usual file.
struct Titles {
    key: &'static str,
    title: &'static str,
    subject: &'static str,
    file: &'static str,
}

const CA: Titles = Titles { key: "ca", title: "[pki.ca]", subject: "[pki.ca.subject]", file: CA_FILES.cert };
const PEER_CA: Titles = Titles {
    key: "peer-ca",
    title: "[pki.peer-ca]",
    subject: "[pki.peer-ca.subject]",
    file: PEER_CA_FILES.cert,
};

/// The usual lifetime of a CA: ten years.
const CA_LIFETIME: Lifetime = Lifetime::days(3650);

/// What a key of `[pki.ca]` has by an older name in `[pki]`.
struct Older {
    algorithm: Option<Algorithm>,
    lifetime: Option<Spanned<Lifetime>>,
}

pub fn ca(diagnostics: &mut Diagnostics, pki: &Section, algorithm: Algorithm, lives: &Lives) -> Ca {
    let older = Older {
        algorithm: pki.choice(diagnostics, "ca-algorithm", Algorithm::CHOICES),
        lifetime: pki.value(diagnostics, "ca-lifetime"),
    };
    let table = pki.table(diagnostics, CA.key, CA.title);
    for (old, new) in [("ca-algorithm", "algorithm"), ("ca-lifetime", "lifetime")] {
        if let (Some(old_place), Some(place)) = (pki.place(old), table.place(new)) {
            let reason = format!("[pki] {old} and [pki.ca] {new} are two names of one key");
            let mistake = Mistake::new(place, reason).other(old_place, "its other name");
            diagnostics.mistake(mistake.help(format!("keep [pki.ca] {new}")));
        }
    }
    let lives = lives.of(|kind| kind != PEER || !pki.has(PEER_CA.key));
    let ca = one(diagnostics, &table, &CA, older, algorithm, &lives);
    if ca.is_imported {
        for key in ["ca-algorithm", "ca-lifetime"] {
            refuse_one_made(diagnostics, pki.place(key), &format!("[pki] {key}"));
        }
    }
    table.finish(diagnostics);
    ca
}

/// The one for peers where its table is not written: like that of the clients.
pub fn like(ca: &Ca) -> Ca {
    let intermediate =
        ca.intermediate.as_ref().map(|below| Intermediate { common_name: None, ..below.clone() });
    Ca { common_name: None, intermediate, file: PEER_CA.file.to_owned(), root_file: None, ..ca.clone() }
}

pub fn peer_ca(
    diagnostics: &mut Diagnostics,
    pki: &Section,
    algorithm: Algorithm,
    layout: Certificates,
    lives: &Lives,
) -> Option<Ca> {
    let table = pki.table(diagnostics, PEER_CA.key, PEER_CA.title);
    let span = table.span.clone()?;
    if layout == Certificates::OnePerNode {
        let reason = "[pki.peer-ca] needs a peer certificate of its own, and with certificates = \"one-per-node\" there is none";
        let help = "write certificates = \"per-use\" in [pki], or remove [pki.peer-ca]";
        diagnostics.mistake(Mistake::new(span, reason).help(help));
    }
    let older = Older { algorithm: None, lifetime: None };
    let ca = one(diagnostics, &table, &PEER_CA, older, algorithm, &lives.of(|kind| kind == PEER));
    table.finish(diagnostics);
    Some(ca)
}

fn one(
    diagnostics: &mut Diagnostics,
    table: &Section,
    titles: &Titles,
    older: Older,
    algorithm: Algorithm,
    lives: &Lives,
) -> Ca {
    let sources = &[("derived", false), ("imported", true)];
    let source = table.choice(diagnostics, "source", sources);
    let is_imported = source.unwrap_or(false);
    let own = table.choice(diagnostics, "algorithm", Algorithm::CHOICES);
    let is_older = older.lifetime.is_some();
    let given = table.value::<Lifetime>(diagnostics, "lifetime").or(older.lifetime);
    let lifetime = given.as_ref().map_or(CA_LIFETIME, |given| *given.get_ref());
    let own_or_older = |is_older: bool, key: &str| match is_older {
        true => format!("[pki] ca-{key}"),
        false => format!("{} {key}", titles.title),
    };
    let keys = CaKeys {
        algorithm: own_or_older(older.algorithm.is_some(), "algorithm"),
        lifetime: own_or_older(is_older, "lifetime"),
    };
    let inner = table.table(diagnostics, "subject", titles.subject);
    let of_ca = fields::subject(diagnostics, &inner);
    inner.finish(diagnostics);
    let common_name = table.value_with(diagnostics, "common-name", subject::name).map(Spanned::into_inner);
    let is_constrained = table.bool(diagnostics, "name-constraints").is_some_and(|on| *on.get_ref());
    let intermediate = intermediate(diagnostics, table, titles, lifetime);
    let file = table.value_with(diagnostics, "file", certificate_file).map(Spanned::into_inner);
    let root_file = table.value_with(diagnostics, "root-file", certificate_file).map(Spanned::into_inner);
    if is_imported {
        // The build knows when it ends, from its certificate.
        refuse_made(diagnostics, table, titles);
    } else {
        let (key, issuing, place) = match &intermediate {
            Some(below) if below.lifetime < lifetime => {
                let key = "intermediate-lifetime";
                (format!("{} {key}", titles.title), below.lifetime, table.place(key))
            }
            _ => (keys.lifetime.clone(), lifetime, given.as_ref().map(Spanned::span)),
        };
        check_lives(diagnostics, (&key, issuing), place, lives, titles);
    }
    Ca {
        is_imported,
        is_derived: source == Some(false),
        is_described: own.or(older.algorithm).is_some() || given.is_some(),
        algorithm: own.or(older.algorithm).unwrap_or(algorithm),
        lifetime,
        subject: of_ca,
        common_name,
        intermediate,
        keys,
        is_constrained,
        file: file.unwrap_or_else(|| titles.file.to_owned()),
        root_file,
    }
}

fn intermediate(
    diagnostics: &mut Diagnostics,
    table: &Section,
    titles: &Titles,
    root: Lifetime,
) -> Option<Intermediate> {
    let is_wanted = table.bool(diagnostics, "intermediate").is_some_and(|on| *on.get_ref());
    let common_name = table.value_with(diagnostics, "intermediate-common-name", subject::name);
    let lifetime = table.value::<Lifetime>(diagnostics, "intermediate-lifetime");
    if !is_wanted {
        for key in ["intermediate-common-name", "intermediate-lifetime"] {
            if let Some(place) = table.place(key) {
                let reason = format!("{} {key} needs intermediate = true", titles.title);
                diagnostics
                    .mistake(Mistake::new(place, reason).help("write it in the same table, or omit the key"));
            }
        }
        return None;
    }
    if let Some(given) = lifetime.as_ref().filter(|given| *given.get_ref() > root) {
        let reason = format!("intermediate-lifetime {} is longer than the root's, {root}", given.get_ref());
        let help =
            "a CA cannot outlive the one that issued it; make it shorter, or the root's lifetime longer";
        diagnostics.mistake(Mistake::new(given.span(), reason).help(help));
    }
    Some(Intermediate {
        common_name: common_name.map(Spanned::into_inner),
        lifetime: lifetime.map_or(root, Spanned::into_inner),
    })
}

/// An imported CA is as it is: keys that describe one that Kiln makes would be ignored.
fn refuse_made(diagnostics: &mut Diagnostics, table: &Section, titles: &Titles) {
    let made = [
        "algorithm",
        "lifetime",
        "subject",
        "common-name",
        "name-constraints",
        "intermediate",
        "intermediate-common-name",
        "intermediate-lifetime",
    ];
    for key in made {
        refuse_one_made(diagnostics, table.place(key), &format!("{} {key}", titles.title));
    }
}

/// `key` is written with its table, as in `[pki.ca] lifetime`.
fn refuse_one_made(diagnostics: &mut Diagnostics, place: Option<Span>, key: &str) {
    if let Some(place) = place {
        let reason = format!("{key} has no effect on an imported CA, which is as its certificate says");
        diagnostics.mistake(Mistake::new(place, reason).help("omit the key, or source = \"imported\""));
    }
}

/// A certificate cannot outlive its CA. `key` is what the profile calls the lifetime of the CA that issues.
fn check_lives(
    diagnostics: &mut Diagnostics,
    (key, issuing): (&str, Lifetime),
    place: Option<Span>,
    lives: &Lives,
    titles: &Titles,
) {
    let mut refuse = |of: &str, life: Lifetime, place: Option<Span>| {
        let reason = format!("{of} {life} is longer than that of its CA, {issuing}");
        let help =
            format!("a certificate cannot outlive the CA that issued it; make {of} shorter, or {key} longer");
        diagnostics.mistake(Mistake::new(place, reason).help(help));
    };
    // Every CA but that of the peers issues the bundle's own client certificate, which has the usual lifetime.
    let has_usual = titles.key != PEER_CA.key || lives.own.is_empty();
    if has_usual && lives.usual > issuing {
        refuse("[pki] leaf-lifetime", lives.usual, lives.usual_place.clone().or(place));
    }
    for (kind, life) in lives.own.iter().filter(|(_, life)| *life.get_ref() > issuing) {
        refuse(&format!("{kind} lifetime"), *life.get_ref(), Some(life.span()));
    }
}

#[cfg(test)]
mod tests {
    use crate::etcd::Release;
    use crate::profile::{Source, read};
    use crate::values::{Arch, example_carriers};

    /// The CA of the peers was compared with the lifetime of the other leaves, too, which it does not issue.
    #[test]
    fn a_ca_is_as_long_as_what_it_issues() {
        let short = "[pki.peer-ca]\nlifetime = \"90d\"\n";
        let own = "[pki.peer]\nlifetime = \"30d\"\n";
        let longer = "[pki.peer]\nlifetime = \"91d\"\n";
        let said = |tables: &str| {
            let text = format!(
                "schema = 1\n[cluster]\nname = \"x\"\n{tables}[network]\ncidr = \"10.0.0.0/24\"\n[[node]]\nname = \"n\"\n\
                 address = \"10.0.0.11\"\n"
            );
            let releases = [(Release::new(3, 5, 33), Arch::Amd64)];
            let source = Source::file("profiles/x.toml".as_ref(), text.into());
            read(&source, &releases, &example_carriers()).err().map(|mistakes| mistakes.render(false))
        };
        assert_eq!(said(&format!("{short}{own}")), None);
        // A table without effect does not have one either.
        let layout = "[pki]\ncertificates = \"one-per-node\"\n[pki.ca]\nlifetime = \"2y\"\n[pki.server]\nlifetime = \"3y\"\n";
        assert_eq!(said(layout), None);
        for (tables, want) in [
            (short.to_owned(), "[pki] leaf-lifetime 1y is longer than that of its CA, 90d"),
            (format!("{short}{longer}"), "[pki.peer] lifetime 91d is longer than that of its CA, 90d"),
            // The client in the bundle has the usual one, whatever the other tables say.
            (
                "[pki.ca]\nlifetime = \"90d\"\n[pki.server]\nlifetime = \"30d\"\n[pki.client]\nlifetime = \"30d\"\n[pki.peer]\n\
                 lifetime = \"30d\"\n"
                    .to_owned(),
                "[pki] leaf-lifetime 1y is longer than that of its CA, 90d",
            ),
        ] {
            let refused = said(&tables).unwrap();
            assert!(refused.contains(want), "{want}: {refused}");
        }
    }
}
