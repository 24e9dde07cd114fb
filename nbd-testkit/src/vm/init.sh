#!/bin/busybox sh
# shellcheck shell=dash
# The guest's first process: makes a Linux of it, has the tests run, sends the logs, and ends the machine.
export PATH=/usr/bin:/usr/sbin:/bin:/sbin HOME=/root TMPDIR=/tmp NBD_TEST_REQUIRE_PEERS=1
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t tmpfs tmp /tmp
/bin/busybox mount -t tmpfs run /run
exec </dev/null >/dev/console 2>&1
# Programs of the host stay what they are; busybox supplies the rest.
/bin/busybox --install -s /usr/bin 2>/dev/null
dmesg -n 7
ip link set lo up
# Nothing is to be translated on its way out.
stty -F /dev/ttyS1 raw
stty -F /dev/ttyS2 raw
cd /tmp || poweroff -f
vm-tests --in-guest
tar -cf /dev/ttyS2 -C /logs .
poweroff -f
