//! `kiln-node restore`, with real members: a snapshot becomes the next generation of their cluster.

mod attached;
mod killed;
mod machine;
mod refused;
mod switching;
