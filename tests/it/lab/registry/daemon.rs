//! A registry for tests: Debian's docker-registry, and servers with answers that it would not give.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use crate::support::{Workshop, run};

/// The part of its configuration that differs from test to test, and the files named there.
#[derive(Default)]
pub struct Setup {
    pub htpasswd: Option<String>,
    /// Certificate and key of the server, both in PEM.
    pub tls: Option<(String, String)>,
    /// The token server, and the certificate that signs its tokens.
    pub token: Option<(String, String)>,
}

impl Setup {
    /// A server with a certificate of the CA in `ca.pem`.
    pub fn tls(work: &Workshop) -> Self {
        let (issuer, ca) = authority("kiln's lab");
        work.file("ca.pem", ca.pem());
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Self { tls: Some((certificate.pem(), key.serialize_pem())), ..Self::default() }
    }
}

pub fn authority(name: &str) -> (Issuer<'static, KeyPair>, rcgen::Certificate) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    (Issuer::new(params, key), certificate)
}

/// A line of htpasswd with bcrypt, the only kind that docker-registry accepts; made by perl, whose `crypt` is
/// libcrypt's.
pub fn htpasswd(user: &str, password: &str) -> String {
    let mut perl = Command::new("perl");
    perl.args(["-e", "print crypt(shift, '$2y$05$kilnkilnkilnkilnkilnke')", password]);
    let hash = run(&mut perl);
    assert!(hash.starts_with("$2y$05$"), "{hash}");
    format!("{user}:{hash}\n")
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// It is stopped when the value is dropped.
pub struct Registry {
    directory: tempfile::TempDir,
    process: Child,
    port: u16,
}

impl Registry {
    pub fn start(setup: Setup) -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let port = free_port();
        // Its configuration is YAML, and JSON is YAML.
        let mut config = json!({
            "version": 0.1,
            "log": { "level": "error", "accesslog": { "disabled": true } },
            "storage": { "filesystem": { "rootdirectory": directory.path().join("storage") } },
            "http": { "addr": format!("127.0.0.1:{port}") },
        });
        if let Some(text) = &setup.htpasswd {
            config["auth"]["htpasswd"] = json!({ "realm": "lab", "path": file("htpasswd", text) });
        }
        if let Some((certificate, key)) = &setup.tls {
            config["http"]["tls"] =
                json!({ "certificate": file("tls.pem", certificate), "key": file("tls-key.pem", key) });
        }
        if let Some((realm, signer)) = &setup.token {
            config["auth"]["token"] = json!({
                "realm": realm, "service": "kiln-lab", "issuer": "kiln-lab", "rootcertbundle": file("signer.pem", signer),
            });
        }
        let config = file("config.yml", &config.to_string());
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("docker-registry: {error}; run ci/setup --tests first"));
        let mut registry = Self { directory, process, port };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = registry.process.try_wait().unwrap();
            let log = fs::read_to_string(registry.directory.path().join("log")).unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "docker-registry: {ended:?}: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        registry
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `oci://…/REST`.
    pub fn address(&self, rest: &str) -> String {
        format!("oci://{}/{rest}", self.host())
    }

    /// The file of a blob.
    pub fn blob(&self, sha256: &str) -> PathBuf {
        let blobs = self.directory.path().join("storage/docker/registry/v2/blobs/sha256");
        blobs.join(&sha256[..2]).join(sha256).join("data")
    }

    /// Every blob in it, manifests included.
    pub fn blobs(&self) -> Vec<PathBuf> {
        let storage =
            walkdir::WalkDir::new(self.directory.path()).into_iter().map(|entry| entry.unwrap().into_path());
        storage.filter(|path| path.is_file() && path.ends_with("data")).collect()
    }

    /// Gives a changed copy of the manifest `one` another tag, with curl's ten lines of HTTP.
    pub fn put_manifest(&self, repository: &str, tag: &str, change: impl FnOnce(&mut Value)) {
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let get = format!("GET /v2/{repository}/manifests/one HTTP/1.0\r\nAccept: {kind}\r\n\r\n");
        let answer = self.ask(get.as_bytes());
        let mut image: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        change(&mut image);
        let body = image.to_string();
        let put = format!(
            "PUT /v2/{repository}/manifests/{tag} HTTP/1.0\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = self.ask(put.as_bytes());
        assert!(answer.starts_with("HTTP/1.0 201"), "{answer}");
    }

    /// Puts a blob into a repository and returns its digest.
    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = format!("sha256:{}", kiln::values::Digest::of(bytes));
        let post = format!("POST /v2/{repository}/blobs/uploads/ HTTP/1.0\r\nContent-Length: 0\r\n\r\n");
        let answer = self.ask(post.as_bytes());
        let place = answer.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap();
        // HTTP/1.0 has no Host header, so the location may have any host.
        let path = place.find("/v2/").map(|at| place[at..].trim()).unwrap();
        let length = bytes.len();
        let head = format!("PUT {path}&digest={digest} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n");
        let answer = self.ask(&[head.as_bytes(), bytes].concat());
        assert!(answer.starts_with("HTTP/1.0 201"), "{answer}");
        digest
    }

    fn ask(&self, request: &[u8]) -> String {
        let mut connection = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        connection.write_all(request).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server that does this with every connection and the head of its first request. It runs until the test ends.
fn serving(serve: impl Fn(TcpStream, &str) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).unwrap() == 1 {
                head.extend(byte);
            }
            serve(connection, &String::from_utf8_lossy(&head));
        }
    });
    host
}

