"""When a graphics library may be loaded: for pictures alone, and never before triton.

MuJoCo and dm_control choose an OpenGL library when they are imported. Mesa's software renderers (EGL, OSMesa) bring LLVM
into the process, and triton, which torch's default build for Linux imports with its optimisers, brings an LLVM of its own:
whoever loads Mesa first and triton later ends in a segmentation fault. The other order works.
"""

import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

CHOICE = "MUJOCO_GL"
CHOOSERS = ("mujoco.rendering.classic.gl_context", "dm_control._render")  # modules that choose when they are imported


@contextmanager
def without_graphics() -> Iterator[None]:
    """What is imported meanwhile loads no graphics library, whatever MUJOCO_GL says. For training from states."""
    chosen = os.environ.get(CHOICE)
    os.environ[CHOICE] = "disabled"
    try:
        yield
    finally:
        if chosen is None:
            del os.environ[CHOICE]
        else:
            os.environ[CHOICE] = chosen


def triton_first() -> None:
    """To be called before anything that may draw is imported."""
    if importlib.util.find_spec("triton"):
        importlib.import_module("triton")


def choose_graphics() -> None:
    """From here on there may be pictures: what was imported without graphics chooses again, by MUJOCO_GL or by what is
    found. ImportError, AttributeError or RuntimeError where a library that was asked for is missing."""
    triton_first()
    with _found():
        for name in CHOOSERS:
            if name in sys.modules and _has_none(sys.modules[name]):
                importlib.reload(sys.modules[name])


def settle_graphics() -> None:
    """What dm_control finds here is MUJOCO_GL from now on, where it says nothing: gymnasium would take GLFW, which needs a
    display. For a process that only draws; errors as those of `choose_graphics`."""
    choose_graphics()
    with _found():
        found = importlib.import_module("dm_control._render").BACKEND
    os.environ[CHOICE] = os.environ.get(CHOICE) or found or ""


@contextmanager
def _found() -> Iterator[None]:
    """What dm_control chooses meanwhile is what works here, where MUJOCO_GL says nothing."""
    with warnings.catch_warnings():
        if not os.environ.get(CHOICE):
            os.environ.pop(CHOICE, None)  # empty is none, and not GLFW, which dm_control takes it for
            # Without a display GLFW only warns, and dm_control then chooses it all the same. As an error the warning sends
            # dm_control on to EGL and OSMesa.
            warnings.filterwarnings("error", message=r"\(655\d\d\)")
        yield


def _has_none(chooser) -> bool:
    """Whether the module was imported without graphics: dm_control then says so, mujoco has no context to offer."""
    return chooser.BACKEND == "off" if hasattr(chooser, "BACKEND") else not hasattr(chooser, "GLContext")
