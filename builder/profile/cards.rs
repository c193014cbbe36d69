//! The network cards of the nodes: by MAC address, by name, or several as a bond.

use toml::Spanned;

use super::Span;
use super::diagnostics::Diagnostics;
use super::mistake::Mistake;
use super::reader::Section;
use super::same_card;
use super::unique::Unique;
use crate::values::{Bond, BondCard, BondMode, By, CardName, HashPolicy, LacpRate, Mac};

/// What a network says about the cards of all its nodes.
struct Cards {
    card: Option<Spanned<CardName>>,
    bond: Option<Placed>,
}

/// The same for both networks.
pub(super) struct Both {
    main: Cards,
    /// `None` where there is no network for peers: the keys for that are then refused as such.
    peer: Option<Cards>,
    /// Whether that is on the card of the network for clients.
    pub is_same: bool,
}

/// `peer`: the table of the network for peers.
pub(super) fn of_networks(
    diagnostics: &mut Diagnostics,
    table: &Section,
    peer: &Section,
    is_same: bool,
) -> Both {
    let main = of_network(diagnostics, table, MAIN_BOND);
    let has_peer = peer.span.is_some();
    let peer = of_network(diagnostics, peer, PEER_BOND);
    Both { main, peer: has_peer.then_some(peer), is_same }
}

/// A bond that may have other cards on each node.
struct Placed {
    /// The header of its table.
    title: &'static str,
    span: Option<Span>,
    /// `None` where nodes name them.
    cards: Option<Vec<BondCard>>,
    /// Where it names them, even if they cannot be read.
    cards_at: Option<Span>,
    /// `None` where it could not be read.
    bond: Option<Bond>,
}

/// The keys of a node's card: `card` and `cards`, or those for peers.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    card: &'static str,
    cards: &'static str,
    mac: &'static str,
    bond: &'static str,
}

const MAIN_BOND: &str = "[network.bond]";
const PEER_BOND: &str = "[network.peer.bond]";
const MAIN: Keys = Keys { card: "card", cards: "cards", mac: "mac", bond: MAIN_BOND };
pub(super) const PEER: Keys =
    Keys { card: "peer-card", cards: "peer-cards", mac: "peer-mac", bond: PEER_BOND };

impl Cards {
    /// Where it names those that each node has unless the node names its own.
    fn place(&self) -> Option<Span> {
        match (&self.bond, &self.card) {
            (Some(bond), _) => bond.cards_at.clone(),
            (None, card) => card.as_ref().map(Spanned::span),
        }
    }
}

impl Keys {
    /// The place of the first of the two that is there.
    pub fn place(self, table: &Section) -> Option<(&'static str, Span)> {
        [self.card, self.cards].into_iter().find_map(|key| Some((key, table.place(key)?)))
    }
}

/// `title`: that of the table of its bond.
fn of_network(diagnostics: &mut Diagnostics, table: &Section, title: &'static str) -> Cards {
    let card = table.value::<CardName>(diagnostics, "card");
    let below = table.table(diagnostics, "bond", title);
    let bond = below.span.is_some().then(|| bond(diagnostics, &below, title));
    below.finish(diagnostics);
    if let (Some(card), Some(bond)) = (&card, &bond) {
        let reason = format!("{} has both card and a bond of several cards", table.title());
        let mistake = Mistake::new(card.span(), reason);
        let mistake = match &bond.span {
            Some(span) => mistake.other(span.clone(), "the bond"),
            None => mistake,
        };
        diagnostics.mistake(mistake.help("omit one of the two"));
    }
    Cards { card, bond }
}

fn bond(diagnostics: &mut Diagnostics, table: &Section, title: &'static str) -> Placed {
    let cards = cards(diagnostics, table, "cards");
    let cards = cards.map(|cards| cards.into_iter().map(Spanned::into_inner).collect::<Vec<_>>());
    let has_mac = |card: &BondCard| matches!(card, BondCard::Mac(_));
    if cards.iter().flatten().any(has_mac) {
        let reason = format!("{title} cards has a MAC address, which belongs to one node alone");
        let help = "write the names of the cards, or cards in each [[node]]";
        diagnostics.mistake(Mistake::new(table.place("cards"), reason).help(help));
    }
    let mode = table.choice(diagnostics, "mode", BondMode::CHOICES);
    let lacp_rate = table.choice(diagnostics, "lacp-rate", LacpRate::CHOICES);
    let hash_policy = table.choice(diagnostics, "hash-policy", HashPolicy::CHOICES);
    let is_read = mode.is_some() == table.has("mode");
    let mode = mode.unwrap_or(BondMode::ActiveBackup);
    let only = |key: &str, modes: &str| {
        let reason = format!("{title} {key} is for the mode {modes}, and the mode is {}", mode.as_str());
        Mistake::new(table.place(key), reason).help(format!("omit {key}, or write another mode"))
    };
    if lacp_rate.is_some() && is_read && mode != BondMode::Lacp {
        diagnostics.mistake(only("lacp-rate", "802.3ad"));
    }
    if hash_policy.is_some() && is_read && !mode.hashes() {
        diagnostics.mistake(only("hash-policy", "802.3ad, balance-xor or balance-tlb"));
    }
    let bond = is_read.then(|| Bond { cards: Vec::new(), mode, lacp_rate, hash_policy });
    Placed { title, span: table.span.clone(), cards, cards_at: table.place("cards"), bond }
}

