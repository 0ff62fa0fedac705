import math
import unittest
from datetime import datetime

import solar
from plugin import plugin
from akita.testing import Harness

LONDON = {"lat": 51.5074, "lon": -0.1278}
NEW_YORK = {"lat": 40.7128, "lon": -74.006}
SYDNEY = {"lat": -33.8688, "lon": 151.2093}
TROMSO = {"lat": 69.6492, "lon": 18.9553}


def minutes_apart(a, b):
    parse = lambda text: datetime.fromisoformat(text.replace("Z", "+00:00"))  # noqa: E731
    return abs((parse(a) - parse(b)).total_seconds()) / 60


class Times(unittest.TestCase):
    def setUp(self):
        self.sun = Harness(plugin)

    def times(self, place, date):
        return self.sun.json("times", {**place, "date": date}).json()

    def test_almanacs_agree_to_a_minute(self):
        for place, date, rise, down in [
            (LONDON, "2024-06-20", "2024-06-20T03:43:00Z", "2024-06-20T20:21:00Z"),
            (NEW_YORK, "2024-12-21", "2024-12-21T12:16:00Z", "2024-12-21T21:32:00Z"),
            (SYDNEY, "2024-12-21", "2024-12-20T18:41:00Z", "2024-12-21T09:05:00Z"),
        ]:
            found = self.times(place, date)
            self.assertLess(minutes_apart(found["sunrise"], rise), 1.1, found)
            self.assertLess(minutes_apart(found["sunset"], down), 1.1, found)

    def test_the_order_of_a_day(self):
        found = self.times(NEW_YORK, "2026-03-01")
        names = ["astronomical_dawn", "nautical_dawn", "civil_dawn", "sunrise", "noon"]
        names += ["sunset", "civil_dusk", "nautical_dusk", "astronomical_dusk"]
        moments = [found[name] for name in names]
        self.assertEqual(moments, sorted(moments))

    def test_polar_night_and_midnight_sun(self):
        night = self.times(TROMSO, "2025-12-21")
        self.assertEqual((night["sunrise"], night["sunset"], night["daylight_minutes"]), (None, None, 0))
        self.assertIsNotNone(night["civil_dawn"])
        day = self.times(TROMSO, "2025-06-21")
        self.assertEqual((day["sunrise"], day["daylight_minutes"], day["civil_dusk"]), (None, 1440, None))

    def test_a_day_at_the_equinox_is_longer_than_a_night(self):
        self.assertAlmostEqual(self.times({"lat": 0, "lon": 0}, "2026-03-20")["daylight_minutes"], 727, delta=1)

    def test_the_poles_have_no_sunrise(self):
        for lat in (-90, 90):
            self.assertIsNone(self.times({"lat": lat, "lon": 0}, "2026-05-01")["sunrise"])


class Position(unittest.TestCase):
    def position(self, lat, lon, time):
        return Harness(plugin).json("position", {"lat": lat, "lon": lon, "time": time}).json()

    def test_solstice_at_the_tropic(self):
        found = self.position(23.436, 0, "2026-06-21T12:01:50Z")
        self.assertGreater(found["elevation"], 89.7)

    def test_noon_is_south_in_the_north_and_north_in_the_south(self):
        self.assertAlmostEqual(self.position(50, 0, "2026-04-15T12:00:00Z")["azimuth"], 180, delta=0.5)
        south = self.position(-50, 0, "2026-04-15T12:00:00Z")["azimuth"]
        self.assertLess(min(south, 360 - south), 0.5)

    def test_morning_is_east(self):
        found = self.position(0, 0, "2026-03-20T08:00:00Z")
        self.assertAlmostEqual(found["azimuth"], 90, delta=1)
        self.assertAlmostEqual(found["elevation"], 28, delta=1)

    def test_a_zone_is_taken_into_account(self):
        east = self.position(50, 10, "2026-04-15T14:00:00+02:00")
        self.assertEqual(east, self.position(50, 10, "2026-04-15T12:00:00Z"))

    def test_without_a_time_it_is_now(self):
        found = Harness(plugin).json("position", {"lat": 50, "lon": 10}).json()
        self.assertGreater(found["time"], "2024-01-01T00:00:00Z")

    def test_the_air_lifts_the_sun_by_half_a_degree_at_the_horizon(self):
        self.assertAlmostEqual(solar.refraction(0), 0.48, delta=0.02)
        self.assertAlmostEqual(solar.refraction(45), 0.016, delta=0.001)


