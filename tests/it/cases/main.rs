//! A directory is a test: each of tests/reject, tests/golden and tests/import, as it is found when the tests start.
//! Part of the fast tier.

#![allow(clippy::disallowed_methods, reason = "tests use files and programs as people do")]

mod import;
mod reject;
#[path = "../support/mod.rs"]
mod support;

use libtest_mimic::{Arguments, Trial};

use support::golden;

fn trial(kind: &str, name: String, check: fn(&str)) -> Trial {
    Trial::test(format!("{kind}::{name}"), move || {
        check(&name);
        Ok(())
    })
}

fn main() {
    let (bad, golden_cases, imports) = (reject::cases(), golden::cases(), import::cases());
    // Without this a checkout without these directories would pass.
    assert!(bad.len() >= 130 && golden_cases.len() >= 5, "{} and {} cases", bad.len(), golden_cases.len());
    assert!(imports.len() >= 15, "{} imports", imports.len());
    let bad = bad.into_iter().map(|name| trial("reject", name, reject::check));
    let golden = golden_cases.into_iter().map(|name| trial("golden", name, golden::check));
    let imports = imports.into_iter().map(|name| trial("import", name, import::check));
    libtest_mimic::run(&Arguments::from_args(), bad.chain(golden).chain(imports).collect()).exit();
}
