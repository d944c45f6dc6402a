"""Numbers and values as text for the report."""

from memae.kinds import Words

LONGEST = 80
"""Maximum number of characters of a value that are shown."""


def counted(n: int, words: Words) -> str:
    """A number of samples with the noun.

    Example:
        >>> from memae.kinds import Tables
        >>> counted(1200, Tables.words)
        '1,200 rows'
    """
    return f"{n:,} {words.one if n == 1 else words.many}"


def share(x: float) -> str:
    """A share in percent, with two significant digits below 10 %, and a no-break space.

    Example:
        >>> [" ".join(share(x).split()) for x in (0.5234, 0.0523, 0.05, 0.0, 1e-7)]
        ['52 %', '5.2 %', '5 %', '0 %', 'under 0.01 %']
    """
    if 0 < x < 1e-4:
        return "under 0.01\xa0%"
    return f"{100 * x:.0f}\xa0%" if x >= 0.0995 else f"{100 * x:.2g}\xa0%"


def figure(x: float, digits: int = 4) -> str:
    """A number with `digits` significant digits; integers and large numbers in full.

    Example:
        >>> figure(3.0), figure(1234567.8), figure(0.000123456), figure(1e20)
        ('3', '1234568', '0.0001235', '1e+20')
    """
    if abs(x) < 1e15 and (x == round(x) or abs(x) >= 10**digits):
        return f"{x:.0f}"
    return f"{x:.{digits}g}"


def value(x: object, digits: int = 6) -> str:
    """A value of a table as text, shortened if it is long.

    Example:
        >>> value(None), value(2.5), value("a shop")
        ('missing', '2.5', 'a shop')
    """
    if x is None:
        return "missing"
    return figure(x, digits) if isinstance(x, float) else cut(str(x))


def cut(text: str) -> str:
    """The start of a text, at most `LONGEST` characters."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def clock(seconds: float) -> str:
    """A time in a video.

    Example:
        >>> clock(0.0), clock(83.24), clock(3723.0)
        ('0:00.0', '1:23.2', '1:02:03')
    """
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    if minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02}:{rest // 10:02}"
    return f"{minutes}:{rest // 10:02}.{rest % 10}"


def how_rare(p_value: float, calibrating: int, words: Words) -> str:
    """A conformal p-value in words.

    Args:
        p_value: p-value of a sample.
        calibrating: number of samples of the calibration.
        words: words for samples of this kind.

    Example:
        >>> from memae.kinds import Tables
        >>> how_rare(0.01, 99, Tables.words), how_rare(0.05, 99, Tables.words)
        ('none of 99 normal rows scores as high', '4 of 99 normal rows score as high')
    """
    higher = round(p_value * (calibrating + 1)) - 1
    of_normal = f"of {calibrating:,} normal {words.many}"
    if higher <= 0:
        return f"none {of_normal} scores as high"
    return f"{higher:,} {of_normal} score{'s' if higher == 1 else ''} as high"
