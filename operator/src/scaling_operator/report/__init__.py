"""The report: trials and status in, one HTML file that opens without a network out.

A shell draws a page by `build` (an experiment) or `law_page` (a table of points). The words that a
page shares with the terminal are in `formatting` (numbers, times, lists) and `words` (sentences of
a fit and of the run it recommends); the other modules are the page's own.
"""
