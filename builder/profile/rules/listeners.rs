//! Listeners that a profile adds to those that Kiln sets.

use std::net::IpAddr;

use super::set::{Around, Set, find, named, text};
use crate::etcd::Value;
use crate::etcd::judge::{self, Host, Listener};
use crate::profile::diagnostics::Diagnostics;
use crate::profile::mistake::Mistake;

/// This listener requires no client certificate when it speaks plain HTTP, and it serves every key (etcd's gRPC
/// gateway).
pub(super) fn check_http(diagnostics: &mut Diagnostics, set: &Set) {
    if let Some((option, span)) = find(set, "listen-client-http-urls")
        && let Value::Text(urls) = &option.value
        && urls.split(',').any(|url| !url.trim_start().starts_with("https://"))
    {
        let reason =
            format!("{} listen-client-http-urls would serve every key without TLS to anyone", option.table);
        diagnostics.mistake(
            Mistake::new(span.clone(), reason).help("write https:// in each of its URLs, or omit it"),
        );
    }
}

const CLIENTS: &str = "etcd's own port for clients";

/// Listeners conflict with etcd's own listeners and with each other (bind(2), EADDRINUSE); an address that a node does
/// not have cannot be bound at all (EADDRNOTAVAIL).
pub(super) fn check_listeners(diagnostics: &mut Diagnostics, set: &Set, around: &Around) {
    let Some(service) = around.service else { return };
    if let (Some(port), Some((_, span))) = (service.metrics_port, text(set, "listen-metrics-urls")) {
        let reason = format!("[etcd] metrics-port {port} already sets listen-metrics-urls");
        diagnostics.mistake(Mistake::new(span.clone(), reason).help("keep one of the two"));
        return;
    }
    let mut taken: Vec<(Listener, &str)> = Vec::new();
    for node in around.nodes {
        let own = |host, port| Listener { tls: true, host, port };
        taken.push((own(Host::Address(node.peer_address()), service.peer_port), "etcd's own port for peers"));
        // As `plan/settings.rs` lists them.
        let clients = std::iter::once(node.address).chain(node.ipv6).map(Host::Address);
        for host in clients.chain([Host::Localhost]) {
            taken.push((own(host, service.client_port), CLIENTS));
            let metrics = service.metrics_port.map(|port| Listener { tls: false, ..own(host, port) });
            taken.extend(metrics.map(|listener| (listener, "[etcd] metrics-port")));
        }
    }
    for key in ["listen-metrics-urls", "listen-client-http-urls"] {
        let Some((urls, span)) = text(set, key) else { continue };
        let shown = named(set, key);
        for listener in judge::listeners(urls).unwrap_or_default() {
            if let Some((_, whose)) = taken.iter().find(|(other, _)| listener.is_in_the_way_of(other)) {
                let reason = format!("{shown} uses port {}, which is {whose}", listener.port);
                diagnostics
                    .mistake(Mistake::new(span.clone(), reason).help("choose another port, such as 2381"));
            } else if let Host::Address(address) = listener.host
                && let Some(why) = is_foreign(address, around)
            {
                let reason = format!("{shown} cannot listen on {address}: {why}");
                let any = match address {
                    IpAddr::V4(_) => "0.0.0.0",
                    IpAddr::V6(_) => "[::]",
                };
                let own = match around.node {
                    None if around.nodes.iter().any(|node| node.has(address)) => {
                        ", and [node.config] has options of one node alone"
                    }
                    _ => "",
                };
                let help = format!("{any}:{} is every address of each node{own}", listener.port);
                diagnostics.mistake(Mistake::new(span.clone(), reason).help(help));
            } else if listener.port < 1024 {
                let reason = format!("{shown} uses port {}, which only root can open", listener.port);
                diagnostics.mistake(
                    Mistake::new(span.clone(), reason).help("choose a port from 1024 on, such as 2381"),
                );
            }
            taken.push((listener, "in use by these options already"));
        }
    }
}

/// The reason why not every node has this address.
fn is_foreign(address: IpAddr, around: &Around) -> Option<String> {
    if address.is_unspecified() || address.is_loopback() {
        return None;
    }
    let others = around.nodes.iter().any(|node| !node.has(address));
    let owners = around.nodes.iter().any(|node| node.has(address));
    if owners && others {
        Some("the options are those of every node, and only one has this address".into())
    } else if !owners && around.ranges.iter().any(|range| range.contains(&address)) {
        Some(match around.node {
            Some(node) => format!("it is not an address of {}", node.name),
            None => "no node has this address".into(),
        })
    } else {
        None
    }
}
