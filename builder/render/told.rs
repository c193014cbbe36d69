//! Values of the plan as a node's program reads them.

use crate::failure::{Failure, Result};

/// One that its type has checked.
///
/// # Errors
/// `Exit::Io` where it is not valid there: the plan allows more than the program.
pub(super) fn told<T: TryFrom<String>>(text: &str) -> Result<T>
where
    T::Error: std::fmt::Display,
{
    T::try_from(text.to_owned()).map_err(|why| untold(text, &why.to_string()))
}

pub(super) fn untold(text: &str, why: &str) -> Failure {
    Failure::io(format!("{text:?} is not valid for kiln-node: {why}"))
}
