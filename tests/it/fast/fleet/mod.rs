//! Many profiles in one run, in shards, and the parts that builds take over from one another, through the program.

mod cache;
mod shards;
mod whole;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::support::{Workshop, store};

const BASE: &str = r#"
schema = 1
[etcd]
version = "3.5.16"
[etcd.config]
heartbeat-interval = 120
[bundle]
carriers = ["tar", "initramfs", "cloud-init"]
binaries = "shared"
overlays = ["overlay"]
"#;

fn profile(number: usize) -> String {
    format!(
        "schema = 1\nextends = \"_base.toml\"\n[cluster]\nname = \"c{number}\"\n[network]\ncidr = \"10.0.{number}.0/24\"\n\
         [[node]]\nname = \"a\"\naddress = \"10.0.{number}.4\"\n"
    )
}

/// `count` profiles in `sites/`, with keystores that are the same in every test.
fn sites(count: usize) -> Workshop {
    let work = Workshop::new();
    work.file("sites/_base.toml", BASE);
    work.file("sites/overlay/etc/motd", "of the base\n");
    for number in 0..count {
        work.file(&format!("sites/c{number}.toml"), profile(number));
        work.keystore(&format!("c{number}"));
    }
    work
}

fn build(work: &Workshop, arguments: &[&str]) -> std::process::Command {
    let mut command = work.kiln(["build", "--quiet", "--artifacts"]);
    command.arg(store()).args(arguments);
    command
}

fn inode(path: PathBuf) -> u64 {
    fs::metadata(path).unwrap().ino()
}