/// A list of the cards of a bond; `None` where there is none that can be used, or not all of it can be read.
fn cards(
    diagnostics: &mut Diagnostics,
    table: &Section,
    key: &'static str,
) -> Option<Vec<Spanned<BondCard>>> {
    let before = diagnostics.mistakes.len();
    let cards = table.values(diagnostics, key, |text| text.parse::<BondCard>())?;
    if diagnostics.mistakes.len() > before {
        return None;
    }
    let plain: Vec<_> = cards.iter().map(|card| card.get_ref().clone()).collect();
    if let Err(why) = Bond::check_cards(&plain) {
        let reason = format!("{} {key} cannot be used: {}", table.title(), why.0);
        diagnostics.mistake(Mistake::new(table.place(key), reason));
        return None;
    }
    Some(cards)
}

/// What a node's cards are matched by: its first, and the one for peers. `network`: `None` where it could not be read.
pub(super) fn of_node(
    diagnostics: &mut Diagnostics,
    table: &Section,
    network: Option<&Both>,
    macs: &mut Unique<Mac>,
) -> [By; 2] {
    let main = one_of_node(diagnostics, table, MAIN, network.map(|both| &both.main), macs);
    if network.is_some_and(|both| both.is_same) {
        // None of the keys about a second card is allowed beside it.
        one_of_node(diagnostics, table, PEER, None, macs);
        same_card::check_node(diagnostics, table);
        return [main.clone(), main];
    }
    let peer = one_of_node(diagnostics, table, PEER, network.and_then(|both| both.peer.as_ref()), macs);
    check_both(diagnostics, table, [&main, &peer], network);
    [main, peer]
}

fn one_of_node(
    diagnostics: &mut Diagnostics,
    table: &Section,
    keys: Keys,
    network: Option<&Cards>,
    macs: &mut Unique<Mac>,
) -> By {
    let card = table.value::<CardName>(diagnostics, keys.card);
    let own = cards(diagnostics, table, keys.cards);
    let has_macs = own.iter().flatten().any(|card| card.get_ref().mac().is_some());
    if let (true, Some(place)) = (has_macs, table.place(keys.mac)) {
        let reason = format!("[[node]] has both {} and {} with MAC addresses", keys.mac, keys.cards);
        let help = format!("omit {}: nothing has the address", keys.mac);
        diagnostics.mistake(Mistake::new(place, reason).help(help));
    }
    for card in own.iter().flatten() {
        if let BondCard::Mac(mac) = card.get_ref() {
            macs.see(diagnostics, &Spanned::new(card.span(), *mac));
        }
    }
    let Some(network) = network else { return By::Mac };
    let Some(bond) = &network.bond else {
        if let Some(place) = table.place(keys.cards) {
            let reason = format!("[[node]] {} needs {}, and the profile has none", keys.cards, keys.bond);
            let help = format!("write {}, or a single card in {}", keys.bond, keys.card);
            diagnostics.mistake(Mistake::new(place, reason).help(help));
        }
        return card.or_else(|| network.card.clone()).map_or(By::Mac, |card| By::Name(card.into_inner()));
    };
    let other = |mistake: Mistake| match &bond.span {
        Some(span) => mistake.other(span.clone(), "the bond"),
        None => mistake,
    };
    if let Some(place) = table.place(keys.card) {
        let reason = format!("[[node]] {} names one card, and {} is made of several", keys.card, bond.title);
        diagnostics.mistake(other(Mistake::new(place, reason)).help(format!("write {}, a list", keys.cards)));
    }
    let own = own.map(|own| own.into_iter().map(Spanned::into_inner).collect());
    match (own.or_else(|| bond.cards.clone()), &bond.bond) {
        (Some(cards), Some(bond)) => By::Bond(Bond { cards, ..bond.clone() }),
        (None, Some(_)) if !table.has(keys.cards) && bond.cards_at.is_none() => {
            let reason =
                format!("[[node]] {} is missing: {} does not name the cards, either", keys.cards, bond.title);
            let help = format!("write, for example, {} = [\"eno1\", \"eno2\"]", keys.cards);
            diagnostics.mistake(other(Mistake::missing(table.span.clone(), reason)).help(help));
            By::Mac
        }
        _ => By::Mac,
    }
}

/// Reports a card that a node has in both of its networks: where the node names one of the two, else once for all
/// nodes.
fn check_both(
    diagnostics: &mut Diagnostics,
    table: &Section,
    [main, peer]: [&By; 2],
    network: Option<&Both>,
) {
    let names = |by: &By| match by {
        By::Mac => Vec::new(),
        By::Name(name) => vec![BondCard::Name(name.clone())],
        By::Bond(bond) => bond.cards.clone(),
    };
    let both = names(peer);
    let Some(card) = names(main).into_iter().find(|card| both.contains(card)) else { return };
    let reason = format!("the card {card} is in the network for clients and in that for peers");
    let help = "name another one in peer-card, or in [network.peer]; with same-card = true there, one card carries both";
    if let Some((_, place)) = PEER.place(table).or_else(|| MAIN.place(table)) {
        diagnostics.mistake(Mistake::new(place, reason).help(help));
        return;
    }
    let main = network.and_then(|both| both.main.place());
    let peer = network.and_then(|both| both.peer.as_ref()?.place());
    if diagnostics.mistakes.iter().any(|one| one.span == peer && one.reason == reason) {
        return;
    }
    let mistake = Mistake::new(peer, reason).help(help);
    diagnostics.mistake(match main {
        Some(main) => mistake.other(main, "that for clients"),
        None => mistake,
    });
}
