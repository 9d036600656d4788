"""Small repairs to MathML, so that a browser sets it as TeX would."""

import xml.etree.ElementTree as ET

_NAMESPACE = "http://www.w3.org/1998/Math/MathML"
_PRIMES = set("\u2032\u2033\u2034\u2057")
_LIMITS = {"min", "max", "inf", "sup", "lim", "argmin", "argmax", "arg min", "arg max"}
# Operators around which TeX sets no space, and MathML's dictionary does.
_TIGHT = set("/|\u2016\u2225")
# Delimiters of a size of their own, `\big` and its like, arrive as they were written.
_DELIMITERS = {
    r"\langle": "\u27e8", r"\rangle": "\u27e9", r"\{": "{", r"\}": "}", r"\|": "\u2016", r"\lVert": "\u2016",
    r"\rVert": "\u2016", r"\lvert": "|", r"\rvert": "|", r"\lfloor": "\u230a", r"\rfloor": "\u230b",
    r"\lceil": "\u2308", r"\rceil": "\u2309",
}  # fmt: skip
_OVERLINE = "\u2015"
# MathML in browsers knows no mathvariant="bold": letters and digits have bold characters of their own in Unicode.
_BOLD = {"bold": (("0", "9", 0x1D7CE),), "bold-italic": (("A", "Z", 0x1D468), ("a", "z", 0x1D482), ("α", "ω", 0x1D736))}
_UNDER = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}


def as_tex_would(html: str) -> str:
    """The formula with primes beside their letter, tight bars and slashes, lines above, bold letters, and limits
    under `min` in display style."""
    ET.register_namespace("", _NAMESPACE)
    root = ET.fromstring(html)
    for element in list(root.iter()):
        kind = element.tag.removeprefix(f"{{{_NAMESPACE}}}")
        if kind == "mo" and element.get("minsize"):
            element.text = _DELIMITERS.get(element.text, element.text)
            element.attrib.update(lspace="0", rspace="0", stretchy="true", symmetric="true")
        elif kind == "mo" and element.text in _TIGHT and element.get("stretchy") != "true":
            element.attrib.update(lspace="0", rspace="0", stretchy="false")
        elif kind in ("mi", "mn") and element.get("mathvariant") in _BOLD:
            element.text = _bold(element.text, _BOLD[element.attrib.pop("mathvariant")])
        elif kind == "mover" and (element[1].text or "").strip() == _OVERLINE:
            _draw_line_above(element)
        elif kind in ("msup", "msubsup") and _is_prime(element[-1]):
            _set_prime_beside(element)
        elif kind in _UNDER and root.get("display") == "block" and "".join(element[0].itertext()).strip() in _LIMITS:
            element.tag = f"{{{_NAMESPACE}}}{_UNDER[kind]}"
    return ET.tostring(root, encoding="unicode")


def _bold(text, ranges):
    for first, last, start in ranges:
        text = "".join(chr(start + ord(c) - ord(first)) if first <= c <= last else c for c in text)
    return text


def _draw_line_above(element):
    """As a border, which is as long as what it covers; fonts have no such sign that grows."""
    element.remove(element[1])
    element.tag = f"{{{_NAMESPACE}}}mrow"
    element.set("class", "overline")


def _is_prime(element):
    return set("".join(element.itertext()).strip()) <= _PRIMES and "".join(element.itertext()).strip() != ""


def _set_prime_beside(element):
    """A prime is raised in the font already: as a superscript it would fly away."""
    base, prime = element[0], element[-1]
    together = ET.Element(f"{{{_NAMESPACE}}}mrow")
    sign = ET.SubElement(together, f"{{{_NAMESPACE}}}mo", lspace="0", rspace="0")
    sign.text = "".join(prime.itertext())
    together.insert(0, base)
    element.remove(base)
    element.remove(prime)
    element.insert(0, together)
    element.tag = f"{{{_NAMESPACE}}}{'msub' if len(element) == 2 else 'mrow'}"
