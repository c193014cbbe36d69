//! Calls of virsh.

use std::path::Path;
use std::time::Duration;

use crate::failure::Result;
use crate::process::{Finished, Program};
use crate::values::Connect;

/// A call of virsh.
pub struct Virsh(Program);

impl Virsh {
    /// For the libvirt at this address.
    pub fn new(program: &Path, address: &Connect) -> Self {
        let virsh = Program::new(program).args(["--quiet", "--connect", &address.unattended()]);
        // ssh finds its configuration and its agent by these; a libvirt here is found without.
        Self(if address.is_here() { virsh } else { virsh.passing(&["HOME", "SSH_AUTH_SOCK", "KRB5CCNAME"]) })
    }

    pub fn arg(self, argument: impl AsRef<std::ffi::OsStr>) -> Self {
        Self(self.0.arg(argument))
    }

    pub fn args<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(self, arguments: I) -> Self {
        Self(self.0.args(arguments))
    }

    pub fn within(self, deadline: Duration) -> Self {
        Self(self.0.within(deadline))
    }

    pub fn through_interrupt(self) -> Self {
        Self(self.0.through_interrupt())
    }

    pub fn must(&self) -> Result<Finished> {
        self.0.must_telling(telling)
    }
}

/// A message that virsh prints before every answer where polkit does not run; it has nothing to do with the answer.
const NOISE: &str = "Authorization not available. Check if polkit service is running";

/// The part of virsh's output that is about the call.
fn telling(said: &str) -> String {
    let lines: Vec<_> =
        said.lines().filter(|line| !line.contains(NOISE) && !line.trim().is_empty()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_virsh_is_without_its_noise() {
        let said = "Authorization not available. Check if polkit service is running or see debug message for more \
                    information.\nerror: no domain 'x'\n\n";
        assert_eq!(telling(said), "error: no domain 'x'");
    }
}
