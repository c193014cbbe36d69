//! The steps at which a test ends this program, as a power cut would. Each has a row in `tests/it/lab/node/killed.rs`.

/// Called where a step is done.
#[cfg(not(feature = "fail-points"))]
pub fn reached(_: &str) {}

/// The same: with `KILN_FAIL_AT=STEP`, nothing after it happens.
#[cfg(feature = "fail-points")]
#[allow(clippy::disallowed_methods, reason = "only tests build this")]
pub fn reached(step: &str) {
    if std::env::var_os("KILN_FAIL_AT").is_some_and(|at| at == step) {
        std::process::abort();
    }
}
