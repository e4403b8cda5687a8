"""No graphics library without pictures, and none before triton: the other way round torch's default build crashes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.run  # each is a program of its own
EMPTY = " "  # MUJOCO_GL is set, to nothing
MESA = ("EGL", "OSMesa", "libGL", "LLVM")
TRAIN = """
import sys
import tandem.cli
code = tandem.cli.main(["train", "smoke", "budget.total=1000", "train.updates=2", "evaluate.final_episodes=1", "evaluate.episodes=1",
    "allocator.phases=1", "run.dir=" + sys.argv[1]])
print("exit", code)
print("mapped", sorted({line.split()[-1] for line in open("/proc/self/maps") if any(n in line for n in sys.argv[2:])}))
print("imported", sorted({"OpenGL", "glfw"} & sys.modules.keys()))
"""
DRAW = """
from tandem.envs.make import EnvConfig, make_env
make_env("dmc_cartpole_swingup", EnvConfig(), 0).close()
env = make_env("dmc_cartpole_swingup", EnvConfig(), 0, render=True)
env.reset()
picture = env.render()
print(picture.shape, picture.std() > 0)
"""
FAKE_TRITON = """
import sys
print("triton before graphics:", "OpenGL" not in sys.modules and "glfw" not in sys.modules)
"""
ROOT = Path(__file__).resolve().parents[2]


def run(program: str, *arguments: str, gl: str, path: str = "") -> subprocess.CompletedProcess:
    env = {key: value for key, value in os.environ.items() if key not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    env |= {"MUJOCO_GL": gl.strip()} if gl else {}
    env |= {"PYTHONPATH": os.pathsep.join(filter(None, [path, env.get("PYTHONPATH")]))}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, check=False, env=env, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what is mapped")
@pytest.mark.parametrize("gl", ["", *(pytest.param(name, marks=pytest.mark.slow) for name in ("egl", "osmesa"))])
def test_training_from_states_loads_no_graphics_library(tmp_path, gl):
    done = run(TRAIN, str(tmp_path / "run"), *MESA, gl=gl)
    assert done.stdout.splitlines()[-3:] == ["exit 0", "mapped []", "imported []"], done.stdout + done.stderr


@pytest.mark.parametrize("gl", ["", EMPTY, "egl", "osmesa"])
def test_pictures_choose_a_library_after_triton(tmp_path, gl):
    (tmp_path / "triton.py").write_text(FAKE_TRITON)
    done = run(DRAW, gl=gl, path=str(tmp_path))
    said = done.stdout.splitlines()
    assert said[:1] == ["triton before graphics: True"], done.stdout + done.stderr
    if done.returncode and any(word in done.stderr for word in ("cannot be drawn", "OpenGL", "EGL", "OSMesa", "GL")):
        pytest.skip(f"this machine has no library for MUJOCO_GL={gl or 'unset'}")
    assert said[1:] == ["(240, 320, 3) True"], done.stdout + done.stderr
