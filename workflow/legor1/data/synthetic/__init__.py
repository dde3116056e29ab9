"""Drawing brick manuals in LEGO-ARTA's layout."""
