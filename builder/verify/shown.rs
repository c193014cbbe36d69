//! Certificates and dates as the rows of a report name them.

use crate::pki::Presented;
use crate::values::Epoch;

/// The beginning of a serial number is enough to find it in `bundle.json`, and fits on a line.
pub fn short(certificate: &Presented) -> String {
    let serial: String = certificate.serial().chars().take(8).collect();
    format!("{serial}…")
}

/// `2026-11-28`.
pub fn day(at: Epoch) -> String {
    at.to_string().chars().take("2026-11-28".len()).collect()
}
