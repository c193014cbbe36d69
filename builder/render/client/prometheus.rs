//! Scraping the members' metrics, and alerts about them.

use serde_json::{Value, json};

use super::paths::Paths;
use crate::plan::{Node, Plan};
use crate::values::Members;
use crate::yaml;

/// Of the members' targets, in both files.
fn job(plan: &Plan) -> String {
    format!("etcd-{}", plan.cluster.name)
}

/// The port for metrics where there is one: with it, Prometheus needs no certificate, which would let it read and write
/// every key. Else the clients' URLs, where etcd serves /metrics, too.
pub fn scrape(plan: &Plan) -> String {
    if let Some(port) = plan.instance.metrics_port {
        // Where clients reach it, on the other port.
        let scraped = scraped(plan, "http", None, |node| node.client_url.authority_at(port));
        return format!(
            "# Made by Kiln for {}: scrape configuration for Prometheus.\n{scraped}",
            plan.cluster.name
        );
    }
    let paths = Paths::within(plan, "prometheus", "/etc/prometheus/etcd");
    let [ca, certificate, key] = &paths.to;
    let tls = json!({ "ca_file": ca, "cert_file": certificate, "key_file": key });
    let scraped = scraped(plan, "https", Some(tls), |node| node.client_url.authority());
    paths.comment(plan, "scrape configuration for Prometheus.") + &scraped
}

/// The configuration with the target of each member.
fn scraped(plan: &Plan, scheme: &str, tls: Option<Value>, target: impl Fn(&Node) -> String) -> String {
    let targets = plan.nodes.iter().map(|node| {
        let labels = json!({ "node": node.name, "cluster": plan.cluster.name });
        json!({ "targets": [target(node)], "labels": labels })
    });
    let mut job = json!({ "job_name": job(plan), "scheme": scheme });
    if let Some(tls) = tls {
        job["tls_config"] = tls;
    }
    job["static_configs"] = targets.collect();
    yaml::document(&json!({ "scrape_configs": [job] }))
}

/// Seconds, minutes and shares are chosen for clusters with etcd's default timing: a member that syncs in more than 100
/// ms at times delays heartbeats, which are due every 100 ms.
pub fn alerts(plan: &Plan) -> String {
    let of = format!("{{job=\"{}\"}}", job(plan));
    let rules = [of_cluster(&of, Members::new(plan.nodes.len()).quorum()), of_members(&of)].concat();
    let groups = json!({ "groups": [{ "name": job(plan), "rules": rules }] });
    format!(
        "# Made by Kiln for {}: alert rules for Prometheus, with the job of prometheus-scrape.yaml.\n{}",
        plan.cluster.name,
        yaml::document(&groups)
    )
}

/// `of` selects the job.
fn of_cluster(of: &str, majority: usize) -> Vec<Value> {
    vec![
        rule(
            "EtcdMemberDown",
            format!("up{of} == 0"),
            "3m",
            "warning",
            "etcd on {{ $labels.node }} does not answer",
        ),
        rule(
            "EtcdQuorumLost",
            format!("(count(up{of} == 1) or vector(0)) < {majority}"),
            "1m",
            "critical",
            &format!("fewer than {majority} members answer: the cluster accepts no writes"),
        ),
        rule(
            "EtcdNoLeader",
            format!("etcd_server_has_leader{of} == 0"),
            "1m",
            "critical",
            "etcd on {{ $labels.node }} has no leader",
        ),
        rule(
            "EtcdLeaderChanges",
            format!("increase(etcd_server_leader_changes_seen_total{of}[1h]) > 4"),
            "5m",
            "warning",
            "the leader changed {{ $value | humanize }} times within an hour: look at disks and network",
        ),
    ]
}

/// The disk and the database of each member.
fn of_members(of: &str) -> Vec<Value> {
    let p99 = |metric: &str| format!("histogram_quantile(0.99, rate({metric}_bucket{of}[5m]))");
    vec![
        rule(
            "EtcdSlowSync",
            format!("{} > 0.1", p99("etcd_disk_wal_fsync_duration_seconds")),
            "10m",
            "warning",
            "1% of the syncs of {{ $labels.node }} take more than {{ $value | humanizeDuration }}: its disk is slow",
        ),
        rule(
            "EtcdSlowCommit",
            format!("{} > 0.25", p99("etcd_disk_backend_commit_duration_seconds")),
            "10m",
            "warning",
            "1% of the commits of {{ $labels.node }} take more than {{ $value | humanizeDuration }}",
        ),
        rule(
            "EtcdDatabaseNearQuota",
            format!("etcd_mvcc_db_total_size_in_bytes{of} / etcd_server_quota_backend_bytes{of} > 0.8"),
            "10m",
            "critical",
            "the database of {{ $labels.node }} fills {{ $value | humanizePercentage }} of its quota; at 100% writes stop",
        ),
    ]
}

fn rule(name: &str, expression: String, wait: &str, severity: &str, summary: &str) -> Value {
    json!({
        "alert": name,
        "expr": expression,
        "for": wait,
        "labels": { "severity": severity },
        "annotations": { "summary": summary },
    })
}
