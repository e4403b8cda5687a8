"""Folders of runs as small as can be, with the returns that a test names."""

import json

import pytest
import yaml


@pytest.fixture
def make_run(tmp_path):
    """make_run(name, [(spent, return), ...], seed=..., **settings under full keys) writes a run and gives its folder.

    A transition costs 1 and is `envs.repeat` environment steps, a label costs 4; half of the spend is on either. An hour
    brings 100 coins.
    """

    def make_run(name, returns, **settings):
        plain = {
            "task": "toy_lq",
            "seed": 0,
            "run": {"dir": name},
            "envs": {"repeat": 2},
            "allocator": {"phases": max(1, len(returns) - 1)},
        }
        plain |= {"price": {"transition": 1.0, "label": 4.0}, "budget": {"total": returns[-1][0] if returns else 100}}
        for key, value in settings.items():
            *sections, last = key.split("__")
            inside = plain
            for section in sections:
                inside = inside.setdefault(section, {})
            inside[last] = value
        rows = []
        for phase, (spent, value) in enumerate(returns):
            step, hours = spent // 2 * plain["envs"]["repeat"], spent / 100
            rows.append({"step": step, "time": 0.0, "plan/transitions": 1.0, "plan/labels": 1.0})
            rows.append(
                {"step": step, "time": 0.0, "eval/return": value, "eval/return_sampled": value, "budget/spent": spent}
            )
            money = {
                "budget/spent": spent,
                "budget/transitions": spent // 2,
                "budget/labels": spent // 8,
                "train/updates": phase,
            }
            since = hours - (returns[phase - 1][0] / 100 if phase else 0.0)
            rows.append({"step": step, "time": 0.0, **money, "time/other_seconds": since * 3600})
        path = tmp_path / name
        path.mkdir(parents=True)
        (path / "config.yaml").write_text(yaml.safe_dump(plain, sort_keys=False))
        (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return make_run
