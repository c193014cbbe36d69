//! The expected state of a node from the bundle: the certificates of its ports, and the options of its etcd, read from
//! the files for the node.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use super::options::Options;
use crate::bundle::manifest::{EtcdProgram, Node, Port, Renewed};
use crate::bundle::{Manifest, NODE_ARCHIVE, node_file};
use crate::disk::Input;
use crate::failure::{Doing, Failure, Result};
use crate::format::read::{Archive, MemberKind};
use crate::pki::Presented;
use crate::values::{CA_FILES, NODE_FILES, PEER_FILES, SERVER_FILES};

/// The limit on one file: units, configuration and certificates are small.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The limit on all files that are read, in bytes.
const MAX_FILES_BYTES: u64 = 16 << 20;

const UNITS: &str = "etc/systemd/system/";
/// etcd's configuration, in a directory of the profile's choice below /etc, by its file's name.
const CONFIGURATION: [&str; 2] = ["etcd.conf", "etcd.env"];

/// The certificate file of each port: one of its own, or one for both (`[pki] certificates`).
const SERVER: [&str; 2] = [SERVER_FILES.cert, NODE_FILES.cert];
const PEER: [&str; 2] = [PEER_FILES.cert, NODE_FILES.cert];

pub struct Baked {
    /// The client port's, leaf first; empty when the bundle has none.
    pub server: Vec<Presented>,
    /// The peer port's.
    pub peer: Vec<Presented>,
    /// The CAs whose certificates the client port accepts.
    pub trust: Vec<Presented>,
    /// The CAs whose certificates the peer port accepts.
    pub peer_trust: Vec<Presented>,
    /// How the node renews the certificates of the client port and of the peer port; `None` where the desk does.
    pub renewed: [Option<Renewed>; 2],
    /// `None` when the node's unit was not written by Kiln.
    pub options: Option<Options>,
}

/// The certificates of one port.
pub struct BakedPort<'a> {
    /// Leaf first.
    pub chain: &'a [Presented],
    pub renewed: Option<&'a Renewed>,
}

impl Baked {
    /// The client port, and the peer port.
    pub fn ports(&self) -> [BakedPort<'_>; 2] {
        let [server, peer] = &self.renewed;
        [
            BakedPort { chain: &self.server, renewed: server.as_ref() },
            BakedPort { chain: &self.peer, renewed: peer.as_ref() },
        ]
    }

    /// Whether the node makes its own certificates.
    pub fn is_renewed_there(&self) -> bool {
        self.renewed.iter().any(Option::is_some)
    }
}

/// # Errors
/// `Exit::Io` when the node's archive cannot be read, `Exit::Wrong` when it is not an archive of Kiln's.
pub fn read(bundle: &Path, manifest: &Manifest, node: &Node) -> Result<Baked> {
    let path = bundle.join(node_file(&node.name, NODE_ARCHIVE));
    let server = port_of(manifest, node, Port::Client, SERVER);
    let peer = port_of(manifest, node, Port::Peer, PEER);
    let trust = |port: &Option<PortFiles<'_>>| port.as_ref().map(|port| port.trust.clone());
    let (server_trust, peer_trust) = (trust(&server), trust(&peer));
    let renewed = [&server, &peer].map(|port| port.as_ref().and_then(|port| port.renewed.cloned()));
    let certificate = |port: &Option<PortFiles<'_>>| port.as_ref().map(|port| port.certificate.to_owned());
    let (server, peer) = (certificate(&server), certificate(&peer));
    let (server, peer) = (server.as_deref(), peer.as_deref());
    let (server_trust, peer_trust) = (server_trust.as_deref(), peer_trust.as_deref());
    let wanted = [server, peer, server_trust, peer_trust];
    let files = files(&path, &wanted).doing(|| format!("reading {}", path.display()))?;
    let chain = |file: Option<&str>| match file.and_then(|file| files.get(file)) {
        Some(pem) => Presented::all_from_pem(pem),
        None => Ok(Vec::new()),
    };
    let text = |name: &str| files.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let units: BTreeMap<String, String> = files
        .keys()
        .filter(|name| name.starts_with(UNITS))
        .filter_map(|name| Some((name.clone(), text(name)?)))
        .collect();
    let program = manifest.etcd.binaries.get(&EtcdProgram::Etcd).map(|binary| format!("/{}", binary.path));
    let options = program.and_then(|program| {
        let file = |path: &str| text(path.strip_prefix('/')?);
        Options::read(&program, &units, file, environment_file(&program, &units).and_then(file))
    });
    Ok(Baked {
        server: chain(server)?,
        peer: chain(peer)?,
        trust: chain(server_trust.or(peer_trust))?,
        peer_trust: chain(peer_trust.or(server_trust))?,
        renewed,
        options,
    })
}

/// The files of a port, as paths on the node.
struct PortFiles<'m> {
    certificate: &'m str,
    trust: String,
    renewed: Option<&'m Renewed>,
}

/// As the manifest says it, or else by the usual names.
fn port_of<'m>(manifest: &'m Manifest, node: &Node, port: Port, usual: [&str; 2]) -> Option<PortFiles<'m>> {
    let files = || manifest.certificates.iter().filter(|one| one.node.as_ref() == Some(&node.name));
    if let Some(one) = files().find(|one| one.ports.contains(&port)) {
        return Some(PortFiles {
            certificate: one.file.as_str(),
            trust: one.trusts.as_ref()?.to_string(),
            renewed: one.renewed.as_ref(),
        });
    }
    let usually = || files().filter(|one| one.ports.is_empty()).map(|one| one.file.as_str());
    let named = |name: &&str| usually().find(|file| file.rsplit('/').next() == Some(*name));
    let certificate = usual.iter().find_map(named)?;
    let (directory, _) = certificate.rsplit_once('/')?;
    Some(PortFiles { certificate, trust: format!("{directory}/{}", CA_FILES.cert), renewed: None })
}

/// The file with the variables of the unit that starts the program.
fn environment_file<'u>(program: &str, units: &'u BTreeMap<String, String>) -> Option<&'u str> {
    let start = format!("ExecStart={program}");
    let unit = units.values().find(|text| text.lines().any(|line| line == start))?;
    unit.lines().find_map(|line| line.strip_prefix("EnvironmentFile="))
}

/// The relevant files. The tree in an archive is sorted, so nothing after the last of them is unpacked.
fn files(archive: &Path, certificates: &[Option<&str>]) -> Result<BTreeMap<String, Vec<u8>>> {
    let certificates: Vec<&str> = certificates.iter().copied().flatten().collect();
    let mut files = BTreeMap::new();
    let mut left = MAX_FILES_BYTES;
    Archive::TarGz.visit(Input::open(archive)?, |member, body| {
        let path = member.path.as_str();
        let is_configuration = path.starts_with("etc/") && CONFIGURATION.contains(&member.path.file_name());
        let wanted = path.starts_with(UNITS) || is_configuration || certificates.contains(&path);
        if wanted && member.kind == MemberKind::File && member.size <= MAX_FILE_BYTES {
            left = left.checked_sub(member.size).ok_or_else(|| {
                Failure::wrong(format!("its units and certificates have more than {MAX_FILES_BYTES} bytes"))
            })?;
            files.insert(path.to_owned(), body.whole(MAX_FILE_BYTES)?);
        }
        let is_behind = |last: &str| path > last && !path.starts_with(last);
        let done = is_behind(UNITS) && certificates.iter().all(|last| is_behind(last));
        Ok(if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(files)
}
