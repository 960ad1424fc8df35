"""A real SLURM of one node on the loopback interface, with ports, state and keys of its own, apart from the host's."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

#: Debian's packages slurm-wlm and munge; /usr/sbin is not on everybody's path.
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

# As many processors and as much memory as jobs ask for: the scheduler believes it, and a small machine takes longer.
_SLURM_CONF = """\
ClusterName=cmcrtest
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
# A requeued job waits until its old credential has expired; two minutes by default.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/builtin
# No slurmdbd, as on many small clusters: sacct is there and knows nothing.
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
KillWait=2
ReturnToService=2
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=200000 Gres=gpu:2
PartitionName=test Nodes={host} Default=YES MaxTime=1-00:00:00
"""


def missing_programs() -> list[str]:
    """Programs of SLURM and munge that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Slurm:
    """A running SLURM."""

    folder: Path
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to talk to this SLURM and to no other; jobs inherit it."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH", "SRUN"))}
        path = f"{self.folder / 'bin'}{os.pathsep}{_PATH}"
        return {**mine, "PATH": path, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def call(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}\n{self.logs()}")
        return done.stdout.strip()

    def jobs(self, *states: str) -> dict[str, str]:
        """Comment of each job by its id; Snakemake's plug-in writes rule and wildcards into it."""
        lines = self.call(
            "squeue", "--noheader", "--states", ",".join(states) or "all", "--format", "%i|%k"
        ).splitlines()
        return dict(line.split("|", 1) for line in lines)

    def logs(self) -> str:
        """The end of each daemon's log."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {log.name}\n" + "\n".join(log.read_text().splitlines()[-15:]) for log in logs)

    def processes(self) -> Iterator[int]:
        """Every process that was started with this SLURM's environment, its daemons and jobs among them."""
        mark = f"SLURM_CONF={self.folder / 'slurm.conf'}".encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with suppress(OSError):
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        yield int(entry.name)


@contextmanager
def running_slurm(cpus: int = 8) -> Iterator[Slurm]:
    """Start munged, slurmctld and slurmd as root, without systemd; stop them and all jobs, however the block ends."""
    # Not below pytest's folder: a socket's path has at most 107 characters.
    slurm = Slurm(Path(tempfile.mkdtemp(prefix="cmcr-slurm-")))
    try:
        _start(slurm, cpus)
        yield slurm
    finally:
        _stop(slurm)
        shutil.rmtree(slurm.folder, ignore_errors=True)


def _start(slurm: Slurm, cpus: int) -> None:
    folder = slurm.folder
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    # The plug-in takes all of SLURM's variables from the srun inside a job, also the one that names the configuration.
    srun = folder / "bin" / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder / "slurm.conf"} exec {shutil.which("srun", path=_PATH)} "$@"\n')
    srun.chmod(0o755)
    host = socket.gethostname().split(".")[0]
    values = {"folder": folder, "host": host, "cpus": cpus}
    ports = {"controller_port": _free_port(), "node_port": _free_port()}
    (folder / "slurm.conf").write_text(_SLURM_CONF.format(**values, **ports))
    # For the scheduler two GPUs are two files of a device.
    (folder / "gres.conf").write_text("AutoDetect=off\nName=gpu File=/dev/null\nName=gpu File=/dev/zero\n")
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    munge = {name: folder / f"munge.{name}" for name in ("socket", "pid", "seed")}
    options = {
        "--key-file": key,
        "--socket": munge["socket"],
        "--pid-file": munge["pid"],
        "--seed-file": munge["seed"],
        "--log-file": folder / "munged.log",
    }
    # --force: the folder is root's alone, and munged would rather have a socket that all users can reach.
    _spawn(slurm, "munged", "--foreground", "--force", *(f"{name}={path}" for name, path in options.items()))
    _wait_for(slurm, munge["socket"].exists, "munged's socket")
    _spawn(slurm, "slurmctld", "-D", "-i")
    _spawn(slurm, "slurmd", "-D")
    _wait_for(slurm, lambda: slurm.call("sinfo", "-h", "-o", "%T", check=False) == "idle", "an idle node")


def _spawn(slurm: Slurm, *command: str) -> None:
    with (slurm.folder / f"{command[0]}.out.log").open("w") as log:
        slurm.daemons.append(
            subprocess.Popen(
                command, env=slurm.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        )


def _wait_for(slurm: Slurm, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"SLURM: {what} was not seen within {seconds:g} s\n{slurm.logs()}")
        time.sleep(0.2)


def _stop(slurm: Slurm) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in slurm.processes():
            with suppress(ProcessLookupError):
                os.kill(process, number)
        deadline = time.monotonic() + 3
        while any(slurm.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
    for daemon in slurm.daemons:
        daemon.wait()
