//! `tar`: an archive to unpack by hand. Every bundle has it, because the other carriers deliver it too.

use super::row::Row;
use crate::values::{CarrierFacts, Start};

const FACTS: CarrierFacts = CarrierFacts {
    name: "tar",
    about: "an archive to unpack over a running system",
    start: Start::ByHand,
    makes_accounts: false,
    sets_up_host: false,
    has_read_only_usr: false,
    files: &[],
};

pub const ROW: Row = Row::new(&FACTS);
