//! Faults of a cluster: for each the likely cause and the remedy, a sentence each, and the words by which programs and
//! kernels name it. The only place for such sentences.

mod catalogue;
mod fault;
mod line;
mod patterns;
mod story;

pub use fault::Fault;
pub use line::Line;
pub use story::{complaint, tell};
