//! Requests to one bucket.

use std::io::{Read, Write};
use std::time::Duration;

use base64ct::{Base64, Encoding};
use ring::digest;
use ureq::http::{Request, Response, StatusCode};
use ureq::{Agent, Body as Answer, SendBody};

use crate::agent::{Roots, SILENCE, agent, check};
use crate::answer::{refused, whole};
use crate::list::{LONGEST_LIST, Object, PAGE, Page};
use crate::sign::{self, Credentials, canonical_query};
use crate::{Error, Result, encode, time};

/// S3 takes no more in one request.
pub const MOST_BYTES: u64 = 5 << 30;
/// Bytes of a page of a list: 1000 keys of 1024 characters, each written as a reference.
const LONGEST_PAGE: u64 = 16 << 20;
/// For an exchange without a body to speak of.
const SHORT: Duration = SILENCE.saturating_mul(4);
/// Bytes that are copied at once.
const PIECE: usize = 256 << 10;
/// Bytes per second at least: a service that takes or gives less is as good as silent.
const SLOWEST: u64 = 64 << 10;

/// The bucket.
pub struct Place<'p> {
    /// `https://HOST[:PORT]`, or `http`.
    pub endpoint: &'p str,
    /// The bucket's name.
    pub bucket: &'p str,
    /// Part of what is signed.
    pub region: &'p str,
}

/// What is stored.
pub struct Body<'b> {
    /// All of it.
    pub from: &'b mut dyn Read,
    /// In bytes.
    pub size: u64,
    /// Of all of it: the service refuses anything else.
    pub sha256: [u8; 32],
    /// Until when nobody can remove it, in seconds since 1970.
    pub locked_until: Option<u64>,
}

/// What has come of storing something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is there now.
    New,
    /// Something of this name was there already, and stays.
    Already,
}

/// An object that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// In bytes.
    pub size: u64,
    /// As the service has checked it when it was stored; not all of them say it.
    pub sha256: Option<[u8; 32]>,
}

/// What has come of removing something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone, or was not there.
    Gone,
    /// A lock holds it, or this account may not remove anything.
    Kept,
}

/// Speaks to one bucket.
pub struct Client {
    agent: Agent,
    endpoint: String,
    host: String,
    bucket: String,
    region: String,
    credentials: Credentials,
    clock: fn() -> u64,
}

impl Client {
    /// Does not connect yet. `clock` gives seconds since 1970: a service accepts a difference of 15 minutes.
    ///
    /// # Errors
    /// Where the service has a certificate, and there is no CA to hold it against.
    pub fn new(
        place: &Place<'_>,
        credentials: Credentials,
        roots: Roots<'_>,
        clock: fn() -> u64,
    ) -> Result<Self> {
        check(place.endpoint, roots)?;
        let (scheme, host) = place.endpoint.split_once("://").unwrap_or(("https", place.endpoint));
        let usual = if scheme == "http" { ":80" } else { ":443" };
        Ok(Self {
            agent: agent(roots)?,
            endpoint: place.endpoint.to_owned(),
            host: host.strip_suffix(usual).unwrap_or(host).to_owned(),
            bucket: place.bucket.to_owned(),
            region: place.region.to_owned(),
            credentials,
            clock,
        })
    }

    /// Stores an object, where there is none of this name.
    ///
    /// # Errors
    /// Of the service; also where it is too large.
    pub fn put(&self, key: &str, body: Body<'_>) -> Result<Stored> {
        if body.size > MOST_BYTES {
            return Err(Error::Setup("it is larger than 5 GiB, which S3 does not take at once".to_owned()));
        }
        let mut headers = vec![
            ("content-length", body.size.to_string()),
            ("content-type", "application/octet-stream".to_owned()),
            ("if-none-match", "*".to_owned()),
            ("x-amz-checksum-sha256", Base64::encode_string(&body.sha256)),
            // S3 takes no lock without it.
            ("x-amz-sdk-checksum-algorithm", "SHA256".to_owned()),
        ];
        if let Some(until) = body.locked_until {
            headers.push(("x-amz-object-lock-mode", "COMPLIANCE".to_owned()));
            headers.push(("x-amz-object-lock-retain-until-date", time::extended(until)));
        }
        let asked = Asked { method: "PUT", key, query: &[], headers: &headers, sha256: body.sha256 };
        let patience = SHORT + Duration::from_secs(body.size / SLOWEST);
        let mut from = body.from.take(body.size);
        let answer = self.send(&asked, SendBody::from_reader(&mut from), patience)?;
        match answer.status() {
            StatusCode::OK | StatusCode::CREATED => Ok(Stored::New),
            StatusCode::PRECONDITION_FAILED => Ok(Stored::Already),
            _ => Err(refused(answer)),
        }
    }

    /// Whether an object is there.
    ///
    /// # Errors
    /// Of the service.
    pub fn head(&self, key: &str) -> Result<Option<Found>> {
        let headers = [("x-amz-checksum-mode", "ENABLED".to_owned())];
        let asked = Asked { headers: &headers, ..Asked::new("HEAD", key) };
        let answer = self.send(&asked, SendBody::none(), SHORT)?;
        match answer.status() {
            StatusCode::OK => {
                let sha256 = answer.headers().get("x-amz-checksum-sha256");
                let sha256 =
                    sha256.and_then(|text| Base64::decode_vec(text.to_str().ok()?).ok()?.try_into().ok());
                let size =
                    answer.headers().get("content-length").and_then(|size| size.to_str().ok()?.parse().ok());
                let size = size.ok_or(Error::Answer("an object has no length"))?;
                Ok(Some(Found { size, sha256 }))
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refused(answer)),
        }
    }

