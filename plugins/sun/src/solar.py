"""Where the sun is, by the algorithm of NOAA's solar calculator (after Meeus, Astronomical Algorithms): good to a minute of
time and a hundredth of a degree or so between 1900 and 2100. Times are days since 2000-01-01 12:00 UTC."""

from math import acos, asin, atan2, cos, degrees, exp, floor, radians, sin, tan

# The sun's edge at the horizon: half its width and what the air bends.
RISE = -0.833
DAY_MINUTES = 1440


def declination_and_equation(days):
    """The sun's declination in degrees, and by how many minutes a sundial is ahead of the clock."""
    centuries = days / 36525
    longitude = (280.46646 + centuries * (36000.76983 + centuries * 0.0003032)) % 360
    anomaly = radians(357.52911 + centuries * (35999.05029 - 0.0001537 * centuries))
    eccentricity = 0.016708634 - centuries * (0.000042037 + 0.0000001267 * centuries)
    centre = (
        sin(anomaly) * (1.914602 - centuries * (0.004817 + 0.000014 * centuries))
        + sin(2 * anomaly) * (0.019993 - 0.000101 * centuries)
        + sin(3 * anomaly) * 0.000289
    )
    node = radians(125.04 - 1934.136 * centuries)
    apparent = radians(longitude + centre - 0.00569 - 0.00478 * sin(node))
    seconds = 21.448 - centuries * (46.815 + centuries * (0.00059 - centuries * 0.001813))
    tilt = radians(23 + (26 + seconds / 60) / 60 + 0.00256 * cos(node))
    y = tan(tilt / 2) ** 2
    double = radians(2 * longitude)
    equation = (
        y * sin(double)
        - 2 * eccentricity * sin(anomaly)
        + 4 * eccentricity * y * sin(anomaly) * cos(double)
        - 0.5 * y * y * sin(2 * double)
        - 1.25 * eccentricity**2 * sin(2 * anomaly)
    )
    return degrees(asin(sin(tilt) * sin(apparent))), 4 * degrees(equation)


def position(days, lat, lon):
    """Elevation above the horizon without the air's bending, and azimuth clockwise from north, in degrees."""
    declination, equation = declination_and_equation(days)
    minutes = ((days + 0.5) % 1) * DAY_MINUTES
    hour_angle = radians((minutes + equation + 4 * lon) / 4 - 180)
    here, sun = radians(lat), radians(declination)
    height = sin(here) * sin(sun) + cos(here) * cos(sun) * cos(hour_angle)
    east = -cos(sun) * sin(hour_angle)
    north = sin(sun) * cos(here) - cos(sun) * sin(here) * cos(hour_angle)
    return degrees(asin(max(-1.0, min(1.0, height)))), degrees(atan2(east, north)) % 360


def refraction(elevation):
    """By how many degrees the air lifts what is at that elevation."""
    if elevation > 85:
        return 0.0
    slope = tan(radians(elevation))
    if elevation > 5:
        seconds = 58.1 / slope - 0.07 / slope**3 + 0.000086 / slope**5
    elif elevation > -0.575:
        seconds = 1735 + elevation * (-518.2 + elevation * (103.4 + elevation * (-12.79 + elevation * 0.711)))
    else:
        seconds = -20.772 / slope
    return seconds / 3600


def noon(day, lon):
    """When the sun is highest on the local day that begins around `day` + 0.5 - `lon`/360."""
    guess = day - lon / 360
    for _ in range(3):
        guess = day - lon / 360 - declination_and_equation(guess)[1] / DAY_MINUTES
    return guess


def crossing(day, lat, lon, elevation, rising):
    """When the sun's middle passes that elevation before (rising) or after noon; None if it never does on that day."""
    middle = noon(day, lon)
    side = -1 if rising else 1
    moment = middle + side * 0.25
    for _ in range(5):
        declination, equation = declination_and_equation(moment)
        here, sun = radians(lat), radians(declination)
        # At a pole every direction is the same, and the division would be by nothing.
        across = max(cos(here) * cos(sun), 1e-12)
        cosine = (sin(radians(elevation)) - sin(here) * sin(sun)) / across
        if not -1 <= cosine <= 1:
            return None
        transit = day - lon / 360 - equation / DAY_MINUTES
        moment = transit + side * degrees(acos(cosine)) / 360
    return moment


def clear_sky(elevation):
    """Direct and diffuse power of a clear sky in watts a square metre, of the beam and on level ground: Meinel's fit, with a
    tenth of the beam scattered."""
    if elevation <= 0:
        return 0.0, 0.0
    # How much air the light crosses, by Kasten and Young.
    air = 1 / (sin(radians(elevation)) + 0.50572 * (elevation + 6.07995) ** -1.6364)
    beam = 1353 * exp(-0.35667 * air**0.678)
    return beam, 0.1 * beam


def on_panel(elevation, azimuth, tilt, facing):
    """Power on a tilted square metre under a clear sky: the beam, the part of the sky that it sees, and what the ground (a
    fifth of it) throws back."""
    beam, diffuse = clear_sky(elevation)
    if beam == 0:
        return 0.0
    height, lean, away = radians(elevation), radians(tilt), radians(azimuth - facing)
    direct = sin(height) * cos(lean) + cos(height) * sin(lean) * cos(away)
    sees_sky = (1 + cos(lean)) / 2
    level = beam * sin(height) + diffuse
    return beam * max(0.0, direct) + diffuse * sees_sky + 0.2 * level * (1 - sees_sky)


def whole_day(day, lon):
    """The beginning of the local day, by the mean sun."""
    return floor(day) - 0.5 - lon / 360
