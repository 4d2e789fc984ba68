"""Starts a program in namespaces of its own where the kernel lets this user have them, watches it, and ends with it.

Run as a file by `launch.py`, without Assay's packages and with few of Python's, so that it costs a few milliseconds.
Arguments: PARENT THREADS MEMORY_BYTES, the numbers of files and devices, FILE ... DEVICE ... PROGRAM ... Namespaces:
https://man7.org/linux/man-pages/man7/namespaces.7.html. A process of its own tries them, because one that fails halfway
cannot go back. `ASSAY_NAMESPACES` tells the program why it has none; it is empty where it has them.
"""

import ctypes
import os
import select
import sys

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x20000, 1 << 26, 1 << 27, 1 << 28, 1 << 29, 1 << 30
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _BIND, _REC, _PRIVATE, _DETACH = 1, 2, 4, 8, 4096, 16384, 1 << 18, 2
_PR_SET_PDEATHSIG, _SIGKILL = 1, 9
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE = 442, -100, 0x8000
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_SHELL = "/tmp"
"""Where the new root is put together; the program sees it no more."""

_LOOK_MS = 50

View = dict[str, list[str]]

_libc = ctypes.CDLL(None, use_errno=True)


def main(parent: int, view: View, most: dict[str, int], program: list[str]) -> int:
    """Runs the program; returns its wait status.

    Args:
        parent: the process whose end ends the program.
        view: "files" and "devices", the paths that the program may see.
        most: "threads" and "memory_bytes"; a program that has more is killed.
    """
    death = os.pidfd_open(parent)
    if os.getppid() != parent:
        return _SIGKILL
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # where memory runs out, the first to be ended
    itself, (why_not, say) = os.pidfd_open(os.getpid()), os.pipe()
    within = os.fork()
    if within == 0:
        try:
            _unshare()
            _end_with(itself)
            return _kept(program, "", view, say, death, most)
        except OSError as error:
            os.write(say, f"{error.filename or 'fork'}: {error.strerror}".encode())
            os._exit(1)
    os.close(say)
    with os.fdopen(why_not) as said:
        why = said.read()  # nothing, once the program runs
    if why:
        os.waitpid(within, 0)
        return _kept(program, why, None, os.dup(0), death, most)
    _let_go_of_pipes()
    return os.waitpid(within, 0)[1]


def _kept(program: list[str], why: str, view: View | None, say: int, death: int, most: dict[str, int]) -> int:
    """Starts the program, in a root of its own if it is to have one, and watches it."""
    itself = os.pidfd_open(os.getpid())
    worker = os.fork()
    if worker == 0:
        if view is not None:
            _build_root(view)
        _end_with(itself)
        os.execve(program[0], program, os.environ | {"ASSAY_NAMESPACES": why})
    os.close(say)
    _let_go_of_pipes()
    return _watched(worker, death, most)


def _end_with(parent: int) -> None:
    """Has this process killed when its parent ends; a parent that ended before is seen by its descriptor."""
    _checked("prctl", _libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL))
    if select.select([parent], [], [], 0)[0]:
        os.kill(os.getpid(), _SIGKILL)


def _let_go_of_pipes() -> None:
    """So that they close when the program ends."""
    null = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1):
        os.dup2(null, standard)


def _unshare() -> None:
    """Own namespaces of everything but mounts for what is forked from now on; this process keeps its uid in them."""
    ids = {"uid_map": os.getuid(), "gid_map": os.getgid()}
    _checked("unshare", _libc.unshare(_NEWUSER | _NEWPID | _NEWNET | _NEWIPC | _NEWUTS))
    for name, said in {"setgroups": "deny", **{name: f"{one} {one} 1" for name, one in ids.items()}}.items():
        with open(f"/proc/self/{name}", "w") as file:
            file.write(said)


