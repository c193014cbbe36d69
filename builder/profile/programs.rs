//! The location of etcd's programs on a node.

use super::diagnostics::Diagnostics;
use super::directories::guest_path;
use super::mistake::Mistake;
use super::reader::Section;
use crate::values::{Carrier, GuestPath, Invalid};

/// In every PATH before the distribution's own directories.
const USUAL: &str = "usr/local/bin";

/// In the PATH of systems whose /usr is read-only: Flatcar, where /usr/local is in it, and Fedora CoreOS, where both
/// are links into /var.
const READ_ONLY_USR: &str = "opt/bin";

/// The default location of the programs: a system that only Ignition sets up has a read-only /usr.
pub(super) fn usual(carriers: &[Carrier]) -> Option<GuestPath> {
    let is_read_only = !carriers.is_empty() && carriers.iter().all(|carrier| carrier.has_read_only_usr);
    let path = if is_read_only { READ_ONLY_USR } else { USUAL };
    path.parse().ok()
}

/// `[etcd] bin-dir`; the default location where there is none.
pub(super) fn bin_dir(
    diagnostics: &mut Diagnostics,
    table: &Section,
    data_dir: Option<&GuestPath>,
) -> Option<GuestPath> {
    let given = table.value_with(diagnostics, "bin-dir", |text| {
        let path = guest_path(text)?;
        match [USUAL, READ_ONLY_USR].contains(&path.as_str()) || is_of_a_package(&path) {
            true => Ok(path),
            false => Err(Invalid(
                "it must be /usr/local/bin, /opt/bin or /opt/NAME/bin; other directories belong to the distribution"
                    .into(),
            )),
        }
    });
    let Some(given) = given else {
        return if table.has("bin-dir") { None } else { USUAL.parse().ok() };
    };
    let path = given.get_ref();
    if let Some(data_dir) = data_dir
        && path.overlaps(data_dir)
    {
        let reason = format!(
            "the directory of the programs {} and the data directory {} must not contain each other",
            path.absolute(),
            data_dir.absolute()
        );
        let help = "the data directory is etcd's own, but programs that root runs must not be writable by etcd; move one of the two";
        diagnostics.mistake(Mistake::new(given.span(), reason).help(help));
    }
    Some(given.into_inner())
}

/// `opt/NAME/bin` (Filesystem Hierarchy Standard, "/opt"). The name also goes into a unit and shell scripts.
fn is_of_a_package(path: &GuestPath) -> bool {
    let name = path.as_str().strip_prefix("opt/").and_then(|rest| rest.strip_suffix("/bin"));
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.is_some_and(|name| !name.is_empty() && name.chars().all(plain))
}
