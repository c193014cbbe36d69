//! The reason why a request got no answer.

use crate::causes::Fault;

#[derive(Clone, Debug)]
pub struct Trouble {
    pub fault: Fault,
    /// The error text, on one line.
    pub said: String,
}

pub type Answered<T> = Result<T, Trouble>;
