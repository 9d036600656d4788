"""Small repairs to MathML, so that a browser sets it as TeX would."""

import xml.etree.ElementTree as ET

_NAMESPACE = "http://www.w3.org/1998/Math/MathML"
_PRIMES = set("\u2032\u2033\u2034\u2057")
_LIMITS = {"min", "max", "inf", "sup", "lim", "argmin", "argmax", "arg min", "arg max"}
# Operators around which TeX sets no space, and MathML's dictionary does.
_TIGHT = set("/|\u2016\u2225")
_UNDER = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}


def as_tex_would(html: str) -> str:
    """The formula with primes beside their letter, tight bars and slashes, and limits under `min` in display style."""
    ET.register_namespace("", _NAMESPACE)
    root = ET.fromstring(html)
    for element in list(root.iter()):
        kind = element.tag.removeprefix(f"{{{_NAMESPACE}}}")
        if kind == "mo" and element.text in _TIGHT and element.get("stretchy") != "true":
            element.attrib.update(lspace="0", rspace="0", stretchy="false")
        elif kind in ("msup", "msubsup") and _is_prime(element[-1]):
            _set_prime_beside(element)
        elif kind in _UNDER and root.get("display") == "block" and "".join(element[0].itertext()).strip() in _LIMITS:
            element.tag = f"{{{_NAMESPACE}}}{_UNDER[kind]}"
    return ET.tostring(root, encoding="unicode")


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
