//! What a message repeats of the command line: never a secret that is there in place of the path of its file.

use crate::support::{Workshop, output};

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIMcjR3y86LzgqsFGmxCddPrhkdtn7o/kvfcCccnOIqZd\n\
                   -----END PRIVATE KEY-----";
const SEED: &str = "8f14e45fceea167a5a36dedd4bea2543c4ca4238a0b923820dcc509a6f75849b";
const PHRASE: &str = "correct-horse-battery";

#[test]
fn a_key_in_place_of_its_file_is_not_repeated() {
    let work = Workshop::new();
    work.file("ca.pem", "x");
    work.file("ca.key", "x");
    let given = format!("machine.ssh-keys=[\"{KEY}\"]");
    let import = ["keystore", "import-ca", "x", "--cert", "ca.pem"];
    type Variable = (&'static str, &'static str);
    let cases: [(&[&str], Option<Variable>); 7] = [
        (&["check", "--profile", "ha3", "--set", &given], None),
        (&["keystore", "init", "x", "--seed-file", SEED], None),
        (&["keystore", "init", "x"], Some(("KILN_SEED_FILE", SEED))),
        (&[&import[..], &["--key", KEY]].concat(), None),
        (&import, Some(("KILN_CA_KEY", KEY))),
        (&[&import[..], &["--key", "ca.key", "--passphrase-file", PHRASE]].concat(), None),
        (&["seal", KEY], None),
    ];
    for (arguments, variable) in cases {
        for json in [&[][..], &["--json"]] {
            let mut command = work.kiln(arguments);
            let (code, out, said) = output(command.args(json).envs(variable));
            let all = format!("{out}{said}");
            assert_eq!(code, 2, "{arguments:?}: {all}");
            for secret in ["MC4CAQAwBQYDK2VwBCIEIMcj", SEED, PHRASE] {
                assert!(!all.contains(secret), "{arguments:?} {json:?}: {all}");
            }
        }
    }
}
