"""A command line as a host ran it, as one that runs anywhere."""

from __future__ import annotations

import pytest

from bot.core.cmdline import NotACommandLine, read

LIBVIRT = """\
2025-03-11 08:12:04.104+0000: starting up libvirt version: 9.0.0, package: 4 (Debian), qemu version: 7.2.0
LC_ALL=C \\
PATH=/usr/local/sbin:/usr/bin \\
HOME=/var/lib/libvirt/qemu/domain-3-web \\
/usr/bin/qemu-system-x86_64 \\
-name guest=web,debug-threads=on \\
-S \\
-object '{"qom-type":"secret","id":"masterKey0","format":"raw","file":"/var/lib/master-key.aes"}' \\
-machine pc-q35-7.2,usb=off,dump-guest-core=off,memory-backend=pc.ram,pflash0=libvirt-pflash0-format \\
-accel kvm \\
-cpu host,migratable=on \\
-m 2048 \\
-object '{"qom-type":"memory-backend-file","id":"pc.ram","mem-path":"/dev/huge","prealloc":true,"size":2147483648}' \\
-smp 2,sockets=2,cores=1,threads=1 \\
-uuid 7c0d6d4a-1f6b-4a53-8a3f-3f1d3bd3e0aa \\
-no-user-config \\
-nodefaults \\
-chardev socket,id=charmonitor,fd=35,server=on,wait=off \\
-mon chardev=charmonitor,id=monitor,mode=control \\
-rtc base=utc,driftfix=slew \\
-global kvm-pit.lost_tick_policy=delay \\
-boot strict=on \\
-device '{"driver":"pcie-root-port","port":16,"chassis":1,"id":"pci.1","bus":"pcie.0","multifunction":true}' \\
-blockdev '{"driver":"file","filename":"/srv/web,1.qcow2","node-name":"libvirt-1-storage","auto-read-only":true}' \\
-blockdev '{"node-name":"libvirt-1-format","read-only":false,"driver":"qcow2","file":"libvirt-1-storage"}' \\
-device '{"driver":"virtio-blk-pci","bus":"pci.1","addr":"0x0","drive":"libvirt-1-format","id":"virtio-disk0"}' \\
-netdev '{"type":"tap","fd":"36","vhost":true,"vhostfd":"38","id":"hostnet0"}' \\
-device '{"driver":"virtio-net-pci","netdev":"hostnet0","id":"net0","mac":"52:54:00:0c:11:22","bus":"pcie.0"}' \\
-chardev pty,id=charserial0 \\
-device isa-serial,chardev=charserial0,id=serial0 \\
-tpmdev emulator,id=tpm-tpm0,chardev=chrtpm \\
-device tpm-crb,tpmdev=tpm-tpm0,id=tpm0 \\
-audiodev '{"id":"audio1","driver":"spice"}' \\
-vnc 127.0.0.1:0,audiodev=audio1 \\
-device vfio-pci,host=0000:01:00.0,id=hostdev0 \\
-incoming defer \\
-sandbox on,obsolete=deny \\
-msg timestamp=on
char device redirected to /dev/pts/3 (label charserial0)
2025-03-11T08:13:00.1Z qemu-system-x86_64: load of migration failed: Invalid argument
2025-03-11 08:13:00.400+0000: shutting down, reason=failed
"""


def test_what_libvirt_logs() -> None:
    started = read(LIBVIRT)
    assert (started.program, started.arch, started.machine) == ("/usr/bin/qemu-system-x86_64", "x86_64", "pc-q35-7.2")
    assert started.args == (
        "-machine", "usb=off,dump-guest-core=off,memory-backend=pc.ram",
        "-m", "2048",
        "-object", "memory-backend-file,id=pc.ram,mem-path={dir},size=2147483648",
        "-smp", "2,sockets=2,cores=1,threads=1",
        "-uuid", "7c0d6d4a-1f6b-4a53-8a3f-3f1d3bd3e0aa",
        "-no-user-config", "-nodefaults",
        "-chardev", "null,id=charmonitor",
        "-rtc", "base=utc,driftfix=slew",
        "-global", "kvm-pit.lost_tick_policy=delay",
        "-boot", "strict=on",
        "-device", "pcie-root-port,port=16,chassis=1,id=pci.1,bus=pcie.0,multifunction=on",
        "-blockdev", "driver=null-co,node-name=libvirt-1-storage",
        "-blockdev", "driver=null-co,node-name=libvirt-1-format,read-only=off",
        "-device", "virtio-blk-pci,bus=pci.1,addr=0x0,drive=libvirt-1-format,id=virtio-disk0",
        "-netdev", "hubport,hubid=0,id=hostnet0",
        "-device", "virtio-net-pci,netdev=hostnet0,id=net0,mac=52:54:00:0c:11:22,bus=pcie.0",
        "-chardev", "null,id=charserial0",
        "-device", "isa-serial,chardev=charserial0,id=serial0",
        "-audiodev", "none,id=audio1",
    )  # fmt: skip
    assert started.left_out == (
        "-object secret,id=masterKey0",
        "-machine pflash0=libvirt-pflash0-format",
        "-cpu host,migratable=on",
        "-tpmdev emulator,id=tpm-tpm0,chardev=chrtpm",
        "-device tpm-crb,tpmdev=tpm-tpm0,id=tpm0",
        "-device vfio-pci,host=0000:01:00.0,id=hostdev0",
    )


