//! A TMPDIR that becomes full.

use std::process::Command;

use super::fixture::Recipe;
use super::{Stage, said};
use crate::support;

/// One sentence, with the way out, whichever step had no space left: the order, the archives, etcd itself.
#[test]
fn a_full_tmpdir_is_said_once_with_the_way_out() {
    support::needs_root();
    let stage = Stage::new(&Recipe::new());
    for (size, step) in [
        ("100k", "writing"),
        ("60m", "unpacking"),
        // Room for the programs, and not for etcd's log.
        ("400m", "etcd on cp-"),
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
            text.starts_with(&format!("error: {step}")) && text.contains("o space left on device"),
            "{text}"
        );
        assert_eq!(text.matches("240 MiB for each member to TMPDIR").count(), 1, "{text}");
        assert!(!text.contains("user namespaces") && text.matches("\nerror: ").count() == 0, "{text}");
    }
}
