"""Pages that reports write, read back."""
from html.parser import HTMLParser

EMPTY = {"meta", "br", "img"}


class Page(HTMLParser):
    """Checks that tags nest, and keeps the text and the cells of every table row."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.rows, self.attributes = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.attributes += attributes
        if tag not in EMPTY:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data
