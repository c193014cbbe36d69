//! `kiln up`, `kiln status` and `kiln console`.

use std::io::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::inputs;
use super::output::Output;
use super::programs;
use crate::artifact::Program;
use crate::base::System;
use crate::bundle::Bundle;
use crate::carrier;
use crate::causes::Fault;
use crate::cli;
use crate::disk::{self, Follow};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::host::{self, Order, Plain, Standing, State};
use crate::interrupt;
use crate::values::{Carrier, counted};

const GLANCE: Duration = Duration::from_millis(100);

/// Between two questions whether a machine runs: virsh takes a tenth of a second.
const PULSE: Duration = Duration::from_secs(1);

pub fn run(args: &cli::Up, out: &Output) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    bundle.check_bytes()?;
    // What was begun in one way goes on in it, unless another one is asked for, which is then refused.
    let there = State::open(&bundle)?.map(|state| state.record);
    let there = there.as_ref();
    let driver = args.driver.clone().or(there.map(|there| there.driver.clone()));
    let driver = driver.unwrap_or_else(host::usual_driver);
    let carrier =
        args.carrier.or(there.map(|there| there.carrier)).unwrap_or_else(carrier::of_machines_by_default);
    let connect = args.connect.clone().or(there.map(|there| there.connect.clone())).unwrap_or_default();
    let system = System::open(&base_path(args, carrier, &bundle)?, carrier)?;
    for node in &args.node {
        bundle.node(node)?;
    }
    programs::check_aloud(&bundle, &[Program::Etcdctl], &args.trust, out)?;
    let standing = host::up(&Order {
        bundle: &bundle,
        system: &system,
        driver,
        carrier,
        accel: args.accel,
        connect,
        only: &args.node,
        deadline: if args.no_wait { Duration::ZERO } else { Duration::from_secs(args.deadline) },
        quiet: out.is_quiet(),
    })?;
    if args.json {
        out.json(&standing)?;
    } else if let Some(seconds) = standing.seconds {
        let formed = members(&standing, |node| node.phase == host::Phase::Formed);
        out.print(format_args!("{}: {formed} formed after {seconds:.1} s", standing.cluster))?;
    } else if args.no_wait {
        let started = members(&standing, |node| node.asked);
        out.print(format_args!("{}: {started} started", standing.cluster))?;
    }
    if args.no_wait {
        return Ok(());
    }
    let is = |phase| standing.nodes.iter().any(|node| node.asked && node.phase == phase);
    let heading = if is(host::Phase::Held) {
        "a node must not start etcd".to_owned()
    } else if is(host::Phase::Off) {
        "not every machine runs".to_owned()
    } else {
        format!("after {} s not every member serves", args.deadline)
    };
    conclude(&standing, &heading)
}

/// `3 members`, or `2 of 3 members` where the others are not meant.
fn members(standing: &Standing, is_meant: impl Fn(&&host::Node) -> bool) -> String {
    let (all, meant) = (standing.nodes.len(), standing.nodes.iter().filter(is_meant).count());
    let members = counted(all, "member");
    if meant == all { members } else { format!("{meant} of {members}") }
}

pub fn status(args: &cli::Status, out: &Output) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    programs::check_aloud(&bundle, &[Program::Etcdctl], &args.trust, out)?;
    let standing = host::status(&bundle)?;
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
        if node.phase != host::Phase::Formed {
            text.push_str(if node.console.is_empty() {
                "; its console is empty"
            } else {
                "; its console ends"
            });
        }
        node.console.iter().for_each(|line| text.push_str(&format!("\n  | {line}")));
        if let Some(fault) = Fault::logged_in(&node.console) {
            text.push_str(&format!("\n  likely cause: {} {}", fault.cause(), fault.way_out()));
        }
    }
    Err(Failure::wrong(text))
}

/// The command line's, else the profile's, else the carrier's.
fn base_path(args: &cli::Up, carrier: Carrier, bundle: &Bundle) -> Result<PathBuf> {
    if let Some(base) = &args.base {
        return inputs::bases().named(base);
    }
    let profile = bundle.manifest.machine.as_ref().and_then(|machine| machine.base.as_ref());
    let name = profile.map_or(carrier.base().unwrap_or_default(), |base| base.as_str());
    let bases = inputs::bases();
    let directory = bases.directory(name);
    match disk::look(&directory)? {
        Some(_) => Ok(directory),
        None => Err(bases.missing(Exit::Usage, name)),
    }
}

/// Prints what a machine has written to its console and goes on until Ctrl-C, or until there is no machine.
pub fn console(args: &cli::Console) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    bundle.node(&args.node)?;
    let state = State::need(&bundle)?;
    let mut follow = Follow::new(&state.console(&args.node));
    let mut plain = Plain::default();
    let mut looked: Option<Instant> = None;
    let mut runs = true;
    while !interrupt::asked() {
        // Before the reading: what it wrote at its end is then read all the same.
        if looked.is_none_or(|looked| looked.elapsed() >= PULSE) {
            runs = host::runs(&state, &args.node)?;
            looked = Some(Instant::now());
        }
        let more = follow.more()?;
        if more.anew {
            plain = Plain::default();
        }
        let is_end = more.bytes.is_empty();
        print(&plain.feed(&more.bytes))?;
        match (is_end, runs) {
            (true, false) => return Ok(()),
            (true, true) => thread::sleep(GLANCE),
            (false, _) => {}
        }
    }
    Ok(())
}

fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Failure::unheard()),
        other => other.doing(|| "writing to standard output".into()),
    }
}
