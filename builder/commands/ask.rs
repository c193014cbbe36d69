//! Questions at the terminal, before something that cannot be taken back.

use std::io::{BufRead, Write};

use crate::failure::{Doing, Exit, Failure, Result};
use crate::values::ClusterName;

/// A question that is answered with yes.
///
/// # Errors
/// `Exit::Unsafe` when the answer is another one; `otherwise` says what that means.
pub fn confirm(question: &str, otherwise: &str) -> Result<()> {
    match &*answer(&format!("{question}? [y/N] "))? {
        "y" | "Y" | "yes" => Ok(()),
        _ => {
            Err(Failure::unsafe_to(format!("not confirmed, so {otherwise}; pass --yes to skip the question")))
        }
    }
}

/// The question whether this cluster is meant, unless its name was given.
///
/// # Errors
/// `Exit::Usage` when another name was given, `Exit::Unsafe` when the answer is another.
pub fn name(cluster: &ClusterName, given: Option<&ClusterName>, what: &str) -> Result<()> {
    match given {
        Some(given) if given == cluster => return Ok(()),
        Some(given) => {
            let reason = format!("--cluster {given}, but the bundle is of {cluster}");
            return Err(Failure::new(Exit::Usage, reason));
        }
        None => {}
    }
    match answer(&format!("{what}\nname of the cluster, to go on: "))? == cluster.as_str() {
        true => Ok(()),
        false => Err(Failure::unsafe_to(
            "the answer is not the name of the cluster, so nothing was changed; --cluster NAME answers without the question",
        )),
    }
}

fn answer(question: &str) -> Result<String> {
    let asking = || "asking on the terminal".to_owned();
    let mut stderr = std::io::stderr();
    stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush()).doing(asking)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).doing(asking)?;
    Ok(answer.trim().to_owned())
}
