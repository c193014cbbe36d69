//! The state of a bundle's machines, as `up` and `status` print it.

use serde::Serialize;

use super::accel::Accel;
use super::progress::{NodeProgress, Phase};
use super::record::DriverName;
use super::state::State;
use crate::bundle::Bundle;
use crate::failure::Result;
use crate::values::{Carrier, ClusterName, NodeName};

/// The number of lines of the console that are shown for a node that has not formed.
const MAX_CONSOLE_LINES: usize = 12;

/// The state of a bundle's machines.
#[derive(Serialize)]
pub struct ClusterStatus {
    pub cluster: ClusterName,
    pub driver: DriverName,
    pub carrier: Carrier,
    pub accel: Accel,
    /// From the beginning of `up` until the last member was healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Whether every requested member serves.
    pub formed: bool,
    pub nodes: Vec<NodeStatus>,
    /// A sentence for each host that does not answer, with the names of its nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<String>,
}

#[derive(Serialize)]
pub struct NodeStatus {
    pub name: NodeName,
    pub address: std::net::IpAddr,
    pub phase: Phase,
    /// The time of its last change, from the beginning of `up`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The last message of its units, for nodes that have not formed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// The end of its console, for nodes that have not formed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub console: Vec<String>,
    /// Whether `up` was to start it.
    #[serde(skip)]
    pub asked: bool,
}

/// Whether a node was requested: all are when none is named.
pub fn is_asked(only: &[NodeName], node: &NodeName) -> bool {
    only.is_empty() || only.contains(node)
}

/// That of these nodes, which are in the order of the bundle.
///
/// # Errors
/// None that input can cause.
pub fn summary(
    state: &State,
    bundle: &Bundle,
    progress: &[NodeProgress],
    only: &[NodeName],
) -> Result<ClusterStatus> {
    let mut nodes = Vec::new();
    for (node, one) in bundle.manifest.nodes.iter().zip(progress) {
        let console = match one.phase {
            Phase::Formed => Vec::new(),
            // An unreadable console must not hide the rest.
            _ => state
                .console_end(&node.name, MAX_CONSOLE_LINES)
                .unwrap_or_else(|failure| vec![failure.to_string()]),
        };
        let (name, address, said) = (node.name.clone(), node.address, one.said.clone());
        let asked = is_asked(only, &name);
        nodes.push(NodeStatus { name, address, phase: one.phase, seconds: None, said, console, asked });
    }
    Ok(ClusterStatus {
        cluster: bundle.manifest.cluster.name.clone(),
        driver: state.record.driver.clone(),
        carrier: state.record.carrier,
        accel: state.record.accel,
        seconds: None,
        formed: nodes.iter().all(|node| !node.asked || node.phase == Phase::Formed),
        nodes,
        unreachable: Vec::new(),
    })
}
