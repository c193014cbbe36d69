//! Who renews the certificates of members, in words and as JSON.

use serde_json::{Value, json};

use crate::profile::{Pki, Renewal};

/// Who renews the members' certificates.
pub fn line(pki: &Pki) -> String {
    match &pki.renewal {
        None => {
            let because = pki.desk_because.as_ref().map_or(String::new(), |why| format!(": {why}"));
            format!("kiln keystore renew, and a build (\"desk\"){because}")
        }
        Some(Renewal { leaf_lifetime, ca_lifetime, constraints, is_of_keystore, .. }) => format!(
            "each node: certificates of {leaf_lifetime}, with CAs of its own of {ca_lifetime} ({constraints}){}",
            if *is_of_keystore { ", as its keystore has decided" } else { "" }
        ),
    }
}

/// The same for programs.
pub fn view(pki: &Pki) -> Value {
    match (&pki.renewal, &pki.desk_because) {
        (Some(renewal), _) => json!({
            "by": "node", "leaf_lifetime": renewal.leaf_lifetime.to_string(),
            "ca_lifetime": renewal.ca_lifetime.to_string(), "constraints": renewal.constraints.to_string(),
        }),
        (None, Some(because)) => json!({ "by": "desk", "because": because }),
        (None, None) => json!({ "by": "desk" }),
    }
}
