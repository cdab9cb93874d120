"""Launches nitro with sockets and files that this script opened, and prints what it answers, a JSON value a line.

usage: passing.py SCENARIO NITRO [ARGUMENT...]
"""
import array
import json
import os
import socket
import subprocess
import sys


def show(value):
    print(json.dumps(value), flush=True)


class Qmp:
    """A QMP client on a connected socket."""

    def __init__(self, connection):
        self.socket = connection
        self.file = connection.makefile("r")
        show({"greeting": list(self.read())})
        self.run("qmp_capabilities")

    def read(self):
        return json.loads(self.file.readline())

    def run(self, command, arguments=None, fds=()):
        request = {"execute": command, **({"arguments": arguments} if arguments is not None else {})}
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.socket.sendmsg([json.dumps(request).encode()], rights)
        while True:
            answer = self.read()
            if "event" not in answer:
                show({command: answer.get("return", answer.get("error", {}).get("desc"))})
                return answer.get("return")


def pair():
    ours, theirs = socket.socketpair()
    theirs.set_inheritable(True)
    return ours, theirs


def start(*arguments, fds):
    return subprocess.Popen([*sys.argv[2:], *arguments], pass_fds=[*fds], stdin=subprocess.DEVNULL)


def connected():
    """A connected socket as a monitor."""
    ours, theirs = pair()
    child = start("-serial", "null", "-qmp", f"unix:fd={theirs.fileno()}", fds=[theirs.fileno()])
    theirs.close()
    qmp = Qmp(ours)
    qmp.run("query-status")
    qmp.run("quit")
    show({"status": child.wait()})


def listening():
    """A listening socket as a server: two clients, one after the other."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("passed.sock")
    listener.listen()
    listener.set_inheritable(True)
    fd = listener.fileno()
    chardev = f"socket,id=m,fd={fd},server=on,wait=off"
    child = start("-serial", "null", "-chardev", chardev, "-object", "monitor-qmp,id=q,chardev=m", fds=[fd])
    listener.close()
    for command in ("query-name", "quit"):
        client = socket.socket(socket.AF_UNIX)
        client.connect("passed.sock")
        Qmp(client).run(command)
        client.close()
    show({"status": child.wait(), "socket": os.path.exists("passed.sock")})


def sets():
    """-add-fd, and the QMP commands for named descriptors and sets."""
    ours, theirs = pair()
    log = os.open("set.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    reading = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(log, True)
    child = start(
        *("-add-fd", f"fd={log},set=3,opaque=a log", "-qmp", f"unix:fd={theirs.fileno()}"),
        *("-chardev", "file,id=c,path=/dev/fdset/3,append=on", "-serial", "chardev:c"),
        fds=[log, theirs.fileno()],
    )
    theirs.close()
    qmp = Qmp(ours)
    show({"sets": [(each["fdset-id"], each["fds"][0].get("opaque")) for each in qmp.run("query-fdsets")]})
    other, passed = pair()
    qmp.run("getfd", {"fdname": "x"})
    qmp.run("getfd", {"fdname": "1x"}, [passed.fileno()])
    qmp.run("getfd", {"fdname": "x"}, [passed.fileno()])
    qmp.run("closefd", {"fdname": "y"})
    address = {"addr": {"type": "fd", "data": {"str": "x"}}, "server": False}
    qmp.run("chardev-add", {"id": "s", "backend": {"type": "socket", "data": address}})
    qmp.run("chardev-add", {"id": "t", "backend": {"type": "socket", "data": address}})
    qmp.run("object-add", {"qom-type": "monitor-hmp", "id": "h", "chardev": "s"})
    qmp.run("getfd", {"fdname": "z"}, [passed.fileno()])
    qmp.run("closefd", {"fdname": "z"})
    qmp.run("add-fd")
    added = qmp.run("add-fd", {"opaque": "o"}, [reading])
    show({"set": added["fdset-id"]})
    qmp.run("add-fd", {"fdset-id": -1}, [reading])
    file = {"type": "file", "data": {"out": "/dev/fdset/0"}}
    qmp.run("chardev-add", {"id": "f", "backend": file})
    file["data"]["out"] = "/dev/fdset/99"
    qmp.run("chardev-add", {"id": "f", "backend": file})
    qmp.run("remove-fd", {"fdset-id": 9})
    qmp.run("remove-fd", {"fdset-id": 0, "fd": 12345})
    qmp.run("remove-fd", {"fdset-id": 0})
    qmp.run("query-chardev")
    qmp.run("quit")
    show({"status": child.wait()})
    show({"log": open("set.log").read()})


def daemon():
    """Passed descriptors reach a daemon."""
    ours, theirs = pair()
    log = os.open("daemon.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.set_inheritable(log, True)
    child = start(
        *("-daemonize", "-qmp", f"unix:fd={theirs.fileno()}", "-add-fd", f"fd={log},set=1"),
        *("-chardev", "file,id=c,path=/dev/fdset/1,append=on", "-serial", "chardev:c"),
        fds=[log, theirs.fileno()],
    )
    theirs.close()
    show({"command": child.wait()})
    qmp = Qmp(ours)
    qmp.run("query-status")
    qmp.run("quit")
    show({"rest": qmp.file.read()})
    show({"log": open("daemon.log").read()})


def machine():
    """QEMU's own QEMUMachine, with its console."""
    from qemu.machine import QEMUMachine  # pylint: disable=import-outside-toplevel

    with QEMUMachine(sys.argv[2], args=sys.argv[3:]) as vm:
        vm.set_machine("nitro")
        vm.set_console()
        vm.launch()
        show(vm.cmd("query-status"))
        show({"console": vm.console_file.readline().decode()})
        vm.shutdown()
        show({"exit": vm.exitcode()})


globals()[sys.argv[1]]()
