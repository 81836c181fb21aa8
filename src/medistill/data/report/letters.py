"""Characters as they are compared: without accents, of one width, one for one."""

import unicodedata


class _Unaccented(dict[int, int]):
    """Character -> the same one without accents and of common width; each stays one character."""

    def __missing__(self, code: int) -> int:
        common = unicodedata.normalize("NFKC", chr(code))
        base, *marks = unicodedata.normalize("NFD", common if len(common) == 1 else chr(code))
        self[code] = ord(base) if all(unicodedata.combining(mark) for mark in marks) else code
        return self[code]


_UNACCENTED = _Unaccented({0x2019: ord("'"), 0x2018: ord("'")})


def unaccented(text: str) -> str:
    """Places in it are those in the text."""
    return text if text.isascii() else text.translate(_UNACCENTED)


def plain(text: str) -> str:
    """In small letters, without accents; places in it are those in the text."""
    return unaccented(text).lower()  # only a capital I with a dot grows in small letters, and it has lost it
