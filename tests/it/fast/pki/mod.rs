//! The certificates, checked by independent programs: openssl, cfssl (which uses Go's crypto/x509, as etcd does) and
//! rcgen.

mod constraints;
mod decided;
mod derived;
mod imported;
mod peer_ca;
mod place;
mod profiled;
mod refused;
mod renewal;
mod sealed;
mod secrets;
mod source;
mod strict;
mod tools;
mod trust;
