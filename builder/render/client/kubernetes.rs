//! The cluster as a Kubernetes API server's storage.

use serde_json::json;

use super::paths::{Paths, endpoints};
use crate::plan::Plan;
use crate::{values, yaml};

/// A version of kubeadm's configuration.
#[derive(Clone, Copy)]
pub struct Kubeadm {
    api_version: &'static str,
    /// The releases of kubeadm that read it.
    read_by: &'static str,
}

/// The newest first. Both have `etcd.external` with `endpoints`, `caFile`, `certFile` and `keyFile`, and v1beta4
/// changed nothing in it (kubernetes, `cmd/kubeadm/app/apis/kubeadm/v1beta4/types.go`, `ExternalEtcd`).
pub const KUBEADM: [Kubeadm; 2] = [
    Kubeadm { api_version: values::KUBEADM[0], read_by: "kubeadm 1.31 and later" },
    Kubeadm { api_version: values::KUBEADM[1], read_by: "kubeadm 1.22 to 1.30" },
];

/// The paths that kubeadm itself gives these files.
fn paths(plan: &Plan) -> Paths {
    let to = ["etcd/ca.crt", "apiserver-etcd-client.crt", "apiserver-etcd-client.key"];
    Paths::new(plan, "kube-apiserver", to.map(|file| format!("/etc/kubernetes/pki/{file}")))
}

fn flags(plan: &Plan, paths: &Paths) -> [String; 4] {
    let [ca, certificate, key] = &paths.to;
    [
        format!("--etcd-servers={}", endpoints(plan).join(",")),
        format!("--etcd-cafile={ca}"),
        format!("--etcd-certfile={certificate}"),
        format!("--etcd-keyfile={key}"),
    ]
}

/// Flags of kube-apiserver, one in each line.
pub fn arguments(plan: &Plan) -> String {
    let paths = paths(plan);
    paths.comment(plan, "flags of kube-apiserver.") + &flags(plan, &paths).join("\n") + "\n"
}

/// What a static pod of kube-apiserver needs besides its own flags.
pub fn static_pod(plan: &Plan) -> String {
    let paths = paths(plan);
    let command: Vec<String> =
        std::iter::once("kube-apiserver".to_owned()).chain(flags(plan, &paths)).collect();
    let pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "kube-apiserver", "namespace": "kube-system" },
        "spec": {
            "hostNetwork": true,
            "containers": [{
                "name": "kube-apiserver",
                "command": command,
                "volumeMounts": [{ "name": "k8s-certs", "mountPath": "/etc/kubernetes/pki", "readOnly": true }],
            }],
            "volumes": [{
                "name": "k8s-certs",
                "hostPath": { "path": "/etc/kubernetes/pki", "type": "DirectoryOrCreate" },
            }],
        },
    });
    let what = "the part of kube-apiserver's static pod that is about etcd; merge it into yours.";
    paths.comment(plan, what) + &yaml::document(&pod)
}

/// kubeadm's configuration for an etcd that kubeadm does not run.
pub fn kubeadm(plan: &Plan, version: Kubeadm) -> String {
    let paths = paths(plan);
    let [ca, certificate, key] = &paths.to;
    let configuration = json!({
        "apiVersion": version.api_version,
        "kind": "ClusterConfiguration",
        "etcd": {
            "external": {
                "endpoints": endpoints(plan), "caFile": ca, "certFile": certificate, "keyFile": key,
            },
        },
    });
    paths.comment(plan, &format!("for {}.", version.read_by)) + &yaml::document(&configuration)
}
