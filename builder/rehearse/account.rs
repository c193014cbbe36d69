//! The account of a unit, from the node's own files.

use std::path::Path;

use super::files::{below, is, text};
use crate::disk::Kind;
use crate::failure::{Failure, Result};

/// A line of the node's own /etc/passwd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: String,
}

impl Account {
    pub fn root() -> Self {
        Self { name: "root".into(), uid: 0, gid: 0, home: "/root".into() }
    }
}

/// The account of a unit with `User=` and, where it has one, `Group=`.
///
/// # Errors
/// `Exit::Wrong` when the node has no such account.
pub fn account(root: &Path, user: &str, group: Option<&str>) -> Result<Account> {
    let missing = |what: &str, name: &str, file: &str| {
        Failure::wrong(format!(
            "{what} {name} is not in the node's /etc/{file}; a file in /etc/sysusers.d has to declare it"
        ))
    };
    let fields = |file: &str, name: &str| -> Result<Option<Vec<String>>> {
        let path = below(root, "etc")?.join(file);
        if !is(&path, Kind::File)? {
            return Ok(None);
        }
        let text = text(&path)?;
        let line = text.lines().find(|line| line.split(':').next() == Some(name));
        Ok(line.map(|line| line.split(':').map(str::to_owned).collect()))
    };
    let number = |fields: &[String], at: usize| fields.get(at).and_then(|field| field.parse().ok());
    let passwd = fields("passwd", user)?.ok_or_else(|| missing("User", user, "passwd"))?;
    let (Some(uid), Some(mut gid)) = (number(&passwd, 2), number(&passwd, 3)) else {
        return Err(Failure::wrong(format!("the line of {user} in /etc/passwd has no numbers")));
    };
    if let Some(group) = group {
        let line = fields("group", group)?.ok_or_else(|| missing("Group", group, "group"))?;
        gid = number(&line, 2).ok_or_else(|| missing("Group", group, "group"))?;
    }
    let home = passwd.get(5).filter(|home| !home.is_empty()).cloned().unwrap_or_else(|| "/".into());
    Ok(Account { name: user.to_owned(), uid, gid, home })
}
