//! `kiln profile new`, `import` and `schema`, and what builds do with their results.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Workshop, have_optional, kiln, output, refused, root, run, with_store};

#[test]
fn a_new_profile_can_be_built_and_replaces_nothing() {
    let shop = Workshop::new();
    let new = || {
        let mut command =
            shop.kiln(["profile", "new", "k8s", "--domain", "kloud.lan", "--client", "kube-apiserver"]);
        command.args(["--node", "cp-a=10.1.0.11", "--node", "cp-b=10.1.0.12", "--node", "cp-c=10.1.1.13"]);
        command
    };
    run(&mut new());
    let text = fs::read_to_string(shop.path().join("profiles/k8s.toml")).unwrap();
    assert!(text.contains("cidr = \"10.1.0.0/23\"") && text.starts_with("# k8s: made by"), "{text}");
    let said = run(with_store(&mut shop.kiln(["check", "--profile", "k8s"])));
    assert!(said.contains("a bundle of 3 nodes"), "{said}");
    let said = refused(&mut new(), 6);
    assert!(said.contains("exists, and is not replaced"), "{said}");
    assert_eq!(fs::read_to_string(shop.path().join("profiles/k8s.toml")).unwrap(), text);
    let wrong = |words: &[&str], code: i32, want: &str| {
        let said = refused(shop.kiln(["profile", "new", "--out", "x.toml"]).args(words), code);
        assert!(said.contains(want), "{said}");
        assert!(!shop.path().join("x.toml").exists());
    };
    wrong(&[], 2, "there is no terminal to ask at");
    wrong(&["a"], 2, "--node NAME=ADDRESS is missing");
    wrong(&["a", "--node", "b"], 2, "is not NAME=ADDRESS");
    wrong(&["a\"\n", "--node", "b=10.0.0.4"], 2, "the name of the cluster cannot be");
    wrong(&["Foo_1", "--node", "b=10.0.0.4"], 2, "the name of the cluster cannot be \"Foo_1\"");
    wrong(&["a", "--node", "b=10.0.0.4", "--node", "c=11.0.0.4"], 2, "name it with --cidr");
    wrong(&["a", "--node", "b=10.0.0.4", "--node", "c=fd00::4"], 2, "give --node the IPv4 addresses");
}

/// The reasons say what to change in the file, and so there is one.
#[test]
fn a_new_profile_with_mistakes_is_written_to_be_corrected() {
    for (words, want) in [
        (&["--node", "b=10.0.0.4", "--cidr", "10.1.0.0/24"][..], "not in 10.1.0.0/24"),
        (&["--node", "b=10.0.0.4", "--node", "c=10.0.0.5"], "write allow-two-members = true in [cluster]"),
        (&["--node", "b=10.0.0.4", "--gateway", "10.0.1.1"], "on-link = true"),
        (&["--node", "b=10.0.0.4", "--domain", "a b"], "[cluster] domain"),
    ] {
        let shop = Workshop::new();
        let said = refused(shop.kiln(["profile", "new", "a"]).args(words), 1);
        assert!(said.contains(want) && !said.contains("nothing was written"), "{said}");
        assert!(said.contains("the new profile has mistakes; correct it, and run kiln check"), "{said}");
        assert!(fs::read_to_string(shop.path().join("profiles/a.toml")).unwrap().contains("[[node]]"));
    }
}

#[test]
fn a_file_whose_name_no_build_takes_is_not_written() {
    let shop = Workshop::new();
    shop.file("hosts.ini", "[etcd]\na ansible_host=10.0.0.4\n");
    let said = refused(&mut shop.kiln(["profile", "import", "hosts.ini", "--out", "Bad_Name.toml"]), 2);
    assert!(said.contains("cannot be \"Bad_Name\"") && said.contains("as in ha3.toml"), "{said}");
    assert!(!shop.path().join("Bad_Name.toml").exists());
}

/// `script` (util-linux) gives the program a terminal of its own.
#[test]
fn a_new_profile_asks_at_a_terminal() {
    if !have_optional("script") {
        return;
    }
    let (said, text) = at_a_terminal(b"k8s\na=10.1.0.11, b=10.1.0.12 c=10.1.0.13\n");
    assert!(said.contains("name of the cluster: ") && said.contains("nodes, as NAME=ADDRESS"), "{said}");
    assert!(!said.contains("more nodes"), "{said}");
    assert_eq!(text.matches("[[node]]").count(), 3, "{text}");
}

#[test]
fn a_new_profile_of_one_node_is_asked_for_twice() {
    if !have_optional("script") {
        return;
    }
    for (more, count) in [("\n", 1), ("b=10.1.0.12 c=10.1.0.13\n", 3)] {
        let (said, text) = at_a_terminal(format!("k8s\na=10.1.0.11\n{more}").as_bytes());
        assert!(said.contains("one node: if it is lost, only a snapshot is left"), "{said}");
        assert!(said.contains("or Enter for one node alone: "), "{said}");
        assert_eq!(text.matches("[[node]]").count(), count, "{text}");
    }
}

