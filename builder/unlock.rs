//! How this run gets at secrets that are not in plain in a keystore: identities of age, passphrases, and a command
//! that prints a keystore's secret. The command line says it once, for all keystores that a verb opens.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::termios::{LocalModes, OptionalActions, Termios};
use zeroize::Zeroizing;

use crate::cipher::{self, Identity};
use crate::disk::{self, Kind};
use crate::failure::{Doing, Exit, Failure, Result};
use crate::interrupt;
use crate::process::{self, Ended, Program};
use crate::values::Digest;

/// The time that a command has to print a secret: enough to touch a token or to type a PIN.
const DEADLINE: Duration = Duration::from_secs(60);

/// The longest passphrase, in bytes.
const MAX_PASSPHRASE: usize = 4096;

/// The largest encrypted file that is decrypted, and what it may hold, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// Files with identities of age.
    pub identities: Vec<PathBuf>,
    /// A file whose first line is the passphrase of all that has one.
    pub passphrase_file: Option<PathBuf>,
    /// A command that prints the secret of a keystore, and its arguments.
    pub secret_from: Option<Vec<String>>,
}

/// What is known so far: nothing is asked for, run or decrypted twice.
struct Known {
    ways: Ways,
    passphrases: BTreeMap<String, Zeroizing<String>>,
    decrypted: BTreeMap<Digest, Zeroizing<Vec<u8>>>,
    printed: BTreeMap<String, Zeroizing<Vec<u8>>>,
    /// Files with secrets that others may read.
    open: BTreeSet<PathBuf>,
}

static KNOWN: Mutex<Known> = Mutex::new(Known {
    ways: Ways { identities: Vec::new(), passphrase_file: None, secret_from: None },
    passphrases: BTreeMap::new(),
    decrypted: BTreeMap::new(),
    printed: BTreeMap::new(),
    open: BTreeSet::new(),
});

/// One question at a time, and one run of a command.
static TURN: Mutex<()> = Mutex::new(());

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the command line names an identity.
pub fn has_identities() -> bool {
    !known().ways.identities.is_empty()
}

/// Says it for this process.
pub fn with(ways: Ways) {
    known().ways = ways;
}

/// A warning for each file with an identity or a passphrase that was read, and that other users may read, too.
pub fn warnings() -> Vec<String> {
    let warning = |path: &PathBuf| {
        let path = path.display();
        format!(
            "{path} is open to other users, who may have read the key in it; close it with chmod go= {path}"
        )
    };
    known().open.iter().map(warning).collect()
}

/// Notes whether other users may read a file with a secret.
fn note_mode(file: &Path) -> Result<()> {
    let found = disk::look(&disk::resolved(file))?;
    if found.is_some_and(|found| found.kind == Kind::File && found.mode.bits() & 0o077 != 0) {
        known().open.insert(file.to_owned());
    }
    Ok(())
}

/// A file that is encrypted to recipients or with a passphrase; `name` is what it is called where its passphrase is
/// asked for.
///
/// # Errors
/// As [`cipher::decrypt`] and [`passphrase`].
pub fn decrypted(bytes: &[u8], name: &str) -> Result<Zeroizing<Vec<u8>>> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let digest = Digest::of(bytes);
    let (ways, there) = {
        let known = known();
        (known.ways.clone(), known.decrypted.get(&digest).cloned())
    };
    if let Some(there) = there {
        return Ok(there);
    }
    let plain = cipher::decrypt(bytes, &identities(&ways)?, MAX_BYTES, name, passphrase)?;
    known().decrypted.insert(digest, plain.clone());
    Ok(plain)
}

/// The same for a file of any size, written to `to` piece by piece.
///
/// # Errors
/// As [`cipher::decrypt_to`] and [`passphrase`].
pub fn decrypt_to(from: &mut dyn Read, to: &mut dyn Write, name: &str) -> Result<()> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let ways = known().ways.clone();
    cipher::decrypt_to(from, to, &identities(&ways)?, name, passphrase)
}

