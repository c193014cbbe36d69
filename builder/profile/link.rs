//! `[machine] bridge` and `network`: what the machines' network cards are connected to.

use toml::Spanned;

use super::diagnostics::Diagnostics;
use super::mistake::Mistake;
use super::reader::Section;
use super::{Host, Span};
use crate::values::{Interface, LibvirtNetwork, Link};

/// Machines on several libvirts reach each other only by a bridge or a network that these have: one of Kiln's own ends
/// at its host.
pub(super) fn link(diagnostics: &mut Diagnostics, table: &Section, hosts: &[(Host, Option<Span>)]) -> Link {
    let bridge = table.value::<Interface>(diagnostics, "bridge");
    let network = table.value::<LibvirtNetwork>(diagnostics, "network");
    if let (Some(bridge), true) = (table.place("bridge"), table.has("network")) {
        let reason = "[machine] has both bridge and network, and a network card is connected to one of them";
        let mistake = Mistake::new(table.place("network"), reason).other(bridge, "the bridge");
        diagnostics.mistake(
            mistake.help("keep bridge for a bridge of the hosts, or network for one that libvirt has"),
        );
    }
    let has_link = table.has("bridge") || table.has("network");
    let mut connects = hosts.iter().filter_map(|(host, place)| Some((host, host.connect.as_ref()?, place)));
    if let (false, Some((one, first, _))) = (has_link, connects.next())
        && let Some((other, _, place)) = connects.find(|(_, connect, _)| *connect != first)
    {
        let reason = format!(
            "the hosts {} and {} have libvirts of their own, and a network of Kiln's own ends at its host",
            one.name, other.name
        );
        let help = "name what connects them: [machine] bridge = \"br0\", or network = \"NAME\" of libvirt";
        diagnostics.mistake(Mistake::new(place.clone(), reason).help(help));
    }
    match (bridge.map(Spanned::into_inner), network.map(Spanned::into_inner)) {
        (Some(bridge), _) => Link::Bridge(bridge),
        (None, Some(network)) => Link::Network(network),
        (None, None) => Link::Own,
    }
}
