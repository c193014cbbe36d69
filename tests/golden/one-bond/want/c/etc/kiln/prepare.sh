# Made by Kiln for c of golden: what the guard needs of root.
set -u
# Below, `true >FILE` and not `: >FILE`: a special builtin that cannot open its file ends the shell (POSIX, 2.8.1).
# What the host remembers, where it says so: QEMU's -fw_cfg name=opt/kiln/formed,string=yes. Only root can read it.
mkdir -p /run/kiln || exit
if [ "$(cat /sys/firmware/qemu_fw_cfg/by_name/opt/kiln/formed/raw 2>/dev/null)" = yes ]; then
    true >/run/kiln/formed || exit
fi

# Names without a DNS server. Only the block between the two marks is Kiln's.
hosts=/etc/hosts new=/etc/hosts.kiln
begin="# kiln: golden" end="# kiln: end of golden"
say() { echo "kiln: c $*"; }
block() {
    echo "$begin"
    echo "10.114.0.11 a.kloud.lan a"
    echo "10.114.0.12 b.kloud.lan b"
    echo "10.114.0.13 c.kloud.lan c"
    echo "$end"
}
# All but Kiln's block. A begin mark without an end is a line like others: what is behind it need not be Kiln's.
others() {
    held=
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
        "$begin")
            printf %s "$held"
            held="$line
" ;;
        "$end")
            [ -n "$held" ] || printf '%s\n' "$line"
            held= ;;
        *)
            if [ -n "$held" ]; then
                held="$held$line
"
            else
                printf '%s\n' "$line"
            fi ;;
        esac
    done
    printf %s "$held"
}
if [ -L "$hosts" ]; then
    say "does not change $hosts, because it is a link: add the names of its peers to its target"
    exit 0
fi
[ -e "$hosts" ] || true >"$hosts" || { say "has no names of its peers: $hosts cannot be created" && exit 0; }
there=$(cat "$hosts") || { say "has no names of its peers: $hosts cannot be read" && exit 0; }
wanted=$({ [ -z "$there" ] || printf '%s\n' "$there"; } | others && block)
[ "$there" != "$wanted" ] || exit 0
# Beside it and renamed: a crash or a full disk leaves the old one whole. The copy brings its mode, owner and label.
rm -f "$new"
if cp -a "$hosts" "$new" && printf '%s\n' "$wanted" >"$new" && sync && mv -f "$new" "$hosts" 2>/dev/null; then exit 0; fi
# Nothing can be renamed over a mount, which is what containers have there.
if [ "$(cat "$new" 2>/dev/null)" = "$wanted" ] && printf '%s\n' "$wanted" >"$hosts"; then
    say "writes the names of its peers into $hosts in place, because it cannot be renamed there"
else
    say "has no names of its peers: $hosts cannot be written"
fi
rm -f "$new"
