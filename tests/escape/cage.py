"""Builds a scene, starts the probing program as jobs' program is started, and asks it for probes: as root or another.

Run as a file, it is the process that holds the keys, of the user that it is told to be.
"""

import ctypes
import errno
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from glob import glob
from pathlib import Path
from typing import Any

from node_agent.execution.sandbox import launch, syscalls
from node_agent.execution.sandbox.needs import Needs
from tests.escape.acts import NUMBERS, Scene

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
FAULTS = ("", "SIGALRM", "SIGSEGV", "SIGBUS", "SIGPIPE", "SIGTERM")
SECRET = "opens the key"

VICTIM = """
import ctypes, signal
ctypes.CDLL(None).prctl(0x59616D61, -1, 0, 0, 0)  # where Yama would let nobody but a parent trace it
bytes_of_it = ctypes.create_string_buffer(8)
print(ctypes.addressof(bytes_of_it), flush=True)
while True:
    signal.pause()
"""

NO_NAMESPACES = {"pivot_root": errno.EPERM}
"""By this the upper layer cannot be had; no probe needs it."""

_TAKEN_OUT = {
    "namespace mount": ('    _checked("unshare", _libc.unshare(_NEWNS))\n', "    return\n"),
    "namespace pid": (
        "_NEWPID | _NEWNET | _NEWIPC | _NEWUTS))",
        "_NEWNET | _NEWIPC | _NEWUTS))",
        '_mount("proc", "/new/proc", "proc", _NOSUID | _NODEV | _RDONLY | _NOEXEC)',
        '_mount("/old/proc", "/new/proc", None, _BIND | _REC)',
    ),
    "namespace net": (" | _NEWNET", ""),
    "namespace ipc": (" | _NEWIPC", ""),
    "namespace uts": (" | _NEWUTS", "", '    _checked("sethostname", _libc.sethostname(b"confined", 8))\n', ""),
}
"""How each rule is taken out of the keeper: pieces of its text, and what replaces each."""


@dataclass(frozen=True)
class Attempt:
    """One probe: with which rules taken out, in a thread, under an older ABI of Landlock (0: the kernel's)."""

    probe: str
    without: Sequence[str] = ()
    thread: bool = False
    abi: int = 0


@dataclass(frozen=True)
class Round:
    """Attempts in one cage.

    Attributes:
        confined: False to try them outside; `upper` too then says whether they have namespaces of their own.
        without: rules of the start that are taken out.
        outer: system calls that the kernel does not have, with the error that it answers.
    """

    attempts: Sequence[Attempt]
    confined: bool = True
    upper: bool = True
    without: Sequence[str] = ()
    outer: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What became of a round: `namespaces`, why there were none, empty if there were; and of each attempt."""

    namespaces: str
    outcomes: list[str]


def is_contained() -> bool:
    """Whether these tests run under a filter of system calls already, or as root without some capability."""
    said = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    every = (2 << int(Path("/proc/sys/kernel/cap_last_cap").read_text())) - 1
    return said["Seccomp"].strip() != "0" or int(said["CapBnd"], 16) != every


def is_denied(outcome: str) -> bool:
    """Whether a rule stopped the probe, and not a fault of its own."""
    return outcome != "open" and not outcome.startswith("broken") and outcome not in FAULTS


def other_user() -> str:
    """Why root cannot run probes as an ordinary user here; empty if it can."""
    if os.getuid() != 0:
        return "only root can become another user"
    return "" if _python(NOBODY) else f"no Python {platform.python_version_tuple()[:2]} that user {NOBODY} may run"


def tried(user: int, rounds: Sequence[Round]) -> list[Found]:
    """What became of each round, when the whole cage is this user's. Raises CalledProcessError."""
    path = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(path), "OPENBLAS_NUM_THREADS": "1"}
    asked = json.dumps([asdict(one) for one in rounds])
    become = {} if user == os.getuid() else {"user": user, "group": user, "extra_groups": []}
    command = [_python(user), "-P", "-m", "tests.escape.cage"]
    done = subprocess.run(command, input=asked, stdout=subprocess.PIPE, text=True, check=True, env=environment,
                          cwd="/", **become)  # fmt: skip
    return [Found(**one) for one in json.loads(done.stdout)]


def _python(user: int) -> str:
    """An interpreter of this version that a user may run; empty if there is none."""
    if user == os.getuid():
        return sys.executable
    name = "python{}.{}".format(*sys.version_info)
    for path in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        test = f"import sys; sys.path.append({str(ROOT)!r}); import tests.escape, encodings"
        if os.path.exists(path) and not _fails(path, test, user):
            return path
    return ""


def _fails(path: str, program: str, user: int) -> bool:
    try:
        run = subprocess.run([path, "-I", "-c", program], user=user, group=user, extra_groups=[], cwd="/",
                             stderr=subprocess.DEVNULL, check=False)  # fmt: skip
    except PermissionError:
        return True
    return run.returncode != 0


