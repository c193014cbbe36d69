//! `kiln push` and `kiln pull` in builds without feature `oci`.

use super::output::Output;
use crate::failure::{Exit, Failure, Result};

pub fn run<T>(_: &T, _: &Output) -> Result<()> {
    Err(Failure::new(
        Exit::Usage,
        "this build of Kiln is without registry support; build Kiln with the cargo feature oci, which is on by default",
    ))
}
