//! The certificates, judged by strangers: openssl, cfssl (which is Go's crypto/x509, as etcd is) and rcgen.

mod derived;
mod imported;
mod place;
mod refused;
mod sealed;
mod tools;
mod trust;
