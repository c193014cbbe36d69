//! The reason why a request got no answer.

use crate::causes::Fault;

#[derive(Clone, Debug)]
pub struct Trouble {
    pub fault: Fault,
    /// The error text, on one line.
    pub said: String,
    /// Whether time ran out. A member that is busy may answer one that waits longer, whatever the fault will be called
    /// if it does not.
    pub is_late: bool,
}

impl Trouble {
    pub fn new(fault: Fault, said: impl Into<String>) -> Self {
        Self { fault, said: said.into(), is_late: fault == Fault::Waiting }
    }

    /// The same of a request whose time ran out, for `fault` if it stays so.
    pub(super) fn late(fault: Fault, said: impl Into<String>) -> Self {
        Self { is_late: true, ..Self::new(fault, said) }
    }
}

pub type Answered<T> = Result<T, Trouble>;
