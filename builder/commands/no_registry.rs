//! `kiln push` and `kiln pull` where this kiln was built without them.

use super::output::Output;
use crate::failure::{Exit, Failure, Result};

pub fn run<T>(_: &T, _: &Output) -> Result<()> {
    Err(Failure::new(
        Exit::Usage,
        "this kiln was built without registries; build it with cargo's feature oci, which is on by default",
    ))
}
