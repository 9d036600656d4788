"""Names of files made from text that somebody else wrote: a label in a data file must not decide where we write."""

import hashlib

_LONGEST = 200  # bytes: file systems end at 255
# Devices of Windows, whatever their ending.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}


def safe_name(text: str) -> str:
    """`text` as the name of one file or folder: letters, digits and . - _ of it, the others as _.

    What had to be changed ends in digits of its hash, so that "a/b" and "a_b" stay two names.

    >>> safe_name("digits-3"), safe_name("../x")
    ('digits-3', '_._x-d6b96a97')
    """
    name = "".join(letter if letter.isalnum() or letter in ".-_" else "_" for letter in text)
    name = name.encode()[:_LONGEST].decode(errors="ignore")
    name = "_" + name[1:] if name[:1] in ("", ".") else name
    name = name[:-1] + "_" if name.endswith(".") else name
    if name == text and name.partition(".")[0].lower() not in _DEVICES:
        return name
    return f"{name}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
