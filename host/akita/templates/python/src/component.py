"""Joins the plugin to the contract in wit/: the only file that imports from the node, so that plugin.py runs in plain
tests as well. To use `kv`: import it here, name it below, and add it to wit/world.wit."""

from componentize_py_types import Err
from wit_world.imports import log, task, types

import akita
from plugin import plugin

akita.connect(types=types, log=log, task=task)


class Actions:
    def describe(self):
        return plugin.describe()

    def run(self, request):
        try:
            return plugin.run(request)
        except akita.Failed as failed:
            raise Err(failed.error) from None
