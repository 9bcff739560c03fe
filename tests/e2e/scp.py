"""scp between two of netbed's hosts, to compare speeds with."""

import os
import pwd
import time
from pathlib import Path

from netbed import run, wait_for

PORT = 2222
CONFIG = """Port {port}
ListenAddress {address}
HostKey {dir}/host
AuthorizedKeysFile {dir}/client.pub
PidFile none
StrictModes no
UsePAM {pam}
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
Subsystem sftp internal-sftp
"""


def root_is_locked():
    """Without PAM, sshd lets nobody in whose password field says so."""
    for line in Path("/etc/shadow").read_text().splitlines():
        name, password, *_ = line.split(":")
        if name == "root":
            return password.startswith("!")
    return False


class Sshd:
    """An sshd of our own, with keys of its own; use it with `with`."""

    def __init__(self, host):
        self.host, self.dir = host, host.dir / "ssh"

    def __enter__(self):
        self.dir.mkdir(exist_ok=True)
        for name in "host", "client":
            if not (self.dir / name).exists():
                run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                     str(self.dir / name)])
        config = self.dir / "config"
        config.write_text(CONFIG.format(
            port=PORT, address=self.host.address, dir=self.dir,
            pam="yes" if root_is_locked() else "no"))
        with open(self.dir / "log", "wb") as log:
            self.process = self.host.popen(
                ["/usr/sbin/sshd", "-D", "-e", "-f", str(config)],
                private_run=True, stdout=log, stderr=log)
        wait_for(lambda: "listening" in (self.dir / "log").read_text(), 10,
                 lambda: "sshd: " + (self.dir / "log").read_text())
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def copy(self, sender, source, target):
        """Copies a file there with scp; returns the seconds it took."""
        user = pwd.getpwuid(os.getuid()).pw_name
        started = time.monotonic()
        sender.run(["scp", "-q", "-P", str(PORT), "-i", self.dir / "client",
                    "-F", "none", "-o", "BatchMode=yes",
                    "-o", "StrictHostKeyChecking=no",
                    "-o", "UserKnownHostsFile=/dev/null", source,
                    f"{user}@{self.host.address}:{target}"], timeout=600)
        return time.monotonic() - started