fn identities(ways: &Ways) -> Result<Vec<Identity>> {
    let mut all = Vec::new();
    for file in &ways.identities {
        note_mode(file)?;
        all.extend(cipher::identities(file, passphrase)?);
    }
    Ok(all)
}

/// The passphrase of something: from the file that the command line names, else asked for at the terminal, once.
///
/// # Errors
/// `Exit::Usage` where there is neither; `Exit::Interrupted` after Ctrl-C.
pub fn passphrase(name: &str) -> Result<Zeroizing<String>> {
    let (ways, there) = {
        let known = known();
        (known.ways.clone(), known.passphrases.get(name).cloned())
    };
    if let Some(there) = there {
        return Ok(there);
    }
    let passphrase = match &ways.passphrase_file {
        Some(file) => from_file(file)?,
        None => ask(&format!("passphrase of {name}"))?,
    };
    known().passphrases.insert(name.to_owned(), passphrase.clone());
    Ok(passphrase)
}

/// A new passphrase, which is asked for twice.
///
/// # Errors
/// As [`passphrase`]; `Exit::Usage` when the two differ, or it is empty.
pub fn new_passphrase(name: &str) -> Result<Zeroizing<String>> {
    let file = known().ways.passphrase_file.clone();
    let passphrase = match file {
        Some(file) => from_file(&file)?,
        None => {
            let first = ask(&format!("new passphrase of {name}"))?;
            if *first != *ask("the same again")? {
                return Err(Failure::new(Exit::Usage, "the two passphrases differ; nothing was changed"));
            }
            first
        }
    };
    if passphrase.is_empty() {
        return Err(Failure::new(Exit::Usage, "the passphrase is empty; nothing was changed"));
    }
    known().passphrases.insert(name.to_owned(), passphrase.clone());
    Ok(passphrase)
}

fn from_file(file: &Path) -> Result<Zeroizing<String>> {
    let reading = || format!("reading the passphrase in {}", file.display());
    if disk::look(&disk::resolved(file))?.is_none() {
        return Err(Failure::new(Exit::Usage, format!("there is no file {}", file.display())));
    }
    note_mode(file)?;
    let bytes = disk::read(file, MAX_PASSPHRASE as u64).map(Zeroizing::new).doing(reading)?;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| Failure::untrusted("it is not UTF-8")).doing(reading)?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// What the command prints for the keystore of this cluster; `None` where the command line names no command.
///
/// # Errors
/// `Exit::Usage` when it cannot be found; `Exit::Untrusted` when it fails or takes too long, with what it has said on
/// its standard error. What it prints is never shown.
pub fn printed(cluster: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (ways, there) = {
        let known = known();
        (known.ways.clone(), known.printed.get(cluster).cloned())
    };
    let Some(words) = ways.secret_from else { return Ok(None) };
    if there.is_some() {
        return Ok(there);
    }
    let words: Vec<String> = words.iter().map(|word| word.replace("{cluster}", cluster)).collect();
    let Some((name, arguments)) = words.split_first() else {
        return Err(Failure::new(Exit::Usage, "--secret-from names no command"));
    };
    let path = match name.contains('/') {
        true => PathBuf::from(name),
        false => process::look_for(name).ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                format!("the command {name} of --secret-from was not found; check its name"),
            )
        })?,
    };
    let run = Program::new(path).args(arguments).with_own_environment().within(DEADLINE).run();
    let run = run.doing(|| format!("running {name} for the secret of {cluster}"))?;
    let stdout = Zeroizing::new(run.stdout);
    if run.ended != Ended::Code(0) {
        let said = String::from_utf8_lossy(&run.stderr).trim().to_owned();
        let said = if said.is_empty() { "it said nothing on its standard error".to_owned() } else { said };
        let how = match run.ended {
            Ended::Deadline => format!("took more than {} s", DEADLINE.as_secs()),
            ended => format!("ended with {ended}"),
        };
        return Err(Failure::untrusted(format!(
            "{name}, which prints the secret of {cluster}, {how}: {said}"
        )));
    }
    known().printed.insert(cluster.to_owned(), stdout.clone());
    Ok(Some(stdout))
}

