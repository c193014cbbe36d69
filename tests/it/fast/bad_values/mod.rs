//! Values that no build writes, in every field that Kiln reads back: bundles' manifests, fleets' indexes, host states,
//! keystores. The fields are found in the written documents, so new ones are covered automatically. Digests and the
//! keystore's checksum are recomputed, so that it is the parser that refuses.

mod documents;
mod fields;
mod keystore;
mod texts;

use std::process::Output;

use kiln::failure::{Exit, Failure};
use kiln::values::steers;

/// The least number of values to be refused in a field.
const VALUES: usize = 40;

#[track_caller]
fn assert_refused<T>(result: Result<T, Failure>, exit: Exit, kind: &str, value: &str) {
    let value: String = value.chars().take(200).collect();
    let Err(failure) = result else { panic!("{kind}: taken: {value:?}") };
    assert_eq!(failure.exit(), exit, "{kind}: {value:?}: {failure}");
    let text = failure.to_string();
    assert!(!text.contains(|c| c != '\n' && steers(c)), "{kind}: printed raw: {text:?}");
    assert!(text.lines().count() < 30 && text.len() < 10_000, "{kind}: {text:.1000}");
}

#[track_caller]
fn assert_clean(output: &Output, code: i32, kind: &str) {
    assert_eq!(output.status.code(), Some(code), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
    for text in [&output.stdout, &output.stderr] {
        let text = String::from_utf8(text.clone()).unwrap();
        assert!(!text.contains(|c| c != '\n' && steers(c)), "{kind}: {text:?}");
    }
}
