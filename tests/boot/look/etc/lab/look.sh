# shellcheck shell=sh
# Prints what the tests want to know of a node whose member serves. `look: ` begins every line, `look: end` the last.
systemctl --failed --no-legend | sed 's/^/look: failed: /'
systemd-analyze security etcd.service 2>&1 | tail -n 1 | sed 's/^[^O]*/look: /'
# Every file, wherever it is, that holds a private key. The name of the mark is split, so that this file is none.
mark="PRIVATE"" KEY"
{ find / -xdev -type f -size -4096k ! -path '/usr/*' && find /run /tmp /dev -type f -size -4096k; } 2>/dev/null | sort -u |
    while read -r file; do
        if grep -q "$mark" "$file" 2>/dev/null; then echo "look: key: $(stat -c '%a %U:%G %n' "$file")"; fi
    done
for file in /var/lib/etcd /dev/disk/by-label/CIDATA /sys/firmware/qemu_fw_cfg/by_name/opt/com.coreos/config/raw; do
    if [ -e "$file" ]; then echo "look: mode: $(stat -L -c '%a %U:%G' "$file") $file"; fi
done
echo "look: hosts: $(grep -c 'kloud.lan' /etc/hosts)"
echo "look: started: $(systemctl show -P ExecMainStartTimestampMonotonic etcd.service)"
echo "look: serves: $(systemctl show -P ActiveEnterTimestampMonotonic etcd.service)"
echo "look: userspace: $(systemctl show -P UserspaceTimestampMonotonic)"
echo "look: initrd: $(systemctl show -P InitRDTimestampMonotonic)"
echo "look: memory: $(sed -n 's/^MemTotal: *//p; s/^MemAvailable: */of which is free: /p' /proc/meminfo | tr '\n' ' ')"
echo "look: end"
