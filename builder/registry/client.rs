//! Requests to one repository of a registry (OCI distribution specification 1.1).

use std::io::Read;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION};
use ureq::http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use ureq::{Agent, AsSendBody, Body};

use super::address::{Address, is_loopback};
use super::answer::{broken, refused};
use super::artifact::Blob;
use super::auth::{self, Challenge, Token};
use super::credentials::Credentials;
use super::limits::SILENCE_TIMEOUT;
use super::pace::Paced;
use super::trust::{Trust, tls};
use crate::failure::{Doing, Failure, Result};
use crate::interrupt;
use crate::parallel;

/// The limit on redirects.
const MAX_REDIRECTS: u32 = 5;

pub struct Client {
    agent: Agent,
    pub(super) address: Address,
    plain_http: bool,
    /// `http` or `https`.
    scheme: &'static str,
    credentials: Credentials,
    /// The permissions to request with a token: `pull` or `pull,push`.
    rights: &'static str,
    /// The header that the registry last required.
    authorization: Mutex<Option<HeaderValue>>,
}

impl Client {
    /// Does not connect yet. A loopback address is reached by plain HTTP, unless a CA is given for it.
    ///
    /// # Errors
    /// `Exit::Io` when the CA's file cannot be read.
    pub fn new(address: Address, trust: &Trust, credentials: Credentials, writes: bool) -> Result<Self> {
        let plain = trust.plain_http || (address.is_loopback() && trust.ca_file.is_none());
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // Each redirect is checked first, in this module.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(SILENCE_TIMEOUT))
            .timeout_connect(Some(SILENCE_TIMEOUT))
            // A limit on the whole head of an answer, because a server that sends one byte at a time is never silent.
            .timeout_recv_response(Some(SILENCE_TIMEOUT))
            .timeout_per_read(Some(SILENCE_TIMEOUT))
            .timeout_per_write(Some(SILENCE_TIMEOUT));
        if !plain {
            config = config.tls_config(tls(trust)?);
        }
        // A proxy would see everything in the clear, or could not reach this machine's own addresses.
        if plain || address.is_loopback() {
            config = config.proxy(None);
        }
        Ok(Self {
            agent: config.build().new_agent(),
            address,
            plain_http: trust.plain_http,
            scheme: if plain { "http" } else { "https" },
            credentials,
            rights: if writes { "pull,push" } else { "pull" },
            authorization: Mutex::default(),
        })
    }

