//! What the files of a node match its network card by: a MAC address, a name, or the cards of a bond.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Invalid, Mac, deserialize_parsed, invalid, serialize_displayed, text_value, words};

text_value!(
    /// A network card by its name on the node: 1 to 15 characters (IFNAMSIZ in linux/if.h).
    ///
    /// A dot is left out, by which ifupdown and the network scripts of RHEL know a VLAN; so are the characters that
    /// systemd.network(5) reads as a pattern.
    CardName,
    |text| {
        let is_fine = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        let ours = text.strip_prefix("kiln").and_then(|rest| rest.chars().next());
        if text.parse::<Mac>().is_ok() {
            invalid("it is a MAC address; write that as mac of its [[node]]")
        } else if text.contains('.') {
            invalid("a name with a dot is that of a VLAN; write the card, and its vlan")
        } else if text.is_empty() || text.len() > 15 || !text.chars().all(is_fine) || text.starts_with('-') {
            invalid("a card has 1 to 15 characters of A-Z, a-z, 0-9, '_' and '-', as in eno1")
        } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
            invalid("systemd takes no name of digits alone")
        } else if ["lo", "all", "default"].contains(&text) {
            invalid("every node has an interface of this name, and it is not a card")
        } else if ours.is_some_and(|c| c.is_ascii_digit()) {
            invalid("Kiln gives such names itself; write the name that the system gives to the card")
        } else {
            Ok(())
        }
    }
);

/// What a card is matched by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// The card's own MAC address.
    #[default]
    Mac,
    /// Its name, as the system gives it.
    Name(CardName),
    /// Nothing: it is made of these.
    Bond(Bond),
}

impl By {
    /// Whether it is the MAC address.
    pub fn is_mac(&self) -> bool {
        *self == Self::Mac
    }
}

/// Several cards as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bond {
    /// At least two; all by name, or all by MAC address.
    #[serde(deserialize_with = "super::list::<_, _, 8>")]
    pub cards: Vec<BondCard>,
    /// How it uses them.
    pub mode: BondMode,
    /// With [`BondMode::Lacp`] only; `None` leaves the kernel's, which is slow.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lacp_rate: Option<LacpRate>,
    /// With [`BondMode::hashes`] only; `None` leaves the kernel's, which is `layer2`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hash_policy: Option<HashPolicy>,
}

impl Bond {
    /// The smallest and the largest number of cards.
    pub const CARDS: (usize, usize) = (2, 8);

    /// How often the links of its cards are looked at, in milliseconds. By default the kernel never does, and a card
    /// without a link stays in use (Documentation/networking/bonding.rst).
    pub const MONITOR_MS: u32 = 100;

    /// The names of its cards, separated by spaces; empty where those are matched by MAC address.
    pub fn names(&self) -> String {
        self.joined(|card| matches!(card, BondCard::Name(_)))
    }

    /// The MAC addresses, in the same way.
    pub fn macs(&self) -> String {
        self.joined(|card| matches!(card, BondCard::Mac(_)))
    }

    fn joined(&self, which: impl Fn(&BondCard) -> bool) -> String {
        let texts: Vec<_> = self.cards.iter().filter(|card| which(card)).map(ToString::to_string).collect();
        texts.join(" ")
    }

    /// Checks what the types of its cards cannot express.
    ///
    /// # Errors
    /// The reason why they cannot be those of a bond.
    pub fn check_cards(cards: &[BondCard]) -> Result<(), Invalid> {
        let (least, most) = Self::CARDS;
        let named = cards.iter().filter(|card| matches!(card, BondCard::Name(_))).count();
        if !(least..=most).contains(&cards.len()) {
            return invalid(format!("a bond is made of {least} to {most} cards"));
        }
        if (1..cards.len()).contains(&named) {
            return invalid("the cards of a bond are all matched by name, or all by MAC address");
        }
        match (1..cards.len()).find(|at| cards[..*at].contains(&cards[*at])) {
            Some(at) => invalid(format!("it has the card {} twice", cards[at])),
            None => Ok(()),
        }
    }
}

/// A card of a bond.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BondCard {
    Mac(Mac),
    Name(CardName),
}

impl BondCard {
    /// `None` for one that is matched by name.
    pub fn mac(&self) -> Option<Mac> {
        match self {
            Self::Mac(mac) => Some(*mac),
            Self::Name(_) => None,
        }
    }
}

impl FromStr for BondCard {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        // No name has a colon (dev_valid_name in net/core/dev.c).
        match text.contains(':') {
            true => text.parse().map(Self::Mac),
            false => text.parse().map(Self::Name),
        }
    }
}

impl fmt::Display for BondCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => mac.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

deserialize_parsed!(BondCard);
serialize_displayed!(BondCard);

// The words are those of the kernel, of systemd and of cloud-init.
words! {
    /// How a bond uses its cards (bonding.rst, `mode`).
    BondMode {
        ActiveBackup = "active-backup", Lacp = "802.3ad", BalanceXor = "balance-xor", BalanceRr = "balance-rr",
        Broadcast = "broadcast", BalanceTlb = "balance-tlb", BalanceAlb = "balance-alb"
    }
    /// How often the partner is asked for LACP's frames: every 30 seconds, or every second.
    LacpRate { Slow = "slow", Fast = "fast" }
    /// What chooses a frame's card.
    HashPolicy {
        Layer2 = "layer2", Layer34 = "layer3+4", Layer23 = "layer2+3", Encap23 = "encap2+3", Encap34 = "encap3+4"
    }
}

impl BondMode {
    /// Whether a hash policy has an effect (bonding.rst, `xmit_hash_policy`).
    pub fn hashes(self) -> bool {
        matches!(self, Self::Lacp | Self::BalanceXor | Self::BalanceTlb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_have_names_that_all_programs_take() {
        for good in ["eno1", "enp129s0f0np0", "ens3", "eth0", "net_a-b", "kiln", "kilnet0"] {
            assert!(good.parse::<CardName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "a234567890123456",
            "en*",
            "!eth0",
            "eth0 eth1",
            "eno1.20",
            "-e",
            "eth0:1",
            "52:54:00:00:00:01",
            "1",
            "lo",
            "all",
            "default",
            "kiln0",
            "e/0",
            "é",
            "e\n",
        ] {
            assert!(bad.parse::<CardName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bond_is_written_and_read() {
        let cards: Vec<BondCard> = ["eno1", "eno2"].map(|card| card.parse().unwrap()).to_vec();
        let bond = Bond { cards, mode: BondMode::Lacp, lacp_rate: Some(LacpRate::Fast), hash_policy: None };
        assert_eq!(bond.names(), "eno1 eno2");
        assert_eq!(bond.macs(), "");
        let text = serde_json::to_string(&By::Bond(bond.clone())).unwrap();
        assert_eq!(text, r#"{"bond":{"cards":["eno1","eno2"],"mode":"802.3ad","lacp_rate":"fast"}}"#);
        assert_eq!(serde_json::from_str::<By>(&text).unwrap(), By::Bond(bond));
        assert!(serde_json::from_str::<By>(&text.replace("eno2", "en*")).is_err());
        for (cards, why) in [
            (&["eno1"][..], "2 to 8"),
            (&["eno1", "eno1"], "twice"),
            (&["eno1", "52:54:00:00:00:01"], "all by MAC"),
        ] {
            let cards: Vec<BondCard> = cards.iter().map(|card| card.parse().unwrap()).collect();
            assert!(Bond::check_cards(&cards).unwrap_err().0.contains(why), "{why}");
        }
    }
}
