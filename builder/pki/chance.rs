//! The only source of randomness: the kernel's (getrandom(2)). It enters a bundle when its keystore is made, and
//! nowhere else; RSA uses some to hide its timing, and its signatures do not depend on it.

#![allow(clippy::disallowed_types, reason = "this is the source")]

use ring::rand::{SecureRandom, SystemRandom};

pub(super) fn chance() -> impl SecureRandom {
    SystemRandom::new()
}
