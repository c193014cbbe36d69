//! The description of a keystore, for people and for programs: never a secret.

use std::path::Path;

use serde_json::{Value, json};

use crate::failure::Result;
use crate::pki::{Keystore, Restore};
use crate::plan;
use crate::values::Token;

fn origin(keystore: &Keystore) -> &'static str {
    if keystore.has_imported_ca() { "imported" } else { "derived" }
}

/// For programs.
pub fn describe(path: &Path, keystore: &Keystore) -> Result<Value> {
    let authority = keystore.ca()?.map(|ca| {
        json!({
            "subject": ca.subject, "algorithm": ca.algorithm,
            "not_before": ca.not_before.to_string(), "not_after": ca.not_after.to_string(),
        })
    });
    let formed: Vec<_> = keystore
        .sealed()
        .map(|token| {
            let known = keystore.formed(token).map(|formed| {
                let members = formed.members.iter().map(
                    |member| json!({ "name": member.name, "id": member.id, "peer_url": member.peer_url }),
                );
                (formed.id, formed.release, members.collect::<Vec<_>>())
            });
            match known {
                Some((id, release, members)) => {
                    json!({ "token": token, "id": id, "etcd": release, "members": members })
                }
                None => json!({ "token": token }),
            }
        })
        .collect();
    let mut all = json!({
        "path": path, "cluster": keystore.cluster(), "token": keystore.token(), "ca": origin(keystore),
        "authority": authority,
        "recorded": keystore.recorded_authorities().into_iter()
            .map(|(name, made)| json!({ "name": name, "made": made })).collect::<Vec<_>>(),
        "sealed": keystore.sealed().map(ToString::to_string).collect::<Vec<_>>(),
        "formed": formed,
        "issues": keystore.dates().iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    if keystore.renews_on_nodes() == Some(true) {
        all["renewal"] = json!({ "by": "node", "has_successors_secret": keystore.has_successors_secret() });
    }
    if let Some((date, is_current)) = keystore.last_export() {
        all["exported"] = json!({ "date": date.to_string(), "current": is_current });
    }
    let restores: Vec<_> = keystore
        .restores()
        .iter()
        .map(|restore| {
            json!({
                "token": restore.token, "generation": restore.generation, "id": restore.id,
                "date": restore.date.to_string(), "revision": restore.revision,
            })
        })
        .collect();
    if !restores.is_empty() {
        all["restored"] = restores.into();
    }
    if let Some(how) = keystore.protection() {
        all["secret"] = how.into();
    }
    if let (Some(ca), Value::Object(all)) = (keystore.imported_authority(plan::PEER_CA)?, &mut all) {
        all.insert("peer_ca".into(), ca.json());
    }
    Ok(all)
}

/// A profile may have a token of its own, which no keystore knows before a seal.
fn use_of_token(keystore: &Keystore) -> &'static str {
    if keystore.sealed().next().is_none() {
        return ", where the profile has no [cluster] token";
    }
    match keystore.sealed().any(|token| token == keystore.token()) {
        true => "",
        false => ", which the sealed cluster does not use",
    }
}

/// For people.
pub fn shown(path: &Path, keystore: &Keystore) -> Result<String> {
    let mut text = format!(
        "keystore {} of {}\n  token  {}{}\n  CA     {}",
        path.display(),
        keystore.cluster(),
        keystore.token(),
        use_of_token(keystore),
        origin(keystore)
    );
    match keystore.ca()? {
        Some(ca) => {
            let (subject, algorithm) = (&ca.subject, &ca.algorithm);
            text += &format!(", {subject}, {algorithm}, {} to {}", ca.not_before, ca.not_after);
        }
        None => text += "; the first build fixes its algorithm and lifetime",
    }
    if let Some(ca) = keystore.imported_authority(plan::PEER_CA)? {
        text += &format!("\n  peer-ca imported, {}", ca.line());
    }
    for (name, made) in keystore.recorded_authorities() {
        text += &format!("\n  {name:<7} {made}");
    }
    if keystore.renews_on_nodes() == Some(true) {
        text += &format!(
            "\n  renewal by each node; the secret of the successors of its CAs is {}",
            match keystore.has_successors_secret() {
                true => "here",
                false => "kept elsewhere",
            }
        );
    }
    let mut dates: Vec<_> = keystore.dates().iter().map(ToString::to_string).collect();
    if keystore.has_imported_ca() && !keystore.has_issued() {
        // From the round that the import has ended, there is no certificate.
        dates.drain(..dates.len() - 1);
    }
    text += &format!("\n  issued {}", dates.join("\n         "));
    if let Some(how) = keystore.protection() {
        text += &format!("\n  secret {how}");
    }
    if let Some((date, is_current)) = keystore.last_export() {
        text += &format!(
            "\n  export {date}, {}",
            if is_current { "up to date" } else { "older than its last change" }
        );
    }
    for token in keystore.sealed() {
        text += &format!("\n  sealed {token}");
        let Some(formed) = keystore.formed(token) else {
            text += ", without a record of the cluster: run kiln seal --adopt BUNDLE";
            continue;
        };
        text += &format!(", cluster ID {}, etcd {}", formed.id, formed.release);
        for member in &formed.members {
            text += &format!("\n         {} {} {}", member.name, member.id, member.peer_url);
        }
        text += &restored(keystore, token);
    }
    Ok(text)
}

/// How the cluster with this token was made, where it was from a snapshot.
fn restored(keystore: &Keystore, token: &Token) -> String {
    keystore.restore_of(token).map_or(String::new(), |Restore { generation, date, revision, .. }| {
        format!("\n  restored as generation {generation} on {date}, from revision {revision}")
    })
}
