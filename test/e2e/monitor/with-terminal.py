"""Runs a command on a new pseudoterminal, performs the steps and prints the outcome.

usage: with-terminal.py STEPS COMMAND...

STEPS is a JSON list of objects. The members of a step, in the order in which they take effect:
  wait        a regular expression to find in the output after the previous match
  limit       how long to wait for it, in seconds (default 20)
  reset       true: restores the terminal's settings and forgets that they changed
  background  true: moves the command to the background of the terminal
  type        text to type
  signal      the name of a signal to send to the launcher

The outcome is a JSON object:
  output      everything that the command printed
  changed     whether the terminal's settings changed during the run
  restored    whether they were restored at the end
  status      the exit status, negative for a signal
  missing     the regular expression that was not found in time, or null
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
        # Job control as in a shell: the command is a job, and on SIGUSR1 the terminal's foreground becomes this process.
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
    """Returns the last descendant: the launcher, below the supervisor of the emulated parent and a shell."""
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
restored = termios.tcgetattr(terminal) == before
outcome = {"output": output.decode("latin1"), "changed": changed, "restored": restored}
print(json.dumps({**outcome, "status": status, "missing": missing}))
