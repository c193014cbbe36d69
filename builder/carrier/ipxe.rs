//! The script by which iPXE, started over the network, finds the boot files of its machine.

use crate::plan::Plan;
use crate::values::{Card, Invalid};

/// Words that iPXE takes for the end of a command (iPXE, src/core/exec.c, `command_terminator`).
const ENDS: [&str; 3] = ["||", "&&", ";"];

/// `boot/boot.ipxe`. Its paths are relative to the URL that the script itself was loaded from, so that the bundle may
/// be anywhere on a server. Every card is tried, because the script may have been loaded through another card than the
/// one with the node's address.
pub fn script(plan: &Plan, cmdline: &str) -> String {
    let cluster = &plan.cluster.name;
    let mut text = format!(
        "#!ipxe\n\
         # Made by Kiln for {cluster}: starts each node's machine, known by the address of its card.\n\
         set card:int32 0\n\
         :next\n\
         isset ${{net${{card}}/mac}} || goto unknown\n\
         goto ${{net${{card}}/mac:hexhyp}} ||\n\
         inc card\n\
         goto next\n\
         \n\
         :unknown\n\
         echo kiln: no node of {cluster} has the card ${{net0/mac}}\n\
         echo kiln: name it in the profile, as mac in [[node]], and build again\n\
         sleep 10\n\
         exit 1\n"
    );
    for node in &plan.nodes {
        // A machine starts from any card of a bond.
        let macs = node.cards.first().map_or_else(|| vec![node.mac], Card::macs);
        let label: Vec<_> = macs.iter().map(|mac| mac.to_string().replace(':', "-")).collect();
        text.push_str(&format!(
            "\n# {}\n:{}\n\
             echo kiln: this is {name} of {cluster}\n\
             kernel vmlinuz {cmdline} initrd=initrd.img\n\
             initrd ../nodes/{name}/initrd.img\n\
             boot\n",
            macs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            label.join("\n:"),
            name = node.name
        ));
    }
    text
}

/// Checks that the kernel gets the same command line from iPXE, which has a syntax of its own, as from QEMU.
///
/// # Errors
/// The part that iPXE would interpret.
pub fn check_cmdline(cmdline: &str) -> Result<(), Invalid> {
    if cmdline.chars().any(char::is_control) {
        return Err(Invalid("it has more than one line, or a control character".into()));
    }
    if cmdline.contains("${") {
        return Err(Invalid("iPXE would expand ${".into()));
    }
    match cmdline.split_whitespace().find(|word| word.starts_with('#') || ENDS.contains(word)) {
        Some(word) => Err(Invalid(format!("iPXE would end it at {word:?}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ipxe_would_read_otherwise_is_refused() {
        for good in ["", "console=ttyS0 quiet", "a=b;c d=#e f=$g h=i||j"] {
            assert_eq!(check_cmdline(good), Ok(()), "{good}");
        }
        for bad in ["a\nb", "a\tb", "a ${net0/mac}", "a || b", "a && b", "a ; b", "a #b", "# a"] {
            assert!(check_cmdline(bad).is_err(), "{bad}");
        }
    }
}
