//! Copies of keystores, encrypted keystores, and how a run gets at what is encrypted.

use std::path::PathBuf;

use clap::Args;

use super::inputs::Keys;
use crate::unlock::{self, Ways};
use crate::values::ClusterName;

/// How this run gets at secrets that are not in plain in a keystore.
#[derive(Args, Debug)]
pub struct Unlock {
    /// A file with an identity of age, or an SSH private key, that decrypts keystores and exports; may be repeated
    #[arg(long, value_name = "FILE", global = true, env = "KILN_IDENTITY", help_heading = "Keystores")]
    pub identity: Vec<PathBuf>,
    /// A file whose first line is the passphrase of keystores, exports and identities [default: asked at a terminal]
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        env = "KILN_KEYSTORE_PASSPHRASE_FILE",
        help_heading = "Keystores"
    )]
    pub keystore_passphrase_file: Option<PathBuf>,
    /// A command that prints the secret of keystores without the file `secret`: words and quotes, no shell; {cluster}
    /// becomes the cluster's name
    #[arg(
        long,
        value_name = "COMMAND",
        global = true,
        env = "KILN_SECRET_FROM",
        value_parser = Words::parse,
        help_heading = "Keystores"
    )]
    pub secret_from: Option<Words>,
}

/// A command and its arguments.
#[derive(Clone, Debug)]
pub struct Words(Vec<String>);

impl Words {
    fn parse(text: &str) -> Result<Self, String> {
        unlock::words(text).map(Self)
    }
}

impl Unlock {
    /// The same for the part of Kiln that opens keystores.
    pub(crate) fn ways(&self) -> Ways {
        Ways {
            identities: self.identity.clone(),
            passphrase_file: self.keystore_passphrase_file.clone(),
            secret_from: self.secret_from.clone().map(|words| words.0),
        }
    }
}

/// Who can decrypt.
#[derive(Args, Debug)]
pub struct Recipients {
    /// The public key of age (age1…) or SSH (ssh-ed25519 …) of who can decrypt it; may be repeated
    #[arg(long, short, value_name = "KEY")]
    pub recipient: Vec<String>,
    /// A file with such keys, one a line; may be repeated
    #[arg(long, value_name = "FILE", env = "KILN_RECIPIENTS_FILE")]
    pub recipients_file: Vec<PathBuf>,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kiln keystore export ha3 --recipient age1qz… --out /safe/ha3.keystore.age\n  kiln \
keystore export ha3 --paper"
)]
pub struct Export {
    /// The name of the cluster
    pub cluster: ClusterName,
    /// Where the keystore is.
    #[command(flatten)]
    pub keys: Keys,
    /// Who can decrypt the export.
    #[command(flatten)]
    pub recipients: Recipients,
    /// The file to write, never over an existing one [default: NAME.keystore.age]
    #[arg(long, short, value_name = "FILE", env = "KILN_EXPORT_OUT")]
    pub out: Option<PathBuf>,
    /// Write letters instead of bytes, for mail and for terminals
    #[arg(long)]
    pub armor: bool,
    /// Print the secret in plain, with all that belongs to it, as lines with checksums to type in again
    #[arg(long, conflicts_with_all = ["recipient", "recipients_file", "out", "armor", "json"])]
    pub paper: bool,
    /// Do not ask for confirmation
    #[arg(long, requires = "paper")]
    pub yes: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kiln keystore restore ha3.keystore.age ha3 --identity key.txt\n  kiln keystore restore \
--paper typed.txt ha3"
)]
pub struct Restore {
    /// The export, or with --paper the page that was typed in
    pub file: PathBuf,
    /// The name of the cluster
    pub cluster: ClusterName,
    /// Where the keystore will be.
    #[command(flatten)]
    pub keys: Keys,
    /// The file is a page
    #[arg(long)]
    pub paper: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kiln keystore encrypt ha3 --recipient age1qz…\n  kiln keystore encrypt ha3 --passphrase"
)]
pub struct Encrypt {
    /// The name of the cluster
    pub cluster: ClusterName,
    /// Where the keystore is.
    #[command(flatten)]
    pub keys: Keys,
    /// Who can decrypt it.
    #[command(flatten)]
    pub recipients: Recipients,
    /// Encrypt with a passphrase, which is asked for
    #[arg(long, conflicts_with_all = ["recipient", "recipients_file"])]
    pub passphrase: bool,
    /// Do not try whether an identity that was given decrypts it, and do not ask where none is
    #[arg(long)]
    pub yes: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kiln keystore decrypt ha3 --identity key.txt\n  kiln keystore decrypt ha3 --yes --identity \
key.txt"
)]
pub struct Decrypt {
    /// The name of the cluster
    pub cluster: ClusterName,
    /// Where the keystore is.
    #[command(flatten)]
    pub keys: Keys,
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}
