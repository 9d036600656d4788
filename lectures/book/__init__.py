"""Builds the lectures into a static book: `notebooks` runs them, `text` and `cells` make
HTML, `sources` links the code.

Nothing in a page comes from another host: formulas are MathML, set in a font that lies beside the pages.
"""
