//! `kiln keystore export`.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cipher::{self, To};
use crate::cli;
use crate::commands::ask::confirm;
use crate::commands::inputs;
use crate::commands::named;
use crate::commands::output::{Output, and_said};
use crate::disk;
use crate::failure::{Failure, Result};
use crate::pki::{Exports, Keystore};
use crate::values::Mode;

pub fn run(args: &cli::Export, out: &Output) -> Result<()> {
    let path = named::keystore_path(args.keys.keystore.as_ref(), &args.cluster);
    match args.paper {
        true => page(args, &path, out),
        false => file(args, &path, out),
    }
}

fn file(args: &cli::Export, path: &Path, out: &Output) -> Result<()> {
    let recipients = cipher::recipients(&args.recipients.recipient, &args.recipients.recipients_file)?;
    let to = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.keystore.age", args.cluster)));
    disk::refuse_in_made(&to, None, "choose another --out")?;
    if disk::look(&to)?.is_some() {
        let reason = format!("{} exists, and is not replaced; name another file with --out", to.display());
        return Err(Failure::unsafe_to(reason));
    }
    let mut keystore = Keystore::open(path, &args.cluster)?;
    let text = keystore.export(inputs::date_of_issue(None)?, Exports::File)?;
    let encrypted = cipher::encrypt(&text, To::Recipients(&recipients), args.armor)?;
    disk::write_new(&to, &encrypted, Mode::SECRET)?;
    let done = format!("exported {} to {}", path.display(), to.display());
    note(&mut keystore, path, out).map_err(|failure| failure.while_doing(done.clone()))?;
    let missing = keystore.missing_in_export();
    let recipients: Vec<_> = recipients.iter().map(ToString::to_string).collect();
    let said = match args.json {
        true => out.json(&json!({
            "keystore": path, "cluster": args.cluster, "export": to, "recipients": recipients,
            "without_successors_secret": missing.is_some(),
        })),
        false => out.print(format_args!(
            "{done}, encrypted to {}: keep it on another machine, and the identities elsewhere",
            recipients.join(" and ")
        )),
    };
    and_said(&done, said)
}

fn page(args: &cli::Export, path: &Path, out: &Output) -> Result<()> {
    let mut keystore = Keystore::open(path, &args.cluster)?;
    out.announce(format_args!(
        "the page holds the secret of {} in plain: whoever reads it has the cluster",
        args.cluster
    ));
    if !args.yes {
        confirm("print it", "nothing was printed")?;
    }
    let date = inputs::date_of_issue(None)?;
    let page = keystore.export(date, Exports::Page)?;
    let cluster = &args.cluster;
    out.bytes(
        format!(
            "# The keystore of {cluster}, {date}: its secret in plain. Keep this page locked up.\n\
             # To restore it, type the numbered lines into a file, then: kiln keystore restore --paper FILE {cluster}\n\
             # Each line has its number and a checksum of four digits.\n"
        )
        .as_bytes(),
    )?;
    out.bytes(&page)?;
    note(&mut keystore, path, out)
}

/// Records the export in the keystore.
fn note(keystore: &mut Keystore, path: &Path, out: &Output) -> Result<()> {
    if let Some(missing) = keystore.missing_in_export() {
        out.warn(format_args!("the export is without {missing}: keep a copy of that, too"));
    }
    if keystore.is_writable() {
        return keystore.save(path);
    }
    let path = path.display();
    out.warn(format_args!("{path} is read-only here, so the export is not recorded in it"));
    Ok(())
}