/// The other answers are not lost.
#[test]
fn a_wrong_answer_is_asked_for_again() {
    if !have_optional("script") {
        return;
    }
    let (said, text) = at_a_terminal(b"My Cluster\nk8s\na\na=10.1.0.11, b=10.1.0.12 c=10.1.0.13\n");
    assert!(
        said.contains("cannot be \"My Cluster\"") && said.contains("\"a\" is not NAME=ADDRESS"),
        "{said}"
    );
    assert_eq!(text.matches("[[node]]").count(), 3, "{text}");
}

#[test]
fn a_prompt_ends_at_the_first_interrupt() {
    if !have_optional("script") {
        return;
    }
    let shop = Workshop::new();
    let mut command = Command::new("script");
    // The terminal's own key for it: `script` passes it on.
    command.args(["-qec", &format!("{} profile new", env!("CARGO_BIN_EXE_kiln")), "/dev/null"]);
    command.current_dir(shop.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut asked = command.spawn().unwrap();
    let mut said = asked.stdout.take().unwrap();
    let mut prompt = [0; 21];
    said.read_exact(&mut prompt).unwrap();
    assert_eq!(&prompt, b"name of the cluster: ");
    // Held open: nothing but the interrupt ends it.
    let mut answers = asked.stdin.take().unwrap();
    answers.write_all(b"\x03").unwrap();
    assert_eq!(asked.wait().unwrap().code(), Some(130));
}

/// What `kiln profile new` says, and the profile that it writes for these answers.
fn at_a_terminal(answers: &[u8]) -> (String, String) {
    let shop = Workshop::new();
    let mut command = Command::new("script");
    command.args(["-qec", &format!("{} profile new", env!("CARGO_BIN_EXE_kiln")), "/dev/null"]);
    command.current_dir(shop.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut asked = command.spawn().unwrap();
    asked.stdin.take().unwrap().write_all(answers).unwrap();
    let output = asked.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    (said, fs::read_to_string(shop.path().join("profiles/k8s.toml")).unwrap())
}

#[test]
fn an_import_of_a_running_cluster_is_not_built_under_kilns_own_ca() {
    let shop = Workshop::new();
    for file in ["single/etcd.service", "hostile-nothing/vars.yml"] {
        let name = file.rsplit('/').next().unwrap();
        shop.file(name, fs::read(root().join("tests/import").join(file)).unwrap());
    }
    run(&mut shop.kiln(["profile", "import", "--out", "etcd.toml", "etcd.service", "vars.yml"]));
    let said = refused(&mut shop.kiln(["profile", "import", "--out", "etcd.toml", "etcd.service"]), 6);
    assert!(said.contains("is not replaced"), "{said}");
    let build = || {
        let mut command = shop.kiln(["build", "--profile", "./etcd.toml"]);
        with_store(&mut command);
        command
    };
    let said = refused(&mut build(), 6);
    assert!(said.contains("kiln keystore import-ca etcd --keystore keystore/etcd"), "{said}");
    assert!(!shop.path().join("keystore").exists() && !shop.path().join("out").exists());
    // Before it has formed, no member trusts another CA, and the keystore alone is not what the profile says.
    let said = refused(build().args(["--set", "cluster.formed=false"]), 4);
    assert!(
        said.contains("kiln keystore import-ca etcd --keystore keystore/etcd --cert ca.pem --key ca-key.pem"),
        "{said}"
    );
    assert!(!shop.path().join("keystore").exists() && !shop.path().join("out").exists());
    make_ca(&shop);
    run(&mut shop.kiln(["keystore", "init", "etcd"]));
    run(&mut shop.kiln(["keystore", "import-ca", "etcd", "--cert", "ca.pem", "--key", "ca-key.pem"]));
    run(&mut build());
}

/// A CA of someone else's: ca.pem and ca-key.pem.
fn make_ca(shop: &Workshop) {
    let openssl = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca-key.pem -out ca.pem \
                   -days 3650 -subj /CN=theirs -addext basicConstraints=critical,CA:TRUE,pathlen:0 \
                   -addext keyUsage=critical,keyCertSign,cRLSign";
    run(Command::new("sh").args(["-c", openssl]).current_dir(shop.path()));
}

#[test]
fn whatever_is_imported_can_be_built() {
    let mut count = 0;
    for case in fs::read_dir(root().join("tests/import")).unwrap().map(|case| case.unwrap().path()) {
        let want = fs::read_to_string(case.join("want.stderr")).unwrap();
        if !want.starts_with("exit 0") {
            continue;
        }
        let shop = Workshop::new();
        let text = fs::read_to_string(case.join("want.toml")).unwrap();
        shop.file("p.toml", &text);
        let name =
            text.lines().find_map(|line| line.strip_prefix("name = \"")).unwrap().trim_end_matches('"');
        let build = || {
            let mut command = shop.kiln(["build", "--profile", "./p.toml", "--set", "etcd.version=3.5.30"]);
            with_store(&mut command);
            command
        };
        if text.contains("source = \"imported\"") {
            let is_formed = text.lines().any(|line| line == "formed = true");
            let said = refused(&mut build(), if is_formed { 6 } else { 4 });
            assert!(said.contains("kiln keystore import-ca"), "{}: {said}", case.display());
            make_ca(&shop);
            run(&mut shop.kiln(["keystore", "init", name]));
            run(&mut shop.kiln(["keystore", "import-ca", name, "--cert", "ca.pem", "--key", "ca-key.pem"]));
            if text.contains("[pki.peer-ca]") {
                make_ca(&shop);
                let import = ["keystore", "import-ca", name, "--as", "peer-ca"];
                run(shop.kiln(import).args(["--cert", "ca.pem", "--key", "ca-key.pem"]));
            }
        }
        run(&mut build());
        count += 1;
    }
    assert!(count >= 12, "{count}");
}

#[test]
fn files_for_users_name_the_certificates_as_the_profile_does() {
    let shop = Workshop::new();
    let clients = r#"
[[client]]
name = "kube-apiserver"
cert = "api.crt"
key = "api.key"
copies = ["apiserver-etcd-client"]

[[client]]
name = "patroni"
cert = "pg.pem"
key = "pg.key"

[[client]]
name = "prometheus"
cert = "scrape.crt"
key = "scrape-key.pem"
"#;
    let node = "[network]\ncidr = \"10.0.0.0/24\"\n[[node]]\nname = \"a\"\naddress = \"10.0.0.4\"\n";
    shop.file("p.toml", format!("schema = 1\n[cluster]\nname = \"p\"\n{node}{clients}"));
    let client = shop.build("./p.toml").join("client");
    let read = |file: &str| fs::read_to_string(client.join(file)).unwrap();
    for (file, cert, key) in [
        ("kubeadm.yaml", "api.crt", "api.key"),
        ("kubeadm-v1beta3.yaml", "api.crt", "api.key"),
        ("kube-apiserver.yaml", "api.crt", "api.key"),
        ("kube-apiserver.args", "api.crt", "api.key"),
        ("patroni.yaml", "pg.pem", "pg.key"),
        ("prometheus-scrape.yaml", "scrape.crt", "scrape-key.pem"),
    ] {
        let text = read(file);
        for name in ["ca.pem", cert, key] {
            assert!(client.join(name).is_file(), "{name}");
            assert!(text.contains(&format!("#   {name} to /etc/")), "{file}: {name}: {text}");
        }
        assert!(!text.contains("kube-apiserver.pem") && !text.contains("etcdctl.pem"), "{file}: {text}");
    }
    // The copies are under the names that kubeadm has for them.
    for (copy, of) in [("apiserver-etcd-client.crt", "api.crt"), ("apiserver-etcd-client.key", "api.key")] {
        assert_eq!(read(copy), read(of));
        assert!(read("kubeadm.yaml").contains(&format!("/etc/kubernetes/pki/{copy}")));
    }
    let facts: Value = serde_json::from_str(&read("facts.json")).unwrap();
    for (name, cert, key) in
        [("kube-apiserver", "api.crt", "api.key"), ("prometheus", "scrape.crt", "scrape-key.pem")]
    {
        assert_eq!(
            facts["clients"][name],
            serde_json::json!({ "common_name": name, "cert": cert, "key": key })
        );
    }
}

#[test]
fn every_key_of_the_schema_has_words_and_a_default_or_is_required() {
    let schema: Value = serde_json::from_str(&run(kiln().args(["profile", "schema"]))).unwrap();
    let mut count = 0;
    look(&schema, "", &mut count);
    assert!(count >= 40, "{count}");
}

/// `schema` is that of a table.
fn look(schema: &Value, path: &str, count: &mut usize) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, key) in properties {
        let path = format!("{path}.{name}");
        let table = if key["type"] == "array" && key["items"]["properties"].is_object() {
            &key["items"]
        } else {
            key
        };
        let words = key["description"].as_str().unwrap_or_default();
        assert!(!words.is_empty(), "{path} has no words");
        if table["properties"].is_object() {
            look(table, &path, count);
            continue;
        }
        *count += 1;
        // What an `else` of the schema requires is said in words, too: a base profile may have it.
        let says = words.contains("(default: ") || words.ends_with("(required)");
        assert!(key.get("default").is_some() || says || required.contains(&name.as_str()), "{path}: {key}");
    }
}

