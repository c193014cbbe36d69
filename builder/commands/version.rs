//! The output of `kiln --version`: the version, the commit, the etcd releases whose digests are built in.

use crate::artifact;
use crate::etcd::Release;

/// The commit that this program was built from (`build.rs`), or `unknown`. No bundle depends on it.
const COMMIT: &str = env!("KILN_COMMIT");

/// The text after `kiln `, of several lines.
pub fn long() -> String {
    format!(
        "{}\ncommit: {COMMIT}\netcd releases with built-in checksums: {}",
        env!("CARGO_PKG_VERSION"),
        ranges(artifact::known().map(|known| known.release))
    )
}

/// Sorted releases, with consecutive ones as a range: `3.5.3 to 3.5.33, 3.6.0`.
fn ranges(sorted: impl Iterator<Item = Release>) -> String {
    let mut ranges: Vec<(Release, Release)> = Vec::new();
    for release in sorted {
        match ranges.last_mut() {
            Some((_, last)) if *last == release => {}
            Some((_, last)) if Release::new(last.major, last.minor, last.patch + 1) == release => {
                *last = release
            }
            _ => ranges.push((release, release)),
        }
    }
    let range = |(from, to): &(Release, Release)| match from == to {
        true => from.to_string(),
        false => format!("{from} to {to}"),
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_in_the_releases_is_seen() {
        let releases = [(5, 3), (5, 4), (5, 4), (5, 6), (6, 0), (6, 1)]
            .map(|(minor, patch)| Release::new(3, minor, patch));
        assert_eq!(ranges(releases.into_iter()), "3.5.3 to 3.5.4, 3.5.6, 3.6.0 to 3.6.1");
        assert_eq!(ranges(std::iter::empty()), "");
    }
}
