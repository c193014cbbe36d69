//! The settings that a member reports to a client, besides those that etcdctl reads: `/debug/vars` has its command
//! line, `/metrics` some of its settings (etcd's server/etcdserver/api/etcdhttp and server/embed/etcd.go; 3.4, 3.5 and
//! 3.6 alike, with authentication on as well).

use serde::Deserialize;

use super::connect::Socket;
use super::http::{self, Reply};
use super::tls::{self, Identity};
use crate::parallel;

/// A member that has served many clients has some hundred kilobytes of metrics.
const MAX_REPLY_BYTES: u64 = 16 << 20;

/// `None` where it did not report a setting.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The arguments, beginning with the program.
    pub command: Option<Vec<String>>,
    /// `quota-backend-bytes`, with etcd's default instead of 0.
    pub quota: Option<f64>,
    /// Whether `metrics` is `extensive`.
    pub extensive: Option<bool>,
    /// `enable-pprof`.
    pub pprof: Option<bool>,
    /// Whether it accepts only TLS 1.2, and whether it accepts only 1.3.
    pub tls12: Option<bool>,
    pub tls13: Option<bool>,
    /// When its process began, in seconds since 1970.
    pub started: Option<u64>,
}

pub fn settings(socket: Socket, client: &Identity) -> Settings {
    let get = |path: &&str| http::ask(socket, client, path, MAX_REPLY_BYTES).reply.ok();
    let paths = ["/debug/vars", "/metrics", "/debug/pprof/cmdline"];
    let replies = parallel::all(&paths, paths.len(), get);
    let [vars, metrics, pprof] = &replies[..] else { return Settings::default() };
    let metrics = metrics.as_ref().filter(|reply| reply.status == 200);
    let metrics = metrics.map(|reply| String::from_utf8_lossy(&reply.body).into_owned());
    let gauge = |name| metrics.as_deref().and_then(|text| gauge(text, name));
    Settings {
        command: vars.as_ref().and_then(command),
        quota: gauge("etcd_server_quota_backend_bytes"),
        // A histogram that only `extensive` registers (embed/etcd.go, EnableHandlingTimeHistogram).
        extensive: metrics.as_deref().map(|text| text.contains("\ngrpc_server_handling_seconds_bucket{")),
        pprof: pprof.as_ref().and_then(|reply| match reply.status {
            200 => Some(true),
            404 => Some(false),
            _ => None,
        }),
        tls12: tls::takes(socket, &rustls::version::TLS12),
        tls13: tls::takes(socket, &rustls::version::TLS13),
        started: gauge("process_start_time_seconds").map(|seconds| seconds as u64),
    }
}

/// Go's expvar: `os.Args` under `cmdline`.
fn command(reply: &Reply) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Vars {
        cmdline: Vec<String>,
    }
    let vars: Vars = serde_json::from_slice(&reply.body).ok()?;
    Some(vars.cmdline).filter(|line| !line.is_empty())
}

/// The value of a metric without labels, in Prometheus' text format.
fn gauge(text: &str, name: &str) -> Option<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_are_read_as_prometheus_writes_them() {
        let text = "# TYPE a gauge\nab 3\na 4.294967296e+09\nb{x=\"y\"} 1\n";
        assert_eq!(gauge(text, "a"), Some(4_294_967_296.0));
        assert_eq!(gauge(text, "b"), None);
        assert_eq!(gauge(text, "c"), None);
    }

    #[test]
    fn the_command_line_is_what_expvar_says() {
        let reply = |body: &str| Reply { status: 200, body: body.as_bytes().to_vec() };
        assert_eq!(command(&reply(r#"{"cmdline": ["etcd","-x"], "memstats": {}}"#)).unwrap(), ["etcd", "-x"]);
        for other in ["{}", "404 page not found", r#"{"cmdline": []}"#] {
            assert!(command(&reply(other)).is_none());
        }
    }
}
