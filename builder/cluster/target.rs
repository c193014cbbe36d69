//! The addresses at which the members of a bundle are reached.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::bundle::Manifest;
use crate::bundle::manifest::Node;
use crate::failure::{Exit, Failure, Result};
use crate::values::Url;

/// A node and the addresses of its ports, as reached from here.
pub struct Target<'a> {
    pub node: &'a Node,
    pub client: SocketAddr,
    /// Unknown when the client port was given on the command line.
    pub peer: Option<SocketAddr>,
}

impl Target<'_> {
    /// In the form that etcdctl takes.
    pub fn endpoint(&self) -> String {
        format!("https://{}", self.client)
    }
}

/// The client ports of a bundle's nodes as etcdctl's `--endpoints` takes them, by address, in the bundle's order.
///
/// # Errors
/// `Exit::Wrong` when a node has no https URL with a port.
pub fn endpoints(manifest: &Manifest) -> Result<Vec<String>> {
    Ok(targets(manifest, &BTreeMap::new())?.iter().map(Target::endpoint).collect())
}

/// The nodes of a bundle, in its order, with other addresses for those in `given`.
///
/// # Errors
/// `Exit::Usage` when `given` names an unknown node; `Exit::Wrong` when a node has no https URL with a port.
pub fn targets<'a>(manifest: &'a Manifest, given: &BTreeMap<String, SocketAddr>) -> Result<Vec<Target<'a>>> {
    if let Some(unknown) =
        given.keys().find(|name| manifest.nodes.iter().all(|node| node.name.as_str() != *name))
    {
        return Err(Failure::new(
            Exit::Usage,
            format!("the bundle has no node {unknown} to use as an endpoint"),
        ));
    }
    let all = manifest.nodes.iter().map(|node| {
        let at = |urls: &[Url], address, what: &str| match urls.first() {
            // A name in the URL is known on the nodes only, and every certificate has the address, too.
            Some(url) => Ok(SocketAddr::new(address, url.port())),
            None => Err(Failure::wrong(format!("in the manifest, {} has no https {what} URL", node.name))),
        };
        Ok(match given.get(node.name.as_str()) {
            Some(client) => Target { node, client: *client, peer: None },
            None => Target {
                node,
                client: at(&node.client_urls, node.address, "client")?,
                peer: Some(at(&node.peer_urls, node.peer_address(), "peer")?),
            },
        })
    });
    all.collect()
}