#[test]
fn hostile_files_are_refused_and_not_quoted() {
    let shop = Workshop::new();
    let import = |name: &str| output(&mut shop.kiln(["profile", "import", name]));
    shop.file("deep.yaml", "[".repeat(10_000));
    shop.file("deep-flow.yaml", "{a: ".repeat(10_000));
    shop.file("huge.yaml", vec![b'a'; 2 << 20]);
    shop.file("empty.yaml", "");
    shop.file("key.pem", "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHNlY3JldHNlY3JldHNlY3JldA==\n");
    for name in ["deep.yaml", "deep-flow.yaml", "huge.yaml", "empty.yaml", "key.pem", "missing.yaml"] {
        let (code, stdout, stderr) = import(name);
        assert!(matches!(code, 2 | 4) && stdout.is_empty(), "{name}: {code} {stderr}");
        assert!(
            stderr.contains(name) && !stderr.contains("c2VjcmV0") && stderr.len() < 400,
            "{name}: {stderr}"
        );
    }
}

#[test]
fn verbs_about_profiles_have_json() {
    let shop = Workshop::new();
    let json = |words: &[&str]| -> Value {
        let (code, printed, said) = output(shop.kiln(["profile"]).args(words));
        let printed: Value =
            serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
        assert!(code < 2 && printed["warnings"].is_array(), "{said}");
        printed
    };
    let shown = json(&["show", "ha3", "--json"]);
    assert_eq!(shown["name"], "ha3");
    assert_eq!(shown["profile"].as_str().unwrap(), run(&mut shop.kiln(["profile", "show", "ha3"])));
    assert!(!shown["summary"].as_str().unwrap().is_empty());
    let new = json(&["new", "k8s", "--node", "cp-a=10.1.0.11", "--json"]);
    assert_eq!((&new["path"], &new["name"]), (&"profiles/k8s.toml".into(), &"k8s".into()));
    assert_eq!(new["profile"], fs::read_to_string(shop.path().join("profiles/k8s.toml")).unwrap());

    shop.file(
        "etcd.env",
        "ETCD_NAME=cp-a\nETCD_LISTEN_PEER_URLS=https://10.1.0.11:2380\nETCD_NO_SUCH_OPTION=1\n",
    );
    let (code, text, _) = output(&mut shop.kiln(["profile", "import", "etcd.env"]));
    let imported = json(&["import", "etcd.env", "--json"]);
    assert_eq!(imported["profile"].as_str().unwrap(), text);
    let has_mistakes = imported["mistakes"].as_array().is_some_and(|mistakes| !mistakes.is_empty());
    assert_eq!(has_mistakes, code == 1, "{imported}");
    assert!(
        imported["left"].as_array().unwrap().iter().any(|left| left.as_str().unwrap().contains("etcd.env:3")),
        "{imported}"
    );
    assert!(imported["path"].is_null());
    let written = json(&["import", "etcd.env", "--json", "--out", "x.toml"]);
    assert_eq!((&written["path"], &written["profile"]), (&"x.toml".into(), &text.as_str().into()));
    assert_eq!(fs::read_to_string(shop.path().join("x.toml")).unwrap(), text);
    // Nothing else is on standard output where it fails.
    let failed = output(&mut shop.kiln(["profile", "show", "nope", "--json"]));
    let failed: Value = serde_json::from_str(&failed.1).unwrap();
    assert_eq!(failed["error"]["exit"], 2);
}

