//! The commands in `ci/examples`, run as those systems run them: a fleet that is built in shards and joined has the
//! same bytes as the fleet that one machine builds.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Workshop, root, run, store};
use serde_json::Value;

const SHARDS: usize = 4;

/// More clusters than shards, and not a multiple of them.
const CLUSTERS: [&str; 7] = ["amber", "basalt", "chalk", "dolomite", "emery", "flint", "gneiss"];

const BASE: &str = r#"
schema = 1

[etcd]
version = "3.5.16"

[network]
cidr = "10.0.0.0/16"

[bundle]
carriers = ["tar", "cloud-init"]
binaries = "shared"
"#;

/// A directory with the layout that the examples expect, and the fleet built there in one run.
fn fleet() -> (Workshop, PathBuf) {
    let work = Workshop::new();
    work.file("profiles/_base.toml", BASE);
    for (number, name) in CLUSTERS.iter().enumerate() {
        let cluster = format!("extends = \"_base.toml\"\n\n[cluster]\nname = \"{name}\"\n");
        let node = format!("\n[[node]]\nname = \"{name}-a\"\naddress = \"10.0.{number}.4\"\n");
        work.file(&format!("profiles/{name}.toml"), cluster + &node);
    }
    symlink(store(), work.path().join("artifacts")).unwrap();
    run(&mut work.kiln(["keystore", "init", "--fleet", "profiles", "--keystore", "keystores"]));
    let whole = [
        "build",
        "--fleet",
        "profiles",
        "--artifacts",
        "artifacts",
        "--keystore",
        "keystores",
        "--out",
        "whole",
    ];
    run(&mut work.kiln(whole));
    let whole = work.path().join("whole");
    (work, whole)
}

/// Every file and directory below it, with its mode and content.
fn snapshot(path: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let walk = walkdir::WalkDir::new(path).min_depth(1).sort_by_file_name();
    let all: Vec<_> = walk
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let is_file = entry.file_type().is_file();
            let content = if is_file { fs::read(entry.path()).unwrap() } else { Vec::new() };
            let name = entry.path().strip_prefix(path).unwrap().to_owned();
            (name, entry.metadata().unwrap().mode(), content)
        })
        .collect();
    assert!(all.len() > CLUSTERS.len(), "{} is empty", path.display());
    all
}

#[track_caller]
fn assert_same(joined: &Path, whole: &Path) {
    let (joined, whole) = (snapshot(joined), snapshot(whole));
    let names =
        |all: &[(PathBuf, u32, Vec<u8>)]| all.iter().map(|(name, ..)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&joined), names(&whole));
    for (one, other) in joined.iter().zip(&whole) {
        assert_eq!(one.1, other.1, "mode of {}", one.0.display());
        assert!(one.2 == other.2, "{} has other bytes", one.0.display());
    }
}

fn example(name: &str) -> PathBuf {
    root().join("ci/examples").join(name)
}

/// A PATH with `kiln` on it.
fn path() -> OsString {
    let kiln = Path::new(env!("CARGO_BIN_EXE_kiln")).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths([kiln].into_iter().chain(std::env::split_paths(&path))).unwrap()
}

fn program(name: &str, directory: &Path) -> Command {
    let mut command = Command::new(name);
    command.current_dir(directory).env("PATH", path()).env_remove("SOURCE_DATE_EPOCH");
    command.env("XDG_CACHE_HOME", directory.join("home-cache"));
    command
}

/// The documents of a YAML file, as Python parses them, after yamllint has found no fault in it.
fn yaml(name: &str) -> Vec<Value> {
    let rules = "{extends: default, rules: {line-length: {max: 125}}}";
    let complaint = run(Command::new("yamllint").args(["--strict", "-d", rules]).arg(example(name)));
    assert_eq!(complaint, "");
    let to_json = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    serde_json::from_str(&run(Command::new("python3").args(["-c", to_json]).arg(example(name)))).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// The commands of a job of the workflow, in order.
fn steps(job: &Value) -> Vec<&str> {
    job["steps"].as_array().unwrap().iter().filter_map(|step| step["run"].as_str()).collect()
}

#[test]
fn a_matrix_of_jobs_builds_the_fleet() {
    let (work, whole) = fleet();
    let workflow = &yaml("github-matrix.yml")[0];
    let jobs = &workflow["jobs"];
    let matrix = jobs["shard"]["strategy"]["matrix"]["shard"].as_array().unwrap();
    assert_eq!(matrix.len().to_string(), text(&workflow["env"]["SHARDS"]));
    assert_eq!(matrix.len(), SHARDS);
    let join = work.path().join("join");
    fs::create_dir(&join).unwrap();
    let bash = |directory: &Path, script: &str| {
        let mut command = program("bash", directory);
        command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script]);
        command.env("SHARDS", text(&workflow["env"]["SHARDS"]));
        command.env("ARTIFACTS", store()).env("KEYSTORES", work.path().join("keystores"));
        command
    };
    for shard in matrix {
        // A runner has its own checkout.
        let runner = work.path().join(format!("runner-{shard}"));
        fs::create_dir(&runner).unwrap();
        run(program("cp", work.path()).args(["-r", "profiles"]).arg(&runner));
        let steps = steps(&jobs["shard"]);
        assert!(!steps.is_empty());
        for script in steps {
            run(bash(&runner, script).env("SHARD", shard.to_string()));
        }
        // As upload-artifact and download-artifact do, which do not keep modes.
        let archive = format!("shard-{shard}.tar");
        let upload = &jobs["shard"]["steps"][2]["with"]["path"];
        assert_eq!(text(upload).replace("${{ matrix.shard }}", &shard.to_string()), archive);
        fs::write(join.join(&archive), fs::read(runner.join(&archive)).unwrap()).unwrap();
    }
    for script in steps(&jobs["join"]) {
        run(&mut bash(&join, script));
    }
    assert_same(&join.join("fleet"), &whole);
}

