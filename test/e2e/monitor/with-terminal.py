"""Runs a command on a new terminal, types at it and tells what came.

usage: with-terminal.py STEPS COMMAND…
STEPS is JSON, a list of {"wait": regular expression, "type": text, "signal": name, "limit": seconds, "reset": true,
"background": true}; what is waited for is looked for behind what was found before; reset puts the terminal's settings
back and forgets that they were others; background gives the terminal to another process. Gives JSON: what came,
whether the terminal's settings were others in between and are the same afterwards, and the exit status.
"""
import json, os, pty, re, select, signal, sys, termios, time

steps, command = json.loads(sys.argv[1]), sys.argv[2:]
master, terminal = pty.openpty()
before = termios.tcgetattr(terminal)
child = os.fork()
if child == 0:
    os.setsid()
    import fcntl
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(terminal, fd)
    if any("background" in step for step in steps):
        # As a shell with jobs: the command is one, and the terminal is taken from it when this process is asked to.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, lambda *_: os.tcsetpgrp(0, os.getpgrp()))
        job = os.fork()
        if job != 0:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]))
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execvp(command[0], command)

output, seen, changed, missing = b"", 0, False, None


def read(seconds):
    global output
    if select.select([master], [], [], seconds)[0]:
        try:
            output += os.read(master, 65536)
        except OSError:
            pass


def launcher(pid):
    """The youngest of the command's descendants: below the parent instance's supervisor and a shell."""
    while True:
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            below = children.read().split()
        if not below:
            return pid
        pid = int(below[-1])


for step in steps:
    limit = time.time() + step.get("limit", 20)
    while "wait" in step:
        found = re.compile(step["wait"].encode(), re.S).search(output, seen)
        if found:
            seen = found.end()
            break
        if time.time() > limit:
            missing = step["wait"]
            break
        read(0.1)
    if missing is not None:
        break
    changed = changed or termios.tcgetattr(terminal) != before
    if "reset" in step:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
        changed = False
    if "background" in step:
        os.kill(child, signal.SIGUSR1)
        while os.tcgetpgrp(master) != child:
            time.sleep(0.01)
    if "type" in step:
        os.write(master, step["type"].encode())
    if "signal" in step:
        os.kill(launcher(child), getattr(signal, step["signal"]))

if missing is not None:
    os.kill(child, signal.SIGTERM)
end = time.time() + 20
status = None
while time.time() < end:
    read(0.05)
    pid, code = os.waitpid(child, os.WNOHANG)
    if pid:
        status = os.waitstatus_to_exitcode(code)
        break
else:
    os.kill(child, signal.SIGKILL)
read(0.1)
same = termios.tcgetattr(terminal) == before
print(json.dumps({"output": output.decode("latin1"), "changed": changed, "same": same, "status": status, "missing": missing}))
