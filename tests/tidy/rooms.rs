//! Which top-level module (room) may use which.

use std::collections::{BTreeMap, BTreeSet};

use super::circles::room_of;
use super::uses::Use;

/// Room -> the rooms that it may use. A row `room/sub` is for the files below it, which then have only that row, also
/// for items of the parent room. `OPEN` rooms may be used by all.
pub type Rows<'a> = &'a [(&'a str, &'a [&'a str])];

/// The row of a module: the one with the longest prefix of it.
fn row_of<'a>(rows: Rows<'a>, module: &[String]) -> Option<&'a str> {
    let is_at_the_beginning = |row: &&str| {
        let parts: Vec<&str> = row.split('/').collect();
        module.len() >= parts.len() && parts.iter().zip(module).all(|(part, name)| part == name)
    };
    rows.iter().map(|(row, _)| *row).filter(is_at_the_beginning).max_by_key(|row| row.len())
}

/// The first module of another room on a path: that room's own re-exports do not matter.
fn reached<'a>(a_use: &'a Use, own: &str) -> &'a [String] {
    let is_foreign = |module: &&Vec<String>| module.first().is_some_and(|room| room != own);
    let mut way = a_use.way.iter().chain([&a_use.target]).skip_while(|module| !is_foreign(module)).peekable();
    let mut last: &'a [String] = way.peek().map_or(&a_use.target, |module| module);
    let room = last.first();
    for module in way.take_while(|module| module.first() == room) {
        last = module;
    }
    last
}

fn without_a_row(room: &str) -> String {
    format!("room {room} has no row in tests/tidy.rs")
}

/// Each use that the user's row does not allow, rooms without a row, and permissions that are not used.
pub fn strays(uses: &[Use], rows: Rows, open: &[&str]) -> Vec<String> {
    let allowed: BTreeMap<_, _> = rows.iter().copied().collect();
    let mut wrong = BTreeSet::new();
    let mut needed = BTreeSet::new();
    for a_use in uses {
        // Unit tests of a submodule count as the room's own.
        let depth = if a_use.test { a_use.module.len().min(1) } else { a_use.module.len() };
        let Some(own) = row_of(rows, &a_use.module[..depth]) else {
            if a_use.file != "lib.rs" {
                wrong.insert(without_a_row(room_of(&a_use.file)));
            }
            continue;
        };
        let target = reached(a_use, room_of(&a_use.file));
        let Some(used) = row_of(rows, target) else {
            wrong.extend(target.first().map(|room| without_a_row(room)));
            continue;
        };
        // A room may use its own submodules.
        if used == own || used.starts_with(&format!("{own}/")) || open.contains(&used) {
            continue;
        }
        let covers = |permission: &&&str| used == **permission || used.starts_with(&format!("{permission}/"));
        match allowed[own].iter().filter(covers).max_by_key(|permission| permission.len()) {
            Some(permission) => {
                needed.insert((own, *permission));
            }
            None => {
                let item = a_use.item.as_deref().unwrap_or("the module");
                wrong.insert(format!("{}:{}: {own} uses {item} of {used}", a_use.file, a_use.line));
            }
        }
    }
    for (room, row) in rows {
        for permission in row.iter().filter(|permission| !needed.contains(&(*room, **permission))) {
            wrong.insert(format!("{room} needs no permission to use {permission}"));
        }
    }
    wrong.into_iter().collect()
}
