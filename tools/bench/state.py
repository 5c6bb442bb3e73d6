# SPDX-License-Identifier: MIT
"""What a report has measured so far, in a JSON file that is whole at any moment: a run that is interrupted goes on where it was.

    {"form": 2, "settings": {...}, "machine": {...}, "versions": {...}, "done": {task: {"seconds": ..., "result": ...}}}

Figures of other settings, of another machine or of another program are not mixed with these: opening such a file is refused.
"""

import json
import os

FORM = 2  # of the results: one more when a task gives something else than before
SAME = ("settings", "machine", "versions")


class Mismatch(Exception):
    """What is in the file was measured otherwise; the text says what differs."""


class Unreadable(Exception):
    """There is no such file, or it is none of ours; the text says why."""


class State:
    def __init__(self, path, settings, machine, versions):
        self.path = path
        self.content = {"form": FORM, "settings": settings, "machine": machine, "versions": versions, "done": {}}

    @classmethod
    def resume(cls, path, settings, machine, versions):
        """What the file has, if it was measured in the same way; else Mismatch. Without a file, an empty state."""
        state = cls(path, settings, machine, versions)
        if os.path.exists(path):
            found = cls.load(path).content
            differing = [f"{name}: {found[part].get(name)} there, {state.content[part].get(name)} now" for part in SAME
                         for name in sorted({*found[part], *state.content[part]}) if found[part].get(name) != state.content[part].get(name)]
            if differing:
                raise Mismatch("; ".join(differing))
            state.content["done"] = found["done"]
        return state

    @classmethod
    def load(cls, path):
        """What the file has, however it was measured."""
        try:
            with open(path, encoding="utf-8") as file:
                content = json.load(file)
            if content["form"] != FORM:
                raise ValueError(f"it was made by another version of tools/bench/report (form {content['form']}, not {FORM})")
            state = cls(path, *(dict(content[part]) for part in SAME))
            state.content["done"] = {task: {"seconds": float(done["seconds"]), "result": done["result"]} for task, done in content["done"].items()}
            return state
        except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise Unreadable(f"{type(error).__name__}: {error}") from None

    def finish(self, task, result, seconds):
        self.content["done"][task] = {"seconds": seconds, "result": result}
        self.save()

    def save(self):
        try:
            self._replace()
        except OSError as error:  # which names no file where the disk is full
            raise OSError(error.errno, error.strerror, self.path) from None

    def _replace(self):
        os.makedirs(os.path.dirname(os.path.abspath(self.path)), exist_ok=True)
        beside = self.path + ".new"
        with open(beside, "w", encoding="utf-8") as file:
            json.dump(self.content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self.path)

    def taken(self):
        """{task: seconds} of what is done."""
        return {task: done["seconds"] for task, done in self.content["done"].items()}

    def result(self, task):
        return self.content["done"].get(task, {}).get("result")

    def results(self, beginning):
        """Those of all tasks whose names begin so, in the order in which they were made."""
        return [done["result"] for task, done in self.content["done"].items() if task.startswith(beginning)]
