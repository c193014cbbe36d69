//! Templates and overlays that are, or would become, too large.

use std::fs;

use super::{listing, refusal, work};
use crate::support::bundles::OVERLAID as PROFILE;

#[test]
fn template_overflow() {
    let work = work();
    let nested = format!("{}x{}", "{{#if node}}".repeat(5000), "{{/if}}".repeat(5000));
    let grows = format!(
        "{}{}{}",
        "{{#each @root.nodes}}".repeat(4),
        "{{@root.token}}".repeat(4000),
        "{{/each}}".repeat(4)
    );
    for text in [
        "{{#*inline \"a\"}}{{> a}}{{/inline}}{{> a}}",
        "{{#*inline \"a\"}}x{{> b}}{{/inline}}{{#*inline \"b\"}}y{{> a}}{{/inline}}{{> a}}",
        &nested,
        &grows.repeat(5),
        &"x".repeat((1 << 20) + 1),
    ] {
        work.file("mine/etc/x.hbs", text);
        let message = refusal(&work, 3);
        assert!(message.contains("mine/etc/x.hbs") && message.contains("--> site.toml:15:13"), "{message}");
    }
    // As long as a template may be, with as many values as it may have.
    work.file("mine/etc/x.hbs", "{{ipv4}}\n".repeat((1 << 20) / 9));
    assert!(listing(&work).contains(&format!(" {} etc/x\n", (1 << 20) / 9 * 5)));
}

#[test]
fn overlays_that_are_too_large_are_refused_before_they_are_read() {
    let work = work();
    let file = fs::File::create(work.path().join("mine/etc/image")).unwrap();
    file.set_len(10 << 30).unwrap();
    let message = refusal(&work, 3);
    assert!(message.contains("may have 1024 MiB of files together; mine has 10241 MiB"), "{message}");
    assert!(message.contains("--> site.toml:15:13"), "{message}");

    // Each by itself would be accepted.
    file.set_len(900 << 20).unwrap();
    work.file("second/etc/image", "");
    let second = fs::File::options().write(true).open(work.path().join("second/etc/image")).unwrap();
    second.set_len(900 << 20).unwrap();
    work.file("site.toml", PROFILE.replace("\"mine\"]", "\"mine\", \"second\"]"));
    let message = refusal(&work, 3);
    assert!(message.contains("second has 900 MiB, and the others 901 MiB"), "{message}");
}
