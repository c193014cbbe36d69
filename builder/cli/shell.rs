//! What a shell and a manual reader need of Kiln.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kiln completions bash > /etc/bash_completion.d/kiln\n  kiln completions zsh > \
~/.zfunc/_kiln"
)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  kiln man > kiln.1\n  kiln man /usr/local/share/man/man1")]
pub struct Man {
    /// An existing directory for the pages of Kiln and of every verb [default: print Kiln's page]
    pub directory: Option<PathBuf>,
}
