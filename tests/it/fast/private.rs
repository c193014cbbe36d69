//! Private keys in a profile: refused wherever they are, and shown by no message.

use std::process::Command;

use crate::support::{ONE, Workshop, output, run, store};

#[test]
fn private_key_in_any_value_of_a_profile_is_refused_and_not_shown() {
    let work = Workshop::new();
    let pem =
        run(Command::new("openssl").args(["genpkey", "-algorithm", "ed25519"]).current_dir(work.path()));
    let body = pem.lines().nth(1).unwrap().to_owned();
    let key = pem.trim().replace('\n', "\\n");
    let with = |table: &str, line: &str| {
        let header = format!("[{table}]\n");
        match ONE.contains(&header) {
            true => ONE.replace(&header, &format!("{header}{line}\n")),
            false => format!("{ONE}\n{header}{line}\n"),
        }
    };
    let base = work.file("base.toml", format!("extends = \"{key}\"\n"));
    let mut profiles: Vec<String> = [&key, &body]
        .into_iter()
        .flat_map(|key| {
            [
                with("bundle", &format!("overlays = [\"{key}\"]")),
                with("machine", &format!("base = \"{key}\"")),
                with("machine", &format!("\"{key}\" = \"x\"")),
                with("etcd.config", &format!("log-outputs = \"{key}\"")),
                with("etcd.config", &format!("auth-token = \"{key}\"")),
                with("etcd.config", &format!("host-whitelist = \"{key}\"")),
                with("etcd.config.client-transport-security", &format!("client-crl-file = \"{key}\"")),
                format!("extends = \"{key}\"\n{ONE}"),
                format!("extends = \"{key}.toml\"\n{ONE}"),
            ]
        })
        .collect();
    // Its own value hides that of its base, which is read all the same.
    profiles.push(format!("extends = \"{}\"\n{ONE}", base.file_name().unwrap().to_str().unwrap()));
    for profile in profiles {
        work.file("small.toml", &profile);
        for verb in ["check", "plan", "build"] {
            for json in [false, true] {
                let mut command = work.kiln([verb, "--profile", "small.toml", "--artifacts"]);
                command.arg(store()).args(json.then_some("--json"));
                let (code, stdout, stderr) = output(&mut command);
                assert_eq!(code, 3, "{profile}\n{stderr}");
                let said = format!("{stdout}{stderr}");
                assert!(said.contains("this looks like a private key"), "{profile}\n{said}");
                assert!(!said.contains(&body[..24]), "{profile}\n{said}");
                assert!(!said.contains(&body[24..40]), "{profile}\n{said}");
            }
        }
    }
}