/// N10: what is missing of a profile is told in one round, each at its place.
#[test]
fn a_missing_base_system_has_its_place_beside_the_other_mistakes() {
    let shop = Workshop::new();
    shop.file(
        "p.toml",
        "schema = 1\n[cluster]\nname = \"one\"\n[network]\ncidr = \"10.0.0.0/24\"\n[[node]]\nname = \"a\"\naddress = \
         \"10.0.0.4\"\n[etcd]\nversion = \"3.5.16\"\n[bundle]\noverlays = [\"nowhere\"]\n[machine]\nbase = \"/nowhere/x\"\n",
    );
    let said = refused(with_store(&mut shop.kiln(["check", "--profile", "./p.toml"])), 3);
    for part in [
        "there is no base system /nowhere/x; correct the path, or name another with --base",
        "p.toml:14:8",
        "p.toml:12:",
        "has 2 mistakes",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // A store that the command line names is like any file there.
    for verb in ["check", "plan", "build"] {
        let said = refused(&mut shop.kiln([verb, "--profile", "./p.toml", "--artifacts", "/nowhere"]), 2);
        assert!(said.contains("there is no artifact store /nowhere"), "{said}");
    }
    // A plan shows nothing of the base system.
    let said = refused(with_store(&mut shop.kiln(["plan", "--profile", "./p.toml"])), 3);
    assert!(!said.contains("base system") && said.contains("has 1 mistake"), "{said}");
}
