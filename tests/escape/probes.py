"""What input that took over the confined process would try: each probe with the rules that deny it.

All rules of a probe have to be taken out before it succeeds. Their kinds: `call`, a system call that the filter does
not allow, or not with this argument; `landlock`, one right, or all of it; `limit`; `capabilities`; `dumpable`;
`launch`, what is left behind at the start; `namespace`, of the upper layer, which not every user may have.
"""

import ctypes
import fcntl
import mmap
import os
import resource
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass

from tests.escape import acts
from tests.escape.acts import HERE, WINCH, Scene, call, opened, read, there


@dataclass(frozen=True)
class Probe:
    """One attempt: it returns if it can do what it wants, and raises OSError or is killed if not.

    Attributes:
        rules: separated by commas.
        root: only root may do it outside.
        may_lack: there are kernels and machines where nobody may.
    """

    name: str
    rules: str
    act: Callable[[Scene], object]
    root: bool = False
    may_lack: bool = False

    @property
    def denied_by(self) -> frozenset[str]:
        """Its rules."""
        return frozenset(self.rules.split(", "))

    @property
    def floor(self) -> frozenset[str]:
        """Those of the floor; where there are none, the upper layer alone stops it."""
        return frozenset(rule for rule in self.denied_by if not rule.startswith("namespace"))


P = Probe
_INET = ("127.0.0.1",)
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_NEWUSER, _GROWSDOWN, _NORESERVE = 1 << 28, 0x100, 0x4000
_SIGCHLD = 17