class Panels(unittest.TestCase):
    def setUp(self):
        self.sun = Harness(plugin)

    def day(self, **input):
        return self.sun.json("panel-day", {**LONDON, "peak_w": 100, **input}).json()["energy_wh"]

    def test_a_clear_summer_day_gives_five_to_seven_hours_of_full_sun(self):
        energy = self.day(date="2026-06-21", tilt=35)
        self.assertTrue(450 < energy < 700, energy)

    def test_what_is_lost_is_lost_in_proportion(self):
        self.assertAlmostEqual(self.day(date="2026-06-21", clearness=0.5) * 2, self.day(date="2026-06-21"), delta=0.2)
        self.assertEqual(self.day(date="2026-06-21", losses=1), 0)

    def test_a_steep_panel_is_better_in_winter_and_a_flat_one_in_summer(self):
        self.assertGreater(self.day(date="2026-12-21", tilt=75), self.day(date="2026-12-21", tilt=15))
        self.assertGreater(self.day(date="2026-06-21", tilt=15), self.day(date="2026-06-21", tilt=75))

    def test_a_panel_that_faces_away_gets_less(self):
        self.assertGreater(self.day(date="2026-03-21"), 2 * self.day(date="2026-03-21", azimuth=0, tilt=60))

    def test_no_sun_no_yield(self):
        found = self.sun.json("panel-day", {**TROMSO, "peak_w": 100, "date": "2025-12-21"}).json()
        self.assertEqual(found, {"energy_wh": 0.0, "peak_w": 0.0, "full_sun_hours": 0.0})

    def test_a_year_has_its_worst_month_in_winter(self):
        outcome = self.sun.json("panel-year", {**SYDNEY, "peak_w": 100, "year": 2026})
        found = outcome.json()
        self.assertEqual(found["worst_month"], 6)
        self.assertEqual(len(found["daily_wh"]), 12)
        self.assertEqual(outcome.progress[-1], (12, 12, "December"))
        self.assertTrue(math.isclose(found["year_wh"] / 365, sum(found["daily_wh"]) / 12, rel_tol=0.02))

    def test_a_cancelled_task_stops(self):
        outcome = Harness(plugin, cancelled=True).json("panel-year", {**SYDNEY, "peak_w": 100, "year": 2026})
        self.assertEqual(type(outcome.error).__name__, "TaskError_Cancelled")


class BadInput(unittest.TestCase):
    def failure(self, action, **input):
        return Harness(plugin).json(action, input).failure()

    def test_each_fault_has_its_code_and_place(self):
        for expected, action, change in [
            (("bad-date", "/date"), "times", {"date": "yesterday"}),
            (("out-of-range", "/date"), "times", {"date": "1815-06-18"}),
            (("bad-input", "/lat"), "times", {"lat": 91, "date": "2026-01-01"}),
            (("bad-time", "/time"), "position", {"time": "2026-01-01T12:00:00"}),
            (("bad-input", ""), "panel-day", {"date": "2026-01-01"}),
            (("bad-input", "/peak_w"), "panel-year", {"peak_w": 0, "year": 2026}),
        ]:
            failure = self.failure(action, **{**LONDON, **change})
            self.assertEqual((failure.code, failure.pointer), expected, failure)


if __name__ == "__main__":
    unittest.main()
