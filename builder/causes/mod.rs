//! What can be wrong with a cluster: for each fault the likely cause and the way out, a sentence each, and the
//! words by which programs and kernels name it. The only place for such sentences.

mod catalogue;
mod fault;
mod patterns;

pub use fault::Fault;
