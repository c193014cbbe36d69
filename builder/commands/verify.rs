//! `kiln verify`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::bucket::bucket;
use super::junit;
use super::named;
use super::output::Output;
use super::programs;
use crate::artifact::EtcdProgram;
use crate::backup;
use crate::bundle::{Bundle, OPERATOR_CERT, client_file};
use crate::cli;
use crate::clock;
use crate::disk;
use crate::failure::{Doing, Exit, Failure, Result};
use crate::pki::{Authority, Keystore};
use crate::plan;
use crate::profile::Algorithm;
use crate::report::{Check, Report};
use crate::values::Lifetime;
use crate::verify::{self, Options, Stranger};

pub fn run(args: &cli::Verify, out: &Output) -> Result<()> {
    junit::check(args.junit.as_deref())?;
    let bundle = Bundle::open(&args.bundle)?;
    let unknown = programs::check(&bundle, &[EtcdProgram::Etcdctl], &args.trust)?;
    let given = args.keystore.as_ref();
    let has_copies = bundle.manifest.certificates.iter().any(|one| one.renewed.is_some());
    let keystore = given.filter(|_| has_copies).map(|given| keystore(given, &bundle)).transpose()?;
    let is_unused = given.is_some() && keystore.is_none();
    let options = Options { read_only: args.read_only, keystore, ..options(&bundle)? };
    let report = verify::run(&bundle.path, &bundle.manifest, &options);
    bundle.check_same()?;
    let mut report = report?;
    report.notes.extend(unknown);
    match newest_snapshot(&bundle, args.secrets.as_deref())? {
        Some(Ok(check)) => report.checks.push(check),
        Some(Err(note)) => report.notes.push(note.to_owned()),
        None => {}
    }
    report.notes.extend(is_unused.then(|| {
        "the keystore was not used: nodes do not renew the certificates of this bundle, so none has a CA to copy"
            .to_owned()
    }));
    conclude(&[report], args.json, args.junit.as_deref(), out)
}

/// The row about the newest snapshot in the bundle's bucket, or why there is none; `None` without a bucket.
///
/// # Errors
/// Those of opening the bucket and of reading it.
fn newest_snapshot(
    bundle: &Bundle,
    secrets: Option<&Path>,
) -> Result<Option<std::result::Result<Check, &'static str>>> {
    if bundle.manifest.snapshots.as_ref().is_none_or(|of| of.s3.is_none()) {
        return Ok(None);
    }
    if secrets.is_none() {
        return Ok(Some(Err(
            "the newest snapshot in the bucket was not looked for; name credentials with --secrets",
        )));
    }
    let place = bucket(bundle, secrets)?;
    backup::check_newest(&place, &bundle.manifest, clock::now()).map(|check| Some(Ok(check)))
}

/// The cluster's keystore, read and free for other runs.
///
/// # Errors
/// Those of [`Keystore::open`].
fn keystore(given: &PathBuf, bundle: &Bundle) -> Result<Keystore> {
    let cluster = &bundle.manifest.cluster.name;
    let mut keystore = Keystore::open(&named::keystore_path(Some(given), cluster), cluster)?;
    keystore.release();
    Ok(keystore)
}

/// A certificate with its chain has a few kilobytes.
const MAX_PEM_BYTES: u64 = 1 << 20;

/// Every member is queried at its own address, with today's date, and with a foreign certificate for the probes.
pub fn options(bundle: &Bundle) -> Result<Options> {
    let now = clock::now();
    let lifetime = Lifetime::hours(1);
    // The name of the client certificate that every bundle has.
    let spec = plan::operator(lifetime);
    let file = client_file(OPERATOR_CERT);
    let ours = disk::read(&bundle.path.join(&file), MAX_PEM_BYTES)?;
    let issued = Authority::namesake(&bundle.manifest.cluster.name, &ours, now)
        .doing(|| format!("reading {file}"))?
        .issue(&spec, Algorithm::P256, lifetime)?;
    let stranger =
        Stranger { certificate: issued.cert_pem.into_bytes(), key: issued.key_pem.as_bytes().to_vec() };
    Ok(Options {
        now,
        endpoints: BTreeMap::new(),
        stranger: Some(stranger),
        read_only: false,
        keystore: None,
        renews: true,
    })
}

/// Writes reports as JUnit XML where requested, prints them, and fails if a cluster did; in JSON several are a list.
/// The file is written first, because the reader of the output may close the pipe.
pub fn conclude(reports: &[Report], json: bool, junit: Option<&Path>, out: &Output) -> Result<()> {
    if let Some(path) = junit {
        junit::write(path, reports)?;
    }
    match reports {
        [report] if json => out.json(report)?,
        all if json => out.json(&all)?,
        all => all.iter().try_for_each(|report| out.report(report))?,
    }
    // The report contains the reason; an error message would only repeat it.
    if reports.iter().all(|report| report.verdict().is_pass()) {
        Ok(())
    } else {
        Err(Failure::report(Exit::Wrong, ""))
    }
}
