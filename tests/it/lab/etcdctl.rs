//! `kiln etcdctl` with a cluster that runs here, in a rehearsal with --keep.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use crate::support::{Workshop, run, wait_for};

const THREE: &str = "schema = 1\n[cluster]\nname = \"three\"\n[network]\ncidr = \"10.77.0.0/24\"\n\
    [[node]]\nname = \"a\"\naddress = \"10.77.0.11\"\n[[node]]\nname = \"b\"\naddress = \"10.77.0.12\"\n\
    [[node]]\nname = \"c\"\naddress = \"10.77.0.13\"\n[etcd]\nversion = \"3.5.16\"\n";

/// A rehearsal with --keep, and the command that enters its network.
struct Kept {
    shop: Workshop,
    bundle: PathBuf,
    child: Child,
    enter: Vec<String>,
}

impl Kept {
    fn new() -> Self {
        let shop = Workshop::new();
        shop.file("three.toml", THREE);
        let bundle = shop.build("./three.toml");
        let log = shop.path().join("stderr");
        let mut command = shop.kiln(["rehearse", "--keep"]);
        command.arg(&bundle).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
        let child = command.spawn().unwrap();
        let enter = wait_for("the command to enter", || {
            let text = fs::read_to_string(&log).unwrap();
            let line = text.lines().find(|line| line.contains("nsenter --target"))?.to_owned();
            let begin = line.find("nsenter").unwrap();
            Some(line[begin..].split(' ').map(str::to_owned).collect())
        });
        Self { shop, bundle, child, enter }
    }

    fn etcdctl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.enter[0]);
        command.args(&self.enter[1..]).arg("--").arg(env!("CARGO_BIN_EXE_kiln")).arg("etcdctl");
        command.arg(&self.bundle).args(arguments).current_dir(self.shop.path());
        command
    }
}

/// A test that fails must not leave its cluster running.
impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn code(command: &mut Command) -> (i32, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    (status.code().unwrap_or(-1), text)
}

#[test]
fn etcdctl_is_as_if_it_were_called_itself() {
    let kept = Kept::new();
    // With and without the two dashes.
    for arguments in [
        &["--", "member", "list"][..],
        &["member", "list", "-w", "simple"],
        &["-w", "simple", "member", "list"],
    ] {
        let listed = run(&mut kept.etcdctl(arguments));
        assert_eq!(listed.lines().count(), 3, "{arguments:?}: {listed}");
    }
    // Its own exit code for invalid arguments, and no output of Kiln's beside its own.
    let (got, said) = code(&mut kept.etcdctl(&["get"]));
    assert_eq!(got, 128, "{said}");
    assert!(said.contains("get command needs one argument") && !said.contains("error: "), "{said}");
    // A failure of Kiln keeps Kiln's exit code.
    let mut command = kept.shop.kiln(["etcdctl", "nope", "member", "list"]);
    assert!([1, 2].contains(&code(&mut command).0));

    // etcdctl_environment: the variables of client/etcdctl.env, and other clusters' settings.
    let mut command = kept.etcdctl(&["--endpoints", "https://10.77.0.11:2379", "endpoint", "health"]);
    command.env("ETCDCTL_ENDPOINTS", "https://10.77.0.12:2379").env("ETCDCTL_CACERT", "ca.pem");
    command
        .env("ETCDCTL_CERT", "etcdctl.pem")
        .env("ETCDCTL_KEY", "etcdctl-key.pem")
        .env("ETCDCTL_USER", "root:x");
    command.env("ETCDCTL_DISCOVERY_SRV", "example.com");
    let (got, said) = code(&mut command);
    assert_eq!(got, 0, "{said}");
    assert!(said.contains("10.77.0.11:2379 is healthy") && !said.contains("10.77.0.12"), "{said}");

    // proxy_environment: no member is behind a proxy.
    let mut command = kept.etcdctl(&["member", "list"]);
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:9");
    }
    assert_eq!(run(&mut command).lines().count(), 3);

    check_snapshots(&kept);
    check_signals(&kept);
}

/// A snapshot uses one endpoint: the leader's.
fn check_snapshots(kept: &Kept) {
    run(&mut kept.etcdctl(&["put", "a", "b"]));
    let (got, said) = code(&mut kept.etcdctl(&["snapshot", "save", "three.db"]));
    assert_eq!(got, 0, "{said}");
    let leader = said
        .lines()
        .find_map(|line| line.strip_prefix("snapshot of the leader, "))
        .unwrap_or_else(|| panic!("{said}"));
    let status = run(&mut kept.etcdctl(&["--endpoints", leader, "endpoint", "status"]));
    assert!(status.contains(", true, false, "), "{leader} leads: {status}");
    assert!(fs::metadata(kept.shop.path().join("three.db")).unwrap().len() > 0);
    let (got, said) =
        code(&mut kept.etcdctl(&["--endpoints", "https://10.77.0.12:2379", "snapshot", "save", "b.db"]));
    assert_eq!(got, 0, "{said}");
    assert!(!said.contains("snapshot of the leader"), "{said}");
}

/// A signal to Kiln is passed on to etcdctl.
fn check_signals(kept: &Kept) {
    for (signal, want) in [(rustix::process::Signal::INT, 130), (rustix::process::Signal::TERM, 143)] {
        let mut watch =
            kept.etcdctl(&["watch", "a"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // nsenter executes Kiln, whose child is etcdctl.
        let children = format!("/proc/{0}/task/{0}/children", watch.id());
        wait_for("etcdctl", || {
            let child = fs::read_to_string(&children).ok()?.trim().to_owned();
            let name = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
            (name.trim() == "etcdctl").then_some(())
        });
        rustix::process::kill_process(rustix::process::Pid::from_child(&watch), signal).unwrap();
        assert_eq!(watch.wait().unwrap().code(), Some(want), "{signal:?}");
    }
}