def _build_root(view: View) -> None:
    """A root with these files, read-only, these devices, a small tmpfs, and the processes of this namespace."""
    _checked("unshare", _libc.unshare(_NEWNS))
    _mount(None, "/", None, _REC | _PRIVATE)
    links = {path: os.readlink(path) for path in view["files"] if path.count("/") == 1 and os.path.islink(path)}
    origins = {path: os.path.realpath(path) for path in (*view["files"], *view["devices"]) if path not in links}
    _mount("tmpfs", _SHELL, "tmpfs", _NOSUID | _NODEV, "mode=755,size=16m")
    old, new = f"{_SHELL}/old", f"{_SHELL}/new"
    for folder in (old, new):
        os.mkdir(folder)
    _mount(new, new, None, _BIND)
    _pivot(_SHELL, old)
    for path, target in links.items():
        os.symlink(target, f"/new{path}")
    for path, origin in origins.items():
        _show(f"/old{origin}", f"/new{path}", _NOSUID | (_NOEXEC if path in view["devices"] else _NODEV | _RDONLY))
    os.mkdir("/new/proc")
    _mount("proc", "/new/proc", "proc", _NOSUID | _NODEV | _RDONLY | _NOEXEC)
    os.chdir("/new")
    _pivot(".", ".")
    _checked("umount", _libc.umount2(b".", _DETACH))
    os.chdir("/")
    _restrict_mount("/", _RDONLY | _NOSUID | _NODEV)
    _checked("sethostname", _libc.sethostname(b"confined", 8))


def _show(origin: str, target: str, flags: int) -> None:
    if os.path.isdir(origin):
        os.makedirs(target)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_CLOEXEC))
    _mount(origin, target, None, _BIND | _REC)
    _restrict_mount(target, flags, _AT_RECURSIVE)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    source_bytes, kind_bytes = (None if one is None else one.encode() for one in (source, kind))
    _checked(f"mount {target}", _libc.mount(source_bytes, target.encode(), kind_bytes, flags, data.encode()))


def _restrict_mount(target: str, flags: int, below: int = 0) -> None:
    attributes = (ctypes.c_uint64 * 4)(flags, 0, 0, 0)
    called = _libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, target.encode(), below, attributes, ctypes.sizeof(attributes))
    _checked(f"mount_setattr {target}", called)


def _pivot(new: str, old: str) -> None:
    _checked("pivot_root", _libc.syscall(_PIVOT_ROOT[os.uname().machine], new.encode(), old.encode()))
    if new != ".":
        os.chdir("/")


def _watched(worker: int, death: int, most: dict[str, int]) -> int:
    """Waits for the program's end, and brings it about where its parent ends or it takes too much."""
    ended, looks, status = os.pidfd_open(worker), select.poll(), os.open(f"/proc/{worker}/status", os.O_RDONLY)
    for one in (death, ended):
        looks.register(one, select.POLLIN)
    while not (ready := [number for number, _ in looks.poll(_LOOK_MS)]):
        has = _usage(status)
        for name, limit in most.items():
            if has[name] > limit:
                sys.stderr.write(f"it was ended: {has[name]} {name.replace('_', ' ')}, {limit} are the most\n")
                os.kill(worker, _SIGKILL)
                looks.unregister(death)
    if ended not in ready:
        os.kill(worker, _SIGKILL)
    return os.waitpid(worker, 0)[1]


def _usage(status: int) -> dict[str, int]:
    """Threads, and bytes of memory that no file backs. None of a process that has ended."""
    try:
        said = os.pread(status, 1 << 16, 0).decode()
    except ProcessLookupError:
        said = ""
    lines = dict(line.split(":", 1) for line in said.splitlines())
    kib = sum(int(lines.get(name, "0 kB").split()[0]) for name in ("RssAnon", "RssShmem"))
    return {"threads": int(lines.get("Threads", 0)), "memory_bytes": kib << 10}


def _checked(name: str, result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


if __name__ == "__main__":
    parent, threads, memory_bytes, files, devices = map(int, sys.argv[1:6])
    paths, rest = sys.argv[6 : 6 + files + devices], sys.argv[6 + files + devices :]
    seen = {"files": paths[:files], "devices": paths[files:]}
    status = main(parent, seen, {"threads": threads, "memory_bytes": memory_bytes}, rest)
    if os.WIFSIGNALED(status):  # ends as its program did
        _libc.signal(os.WTERMSIG(status), None)
        os.kill(os.getpid(), os.WTERMSIG(status))
    sys.exit(os.waitstatus_to_exitcode(status))