/// A server that answers every connection's first request with this, and closes it.
pub fn answering<A: Into<Vec<u8>>>(answer: impl Fn(&str) -> A + Send + 'static) -> String {
    serving(move |mut connection, head| {
        let mut answer: Vec<u8> = answer(head).into();
        // Only one request is answered: the client is told not to reuse the connection, and gets the whole answer
        // before the connection is closed.
        if let Some(end) = answer.windows(2).position(|two| two == b"\r\n") {
            answer.splice(end + 2..end + 2, *b"Connection: close\r\n");
        }
        // The client may have closed the connection early.
        let _ = connection.write_all(&answer).and_then(|()| connection.shutdown(Shutdown::Write));
        let _ = connection.set_read_timeout(Some(Duration::from_secs(2)));
        let _ = std::io::copy(&mut connection, &mut std::io::sink());
    })
}

/// A server whose answers begin like this and then arrive a byte at a time, forever.
pub fn dripping(begin: impl Fn(&str) -> String + Send + 'static) -> String {
    serving(move |mut connection, head| {
        let begin = begin(head);
        std::thread::spawn(move || {
            let mut sent = connection.write_all(begin.as_bytes());
            while sent.is_ok() {
                std::thread::sleep(Duration::from_millis(500));
                sent = connection.write_all(b" ");
            }
        });
    })
}

/// A proxy to a registry that passes on this many bytes of its answers, and then sends nothing more, or closes.
pub fn broken_way(registry: &Registry, bytes: usize, ends: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let (port, left) = (registry.port, Arc::new(Mutex::new(bytes)));
    std::thread::spawn(move || {
        for near in listener.incoming() {
            let (mut near, mut far) = (near.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
            let (mut asks, mut hears) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut asks, &mut hears));
            let left = left.clone();
            std::thread::spawn(move || {
                let mut piece = [0; 4096];
                while let Ok(count @ 1..) = far.read(&mut piece) {
                    let mut left = left.lock().unwrap();
                    if *left < count {
                        drop(left);
                        return if ends { drop(near.shutdown(Shutdown::Both)) } else { std::thread::park() };
                    }
                    *left -= count;
                    if near.write_all(&piece[..count]).is_err() {
                        return;
                    }
                }
                let _ = near.shutdown(Shutdown::Both);
            });
        }
    });
    host
}

/// The requests to a token server.
pub struct Tokens(Arc<Mutex<Vec<String>>>);

impl Tokens {
    /// The first lines, percent-decoded.
    pub fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A server that gives a client with this password the requested token, according to distribution's "Token
/// Authentication Specification", and the registry's settings for accepting those tokens.
pub fn token_server(user: &str, password: &str) -> (Tokens, Setup) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["kiln-lab".to_owned()]).unwrap().self_signed(&key).unwrap();
    let signing = SigningKey::from_pkcs8_der(&key.serialize_der()).unwrap();
    let header = json!({ "typ": "JWT", "alg": "ES256", "x5c": [Base64::encode_string(certificate.der())] });
    let want = format!("Basic {}", Base64::encode_string(format!("{user}:{password}").as_bytes()));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    let host = answering(move |request| {
        let line = request
            .lines()
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .replace("%3A", ":")
            .replace("%2F", "/");
        let line = line.replace("%2C", ",");
        log.lock().unwrap().push(line.clone());
        let knows = |line: &str| {
            line.split_once(": ")
                .is_some_and(|(name, value)| name.eq_ignore_ascii_case("authorization") && value == want)
        };
        if !request.lines().any(knows) {
            return "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n".to_owned();
        }
        let scope = line.split_once("scope=").unwrap().1.split('&').next().unwrap();
        let [kind, name, actions] = scope.split(':').collect::<Vec<_>>().try_into().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({
            "iss": "kiln-lab", "sub": "ann", "aud": "kiln-lab", "exp": now + 300, "nbf": now - 10, "iat": now, "jti": "1",
            "access": [{ "type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>() }],
        });
        let [header, claims] =
            [&header, &claims].map(|part| Base64UrlUnpadded::encode_string(part.to_string().as_bytes()));
        let signed = format!("{header}.{claims}");
        let signature: Signature = signing.sign(signed.as_bytes());
        let token = format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature.to_bytes()));
        let body = json!({ "token": token }).to_string();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    });
    let setup =
        Setup { token: Some((format!("http://{host}/token"), certificate.pem())), ..Setup::default() };
    (Tokens(asked), setup)
}
