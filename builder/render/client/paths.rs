//! Certificates and endpoints, as programs that use the cluster need them.

use crate::plan::{CertificateSpec, Plan};

/// Where a program expects its certificates: the files of `client/`, and the paths that the user copies them to.
pub struct Paths {
    /// In `client/`.
    pub from: [String; 3],
    /// The CA, the certificate, the key.
    pub to: [String; 3],
}

impl Paths {
    /// `program` is the conventional name of its `[[client]]`; without one the operator's certificate is used.
    pub fn new(plan: &Plan, program: &str, to: [String; 3]) -> Self {
        let of_program = plan.clients.iter().find(|spec| spec.file == program);
        let (certificate, key) = of_program.or(plan.clients.first()).map(files).unwrap_or_default();
        Self { from: [trusted(plan), certificate, key], to }
    }

    /// The same names as in `client/`, in one directory.
    pub fn within(plan: &Plan, program: &str, directory: &str) -> Self {
        let Self { from, .. } = Self::new(plan, program, Default::default());
        let to = from.clone().map(|file| format!("{directory}/{file}"));
        Self { from, to }
    }

    /// A comment of several lines.
    pub fn comment(&self, plan: &Plan, what: &str) -> String {
        let copies = self.from.iter().zip(&self.to);
        let copies: String = copies.map(|(from, to)| format!("#   {from} to {to}\n")).collect();
        format!(
            "# Made by Kiln for {}: {what}\n# Copy from this directory, the key readable by that program alone:\n{copies}",
            plan.cluster.name
        )
    }
}

/// The files of a client certificate and of its key.
pub fn files(spec: &CertificateSpec) -> (String, String) {
    (spec.cert_path.clone(), spec.key_path.clone())
}

/// The file of the CA that clients trust.
pub fn trusted(plan: &Plan) -> String {
    plan.authorities.first().map(|first| first.client_file()).unwrap_or_default()
}

pub fn endpoints(plan: &Plan) -> Vec<String> {
    plan.nodes.iter().map(|node| node.client_url.to_string()).collect()
}