    /// Runs `work`, and closes its connections after Ctrl-C: a thread that waits for a registry does not notice a
    /// signal.
    pub(super) fn watched<R>(&self, work: impl FnOnce() -> Result<R>) -> Result<R> {
        let (done, wait) = channel::<()>();
        thread::scope(|scope| {
            parallel::need(scope, move || {
                while wait.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout) {
                    if interrupt::asked() {
                        self.agent.clone().shutdown();
                        return;
                    }
                }
            })?;
            let result = work();
            drop(done);
            result
        })
    }

    pub(super) fn manifest(&self, method: Method, accept: &'static str) -> Result<Response<Body>> {
        let url = self.url(&format!("manifests/{}", self.address.reference))?;
        self.ask(method, url, &[(ACCEPT, accept)])
    }

    pub(super) fn put_manifest(&self, kind: &'static str, bytes: &[u8]) -> Result<()> {
        let url = self.url(&format!("manifests/{}", self.address.reference))?;
        let response = self.send(&Method::PUT, &url, &[(CONTENT_TYPE, kind)], bytes)?;
        self.expect(StatusCode::CREATED, response).map(drop)
    }

    pub(super) fn has(&self, blob: Blob) -> Result<bool> {
        let response = self.ask(Method::HEAD, self.url(&format!("blobs/sha256:{}", blob.digest))?, &[])?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(false),
            _ => self.expect(StatusCode::OK, response).map(|_| true),
        }
    }

    /// A blob's bytes as they arrive, without a limit.
    pub(super) fn blob(&self, blob: Blob) -> Result<impl Read + use<>> {
        let response = self.ask(Method::GET, self.url(&format!("blobs/sha256:{}", blob.digest))?, &[])?;
        Ok(Paced::new(self.expect(StatusCode::OK, response)?.into_body().into_reader()))
    }

    /// Uploads a blob in one piece, while it is read ("POST then PUT").
    pub(super) fn upload(&self, blob: Blob, bytes: &mut dyn Read) -> Result<()> {
        let begin = self.url("blobs/uploads/")?;
        let response = self.expect(StatusCode::ACCEPTED, self.ask(Method::POST, begin.clone(), &[])?)?;
        let place = self.location(&begin, &response)?.to_string();
        let joint = if place.contains('?') { '&' } else { '?' };
        let url = parse(&format!("{place}{joint}digest=sha256%3A{}", blob.digest))?;
        let size = blob.size.to_string();
        let headers = [(CONTENT_TYPE, "application/octet-stream"), (CONTENT_LENGTH, &size)];
        let response = self.send(&Method::PUT, &url, &headers, ureq::SendBody::from_reader(bytes))?;
        self.expect(StatusCode::CREATED, response).map(drop)
    }

    pub(super) fn expect(&self, status: StatusCode, response: Response<Body>) -> Result<Response<Body>> {
        match response.status() {
            found if found == status => Ok(response),
            StatusCode::UNAUTHORIZED => Err(self.unauthorized()),
            _ => Err(refused(&self.address.host, response)),
        }
    }

    fn unauthorized(&self) -> Failure {
        let host = &self.address.host;
        let Credentials { login, hint } = &self.credentials;
        let hint = hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        Failure::io(match login {
            Some(_) => format!("{host} does not accept this user name and password"),
            None => format!(
                "{host} asks for a user name and a password; give --username and --password-file, or log in with docker or \
                 podman{hint}"
            ),
        })
    }

    /// Sends a request without a body, repeats it once with the required authorization, and follows redirects.
    fn ask(&self, method: Method, url: Uri, headers: &[(HeaderName, &str)]) -> Result<Response<Body>> {
        let mut url = url;
        let (mut authorized, mut redirects) = (false, 0);
        loop {
            let response = match method {
                // An empty body has a length, which some registries require.
                Method::POST => self.send(&method, &url, headers, &[][..]),
                _ => self.send(&method, &url, headers, ()),
            }?;
            match response.status() {
                StatusCode::UNAUTHORIZED if !authorized && self.is_own(&url) => {
                    authorized = true;
                    self.authorize(&response)?;
                }
                status if status.is_redirection() && method != Method::POST && redirects < MAX_REDIRECTS => {
                    redirects += 1;
                    url = self.location(&url, &response)?;
                }
                _ => return Ok(response),
            }
        }
    }

    fn send(
        &self,
        method: &Method,
        url: &Uri,
        headers: &[(HeaderName, &str)],
        body: impl AsSendBody,
    ) -> Result<Response<Body>> {
        interrupt::check()?;
        self.permit(url)?;
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let authorization = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let (true, Some(value)) = (self.is_own(url), authorization) {
            request = request.header(AUTHORIZATION, value);
        }
        let host = url.authority().map_or(self.address.host.as_str(), |authority| authority.as_str());
        match request.body(body).map_err(ureq::Error::Http).and_then(|request| self.agent.run(request)) {
            Ok(response) => Ok(response),
            Err(error) => broken(host, error),
        }
    }

    /// Prepares the authorization that a 401 requires. The next answer shows whether it is sufficient.
    fn authorize(&self, response: &Response<Body>) -> Result<()> {
        let value = match (auth::challenge(response.headers()), &self.credentials.login) {
            (Some(Challenge::Basic), Some(login)) => login.basic(),
            (Some(Challenge::Bearer { realm, service }), _) => self.token(&realm, service.as_deref())?,
            _ => return Err(self.unauthorized()),
        };
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| Failure::io(format!("{} returned a token that is not valid", self.address.host)))?;
        value.set_sensitive(true);
        *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        Ok(())
    }

    fn token(&self, realm: &str, service: Option<&str>) -> Result<zeroize::Zeroizing<String>> {
        let asking = || format!("asking for a token that {} wants", self.address.host);
        let url = parse(realm).doing(asking)?;
        self.permit(&url).doing(asking)?;
        let mut request = self.agent.get(url.clone());
        if let Some(service) = service {
            request = request.query("service", service);
        }
        request = request.query("scope", format!("repository:{}:{}", self.address.repository, self.rights));
        if let Some(login) = &self.credentials.login {
            request = request.header(AUTHORIZATION, login.basic().as_str());
        }
        let host = url.authority().map_or("", |authority| authority.as_str());
        let response = request.call().or_else(|error| broken(host, error)).doing(asking)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => return Err(self.unauthorized()),
            _ => return Err(refused(host, response)).doing(asking),
        }
        let mut bytes = zeroize::Zeroizing::new(Vec::new());
        Paced::new(response.into_body().into_reader()).take(1 << 20).read_to_end(&mut bytes).doing(asking)?;
        let token: Option<Token> = serde_json::from_slice(&bytes).ok();
        token
            .and_then(|token| token.bearer())
            .ok_or_else(|| Failure::io(format!("{host} returned none")))
            .doing(asking)
    }

    /// Checks where a registry may redirect a client with private keys or a password: to HTTPS anywhere, and to plain
    /// HTTP only where the registry itself may be reached that way.
    fn permit(&self, url: &Uri) -> Result<()> {
        let own = &self.address.host;
        let host = url.authority().map_or("", |authority| authority.as_str());
        let here = self.address.is_loopback() && is_loopback(host);
        match url.scheme_str() {
            // The part before the @ may be a password, which is not shown.
            _ if host.contains('@') => Err(Failure::unsafe_to(format!(
                "{own} redirects to an address with a user name in it; configure it to redirect without one",
            ))),
            Some("https") if !host.is_empty() => Ok(()),
            Some("http") if self.plain_http || here => Ok(()),
            _ => Err(Failure::unsafe_to(format!(
                "{own} redirects to {:?} on {host:?}, where others could read the keys; configure it to redirect to https",
                url.scheme_str().unwrap_or_default(),
            ))),
        }
    }

    /// Whether it is the registry itself, which may get its password.
    fn is_own(&self, url: &Uri) -> bool {
        let port =
            |url: &Uri| url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
        let origin = |url: &Uri| {
            (url.scheme_str().map(str::to_owned), url.host().map(str::to_ascii_lowercase), port(url))
        };
        parse(&format!("{}://{}/", self.scheme, self.address.host))
            .is_ok_and(|own| origin(&own) == origin(url))
    }

    fn url(&self, rest: &str) -> Result<Uri> {
        parse(&format!("{}://{}/v2/{}/{rest}", self.scheme, self.address.host, self.address.repository))
    }

    /// The location in an answer: a whole URL, or a path on the host that sent it.
    fn location(&self, from: &Uri, response: &Response<Body>) -> Result<Uri> {
        let text = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let text = text.ok_or_else(|| {
            Failure::io(format!("{} did not return the address of the upload", self.address.host))
        })?;
        let (scheme, host) =
            (from.scheme_str().unwrap_or(self.scheme), from.authority().map_or("", |a| a.as_str()));
        let url = match text {
            _ if text.starts_with("//") => parse(&format!("{scheme}:{text}")),
            _ if text.starts_with('/') => parse(&format!("{scheme}://{host}{text}")),
            _ => parse(text),
        }?;
        self.permit(&url)?;
        Ok(url)
    }
}

