//! The question whether a cluster is meant, which is answered with its name.

use std::io::{BufRead, Write};

use crate::failure::{Doing, Exit, Failure, Result};
use crate::values::ClusterName;

/// Asks at the terminal, unless the name was given.
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
    let asking = || "asking on the terminal".to_owned();
    let mut stderr = std::io::stderr();
    write!(stderr, "{what}\nname of the cluster, to go on: ").and_then(|()| stderr.flush()).doing(asking)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).doing(asking)?;
    match answer.trim() == cluster.as_str() {
        true => Ok(()),
        false => Err(Failure::unsafe_to(
            "the answer is not the name of the cluster, so nothing was changed; --cluster NAME answers without the question",
        )),
    }
}
