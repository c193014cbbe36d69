//! Why a question got no answer.

use crate::causes::Fault;

#[derive(Clone, Debug)]
pub struct Trouble {
    pub fault: Fault,
    /// What was said, on one line.
    pub said: String,
}

pub type Answered<T> = Result<T, Trouble>;