PROBES = (
    # Other processes of this user, the one that holds the keys among them
    P("kill", "call kill, landlock signals", lambda s: os.kill(s.victim, WINCH)),
    P("kill everyone", "call kill", lambda s: os.kill(-1, 0)),
    P("kill a group", "call kill, landlock signals", lambda s: os.killpg(s.victim, WINCH)),
    P("tkill", "call tkill, landlock signals", lambda s: call("tkill", s.victim, WINCH)),
    P("tgkill", "call tgkill, landlock signals", lambda s: call("tgkill", s.victim, s.victim, WINCH)),
    P("rt_sigqueueinfo", "call rt_sigqueueinfo, landlock signals", lambda s: acts.queue("rt_sigqueueinfo", s.victim)),
    P(
        "rt_tgsigqueueinfo",
        "call rt_tgsigqueueinfo, landlock signals",
        lambda s: acts.queue("rt_tgsigqueueinfo", s.victim, s.victim),
    ),
    P(
        "signal by pidfd",
        "call pidfd_open, call pidfd_send_signal, landlock signals",
        lambda s: call("pidfd_send_signal", call("pidfd_open", s.victim, 0), WINCH, None, 0),
    ),
    P("signals by F_SETOWN", "call fcntl", lambda s: acts.fcntl_of(s.model, fcntl.F_SETOWN, s.victim)),
    P("ptrace", "call ptrace, landlock, capabilities", lambda s: call("ptrace", 0x4206, s.victim, 0, 0)),
    P(
        "process_vm_readv",
        "call process_vm_readv, landlock, capabilities",
        lambda s: acts.memory_of(s, "process_vm_readv"),
    ),
    P(
        "process_vm_writev",
        "call process_vm_writev, landlock, capabilities",
        lambda s: acts.memory_of(s, "process_vm_writev"),
    ),
    P("another's memory", "landlock, capabilities", lambda s: opened(f"/proc/{s.victim}/mem", os.O_RDWR)),
    P("another's environment", "landlock, capabilities", lambda s: there(read(f"/proc/{s.victim}/environ"))),
    P("another's descriptors", "landlock", lambda s: there(os.listdir(f"/proc/{s.victim}/fd"))),
    P("another's root", "landlock, capabilities", lambda s: os.readlink(f"/proc/{s.victim}/root")),
    P("another's command", "landlock read_file", lambda s: there(read(f"/proc/{s.victim}/cmdline"))),
    P("list of processes", "landlock read_dir", lambda s: os.listdir("/proc")),
    P(
        "pidfd_getfd",
        "call pidfd_open, call pidfd_getfd, landlock, capabilities",
        lambda s: call("pidfd_getfd", call("pidfd_open", s.victim, 0), 0, 0),
    ),
    P("kcmp", "call kcmp, landlock, capabilities", lambda s: call("kcmp", s.victim, s.victim, 0, 0, 0), may_lack=True),
    P("limits of another", "call prlimit64", lambda s: resource.prlimit(s.victim, resource.RLIMIT_NOFILE)),
    P("priority of another", "call setpriority, capabilities", lambda s: os.setpriority(os.PRIO_PROCESS, s.victim, 5)),
    P(
        "affinity of another",
        "call sched_setaffinity, capabilities",
        lambda s: os.sched_setaffinity(s.victim, os.sched_getaffinity(0)),
    ),
    P(
        "scheduler of another",
        "call sched_setscheduler, capabilities",
        lambda s: os.sched_setscheduler(s.victim, os.SCHED_BATCH, os.sched_param(0)),
    ),
    P(
        "disk priority of another",
        "call ioprio_set, capabilities",
        lambda s: call("ioprio_set", 1, s.victim, 2 << 13 | 5),
    ),
    # Programs and processes
    P("fork", "call clone", lambda s: acts.end(os.fork())),
    P("clone3", "call clone3", lambda s: acts.clone3()),
    P("execve", "call execve, landlock execute, landlock read_file", lambda s: acts.echo(os.execv)),
    P(
        "program in memory",
        "call memfd_create, call execveat, limit fsize, landlock execute, landlock read_file",
        lambda s: acts.run_from_memory(),
    ),
    P("memfd_create", "call memfd_create", lambda s: os.memfd_create("x")),
    P("leave the session", "call setsid", lambda s: os.setsid()),
    P("leave the group", "call setpgid", lambda s: os.setpgid(0, 0)),
    P("outlive the parent", "call prctl", lambda s: call("prctl", 1, 0)),
    P("be dumpable", "call prctl", lambda s: call("prctl", 4, 1)),
    P("personality", "call personality", lambda s: call("personality", 0x0040000)),
    P("setuid", "call setuid", lambda s: os.setuid(os.getuid())),
    P("capset", "call capset", lambda s: call("capset", (ctypes.c_uint32 * 2)(0x20080522), (ctypes.c_uint32 * 6)())),
    P("limits set anew", "call prlimit64", lambda s: acts.limits_again()),
    P("ptrace me", "call ptrace", lambda s: call("ptrace", 0, 0, 0, 0)),
    # Files
    P("read a key", "landlock read_file", lambda s: there(read(s.key))),
    P("list a folder of keys", "landlock read_dir", lambda s: there(os.listdir(os.path.dirname(s.key)))),
    P("read passwd", "landlock read_file", lambda s: there(read("/etc/passwd"))),
    P("read a program", "landlock read_file", lambda s: there(read("/usr/bin/env"))),
    P("read shadow", "landlock read_file", lambda s: there(read("/etc/shadow")), root=True),
    P(
        "openat2",
        "call openat2, landlock read_file",
        lambda s: call("openat2", HERE, s.key, (ctypes.c_uint64 * 3)(), 24),
    ),
    P("write to a key", "landlock write_file", lambda s: opened(s.key, os.O_WRONLY)),
    P("write to the model", "landlock write_file", lambda s: opened(s.model, os.O_WRONLY)),
    P(
        "empty a file by opening",
        "call openat, landlock write_file, landlock truncate",
        lambda s: opened(s.old, os.O_WRONLY | os.O_TRUNC),
    ),
    P("truncate", "call truncate, landlock truncate", lambda s: os.truncate(s.old, 0)),
    P("chmod", "call chmod", lambda s: call("chmod", s.key, 0o600)),
    P("fchmod", "call fchmod", lambda s: os.fchmod(opened(s.model), 0o644)),
    P("fchmodat", "call fchmodat", lambda s: call("fchmodat", HERE, s.key, 0o600)),
    P("chown", "call chown", lambda s: call("chown", s.key, os.getuid(), os.getgid())),
    P("fchownat", "call fchownat", lambda s: call("fchownat", HERE, s.key, os.getuid(), os.getgid(), 0)),
    P("utimensat", "call utimensat", lambda s: call("utimensat", HERE, s.key, None, 0)),
    P("setxattr", "call setxattr", lambda s: call("setxattr", s.key, "user.a", "b", 1, 0), may_lack=True),
    P("link", "call linkat, landlock make_reg", lambda s: call("linkat", HERE, s.old, HERE, s.new, 0)),
    P(
        "rename",
        "call renameat2, landlock make_reg, landlock remove_file",
        lambda s: call("renameat2", HERE, s.old, HERE, s.new, 0),
    ),
    P("unlink", "call unlinkat, landlock remove_file", lambda s: call("unlinkat", HERE, s.old, 0)),
    P(
        "rmdir",
        "call unlinkat, landlock remove_dir",
        lambda s: call("unlinkat", HERE, f"{s.folder}/scratch/empty", 0x200),
    ),
    P("symlink", "call symlinkat, landlock make_sym", lambda s: call("symlinkat", s.key, HERE, s.new)),
    P("mkdir", "call mkdirat, landlock make_dir", lambda s: call("mkdirat", HERE, s.new, 0o700)),
    P("mkfifo", "call mknodat, landlock make_fifo", lambda s: call("mknodat", HERE, s.new, stat.S_IFIFO | 0o600, 0)),
    P(
        "make a socket file",
        "call mknodat, landlock make_sock",
        lambda s: call("mknodat", HERE, s.new, stat.S_IFSOCK, 0),
    ),
    P(
        "make a character device",
        "call mknodat, landlock make_char, capabilities",
        lambda s: call("mknodat", HERE, s.new, stat.S_IFCHR, os.makedev(1, 3)),
        root=True,
    ),
    P(
        "make a block device",
        "call mknodat, landlock make_block, capabilities",
        lambda s: call("mknodat", HERE, s.new, stat.S_IFBLK, os.makedev(7, 0)),
        root=True,
    ),
    P("make a file", "landlock make_reg, landlock write_file", lambda s: opened(s.new, os.O_CREAT | os.O_WRONLY)),
    P("fill the disk", "landlock make_reg, landlock write_file, limit fsize", lambda s: acts.fill(s.new)),
    P("overwrite shared memory", "landlock read_file, landlock write_file", lambda s: opened(s.shared, os.O_RDWR)),
    P("watch a key", "call inotify_init1, call inotify_add_watch", lambda s: acts.watch(s.key)),
    P("lock the model", "call flock", lambda s: fcntl.flock(opened(s.model), fcntl.LOCK_EX)),
    P("lock a part of the model", "call fcntl", lambda s: acts.fcntl_of(s.model, fcntl.F_SETLK, acts.SHARED_LOCK)),
    P("lease of the model", "call fcntl", lambda s: acts.fcntl_of(s.model, 1024, fcntl.F_RDLCK), may_lack=True),
    P("ioctl of a file", "call ioctl", lambda s: fcntl.ioctl(opened(s.model), 2, bytes(4))),
    P("chdir", "call chdir", lambda s: os.chdir("/")),
    P("umask", "call umask", lambda s: os.umask(0o077)),
    P("handle of a file", "call name_to_handle_at", lambda s: acts.handle_of(s.key), may_lack=True),
    P(
        "open by handle",
        "call name_to_handle_at, call open_by_handle_at, landlock, capabilities",
        acts.open_by_handle,
        root=True,
        may_lack=True,
    ),
    P("what nobody may read", "capabilities", lambda s: there(read(f"{s.folder}/models/closed")), root=True),
    P("list of devices", "landlock read_dir", lambda s: os.listdir("/dev")),
    P("a terminal", "landlock read_file, landlock write_file", lambda s: opened("/dev/ptmx", os.O_RDWR), may_lack=True),
    P("a disk", "landlock read_file", lambda s: there(read(s.disk)), root=True, may_lack=True),
    P(
        "a setting of the kernel",
        "landlock write_file",
        lambda s: opened("/proc/sys/vm/swappiness", os.O_WRONLY),
        root=True,
    ),
    P(
        "who is killed first",
        "landlock write_file, dumpable",
        lambda s: opened("/proc/self/oom_score_adj", os.O_WRONLY),
    ),
    # The system
    P("mount", "call mount, landlock, capabilities", lambda s: acts.mount(s), root=True),
    P("open_tree", "call open_tree", lambda s: call("open_tree", HERE, "/", 0)),
    P("fsopen", "call fsopen, capabilities", lambda s: call("fsopen", "tmpfs", 0), root=True),
    P("chroot", "call chroot, capabilities", lambda s: os.chroot("/"), root=True),
    P("user namespace", "call unshare", lambda s: call("unshare", _NEWUSER), may_lack=True),
    P(
        "process in a user namespace",
        "call clone",
        lambda s: acts.end(call("clone", _NEWUSER | _SIGCHLD, 0, 0, 0, 0)),
        may_lack=True,
    ),
    P("setns", "call setns, capabilities", lambda s: call("setns", opened("/proc/self/ns/uts"), 0), root=True),
    P("sethostname", "call sethostname, capabilities", lambda s: socket.sethostname(s.host), root=True),
    P("clock read to set it", "call adjtimex", lambda s: call("adjtimex", ctypes.create_string_buffer(512))),
    P("settimeofday", "call settimeofday, capabilities", lambda s: call("settimeofday", None, None), root=True),
    P("bpf", "call bpf, capabilities", lambda s: call("bpf", 0, (ctypes.c_uint32 * 18)(2, 4, 4, 1), 72), root=True),
    P("perf_event_open", "call perf_event_open", lambda s: acts.perf(), may_lack=True),
    P("io_uring", "call io_uring_setup", lambda s: call("io_uring_setup", 1, bytes(120)), may_lack=True),
    P("userfaultfd", "call userfaultfd", lambda s: call("userfaultfd", 1), may_lack=True),
    P("add_key", "call add_key", lambda s: call("add_key", "user", "x", "x", 1, -2), may_lack=True),
    P("keyctl", "call keyctl", lambda s: call("keyctl", 0, -2, 1), may_lack=True),
    P("shmat", "call shmat, namespace ipc", lambda s: call("shmat", s.ipc_id, 0, 0)),
    P("shmget", "call shmget, namespace ipc", lambda s: call("shmget", s.ipc_key, 1, 0)),
    P("msgget", "call msgget, namespace ipc", lambda s: call("msgget", s.ipc_key, 0)),
    # Networks
    P(
        "TCP",
        "call socket, call connect, landlock connect_tcp",
        lambda s: acts.connect(socket.AF_INET, (*_INET, s.port)),
    ),
    P("TCP server", "call socket, call bind, landlock bind_tcp", lambda s: acts.bind()),
    P("UDP", "call socket, call sendto", acts.send),
    P("IPv6", "call socket", lambda s: acts.socket_of(socket.AF_INET6, socket.SOCK_DGRAM), may_lack=True),
    P("UNIX socket", "call socket, call connect", lambda s: acts.connect(socket.AF_UNIX, f"{s.folder}/socket")),
    P(
        "abstract UNIX socket",
        "call socket, call connect, landlock abstract",
        lambda s: acts.connect(socket.AF_UNIX, f"\0{s.folder}"),
    ),
    P("netlink", "call socket", lambda s: acts.socket_of(socket.AF_NETLINK, socket.SOCK_RAW)),
    P("packets", "call socket, capabilities", lambda s: acts.socket_of(17, socket.SOCK_RAW), root=True, may_lack=True),
    P("raw socket", "call socket, capabilities", lambda s: acts.socket_of(2, socket.SOCK_RAW, 1), root=True),
    P("vsock", "call socket", lambda s: acts.socket_of(40, socket.SOCK_STREAM), may_lack=True),
    P("kernel cryptography", "call socket", lambda s: acts.socket_of(38, socket.SOCK_SEQPACKET), may_lack=True),
    P(
        "socketpair",
        "call socketpair",
        lambda s: call("socketpair", socket.AF_UNIX, socket.SOCK_STREAM, 0, (ctypes.c_int * 2)()),
    ),
    # Too much of what there is
    P("more memory", "limit data", lambda s: acts.mapped(6 << 30, _PRIVATE | _NORESERVE), may_lack=True),
    P("memory that no limit counts", "call mmap", lambda s: acts.mapped(4096, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)),
    P("memory that grows down", "call mmap", lambda s: acts.mapped(4096, _PRIVATE | _GROWSDOWN)),
    P("locked memory", "call mlock", lambda s: call("mlock", ctypes.create_string_buffer(64), 64)),
    P("descriptors without end", "limit nofile", lambda s: acts.many(s.model)),
    P("CPU time without end", "limit cpu", lambda s: acts.burn()),
    P("core dump", "limit core, dumpable, landlock", lambda s: os.abort(), may_lack=True),
    # What a start leaves behind
    P("a password", "launch environment", lambda s: there(os.environ.get("ASSAY_PASSWORD"))),
    P("a descriptor of a key", "launch descriptors", acts.inherited),
    # What the floor cannot deny: names, and what /proc/self tells of all
    P("whether a key is there", "namespace mount", lambda s: os.stat(s.key)),
    P("where a link leads", "namespace mount", lambda s: os.readlink(f"{s.folder}/keys/current")),
    P("what is mounted", "namespace mount", lambda s: there(b" / / " in read("/proc/self/mountinfo"))),
    P("whether a process runs", "namespace pid", lambda s: os.stat(f"/proc/{s.victim}")),
    P("who listens", "namespace net", lambda s: there(b":%04X " % s.port in read("/proc/self/net/tcp"))),
    P("the host's name", "namespace uts", lambda s: there(os.uname().nodename == s.host)),
)
