#!/bin/sh
# The first process of a guest: the host's whole file system, read-only over 9p, under a writable layer in memory.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do
    insmod "$module" || echo "GUEST_INIT insmod $module failed"
done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 host /lower || echo "GUEST_INIT 9p mount failed"
mount -t tmpfs -o size=70% upper /upper
mkdir -p /upper/data /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work root /root
for dir in proc sys dev; do mount --move /$dir /root/$dir; done
mount -t tracefs tracefs /root/sys/kernel/tracing
mount -t debugfs debugfs /root/sys/kernel/debug
mount -t bpf bpf /root/sys/fs/bpf
mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
mkdir -p /root/dev/shm /root/dev/pts
mount -t tmpfs shm /root/dev/shm
mount -t devpts devpts /root/dev/pts
mount -t tmpfs run /root/run
cat /command.sh > /root/run/command.sh
ifconfig lo 127.0.0.1 up
chroot /root /bin/bash /run/command.sh
status=$?
echo
echo "GUEST_RC=$status"
reboot -f
