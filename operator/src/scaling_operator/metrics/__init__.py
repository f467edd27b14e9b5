"""The metrics of an operator. No other package imports prometheus_client.

Each family is declared once (`families`). Events are counted as they happen (`operator_metrics`).
The present state is read from the stored status at each scrape (`samples`), so that it survives a
restart and goes away with its experiment.
"""
