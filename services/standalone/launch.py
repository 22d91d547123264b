"""Become another program that does not outlive its parent. Run as a script: `python -I -S launch.py …`.

The kernel signals a process when its parent ends, if the process asked for it with PR_SET_PDEATHSIG. The request is
lost when the user id changes, and Python code between fork and exec is unsafe in a process with threads; so this small
program stands between: it drops to another user where it must, asks for the signal, and turns into the program, which
keeps its process id. Only the standard library is used, so that it starts in a few milliseconds.

The program leads a process group of its own, so that Ctrl-C at a terminal reaches the supervisor alone, which stops all
in order. One that is to be killed when the supervisor dies also gets a session of its own: Linux shares out a busy
processor by session, and a proxy should not have to share one part with everything else. One that is to be asked stays
in the supervisor's session: its group is orphaned then, and should it have been stopped, the kernel wakes it (SIGHUP,
SIGCONT), so that the signal reaches it.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
OWNER_ONLY = 0o077  # umask: what the program writes is nobody else's business

_EXIT_ORPHANED = 113  # any number that the programs themselves do not use


def become(argv: list[str]) -> None:
    """Lead a process group, drop privileges, ask for the death signal, execute the program. Never returns.

    Args:
        argv: Process id of the parent, number of the death signal, user id, group id (`-1` each to stay the user that
            one is), then the program's own arguments, the first being its absolute path.
    """
    parent, death_signal, user, group = (int(text) for text in argv[:4])
    program = argv[4:]
    if death_signal == signal.SIGKILL:
        os.setsid()
    else:
        os.setpgid(0, 0)
    if user != -1:
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.Signals(death_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it ended before the request was made, so no signal would ever come
        sys.exit(_EXIT_ORPHANED)
    os.umask(OWNER_ONLY)
    os.execv(program[0], program)  # noqa: S606 - executing a program that the caller chose is the purpose


if __name__ == "__main__":
    become(sys.argv[1:])
