//! `kiln seal`.

use serde_json::json;

use super::named;
use super::output::{Output, and_said};
use crate::build::witness;
use crate::bundle::Bundle;
use crate::cli;
use crate::failure::Result;
use crate::pki::{Keystore, Sealed};

pub fn run(args: &cli::Seal, out: &Output) -> Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let (name, witness) = witness(&bundle)?;
    let path = named::keystore_path(args.keys.keystore.as_ref(), &name);
    let sealed = Keystore::seal(&path, &name, &witness, args.adopt)?;
    if !matches!(sealed, Sealed::Already | Sealed::Unrecorded) {
        Keystore::open(&path, &name)?.reminder().iter().for_each(|reminder| out.warn(reminder));
    }
    let (shown, token, members) = (path.display(), &witness.token, witness.members.len());
    let members = if members == 1 { "1 member".to_owned() } else { format!("{members} members") };
    let done = match sealed {
        Sealed::New => format!("sealed {name} ({token}, {members}) in {shown}"),
        Sealed::Adopted => format!("recorded {name} ({token}, {members}) in {shown}"),
        Sealed::Newer => format!("recorded in {shown} that {name} ({token}) runs etcd {}", witness.release),
        Sealed::Already => format!("{name} ({token}) was sealed in {shown} already"),
        Sealed::Unrecorded => format!("{name} ({token}) was sealed in {shown} already, without a record"),
    };
    if args.json {
        let said = out.json(&json!({
            "keystore": path, "cluster": name, "token": token,
            "new": sealed == Sealed::New,
            "recorded": matches!(sealed, Sealed::New | Sealed::Adopted | Sealed::Newer),
        }));
        return and_said(&done, said);
    }
    let advice = match sealed {
        Sealed::New => {
            ": back up the keystore, build again, and copy the new bundle to the nodes; to bootstrap a replacement cluster, \
             create a new keystore"
        }
        Sealed::Adopted | Sealed::Newer => ": back up the keystore",
        Sealed::Already => "",
        Sealed::Unrecorded => "; if the nodes run this bundle, record the cluster: kiln seal --adopt BUNDLE",
    };
    and_said(&done, out.print(format_args!("{done}{advice}")))
}
