//! `kiln up`, `kiln status` and `kiln console`.

use std::io::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::base;
use super::output::Output;
use super::programs;
use crate::artifact::Program;
use crate::bundle::Bundle;
use crate::cli;
use crate::disk;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::interrupt;
use crate::machine::{self, Order, Standing, State, System};

const GLANCE: Duration = Duration::from_millis(100);

pub fn run(args: &cli::Up, out: &Output) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    bundle.check_bytes()?;
    let system = System::open(&base_path(args, &bundle)?, args.carrier)?;
    for node in &args.node {
        bundle.node(node)?;
    }
    if let Some(unknown) = programs::check(&bundle, &[Program::Etcdctl], &args.trust)? {
        out.say(format_args!("note: {unknown}"));
    }
    let standing = machine::up(&Order {
        bundle: &bundle,
        system: &system,
        driver: args.driver,
        carrier: args.carrier,
        accel: args.accel,
        connect: &args.connect,
        only: &args.node,
        deadline: if args.no_wait { Duration::ZERO } else { Duration::from_secs(args.deadline) },
        quiet: out.is_quiet(),
    })?;
    if args.json {
        out.json(&standing)?;
    } else if let Some(seconds) = standing.seconds {
        let (members, cluster) = (standing.nodes.len(), &standing.cluster);
        out.print(format_args!(
            "{cluster}: {members} member{} formed after {seconds:.1} s",
            if members == 1 { "" } else { "s" }
        ))?;
    }
    if args.no_wait {
        return Ok(());
    }
    let is = |phase| standing.nodes.iter().any(|node| node.phase == phase);
    let heading = if is(machine::Phase::Held) {
        "a node must not start etcd".to_owned()
    } else if is(machine::Phase::Off) {
        "not every machine runs".to_owned()
    } else {
        format!("after {} s not every member serves", args.deadline)
    };
    conclude(&standing, &heading)
}

pub fn status(args: &cli::Status, out: &Output) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let standing = machine::status(&bundle)?;
    if args.json {
        out.json(&standing)?;
    } else {
        let lines = standing.nodes.iter().map(|node| {
            let said = node.said.as_ref().map_or(String::new(), |said| format!("  {said}"));
            format!("{}  {}  {}{said}", node.name, node.address, node.phase)
        });
        out.print(lines.collect::<Vec<_>>().join("\n"))?;
    }
    conclude(&standing, "not every member serves")
}

/// Says which node stands where, with the end of its console.
fn conclude(standing: &Standing, heading: &str) -> Result<()> {
    if standing.formed {
        return Ok(());
    }
    let mut text = heading.to_owned();
    for node in &standing.nodes {
        text.push_str(&format!("\n{}: {}", node.name, node.phase));
        if node.phase != machine::Phase::Formed {
            text.push_str(if node.console.is_empty() {
                "; its console is empty"
            } else {
                "; its console ends"
            });
        }
        node.console.iter().for_each(|line| text.push_str(&format!("\n  | {line}")));
    }
    Err(Failure::wrong(text))
}

/// The command line's, else the profile's, else the carrier's.
fn base_path(args: &cli::Up, bundle: &Bundle) -> Result<PathBuf> {
    if let Some(base) = &args.base {
        return base::named(base);
    }
    let profile = bundle.manifest.machine.as_ref().and_then(|machine| machine.base.as_deref());
    let name = profile.unwrap_or(args.carrier.base());
    let directory = base::directory(name);
    match disk::look(&directory)? {
        Some(_) => Ok(directory),
        None => Err(base::missing(Exit::Usage, name)),
    }
}

/// Prints what a machine has written to its console and goes on until Ctrl-C, or until there is no machine.
pub fn console(args: &cli::Console) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    bundle.node(&args.node)?;
    let state = State::need(&bundle.path)?;
    let file = state.console(&args.node);
    let mut at = 0;
    while !interrupt::asked() {
        if disk::look(&file)?.is_some() {
            let (bytes, begin) = disk::read_end(&file, 16 << 20)?;
            let end = begin + bytes.len() as u64;
            let new = usize::try_from(end.saturating_sub(at.max(begin))).unwrap_or(0).min(bytes.len());
            let text = machine::plain(&String::from_utf8_lossy(&bytes[bytes.len() - new..]));
            let mut stdout = std::io::stdout().lock();
            match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                    return Err(Failure::unheard());
                }
                other => other.doing(|| "writing to standard output".into())?,
            }
            at = end;
        }
        if !machine::runs(&state, &args.node)? {
            return Ok(());
        }
        thread::sleep(GLANCE);
    }
    Ok(())
}
