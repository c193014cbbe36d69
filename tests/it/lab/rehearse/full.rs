//! A TMPDIR that becomes full.

use std::process::Command;

use super::fixture::{Recipe, size_of_programs};
use super::{Stage, said};
use crate::support;

/// One sentence, with the way out, whichever step had no space left: the order, the archives, etcd itself.
#[test]
fn a_full_tmpdir_is_said_once_with_the_way_out() {
    support::needs_root();
    let stage = Stage::new(&Recipe::new());
    let mib = 1 << 20;
    let programs = 3 * size_of_programs("3.5.16");
    for (size, steps) in [
        (mib / 10, &["writing"][..]),
        (programs / 3, &["unpacking"]),
        // What tar says of the last program is that it wrote a part of it, without the reason.
        (programs - 4 * mib, &["unpacking"]),
        // Each member needs 64 MiB for its log at once; what it makes for later may have room, or not. The first one may
        // take its own before the files of the last one are there.
        (programs + 96 * mib, &["etcd on cp-", "writing"]),
    ] {
        let mut command = Command::new("unshare");
        let script = format!("mount -t tmpfs -o size={size} none \"$TMPDIR\" && exec \"$@\"");
        command.args(["--mount", "sh", "-c", &script, "sh", env!("CARGO_BIN_EXE_kiln"), "rehearse", "-q"]);
        let said = said({
            command.arg(stage.bundle()).env("TMPDIR", stage.tmp());
            command
        });
        let text = &said.stderr;
        assert_eq!(said.code(), Some(5), "{size}: {text}");
        assert!(
            steps.iter().any(|step| text.starts_with(&format!("error: {step}")))
                && (text.contains("o space left on device") || text.contains(": Wrote only ")),
            "{text}"
        );
        assert_eq!(text.matches("240 MiB for each member to TMPDIR").count(), 1, "{text}");
        assert!(!text.contains("user namespaces") && text.matches("\nerror: ").count() == 0, "{text}");
    }
}
