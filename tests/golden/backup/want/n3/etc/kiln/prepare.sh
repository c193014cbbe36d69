# Made by Kiln for n3 of golden: what the guard needs of root.
set -u
# Below, `true >FILE` and not `: >FILE`: a special builtin that cannot open its file ends the shell (POSIX, 2.8.1).
# What the host remembers, where it says so: QEMU's -fw_cfg name=opt/kiln/formed,string=yes. Only root can read it.
mkdir -p /run/kiln || exit
if [ "$(cat /sys/firmware/qemu_fw_cfg/by_name/opt/kiln/formed/raw 2>/dev/null)" = yes ]; then
    true >/run/kiln/formed || exit
fi
