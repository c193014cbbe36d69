//! Programs that store logins: `docker-credential-NAME` (docker/docker-credential-helpers,
//! `credentials/credentials.go`).

use serde::Deserialize;
use zeroize::Zeroizing;

use super::login::Login;
use crate::failure::{Failure, Result};
use crate::process::{self, Ended, Program};

/// The message of a helper that has no login for a server; it exits with 1 (credentials/error.go).
const NOT_FOUND: &str = "credentials not found in native keychain";

/// The user name with which a helper returns a token for OAuth2 instead of a password.
const TOKEN: &str = "<token>";

/// A host name, a colon and a port.
const MAX_SERVER_BYTES: usize = 255 + 6;

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: Zeroizing<String>,
}

/// The login from a helper for a server; `None` where it has none.
///
/// # Errors
/// `Exit::Io` when it is not installed, fails, or returns anything other than a name and a password;
/// `Exit::Interrupted`.
pub(super) fn login(name: &str, server: &str) -> Result<Option<Login>> {
    // No host name is longer (RFC 1035 2.3.4), and the helper gets it through a pipe.
    if server.len() > MAX_SERVER_BYTES {
        return Err(Failure::io("the host name is too long for a credential helper"));
    }
    // The name becomes a part of a program's name.
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return Err(Failure::io(format!("{name:?} cannot be the name of a credential helper")));
    }
    let helper = format!("docker-credential-{name}");
    let program = Program::new(process::find(&helper)?).arg("get").with_own_environment().reading(server);
    let mut finished = program.run()?;
    let stdout = Zeroizing::new(std::mem::take(&mut finished.stdout));
    if !finished.success() {
        let said = String::from_utf8_lossy(&stdout);
        if said.trim() == NOT_FOUND {
            return Ok(None);
        }
        // Whatever else it has written may contain a secret.
        let why = match finished.ended {
            Ended::Deadline => "it did not answer in time".to_owned(),
            ended => ended.to_string(),
        };
        let way_out = format!("run {helper} get by hand to see why");
        return Err(Failure::io(format!("{helper} failed ({why}); {way_out}")));
    }
    // serde's message may quote the secret.
    let answer: Answer = serde_json::from_slice(&stdout)
        .map_err(|_| Failure::io(format!("{helper} did not answer with a name and a password")))?;
    if answer.username == TOKEN {
        return Err(Failure::io(format!("{helper} has an identity token, which Kiln cannot log in with")));
    }
    Login::new(answer.username, answer.secret)
        .map(Some)
        .ok_or_else(|| Failure::io(format!("{helper} did not answer with a name and a password")))
}
