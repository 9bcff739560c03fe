"""Types into a program on a terminal of its own.

typist.py PROGRAM ARGUMENT... -- EXPECTED KEYS [EXPECTED KEYS]...

KEYS are typed as soon as EXPECTED has been shown since the last ones; both
may have the escapes of a Python string. Ends as the program does, with its
exit status; with 124 if it shows something else for 20 seconds.
"""

import os
import pty
import select
import signal
import sys


def plain(text):
    return text.encode().decode("unicode_escape").encode()


def main():
    split = sys.argv.index("--")
    program, script = sys.argv[1:split], sys.argv[split + 1:]
    steps = list(zip(script[::2], script[1::2]))
    pid, terminal = pty.fork()
    if not pid:
        os.environ["TERM"] = "vt100"
        os.execvp(program[0], program)
    shown = b""
    while True:
        if steps and plain(steps[0][0]) in shown:
            shown = b""
            os.write(terminal, plain(steps.pop(0)[1]))
        if not select.select([terminal], [], [], 20)[0]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            print(f"{program[0]} shows {shown!r}, not {steps[:1]}",
                  file=sys.stderr)
            sys.exit(124)
        try:
            block = os.read(terminal, 65536)
        except OSError:  # EIO: the program has ended
            break
        if not block:
            break
        shown += block
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if steps:
        print(f"{program[0]} ended before {steps[0][0]!r}", file=sys.stderr)
    sys.exit(status or (124 if steps else 0))


main()
