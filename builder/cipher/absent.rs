//! Kiln without the cargo feature `age`.

use std::io::{Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::kinds::{Ask, To};
use crate::failure::{Exit, Failure, Result};

pub enum Identity {}

fn absent<T>() -> Result<T> {
    Err(Failure::new(
        Exit::Usage,
        "this build of Kiln is without encryption; build Kiln with the cargo feature age, which is on by default",
    ))
}

pub fn recipient(_: &str) -> Result<String> {
    absent()
}

pub fn encrypt(_: &[u8], _: To<'_>, _: bool) -> Result<Vec<u8>> {
    absent()
}

pub fn identities(_: &[u8], _: &Path, _: Ask) -> Result<Vec<Identity>> {
    absent()
}

pub fn decrypt(_: &[u8], _: &[&Identity], _: u64, _: &str, _: Ask) -> Result<Zeroizing<Vec<u8>>> {
    absent()
}

pub fn decrypt_to(_: &mut dyn Read, _: &mut dyn Write, _: &[&Identity], _: &str, _: Ask) -> Result<()> {
    absent()
}
