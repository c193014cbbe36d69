//! The file of `--junit`: where it may be written.

use std::io::Read;
use std::path::Path;

use crate::disk::{self, Input, Kind};
use crate::failure::{Doing, Failure, Result};
use crate::report::{self, Report};
use crate::values::Mode;

/// The beginning of a file that is read to see what it is, in bytes.
const BEGINNING_BYTES: u64 = 4096;

/// Checks the place of the report before anything else is done.
///
/// # Errors
/// `Exit::Unsafe` when it is inside something that Kiln has made, or when anything but an older report is there.
pub fn check(path: Option<&Path>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    disk::refuse_in_made(path, None, "name another file for --junit")?;
    let refuse = |what: &str| {
        let reason = format!("{} is not {what}; name another for --junit", path.display());
        Err(Failure::unsafe_to(reason))
    };
    match disk::look(path)? {
        None => Ok(()),
        Some(found) if found.kind != Kind::File => refuse("a regular file"),
        Some(found) if found.size == 0 || is_report(&beginning(path)?) => Ok(()),
        Some(_) => refuse("a JUnit report, and would be lost"),
    }
}

/// Writes the reports, whole or not at all; what is at the path is checked again.
///
/// # Errors
/// As [`check`], and `Exit::Io`.
pub fn write(path: &Path, reports: &[Report]) -> Result<()> {
    check(Some(path))?;
    disk::write_whole(path, report::junit(reports)?.as_bytes(), Mode::FILE)
}

fn beginning(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let reading = || format!("reading {}", path.display());
    Input::open(path)?.take(BEGINNING_BYTES).read_to_end(&mut bytes).doing(reading)?;
    Ok(bytes)
}

/// Whether a file begins with an element `testsuite` or `testsuites`, after declarations and comments.
fn is_report(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    for (begin, end) in [("<?", "?>"), ("<!--", "-->")] {
        while let Some((_, behind)) = rest.starts_with(begin).then(|| rest.split_once(end)).flatten() {
            rest = behind.trim_start();
        }
    }
    rest.starts_with("<testsuite")
}

#[cfg(test)]
mod tests {
    use super::is_report;

    #[test]
    fn a_report_is_known_by_its_first_element() {
        for good in [
            "<testsuite name=\"x\">",
            "<testsuites/>",
            "\u{feff}<?xml version=\"1.0\"?>\n<!-- by CI -->\n<testsuites>",
        ] {
            assert!(is_report(good.as_bytes()), "{good}");
        }
        for bad in ["", "00ff", "{}", "<?xml version=\"1.0\"?><domain/>", "<!-- <testsuite", "x <testsuite>"]
        {
            assert!(!is_report(bad.as_bytes()), "{bad}");
        }
    }
}
