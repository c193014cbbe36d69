//! `kiln profile list`, `show`, `new`, `import` and `schema`.

use std::io::{IsTerminal as _, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::named;
use super::output::{Output, and_said};
use crate::carrier;
use crate::cli::Profile;
use crate::disk::{self, Kind};
use crate::failure::{Doing as _, Exit, Failure, Result};
use crate::import::{self, Imported, Mistakes, New};
use crate::interrupt;
use crate::profile;
use crate::values::{ClusterName, Invalid, Mode, printable};

pub fn run(verb: &Profile, out: &Output) -> Result<()> {
    match verb {
        Profile::List { json } => {
            let profiles =
                profile::names().map(|name| (name, summary(profile::embedded(name).unwrap_or_default())));
            if *json {
                let profiles = profiles.map(|(name, summary)| json!({ "name": name, "summary": summary }));
                return out.json(&profiles.collect::<Vec<_>>());
            }
            let width = profile::names().map(str::len).max().unwrap_or(0);
            let lines = profiles.map(|(name, summary)| format!("{name:<width$} {summary}"));
            out.print(lines.collect::<Vec<_>>().join("\n"))
        }
        Profile::New { name, node, cidr, gateway, domain, client, out: path, json } => {
            let asked = New {
                name: named(name.as_deref())?,
                nodes: nodes(node, out)?,
                clients: client.clone(),
                cidr: cidr.clone(),
                gateway: gateway.clone(),
                domain: domain.clone(),
            };
            refuse_without_network(&asked)?;
            let path = path.clone().unwrap_or_else(|| format!("profiles/{}.toml", asked.name).into());
            refuse_nameless(&path)?;
            let made = import::new(&asked, carrier::all());
            write(&path, &made.text)?;
            if *json {
                let done = format!("{} is written", path.display());
                let said = json!({ "path": path, "name": asked.name, "profile": made.text, "mistakes": list(&made) });
                and_said(&done, out.json(&said))?;
            }
            let Some(mistakes) = made.mistakes else {
                if !*json {
                    let name = shown(&path);
                    out.say(format_args!("{}: build it with kiln build --profile {name}", path.display()));
                }
                return Ok(());
            };
            mistaken(&mistakes, "new", out)
        }
        Profile::Import { files, out: path, json } => import(files, path.as_deref(), *json, out),
        Profile::Schema => out.json(&profile::json_schema(carrier::all())),
        Profile::Show { name, json } => match profile::embedded(name) {
            Some(text) if *json => {
                out.json(&json!({ "name": name, "summary": summary(text), "profile": text }))
            }
            // Unchanged, so that the output can be saved as a file.
            Some(text) => out.bytes(text.as_bytes()),
            None => {
                let known: Vec<_> = profile::names().collect();
                let reason = format!("there is no built-in profile {name:?}, only {}", known.join(", "));
                Err(Failure::new(Exit::Usage, reason))
            }
        },
    }
}

/// The path as a profile's name on a command line: one without a directory needs one.
fn shown(path: &Path) -> String {
    match path.parent().is_some_and(|above| above == Path::new("profiles")) {
        true => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        // A name without a directory is one of profiles/.
        false if path.parent().is_some_and(|above| above.as_os_str().is_empty()) => {
            Path::new(".").join(path).display().to_string()
        }
        false => path.display().to_string(),
    }
}

/// # Errors
/// `Exit::Usage` for the path of a profile that no command would take for one.
fn refuse_nameless(path: &Path) -> Result<()> {
    if path.extension().is_none_or(|ending| ending != "toml") {
        let reason = format!("--out {}: the name of a profile's file ends in .toml", path.display());
        return Err(Failure::new(Exit::Usage, reason));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.parse::<ClusterName>().map(drop).map_err(|Invalid(why)| {
        let reason = format!(
            "--out {}: the file's name, which names the bundle, cannot be {stem:?}: {why}",
            path.display()
        );
        Failure::new(Exit::Usage, format!("{reason}; name it as in ha3.toml"))
    })
}

/// # Errors
/// `Exit::Usage` where the profile's network cannot be told from the nodes' addresses.
fn refuse_without_network(asked: &New) -> Result<()> {
    let all: Vec<IpAddr> = asked.nodes.iter().map(|(_, ip)| *ip).collect();
    if asked.cidr.is_some() || all.is_empty() || import::are_of_one(&all) {
        return Ok(());
    }
    let reason = match all.iter().all(|ip| ip.is_ipv4() == all[0].is_ipv4()) {
        true => "the nodes' addresses are in no network that could be meant; name it with --cidr",
        false => {
            "some nodes have IPv4 addresses and some IPv6; give --node the IPv4 addresses, then write each IPv6 address as \
             ipv6-address"
        }
    };
    Err(Failure::new(Exit::Usage, reason))
}

fn import(files: &[PathBuf], path: Option<&Path>, json: bool, out: &Output) -> Result<()> {
    path.map_or(Ok(()), |path| refuse_nameless(path).and_then(|()| refuse_existing(path)))?;
    let read = |path: &PathBuf| Ok((path.display().to_string(), taken(path)?));
    let files = files.iter().map(read).collect::<Result<Vec<_>>>()?;
    let imported = import::import(&files, carrier::all())?;
    match path {
        Some(path) => write(path, &imported.text)?,
        None if json => {}
        None => out.bytes(imported.text.as_bytes())?,
    }
    if json {
        let (text, left, mistakes) = (&imported.text, &imported.left, list(&imported));
        let said = json!({ "path": path, "profile": text, "left": left, "mistakes": mistakes });
        out.json(&said)?;
    }
    if !imported.left.is_empty() {
        out.announce(format_args!("the profile does not say, and you decide:\n{}", imported.left.join("\n")));
    }
    imported.mistakes.map_or(Ok(()), |mistakes| mistaken(&mistakes, "imported", out))
}

/// The mistakes of a profile in JSON.
fn list(imported: &Imported) -> serde_json::Value {
    imported.mistakes.as_ref().map_or_else(|| json!([]), |mistakes| mistakes.list.clone())
}

/// Tells the mistakes that a profile has which was written all the same.
///
/// # Errors
/// `Exit::Wrong`, always.
fn mistaken(mistakes: &Mistakes, which: &str, out: &Output) -> Result<()> {
    out.announce(format_args!("the profile cannot be built before this is corrected:\n{}", mistakes.text));
    let reason = format!("the {which} profile has mistakes; correct it, and run kiln check");
    Err(Failure::new(Exit::Wrong, reason))
}

/// The cluster's name, given or asked for until it is one.
fn named(given: Option<&str>) -> Result<String> {
    let wrong = |name: &str| {
        let Err(Invalid(why)) = name.parse::<ClusterName>() else { return None };
        Some(format!("the name of the cluster cannot be {name:?}: {why}"))
    };
    if let Some(name) = given {
        return wrong(name).map_or(Ok(name.to_owned()), |why| Err(Failure::new(Exit::Usage, why)));
    }
    loop {
        let name = ask("name of the cluster", "NAME")?;
        let Some(why) = wrong(&name) else { return Ok(name) };
        writeln!(std::io::stderr(), "{}", printable(&why)).doing(asking)?;
    }
}

fn asking() -> String {
    "asking on the terminal".to_owned()
}

/// A file to import. One that cannot be read as one is wrong usage, whatever the reason.
fn taken(path: &Path) -> Result<Vec<u8>> {
    named::refuse_missing(path)?;
    if disk::look(&disk::resolved(path))?.is_some_and(|found| found.kind != Kind::File) {
        let reason = format!("{} is not a regular file; name a copy of what is in it", path.display());
        return Err(Failure::new(Exit::Usage, reason));
    }
    disk::read(path, import::MAX_BYTES).map_err(|failure| failure.wrong_is(Exit::Usage))
}

fn refuse_existing(path: &Path) -> Result<()> {
    match disk::look(path)? {
        None => Ok(()),
        Some(_) => {
            let reason =
                format!("{} exists, and is not replaced; name another file with --out", path.display());
            Err(Failure::unsafe_to(reason))
        }
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    refuse_existing(path)?;
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        disk::make_directories(above, Mode::DIRECTORY)?;
    }
    disk::write_whole(path, text.as_bytes(), Mode::FILE)
}

/// NAME=ADDRESS, given or asked for.
fn nodes(given: &[String], out: &Output) -> Result<Vec<(String, IpAddr)>> {
    let asked;
    let given = match given {
        [] => {
            asked = asked_nodes(out)?;
            &asked[..]
        }
        given => given,
    };
    given.iter().map(node).collect()
}

/// # Errors
/// `Exit::Usage` for what is not NAME=ADDRESS.
fn node(text: &String) -> Result<(String, IpAddr)> {
    let wrong = || Failure::new(Exit::Usage, format!("{text:?} is not NAME=ADDRESS, as in cp-a=10.0.0.11"));
    let (name, address) = text.split_once('=').ok_or_else(wrong)?;
    Ok((name.to_owned(), address.parse().map_err(|_| wrong())?))
}

/// From the terminal, and once more if there is only one: a person may have expected to be asked for each.
fn asked_nodes(out: &Output) -> Result<Vec<String>> {
    // What is wrong is asked for again: the other answers are not lost.
    let words = |what: &str| -> Result<Vec<String>> {
        loop {
            let answer = ask(what, "--node NAME=ADDRESS")?;
            let words: Vec<String> =
                answer.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
            match words.iter().map(node).collect::<Result<Vec<_>>>() {
                Ok(_) => return Ok(words),
                Err(failure) => out.announce(format_args!("{}", failure.reason())),
            }
        }
    };
    let mut nodes = words("nodes, as NAME=ADDRESS NAME=ADDRESS …")?;
    if nodes.len() == 1 {
        out.announce("one node: if it is lost, only a snapshot is left; three nodes survive the loss of one");
        nodes.extend(words("more nodes, as NAME=ADDRESS NAME=ADDRESS …, or Enter for one node alone")?);
    }
    Ok(nodes)
}

/// One line from the terminal.
fn ask(what: &str, flag: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            format!("{flag} is missing, and there is no terminal to ask at"),
        ));
    }
    write!(std::io::stderr(), "{what}: ").doing(asking)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") {
        await_answer()?;
        let mut line = [0; 4096];
        let size =
            rustix::io::read(std::io::stdin(), &mut line).map_err(std::io::Error::from).doing(asking)?;
        if size == 0 {
            let reason = format!("{flag} is missing: the terminal was closed before an answer");
            return Err(Failure::new(Exit::Usage, reason));
        }
        answer.extend_from_slice(&line[..size]);
    }
    Ok(String::from_utf8_lossy(&answer).trim().to_owned())
}

/// Until there is something to read.
///
/// # Errors
/// `Exit::Interrupted` after Ctrl-C.
fn await_answer() -> Result<()> {
    let stdin = std::io::stdin();
    let pause = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    loop {
        interrupt::check()?;
        let mut polled = [rustix::event::PollFd::new(&stdin, rustix::event::PollFlags::IN)];
        match rustix::event::poll(&mut polled, Some(&pause)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(std::io::Error::from(error)).doing(asking),
        }
    }
}

/// The first sentence of the comment at the top of a profile.
fn summary(text: &str) -> String {
    let comment: Vec<_> = text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim).collect();
    let comment = comment.join(" ");
    comment.split_once(". ").map_or(comment.as_str(), |(first, _)| first).trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_the_first_sentence() {
        assert_eq!(summary("# Three nodes\n# of 3.5. More.\n\n# no\nschema = 1\n"), "Three nodes of 3.5");
        assert_eq!(summary("schema = 1\n"), "");
        assert!(profile::names().all(|name| !summary(profile::embedded(name).unwrap()).is_empty()));
    }
}