    /// A small object, of at most so many bytes; `None`: there is none.
    ///
    /// # Errors
    /// Of the service; also where it is longer.
    pub fn get(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>> {
        let answer = self.send(&Asked::new("GET", key), SendBody::none(), SHORT)?;
        match answer.status() {
            StatusCode::OK => whole(answer, most).map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refused(answer)),
        }
    }

    /// Writes an object of exactly so many bytes to `to`; `false`: there is none.
    ///
    /// # Errors
    /// Of the service, and of writing; also where it is longer or shorter.
    pub fn fetch(&self, key: &str, size: u64, to: &mut dyn Write) -> Result<bool> {
        let patience = SHORT + Duration::from_secs(size / SLOWEST);
        let answer = self.send(&Asked::new("GET", key), SendBody::none(), patience)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(false),
            _ => return Err(refused(answer)),
        }
        let mut from = answer.into_body().into_reader().take(size.saturating_add(1));
        let (mut copied, mut piece) = (0, vec![0; PIECE]);
        loop {
            let count = match from.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::Away(error.to_string())),
            };
            // Of this machine, and not of the service.
            to.write_all(&piece[..count])
                .map_err(|error| Error::Setup(format!("writing it here: {error}")))?;
            copied += count as u64;
        }
        match copied == size {
            true => Ok(true),
            false => Err(Error::Answer("an object has not the size that its record says")),
        }
    }

    /// The objects whose keys begin with `prefix`, from the one after `after` on, in their order.
    ///
    /// # Errors
    /// Of the service; also where there are more than `LONGEST_LIST`, or a key is not what was asked for.
    pub fn list(&self, prefix: &str, after: &str) -> Result<Vec<Object>> {
        let mut all: Vec<Object> = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page = self.page(prefix, after, next.as_deref())?;
            for object in page.objects {
                let last = all.last().map_or(after, |last| last.key.as_str());
                if !object.key.starts_with(prefix) || object.key.as_str() <= last {
                    return Err(Error::Answer("a list has a key that was not asked for, or twice"));
                }
                all.push(object);
            }
            if all.len() > LONGEST_LIST {
                return Err(Error::Answer("a list has more than 400000 objects"));
            }
            match page.next {
                None => return Ok(all),
                Some(_) if all.is_empty() => return Err(Error::Answer("a list goes on without an object")),
                Some(token) if next.as_ref() == Some(&token) => {
                    return Err(Error::Answer("a list goes on where it was"));
                }
                Some(token) => next = Some(token),
            }
        }
    }

    fn page(&self, prefix: &str, after: &str, next: Option<&str>) -> Result<Page> {
        let most = PAGE.to_string();
        let mut query = vec![("list-type", "2"), ("max-keys", &most), ("prefix", prefix)];
        match next {
            Some(token) => query.push(("continuation-token", token)),
            None if after.is_empty() => {}
            None => query.push(("start-after", after)),
        }
        let asked = Asked { query: &query, ..Asked::new("GET", "") };
        let answer = self.send(&asked, SendBody::none(), SHORT)?;
        match answer.status() {
            StatusCode::OK => {
                let bytes = whole(answer, LONGEST_PAGE)?;
                Page::read(std::str::from_utf8(&bytes).map_err(|_| Error::Answer("a list is not UTF-8"))?)
            }
            _ => Err(refused(answer)),
        }
    }

    /// Removes an object, if nothing holds it.
    ///
    /// # Errors
    /// Of the service.
    pub fn delete(&self, key: &str) -> Result<Deleted> {
        let answer = self.send(&Asked::new("DELETE", key), SendBody::none(), SHORT)?;
        match answer.status() {
            StatusCode::OK | StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(Deleted::Gone),
            _ => match refused(answer) {
                Error::Denied(code) if !is_about_credentials(&code) => Ok(Deleted::Kept),
                why => Err(why),
            },
        }
    }

    fn send(&self, asked: &Asked<'_>, body: SendBody<'_>, patience: Duration) -> Result<Response<Answer>> {
        let path = match asked.key {
            "" => format!("/{}", self.bucket),
            key => format!("/{}/{key}", self.bucket),
        };
        let signed = sign::Request {
            method: asked.method,
            host: &self.host,
            path: &path,
            query: asked.query,
            headers: asked.headers,
            body: asked.sha256,
        };
        let mut url = format!("{}{}", self.endpoint, encode::path(&path));
        if !asked.query.is_empty() {
            url = format!("{url}?{}", canonical_query(asked.query));
        }
        let mut request = Request::builder().method(asked.method).uri(url);
        for (name, value) in sign::headers(&signed, &self.credentials, &self.region, (self.clock)()) {
            request = request.header(name, value.as_str());
        }
        let request =
            request.body(body).map_err(|error| Error::Setup(format!("no request can be made: {error}")))?;
        let request = self.agent.configure_request(request).timeout_global(Some(patience)).build();
        self.agent.run(request).map_err(|error| Error::Away(error.to_string()))
    }
}

/// What is asked of the service.
struct Asked<'a> {
    method: &'a str,
    /// Empty: the bucket itself.
    key: &'a str,
    query: &'a [(&'a str, &'a str)],
    headers: &'a [(&'a str, String)],
    sha256: [u8; 32],
}

impl<'a> Asked<'a> {
    /// Without a body.
    fn new(method: &'a str, key: &'a str) -> Self {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest::digest(&digest::SHA256, b"").as_ref());
        Self { method, key, query: &[], headers: &[], sha256 }
    }
}

/// S3's codes with which it refuses the signature, and not what is asked.
fn is_about_credentials(code: &str) -> bool {
    ["SignatureDoesNotMatch", "InvalidAccessKeyId", "RequestTimeTooSkewed", "ExpiredToken", "InvalidToken"]
        .contains(&code)
}
