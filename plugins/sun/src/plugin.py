"""When the sun rises, where it stands, and what it gives to a solar panel: for planning where there is no grid."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Annotated, Optional

import solar
from akita import Plugin, Schema, TaskError, task

plugin = Plugin("sun", version="0.1.0", summary="Sunrise, the sun's place in the sky, and the yield of solar panels.")

EPOCH = datetime(2000, 1, 1, 12, tzinfo=timezone.utc)
# For how long the algorithm is good.
FIRST_YEAR, LAST_YEAR = 1900, 2100
# Minutes between two looks at the sun: a day's energy changes by less than a thousandth with shorter ones.
STEP_MINUTES = 10

Lat = Annotated[float, Schema(minimum=-90, maximum=90, description="Degrees, north is positive.")]
Lon = Annotated[float, Schema(minimum=-180, maximum=180, description="Degrees, east is positive.")]
Day = Annotated[str, Schema(format="date", description="The local day, such as 2026-06-21.")]


@dataclass
class Place:
    """A place and a day."""

    lat: Lat
    lon: Lon
    date: Day


@dataclass
class Times:
    """All in UTC; null for what does not happen on that day."""

    noon: str
    noon_elevation: float
    sunrise: Optional[str]
    sunset: Optional[str]
    civil_dawn: Optional[str]
    civil_dusk: Optional[str]
    nautical_dawn: Optional[str]
    nautical_dusk: Optional[str]
    astronomical_dawn: Optional[str]
    astronomical_dusk: Optional[str]
    daylight_minutes: int


@dataclass
class Moment:
    """A place and a time."""

    lat: Lat
    lon: Lon
    time: Annotated[
        Optional[str], Schema(format="date-time", description="With its zone: 2026-06-21T12:00:00Z. Now if absent.")
    ] = None


@dataclass
class Position:
    time: str
    elevation: float
    azimuth: float
    is_day: bool


@dataclass
class Panel:
    """A solar panel on a place."""

    lat: Lat
    lon: Lon
    peak_w: Annotated[float, Schema(exclusiveMinimum=0, maximum=1e9, description="Power of the panel by its label.")]
    tilt: Annotated[
        Optional[float], Schema(minimum=0, maximum=90, description="Degrees from level; the latitude if absent.")
    ] = None
    azimuth: Annotated[
        Optional[float], Schema(minimum=0, maximum=360, description="Where it faces; the equator if absent.")
    ] = None
    losses: Annotated[
        float, Schema(minimum=0, maximum=1, description="Heat, dirt, cables, charging: what is lost of each watt.")
    ] = 0.25
    clearness: Annotated[
        float, Schema(minimum=0, maximum=1, description="How much of a clear sky's light comes through the clouds.")
    ] = 1.0


@dataclass(kw_only=True)
class PanelDay(Panel):
    """A solar panel, on one day."""

    date: Day


@dataclass
class DayYield:
    energy_wh: float
    peak_w: float
    full_sun_hours: float


@dataclass(kw_only=True)
class PanelYear(Panel):
    """A solar panel, over a year."""

    year: Annotated[int, Schema(minimum=FIRST_YEAR, maximum=LAST_YEAR)]


@dataclass
class YearYield:
    """Watt-hours of a mean day in each month, January first."""

    daily_wh: list[float]
    year_wh: float
    worst_month: int


@plugin.action(idempotent=True, deterministic=True, typical_ms=10)
def times(input: Place) -> Times:
    """Sunrise, sunset, noon and twilights of a day."""
    day = _day(input.date)
    lat, lon = input.lat, input.lon
    noon = solar.noon(day, lon)
    height = solar.position(noon, lat, lon)[0]

    def pair(elevation):
        return [solar.crossing(day, lat, lon, elevation, rising) for rising in (True, False)]

    rise, down = pair(solar.RISE)
    if rise is not None and down is not None:
        light = round((down - rise) * solar.DAY_MINUTES)
    else:
        light = solar.DAY_MINUTES if height > solar.RISE else 0
    twilights = [_text(moment) for elevation in (-6, -12, -18) for moment in pair(elevation)]
    return Times(_text(noon), round(height, 2), _text(rise), _text(down), *twilights, light)


@plugin.action(typical_ms=10)
def position(input: Moment) -> Position:
    """How high the sun stands and in which direction, now or at a time."""
    moment = datetime.now(timezone.utc) if input.time is None else _time(input.time)
    days = (moment - EPOCH) / timedelta(days=1)
    elevation, azimuth = solar.position(days, input.lat, input.lon)
    shown = elevation + solar.refraction(elevation)
    return Position(_text(days), round(shown, 2), round(azimuth, 2), elevation > solar.RISE)


@plugin.action(idempotent=True, deterministic=True, typical_ms=20)
def panel_day(input: PanelDay) -> DayYield:
    """What a solar panel yields on a day, under a clear or a clouded sky."""
    energy, peak = _day_yield(input, _day(input.date))
    return DayYield(round(energy, 1), round(peak, 1), round(energy / input.peak_w, 2))


@plugin.action(idempotent=True, deterministic=True, typical_ms=2000)
def panel_year(input: PanelYear) -> YearYield:
    """What a solar panel yields in each month of a year, and which is the worst."""
    months = []
    total = 0.0
    for month in range(1, 13):
        task.check()
        first = date(input.year, month, 1)
        count = ((first + timedelta(days=31)).replace(day=1) - first).days
        energy = sum(_day_yield(input, _days_of(first) + day)[0] for day in range(count))
        total += energy
        months.append(round(energy / count, 1))
        task.progress(month, 12, f"{first:%B}")
    return YearYield(months, round(total, 1), months.index(min(months)) + 1)


def _day_yield(panel, day):
    """Watt-hours of a day, and the most watts."""
    tilt = abs(panel.lat) if panel.tilt is None else panel.tilt
    facing = (180.0 if panel.lat >= 0 else 0.0) if panel.azimuth is None else panel.azimuth
    share = panel.peak_w / 1000 * (1 - panel.losses) * panel.clearness
    begin = solar.whole_day(day, panel.lon)
    energy = peak = 0.0
    for step in range(solar.DAY_MINUTES // STEP_MINUTES):
        moment = begin + (step + 0.5) * STEP_MINUTES / solar.DAY_MINUTES
        elevation, azimuth = solar.position(moment, panel.lat, panel.lon)
        if elevation > 0:
            power = share * solar.on_panel(elevation, azimuth, tilt, facing)
            energy += power * STEP_MINUTES / 60
            peak = max(peak, power)
    return energy, peak


def _day(text):
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise TaskError.invalid("`date` is no day such as 2026-06-21", code="bad-date", pointer="/date") from None
    _check_year(day.year, "date")
    return _days_of(day)


def _days_of(day):
    return float((day - EPOCH.date()).days)


def _time(text):
    try:
        # Before Python 3.11, `Z` was not read.
        moment = datetime.fromisoformat(text.replace("Z", "+00:00").replace("z", "+00:00"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        message = "`time` is no time with its zone, such as 2026-06-21T12:00:00Z"
        raise TaskError.invalid(message, code="bad-time", pointer="/time")
    _check_year(moment.year, "time")
    return moment


def _check_year(year, name):
    if not FIRST_YEAR <= year <= LAST_YEAR:
        message = f"`{name}` is not between {FIRST_YEAR} and {LAST_YEAR}"
        raise TaskError.invalid(message, code="out-of-range", pointer=f"/{name}")


def _text(days):
    """Whole seconds of UTC."""
    if days is None:
        return None
    moment = EPOCH + timedelta(seconds=round(days * 86400))
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