fn parse(text: &str) -> Result<Uri> {
    let url: Option<Uri> = text.parse().ok();
    url.filter(|url| url.scheme().is_some() && url.host().is_some_and(|host| !host.is_empty())).ok_or_else(
        || {
            // The text may contain a password.
            let shown = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
            Failure::io(format!("{shown:?} is not a valid URL"))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str, plain_http: bool) -> Client {
        let trust = Trust { plain_http, ca_file: None };
        Client::new(address.parse().unwrap(), &trust, Credentials::default(), true).unwrap()
    }

    #[test]
    fn a_registry_cannot_send_its_client_into_the_open() {
        let (away, here, open) = ("oci://r.lan/a:t", "oci://127.0.0.1:5000/a:t", "oci://r.lan/a:t");
        for (address, plain_http, url, fine) in [
            (away, false, "https://r.lan/v2/", true),
            (away, false, "https://storage.lan/blob?sig=1", true),
            (away, false, "http://r.lan/v2/", false),
            (away, false, "http://127.0.0.1:2379/v2/", false),
            (away, false, "https://u@storage.lan/", false),
            (here, false, "http://127.0.0.1:5000/v2/", true),
            (here, false, "http://localhost:5001/v2/", true),
            (here, false, "http://r.lan/v2/", false),
            (open, true, "http://r.lan/v2/", true),
        ] {
            // Without a CA of the system there is no TLS client; no connection is made here.
            let mut client = client(here, plain_http);
            client.address = address.parse().unwrap();
            assert_eq!(client.permit(&url.parse().unwrap()).is_ok(), fine, "{address} {plain_http} {url}");
        }
    }

    #[test]
    fn passwords_go_to_the_registry_only() {
        let client = client("oci://R.lan/a:t", true);
        for (url, own) in [
            ("http://r.lan/v2/", true),
            ("http://r.lan:80/x", true),
            ("https://r.lan/", false),
            ("http://r.lan:81/", false),
            ("http://r.lan.evil/", false),
            ("http://evil/r.lan", false),
        ] {
            assert_eq!(client.is_own(&url.parse().unwrap()), own, "{url}");
        }
    }

    #[test]
    fn a_location_is_a_url_or_a_path() {
        let client = client("oci://r.lan:5000/a:t", true);
        let from = client.url("blobs/uploads/").unwrap();
        for (text, want) in [
            ("/v2/a/blobs/uploads/1?_state=x", Some("http://r.lan:5000/v2/a/blobs/uploads/1?_state=x")),
            ("https://s.lan/1", Some("https://s.lan/1")),
            ("//s.lan/1", Some("http://s.lan/1")),
            ("uploads/1", None),
            ("ftp://s.lan/1", None),
            ("https:///x", None),
            ("", None),
        ] {
            let response = Response::builder().header(LOCATION, text).body(Body::builder().data("")).unwrap();
            let found = client.location(&from, &response).ok().map(|url| url.to_string());
            assert_eq!(found.as_deref(), want, "{text}");
        }
    }
}
