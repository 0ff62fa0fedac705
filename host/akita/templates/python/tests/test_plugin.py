import unittest

from akita.testing import Harness
from plugin import plugin


class Greet(unittest.TestCase):
    def test_people_are_greeted_by_name(self):
        outcome = Harness(plugin).json("greet", {"name": "Ada"})
        self.assertEqual(outcome.json(), {"greeting": "Hello, Ada!"})
        self.assertEqual(outcome.lines[0], ("info", "greeting", {"name": "Ada"}))

    def test_nobody_is_not_greeted(self):
        outcome = Harness(plugin).json("greet", {"name": ""})
        self.assertEqual(outcome.failure().code, "no-name")


if __name__ == "__main__":
    unittest.main()