/// The words of a command, without a shell: they end at spaces, and quotes of both kinds hold a word together. Nothing
/// else has a meaning; who needs a shell writes `sh -c '…'`.
///
/// # Errors
/// A sentence, when a quote is not closed or there is no word.
pub fn words(text: &str) -> std::result::Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_ascii_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    match (quote, words.is_empty()) {
        (Some(_), _) => Err("a quote is not closed".to_owned()),
        (None, true) => Err("name a command and its arguments".to_owned()),
        (None, false) => Ok(words),
    }
}

/// Asks at the terminal, which does not show what is typed.
fn ask(what: &str) -> Result<Zeroizing<String>> {
    let asking = || "asking on the terminal".to_owned();
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "the {what} is needed, and there is no terminal to ask at; name a file that holds it with \
                 --keystore-passphrase-file"
            ),
        ));
    }
    write!(std::io::stderr(), "{what}: ").doing(asking)?;
    let typed = {
        let _silence = Silence::begin()?;
        typed()
    };
    // The newline that was typed is not shown either.
    let _ = writeln!(std::io::stderr());
    typed
}

fn typed() -> Result<Zeroizing<String>> {
    let reading = || "reading the passphrase".to_owned();
    let mut answer = Zeroizing::new(Vec::with_capacity(MAX_PASSPHRASE));
    let pause = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    while !answer.ends_with(b"\n") {
        interrupt::check()?;
        let stdin = std::io::stdin();
        let mut polled = [rustix::event::PollFd::new(&stdin, rustix::event::PollFlags::IN)];
        match rustix::event::poll(&mut polled, Some(&pause)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(std::io::Error::from(error)).doing(reading),
        }
        let mut line = Zeroizing::new([0; MAX_PASSPHRASE]);
        let size = rustix::io::read(&stdin, &mut *line).map_err(std::io::Error::from).doing(reading)?;
        if size == 0 || answer.len() + size > MAX_PASSPHRASE {
            return Err(Failure::new(Exit::Usage, "no passphrase was typed, or one that is too long"));
        }
        answer.extend_from_slice(&line[..size]);
    }
    let text =
        std::str::from_utf8(&answer).map_err(|_| Failure::untrusted("it is not UTF-8")).doing(reading)?;
    Ok(Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned()))
}

/// While it lives, the terminal shows nothing of what is typed.
struct Silence(Termios);

impl Silence {
    fn begin() -> Result<Self> {
        let asking = || "asking on the terminal".to_owned();
        let stdin = std::io::stdin();
        let before = rustix::termios::tcgetattr(&stdin).map_err(std::io::Error::from).doing(asking)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        rustix::termios::tcsetattr(&stdin, OptionalActions::Flush, &silent)
            .map_err(std::io::Error::from)
            .doing(asking)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // There is nothing to be done about a terminal that is gone.
        let _ = rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_without_a_shell() {
        for (text, want) in [
            ("pass show kiln/{cluster}", &["pass", "show", "kiln/{cluster}"][..]),
            ("sh -c 'cat \"$HOME/a b\"'", &["sh", "-c", "cat \"$HOME/a b\""]),
            ("  a  \"b c\"d '' ", &["a", "b cd", ""]),
            ("a $HOME *", &["a", "$HOME", "*"]),
        ] {
            assert_eq!(words(text).unwrap(), want, "{text}");
        }
        for bad in ["", "  ", "a 'b", "a \""] {
            assert!(words(bad).is_err(), "{bad:?}");
        }
    }
}
