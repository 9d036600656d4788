"""Builds the lectures into a static book: `notebooks` runs them, `text` and `cells` make HTML, `sources` links the
code, `reference` reads the docstrings, `search` makes the index that `search.js` looks into.

Nothing in a page comes from another host: formulas are MathML, set in a font that lies beside the pages.
"""
