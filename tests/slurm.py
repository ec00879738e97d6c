"""A Slurm of this machine for tests: munged, slurmctld, and a slurmd for each of several nodes.

All run as the user who tests, on loopback, with files in one folder; nothing of the system's Slurm
is touched. Debian's packages: slurmctld, slurmd, slurm-client and munge.
"""

import contextlib
import dataclasses
import os
import pathlib
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

from tests import processes

PATH = f"{os.environ['PATH']}:/usr/sbin"  # Of the daemons, for those who are not root.
DAEMONS = ("munged", "slurmctld", "slurmd")
CPUS = 2  # Of a node, whatever the machine has.
MISSING = [name for name in DAEMONS if not shutil.which(name, path=PATH)]
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs.txt
KillWait=120
ReturnToService=2
GresTypes=gpu
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} Gres=gpu:1\n"


@dataclasses.dataclass(frozen=True)
class Cluster:
    folder: pathlib.Path
    environment: dict[str, str]

    def run(self, *words: object) -> str:
        """What a command of Slurm prints."""
        return processes.run(words, env=self.environment, timeout=60).succeeded().strip()

    def job(self, number: str) -> dict[str, str]:
        """The record of a job."""
        shown = self.run("scontrol", "show", "job", number).split()
        return dict(word.split("=", 1) for word in shown if "=" in word)

    def wait(self, number: str, *states: str, seconds: float = 600) -> dict[str, str]:
        """The record of a job, once it is in one of the states."""
        end = time.monotonic() + seconds
        while (job := self.job(number))["JobState"] not in states:
            assert time.monotonic() < end, job
            time.sleep(0.5)
        return job


@contextlib.contextmanager
def cluster(folder: pathlib.Path, names: tuple[str, ...]) -> Iterator[Cluster]:
    """A Slurm of nodes that have these names, by which the nodes must reach each other."""
    host, user = socket.gethostname(), pwd.getpwuid(os.geteuid()).pw_name
    conf, key = folder / "slurm.conf", folder / "munge.key"
    values = {"folder": folder, "host": host, "user": user}
    text = CONF.format(port=processes.free_port(), **values)
    for name in names:
        text += NODE.format(name=name, port=processes.free_port(), cpus=CPUS, host=host)
    conf.write_text(text)
    (folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    folder.chmod(0o755)  # munged refuses a folder that others may write.
    for name in ("state", *names):
        (folder / name).mkdir()
    environment = processes.environment(SLURM_CONF=str(conf), PATH=PATH)
    munged = ["munged", "--foreground", "--force", f"--key-file={key}"]
    for kind in ("socket", "pid-file", "log-file", "seed-file"):
        munged.append(f"--{kind}={folder}/munge.{kind.removesuffix('-file')}")
    daemons = [munged, ["slurmctld", "-D"], *(["slurmd", "-D", "-N", name] for name in names)]
    with contextlib.ExitStack() as stack:
        for words in daemons:
            output = stack.enter_context(open(folder / f"{words[0]}.out", "ab"))
            daemon = subprocess.Popen(words, env=environment, stdout=output, stderr=output)
            stack.callback(daemon.wait)
            stack.callback(daemon.terminate)
        made = Cluster(folder, environment)
        _until_idle(made, len(names))
        yield made
        made.run("scancel", "--user", user)


def _until_idle(made: Cluster, count: int) -> None:
    end, words = time.monotonic() + 60, ["sinfo", "--noheader", "--Node", "--format=%N %t"]
    while True:
        shown = processes.run(words, env=made.environment, timeout=60)
        if [line.split()[-1] for line in shown.out.splitlines()] == ["idle"] * count:
            return
        logs = "\n".join(path.read_text()[-2000:] for path in made.folder.glob("*.log"))
        assert time.monotonic() < end, f"{shown}\n{logs}"
        time.sleep(0.5)