@contextmanager
def scene() -> Iterator[Scene]:
    """What there is to reach."""
    folder = tempfile.mkdtemp(prefix="assay-escape-")
    victim = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", VICTIM], stdout=subprocess.PIPE, start_new_session=True
    )
    shared = tempfile.mkstemp(dir="/dev/shm", prefix="assay-escape-")[1]
    libc = ctypes.CDLL(None, use_errno=True)
    listening = [_listening(socket.AF_INET, ("127.0.0.1", 0)), _listening(socket.AF_UNIX, f"{folder}/socket"),
                 _listening(socket.AF_UNIX, f"\0{folder}")]  # fmt: skip
    key = os.getpid()
    segment, queue = libc.shmget(key, 4096, 0o1600), libc.msgget(key, 0o1600)
    try:
        for name in ("keys", "models", "scratch"):
            os.mkdir(f"{folder}/{name}")
        for name in ("keys/node.key.json", "models/model", "models/closed"):
            Path(folder, name).write_text(SECRET)
        os.chmod(f"{folder}/models/closed", 0)
        os.symlink("node.key.json", f"{folder}/keys/current")
        assert victim.stdout is not None
        disks = sorted(glob("/dev/vd?") + glob("/dev/sd?") + glob("/dev/nvme*n1"))
        yield Scene(
            victim=victim.pid, address=int(victim.stdout.readline()), folder=folder, model=f"{folder}/models/model",
            disk=disks[0] if disks else "/dev/no-disk", shared=shared,
            port=listening[0].getsockname()[1], host=os.uname().nodename, ipc_key=key, ipc_id=segment,
        )  # fmt: skip
    finally:
        victim.kill()
        victim.communicate()
        libc.shmctl(segment, 0, None)
        libc.msgctl(queue, 0, None)
        for one in listening:
            one.close()
        _set_up(folder)
        shutil.rmtree(folder)
        os.unlink(shared)


def _listening(family: int, where: Any) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.bind(where)
    made.listen(64)
    return made


def _set_up(folder: str) -> None:
    """The scratch folder as probes expect it, whatever the last one did."""
    scratch = Path(folder, "scratch")
    if os.path.ismount(scratch / "empty"):
        ctypes.CDLL(None).umount2(str(scratch / "empty").encode(), 2)
    shutil.rmtree(scratch)
    (scratch / "empty").mkdir(parents=True)
    (scratch / "old").write_text(SECRET)


def _round(one: dict[str, Any], scene: Scene) -> Found:
    with _program(one, scene) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        namespaces, said = json.loads(program.stdout.readline()), []
        for attempt in one["attempts"]:
            _set_up(scene.folder)
            asked = attempt | {"confined": one["confined"], "scene": asdict(scene)}
            program.stdin.write(json.dumps(asked).encode() + b"\n")
            program.stdin.flush()
            said.append(json.loads(program.stdout.readline()))
        return Found(namespaces, said)


@contextmanager
def _program(one: dict[str, Any], scene: Scene) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-P", "-m", "tests.escape.inside"]
    key = os.open(scene.key, os.O_RDONLY)
    os.set_inheritable(key, True)
    try:
        if one["confined"] or one["upper"]:
            if "launch descriptors" in one["without"]:
                launch.subprocess.Popen = partial(subprocess.Popen, close_fds=False)
            if "launch environment" in one["without"]:
                launch._PASSED_ON += ("ASSAY_PASSWORD",)
            for rule in {*one["without"]} & {*_TAKEN_OUT}:
                launch._KEEPER = [*launch._KEEPER[:-1], "-c", _keeper_without(rule)]
            folder = Path(__file__).parent
            started = launch.launch(command, Needs((folder, Path(scene.folder, "models"))))
        else:
            started = subprocess.Popen(command, stdin=-1, stdout=-1, close_fds=False, bufsize=0, start_new_session=True)
        with started:
            yield started
            assert started.stdin is not None
            started.stdin.close()
    finally:
        os.close(key)


def _keeper_without(rule: str) -> str:
    text, pieces = Path(launch._KEEPER[-1]).read_text(), _TAKEN_OUT[rule]
    for old, new in zip(pieces[::2], pieces[1::2], strict=True):
        assert text.count(old) == 1, f"{rule}: the keeper has changed"
        text = text.replace(old, new)
    return text


def load_outer(calls: Mapping[str, int]) -> None:
    """Plays a kernel without some system calls, for this process and all that it starts: each fails with its error."""
    steps = [(0x20, 0, 0, 0)]
    for name, number in calls.items():
        steps += [(0x15, 0, 1, NUMBERS[name]), (0x06, 0, 0, syscalls.ERRNO | number)]
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
    syscalls.load([*steps, (0x06, 0, 0, syscalls.ALLOW)], platform.machine())


def main() -> None:
    """Reads rounds from stdin and says what came of them; each in a process of its own."""
    os.environ["ASSAY_PASSWORD"] = SECRET
    rounds = json.load(sys.stdin)
    with scene() as found:
        answers = []
        for one in rounds:
            read, write = os.pipe()
            made = os.fork()
            if made == 0:
                outer = dict(one["outer"]) | (NO_NAMESPACES if not one["upper"] else {})
                if outer:
                    load_outer(outer)
                os.write(write, json.dumps(asdict(_round(one, found))).encode())
                os._exit(0)
            os.close(write)
            with os.fdopen(read) as said:
                answers.append(json.loads(said.read()))
            os.waitpid(made, 0)
        sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main()
