//! `kiln etcdctl`: etcdctl with all connection flags set.

use std::path::Path;

use super::output::Output;
use super::programs;
use crate::artifact;
use crate::bundle::{Bundle, CLIENT_CA, OPERATOR_CERT, OPERATOR_KEY};
use crate::cli;
use crate::cluster::{self, Etcdctl};
use crate::disk::Scratch;
use crate::failure::{Failure, Result};
use crate::process::{Ended, Program};

/// # Errors
/// The exit status of etcdctl, unchanged: its exit code, or 128 and the signal's number.
pub fn run(args: &cli::Etcdctl, out: &Output) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    programs::check_aloud(&bundle, &[artifact::EtcdProgram::Etcdctl], &args.trust, out)?;
    let scratch = Scratch::swept("etcdctl")?;
    let etcdctl = Etcdctl::new(&bundle.path, &bundle.manifest, scratch.path())?;
    let client = |file: &str| Path::new(&bundle.path).join("client").join(file);
    let endpoints = cluster::endpoints(&bundle.manifest)?;
    let endpoints = match needs_one_endpoint(&args.arguments) && !is_given(&args.arguments, "endpoints") {
        true => vec![leader(&etcdctl, &endpoints, out)?],
        false => endpoints,
    };
    // As variables, so that a flag on the command line overrides them.
    let variables = [
        ("endpoints", "ETCDCTL_ENDPOINTS", endpoints.join(",").into()),
        ("cacert", "ETCDCTL_CACERT", client(CLIENT_CA)),
        ("cert", "ETCDCTL_CERT", client(OPERATOR_CERT)),
        ("key", "ETCDCTL_KEY", client(OPERATOR_KEY)),
    ];
    let mut program = Program::new(etcdctl.program())
        .withholding(is_withheld)
        .env("ETCDCTL_API", "3")
        .private_args(&args.arguments);
    for (flag, variable, value) in variables {
        // etcdctl refuses a setting that is given twice, as a flag and as a variable.
        if !is_given(&args.arguments, flag) {
            program = program.env(variable, value);
        }
    }
    match program.attached()? {
        Ended::Code(0) => Ok(()),
        Ended::Code(code) => Err(Failure::passed_on(u8::try_from(code).unwrap_or(1))),
        // As a shell reports it.
        Ended::Signal(signal) => Err(Failure::passed_on(u8::try_from(128 + signal).unwrap_or(1))),
        Ended::Deadline => Err(Failure::io("etcdctl did not exit")),
    }
}

/// Variables of the caller that etcdctl must not get: settings for another cluster, and proxies, because members of a
/// cluster are not behind one (`http.ProxyFromEnvironment` in Go's net/http).
fn is_withheld(name: &str) -> bool {
    let proxy = ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "grpc_proxy"];
    name.starts_with("ETCDCTL_") || proxy.contains(&name.to_ascii_lowercase().as_str())
}

fn is_given(arguments: &[String], flag: &str) -> bool {
    let is_it = |argument: &String| {
        argument.strip_prefix("--").is_some_and(|rest| rest.split('=').next() == Some(flag))
    };
    arguments.iter().any(is_it)
}

/// `snapshot save` is the one command that refuses several endpoints (`Save` in etcdctl's snapshot package).
fn needs_one_endpoint(arguments: &[String]) -> bool {
    let at = arguments.iter().position(|argument| argument == "snapshot");
    at.is_some_and(|at| arguments[at + 1..].iter().any(|argument| argument == "save"))
}

/// The leader's endpoint: a follower that is cut off would give an old snapshot, with exit code 0.
fn leader(etcdctl: &Etcdctl, endpoints: &[String], out: &Output) -> Result<String> {
    let Some(leader) = etcdctl.leader(endpoints) else {
        return Err(Failure::wrong(format!(
            "no member reports that it is the leader, so a snapshot may be outdated; to take one anyway, name a member \
             with --endpoints: {}",
            endpoints.join(", ")
        )));
    };
    out.say(format_args!("snapshot of the leader, {leader}"));
    Ok(leader)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_snapshot_is_of_one_member() {
        for (command, want) in [
            ("snapshot save f", true),
            ("--command-timeout 60s snapshot save f", true),
            ("snapshot status f", false),
            ("save snapshot", false),
            ("member list", false),
        ] {
            assert_eq!(needs_one_endpoint(&words(command)), want, "{command}");
        }
        assert!(is_given(&words("--endpoints=x member list"), "endpoints"));
        assert!(is_given(&words("member list --endpoints x"), "endpoints"));
        assert!(!is_given(&words("member list --key x"), "endpoints"));
    }

    #[test]
    fn etcdctl_environment_and_proxy_environment_stay_outside() {
        for name in
            ["ETCDCTL_ENDPOINTS", "ETCDCTL_USER", "HTTPS_PROXY", "https_proxy", "No_Proxy", "ALL_PROXY"]
        {
            assert!(is_withheld(name), "{name}");
        }
        for name in ["PATH", "HOME", "ETCD_NAME", "MY_HTTPS_PROXY"] {
            assert!(!is_withheld(name), "{name}");
        }
    }
}