@pytest.mark.parametrize(
    ("typed", "args"),
    [
        ("-m 1G -S -no-hpet -daemonize", ("-m", "1G", "-no-hpet")),
        ("-drive file=/x.img,if=virtio,format=raw", ("-drive", "if=virtio,driver=null-co")),
        ("-drive if=none,id=cd,media=cdrom", ("-drive", "if=none,id=cd,media=cdrom")),
        ("-drive file=/a,,b.img,id=d", ("-drive", "id=d,driver=null-co")),
        ("-mem-path /dev/shm -mem-prealloc", ("-mem-path", "{dir}")),
        ("-serial pty -parallel none -serial chardev:c",
         ("-serial", "null", "-parallel", "none", "-serial", "chardev:c")),
        ("-netdev user,id=a -netdev tap,id=b",
         ("-netdev", "hubport,hubid=0,id=a", "-netdev", "hubport,hubid=1,id=b")),
        ("-object rng-egd,chardev=c,id=r", ("-object", "rng-random,id=r")),
        ("-object rng-random,filename=/dev/hwrng,id=r", ("-object", "rng-random,filename=/dev/urandom,id=r")),
        ("-object iothread,id=i", ("-object", "iothread,id=i")),
        ("-device e1000,netdev=n,romfile=/x/y.rom", ("-device", "e1000,netdev=n")),
        ("-cpu qemu64,+x2apic", ("-cpu", "qemu64,+x2apic")),
        ("-fw_cfg name=opt/x,string=y", ("-fw_cfg", "name=opt/x,string=y")),
        ("--nodefaults --cpu Westmere", ("-nodefaults", "-cpu", "Westmere")),
        ("-enable-kvm -kernel /boot/vmlinuz -append 'console=ttyS0 -x' -display none", ()),
    ],
)  # fmt: skip
def test_each_option(typed: str, args: tuple[str, ...]) -> None:
    started = read(f"# qemu-system-ppc64 -M pseries-2.12 {typed}")
    assert started.args == args and started.left_out == ()
    assert (started.arch, started.machine) == ("ppc64", "pseries-2.12")


@pytest.mark.parametrize(
    "typed",
    [
        "-hda x.img",
        "-bios /x/OVMF.fd",
        "-pflash f",
        "-fw_cfg name=a,file=/b",
        "-smbios file=/x",
        "-virtfs local,path=/",
    ],
)
def test_what_needs_the_host_is_left_out_and_told(typed: str) -> None:
    started = read(f"qemu-system-x86_64 -machine q35 {typed}")
    assert (started.args, started.left_out) == ((), (typed,))


def test_the_last_start_counts_and_a_disk_by_itself_is_one() -> None:
    started = read(
        f"{LIBVIRT}\nroot@host:~# /usr/libexec/qemu-kvm -machine type=virt-8.2,accel=kvm:tcg -m 512 disk.img\n"
    )
    assert (started.program, started.arch, started.machine) == ("/usr/libexec/qemu-kvm", None, "virt-8.2")
    assert started.args == ("-m", "512") and started.left_out == ("-hda disk.img",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no QEMU command line"),
        ("qemu-system-x86_64: load of migration failed: Invalid argument", "no QEMU command line"),
        ("qemu-system-x86_64 'unbalanced", "no QEMU command line"),
        ("qemu-system-x86_64 -m 1G", "without -machine TYPE"),
        ("\0\xff\n" * 1000, "no QEMU command line"),
    ],
)
def test_what_is_none(text: str, says: str) -> None:
    with pytest.raises(NotACommandLine, match=says):
        read(text)


def test_json_that_is_none_is_taken_as_words() -> None:
    assert read("qemu-system-x86_64 -M q35 -device '{broken'").args == ("-device", "{broken")
