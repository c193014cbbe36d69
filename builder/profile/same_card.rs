//! `[network.peer] same-card`: the peers' network as a VLAN on the card, or the bond, of the network for clients.

use super::Network;
use super::diagnostics::Diagnostics;
use super::mistake::Mistake;
use super::reader::Section;

/// Whether it is. `peer`: the table of the network for peers.
pub(super) fn read(diagnostics: &mut Diagnostics, peer: &Section) -> bool {
    let is_same = peer.bool(diagnostics, "same-card").is_some_and(toml::Spanned::into_inner);
    if !is_same {
        return false;
    }
    for key in ["card", "bond"] {
        if let Some(place) = peer.place(key) {
            let reason =
                format!("[network.peer] {key} is about a second card, and with same-card there is none");
            diagnostics.mistake(Mistake::new(place, reason).help("omit one of the two"));
        }
    }
    if !peer.has("vlan") {
        let reason =
            "[network.peer] same-card needs a VLAN for the peers, which tells the two networks apart";
        let mistake = Mistake::new(peer.place("same-card"), reason);
        diagnostics.mistake(mistake.help("write vlan in [network.peer], as in vlan = 30"));
    }
    true
}

/// Checks the two networks of one card against each other.
pub(super) fn check(diagnostics: &mut Diagnostics, [table, below]: [&Section; 2], network: &Network) {
    let Some(peer) = network.peer.as_ref().filter(|peer| peer.same_card) else { return };
    let beside = |key: &str, reason: String| {
        let mistake = Mistake::new(below.place(key), reason);
        match table.place(key) {
            Some(main) => mistake.other(main, "that of [network]"),
            None => mistake,
        }
    };
    if peer.vlan.is_some() && peer.vlan == network.vlan {
        let reason = "[network.peer] vlan is that of [network], on the same card".to_owned();
        diagnostics.mistake(beside("vlan", reason).help("write another VLAN for one of the two"));
    }
    // A VLAN has the MTU of its card unless it has one of its own, which cannot be larger.
    let Some(own) = peer.mtu else { return };
    if !table.has("mtu") {
        let reason =
            "[network.peer] mtu may change that of the card, and with it that of [network]".to_owned();
        diagnostics.mistake(beside("mtu", reason).help("write mtu in [network], too"));
    } else if let Some(main) = network.mtu.filter(|main| !table.has("vlan") && *main < own) {
        let reason = format!("[network.peer] mtu {own} is larger than that of its card, {main}");
        let help = "write a larger mtu in [network], or give that a vlan, too";
        diagnostics.mistake(beside("mtu", reason).help(help));
    }
}

/// Refuses what a node says about a second card.
pub(super) fn check_node(diagnostics: &mut Diagnostics, table: &Section) {
    for key in ["peer-card", "peer-cards", "peer-mac"] {
        if let Some(place) = table.place(key) {
            let reason = format!(
                "[[node]] {key} is about a second card, and with [network.peer] same-card there is none"
            );
            diagnostics.mistake(Mistake::new(place, reason).help(format!("omit {key}")));
        }
    }
}