#[test]
fn an_indexed_job_builds_the_fleet() {
    let (work, whole) = fleet();
    let documents = yaml("kubernetes-indexed-job.yaml");
    let [shards, join] = &documents[..] else { panic!("{} documents", documents.len()) };
    assert_eq!((text(&shards["kind"]), text(&join["kind"])), ("Job", "Job"));
    assert_eq!(text(&shards["spec"]["completionMode"]), "Indexed");
    assert_eq!(shards["spec"]["completions"], SHARDS);
    let container = |job: &Value, index: usize| {
        let container = &job["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(text(&container["workingDir"]), text(&container["volumeMounts"][0]["mountPath"]));
        let words: Vec<_> = container["command"].as_array().unwrap().iter().map(text).collect();
        let mut command = program(words[0], work.path());
        command.args(&words[1..]).env_remove("HOME").env_remove("XDG_CACHE_HOME");
        for variable in container["env"].as_array().unwrap() {
            command.env(text(&variable["name"]), text(&variable["value"]));
        }
        run(command.env("JOB_COMPLETION_INDEX", index.to_string()));
    };
    (0..SHARDS).for_each(|index| container(shards, index));
    container(join, 0);
    assert_same(&work.path().join("fleet"), &whole);
}

/// On a real slurmctld and slurmd. The join job waits for the array by itself, as on a cluster.
#[test]
fn an_array_job_builds_the_fleet() {
    let (work, whole) = fleet();
    let mut slurm = program(root().join("ci/slurm").to_str().unwrap(), work.path());
    let submit =
        "shards=$(sbatch --parsable \"$1\") && sbatch --wait --dependency=afterok:\"$shards\" \"$2\"";
    // Set again inside, because sudo drops them.
    for (name, value) in [("PATH=", path()), ("XDG_CACHE_HOME=", work.path().join("home-cache").into())] {
        let mut variable = OsString::from(name);
        variable.push(value);
        slurm.args([OsString::from("env"), variable]);
    }
    slurm.args(["bash", "-c", submit, "bash"]);
    slurm.arg(example("slurm-array.sbatch")).arg(example("slurm-join.sbatch"));
    let output = slurm.output().unwrap();
    let said: String = walkdir::WalkDir::new(work.path())
        .max_depth(1)
        .into_iter()
        .filter_map(|entry| {
            Some(entry.unwrap().into_path()).filter(|path| path.extension().is_some_and(|e| e == "log"))
        })
        .map(|log| format!("{}\n{}", log.display(), fs::read_to_string(&log).unwrap()))
        .collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{errors}\n{said}", output.status);
    assert_eq!(said.matches(", shard ").count(), SHARDS, "every task is one shard: {said}");
    assert_same(&work.path().join("fleet"), &whole);
}

/// The behaviour of the examples when a shard is missing.
#[test]
fn a_missing_shard_is_no_fleet() {
    let (work, _) = fleet();
    let mut shards = Vec::new();
    for shard in [1, 2, 4] {
        let out = format!("shards/{shard}");
        let (of, parts) = (format!("{shard}/{SHARDS}"), ["--shard", "--out"]);
        let mut build = work.kiln(["build", "--fleet", "profiles", "--artifacts", "artifacts"]);
        run(build.args(["--keystore", "keystores", parts[0], &of, parts[1], &out]));
        shards.push(out);
    }
    let joined = work.kiln(["join", "--out", "fleet"]).args(&shards).output().unwrap();
    assert!(!joined.status.success());
    assert!(!work.path().join("fleet").exists());
}
