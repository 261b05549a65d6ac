"""The command ``classify probe``: its settings and its job; the formulas are in tgn.probe."""
