//! Name constraints: what a CA permits, as openssl reads it.

use std::path::Path;
use std::process::Command;

use super::profiled::{build, text, verified};
use crate::support::{Workshop, refused, run};

pub(super) const CONSTRAINED: &str = "schema = 1\n[cluster]\nname = \"golden\"\ntoken = \"t\"\n[etcd]\nversion = \"3.5.16\"\n[network]\n\
                           cidr = \"10.0.0.0/24\"\n[[node]]\nname = \"n1\"\naddress = \"10.0.0.11\"\n[pki.ca]\n\
                           name-constraints = true\n";

/// OpenSSL takes a common name with a dot for a host name, where there is none among the alternative names.
#[test]
fn name_constraints_permit_clients_whose_common_names_look_like_host_names() {
    let work = Workshop::new();
    work.keystore("golden");
    let mut text = CONSTRAINED.to_owned();
    let names = ["api.example.com", "a_b.example", "10.0.0.77", "x-.example", "system:node.a", "no-dot"];
    for (at, name) in names.iter().enumerate() {
        text += &format!("[[client]]\nname = \"c{at}\"\ncommon-name = \"{name}\"\n");
    }
    text += "[[client]]\nname = \"with-ip\"\ncommon-name = \"b.example.com\"\nnames = [\"10.0.0.78\"]\n";
    text +=
        "[[client]]\nname = \"with-name\"\ncommon-name = \"c.example.com\"\nnames = [\"d.example.com\"]\n";
    text += "[pki.client]\ncommon-name = \"root.{{node}}\"\n";
    run(&mut build(&work, &text));
    let client = work.path().join("out/p/client");
    let ca = client.join("ca.pem");
    let files = (0..names.len()).map(|at| format!("c{at}")).chain(["with-ip".into(), "with-name".into()]);
    for file in files {
        assert_eq!(verified(&ca, "sslclient", &client.join(format!("{file}.pem"))), Ok(()), "{file}");
    }
    let permitted = text_of_constraints(&ca);
    for (name, is_there) in [
        ("api.example.com", true),
        ("a_b.example", true),
        ("b.example.com", true),
        ("DNS:10.0.0.77", true),
        ("root.n1", true),
        ("c.example.com", false),
        ("x-.example", false),
        ("no-dot", false),
    ] {
        assert_eq!(permitted.contains(name), is_there, "{name}: {permitted}");
    }
}

fn text_of_constraints(ca: &Path) -> String {
    text(ca, &["-ext", "nameConstraints"])
}

/// The other way round: an imported CA that does not permit such a name.
#[test]
fn a_common_name_like_a_host_name_is_held_against_an_imported_cas_constraints() {
    let work = Workshop::new();
    run(&mut work.kiln(["keystore", "init", "golden"]));
    let ca = "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -subj /CN=Corp -days 3000 -addext \
              keyUsage=critical,keyCertSign -addext nameConstraints=critical,permitted;DNS:n1,permitted;DNS:localhost,permitted;\
              DNS:example.com -out ca.pem";
    run(Command::new("openssl").args(ca.split(' ')).current_dir(work.path()));
    run(&mut work.kiln(["keystore", "import-ca", "golden", "--cert", "ca.pem", "--key", "ca.key"]));
    let plain = CONSTRAINED.replace("name-constraints = true", "source = \"imported\"");
    let client = |name: &str| format!("{plain}[[client]]\nname = \"c\"\ncommon-name = \"{name}\"\n");
    let message = refused(&mut build(&work, &client("api.other.com")), 4);
    assert!(
        message.contains("name constraints do not allow api.other.com, which the c certificate"),
        "{message}"
    );
    run(&mut build(&work, &client("api.example.com")));
    let client = work.path().join("out/p/client");
    let files = ["-CAfile", "ca.pem", "-untrusted", "c.pem", "c.pem"];
    let mut openssl = Command::new("openssl");
    run(openssl.args(["verify", "-x509_strict", "-purpose", "sslclient"]).args(files).current_dir(&client));
}

#[test]
fn a_change_of_permitted_names_says_which_and_where_they_come_from() {
    let work = Workshop::new();
    work.keystore("golden");
    let before = format!("{CONSTRAINED}[pki.server]\nnames = [\"old.example\"]\n");
    run(&mut build(&work, &before));
    let node = "[[node]]\nname = \"n2\"\naddress = \"10.0.0.12\"\n[[node]]\nname = \"n3\"\naddress = \"10.0.0.13\"\n";
    let client = "[[client]]\nname = \"c\"\ncommon-name = \"api.example.com\"\n";
    for (text, parts) in [
        (
            before.replace("old.example", "new.example"),
            &["added: new.example (node n1, certificate server); no longer in the profile: old.example;"][..],
        ),
        (
            format!("{before}{node}"),
            &["n2 (node n2, certificate server)", "10.0.0.13 (node n3, certificate server)"],
        ),
        (format!("{before}{client}"), &["added: api.example.com (client c); write"]),
        (before.replace("token = \"t\"", "token = \"t\"\ndomain = \"lan\""), &["lan ([cluster] domain)"]),
        (
            before.replace("name-constraints = true", "common-name = \"x\"\nname-constraints = true"),
            &["write [pki.ca] as it was"],
        ),
    ] {
        let message = refused(&mut build(&work, &text), 6);
        for part in parts {
            assert!(message.contains(part), "{part}: {message}");
        }
        if parts[0].starts_with("write") {
            continue;
        }
        for part in ["[pki.ca] name-constraints", "use another --keystore for a new cluster"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(!message.contains("write [pki.ca] as it was"), "{message}");
    }
    run(&mut build(&work, &before));
}
