//! Whether this machine can give the nodes their network cards.

use crate::bundle::{Bundle, Manifest};
use crate::failure::{Exit, Failure, Result};
use crate::values::{By, Card};

/// A bundle whose nodes get the network cards that they need: the network of `up` is one link.
pub struct Linked<'a>(&'a Bundle);

impl<'a> Linked<'a> {
    /// # Errors
    /// `Exit::Usage` for nodes with a second card, subnets, a VLAN, DHCP, a name, a bond, or a gateway that nothing
    /// has.
    pub fn new(bundle: &'a Bundle) -> Result<Self> {
        check(&bundle.manifest)?;
        Ok(Self(bundle))
    }

    pub fn bundle(&self) -> &'a Bundle {
        self.0
    }
}

fn check(manifest: &Manifest) -> Result<()> {
    let tagged = manifest.nodes.iter().find_map(|node| {
        let vlan = node.cards.iter().find_map(|card| card.vlan);
        vlan.map(|vlan| (node, vlan))
    });
    if let Some((node, vlan)) = tagged {
        return usage(format!(
            "{} tags its frames for VLAN {vlan}, and the network of kiln up carries none. Form the cluster with kiln rehearse, \
             start the VMs by hand on a bridge that carries the VLAN, or build another bundle with a profile without \
             vlan",
            node.name
        ));
    }
    check_own_link(manifest)?;
    check_by(manifest)?;
    let is_one = |card: &Card| {
        card.addresses.iter().all(|link| {
            link.addr().is_ipv4() != manifest.network.cidr.addr().is_ipv4()
                || link.prefix_len() == manifest.network.cidr.prefix_len()
        })
    };
    let wrong = manifest.nodes.iter().find(|node| node.cards.len() > 1 || !node.cards.iter().all(is_one));
    let Some(node) = wrong else { return Ok(()) };
    usage(format!(
        "kiln up gives each VM one card, on one link; {} has a second one, or a subnet. Form the cluster with kiln rehearse, \
         or start the VMs by hand from network.xml, network-peer.xml and domain.xml",
        node.name
    ))
}

fn usage(reason: String) -> Result<()> {
    Err(Failure::new(Exit::Usage, reason))
}

/// What a network of Kiln's own does not have.
fn check_own_link(manifest: &Manifest) -> Result<()> {
    if !manifest.machine().link.is_own() {
        return Ok(());
    }
    let far = manifest.nodes.iter().find_map(|node| {
        let route = node.cards.iter().flat_map(|card| &card.routes).find(|route| route.on_link);
        route.map(|route| (node, route.via))
    });
    if let Some((node, via)) = far {
        return usage(format!(
            "the gateway of {} is {via}, outside of its network, and the network of kiln up has no such router. Form the \
             cluster with kiln rehearse, or name a bridge that has one, with bridge in [machine]",
            node.name
        ));
    }
    let asks = manifest.nodes.iter().find(|node| node.cards.iter().any(|card| card.dhcp.is_some()));
    if let Some(node) = asks {
        return usage(format!(
            "{} asks for an address by DHCP, and the network of kiln up has no server for that. Form the cluster with kiln \
             rehearse, or name a bridge that has one, with bridge in [machine]",
            node.name
        ));
    }
    Ok(())
}

/// A VM's card is known by its MAC address only.
fn check_by(manifest: &Manifest) -> Result<()> {
    let named = manifest.nodes.iter().find_map(|node| {
        let by = node.cards.iter().map(|card| &card.by).find(|by| !by.is_mac());
        by.map(|by| (node, by))
    });
    if let Some((node, by)) = named {
        let why = match by {
            By::Name(name) => {
                format!("the card of {} is called {name}, and a VM's card is named after its bus", node.name)
            }
            By::Mac | By::Bond(_) => {
                format!("{} has a bond of several cards, and kiln up gives a VM one", node.name)
            }
        };
        return usage(format!(
            "{why}. Form the cluster with kiln rehearse, start the VMs by hand with such cards, or build another bundle with \
             a profile that names no cards"
        ));
    }
    Ok(())
}
